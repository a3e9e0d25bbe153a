package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func newObject(n int) Object {
	return Object{Key: fmt.Sprint("in/", n), Rel: fmt.Sprint(n), Size: int64(n), ETag: fmt.Sprint("e", n), Modified: at(int64(n + 1))}
}

func objectsFrom(from, to int) (objects []Object) {
	for n := from; n < to; n++ {
		objects = append(objects, newObject(n))
	}
	return objects
}

func next(t testing.TB, s *Store, name string, after int64, limit int) (objects []Object) {
	t.Helper()
	view(t, s, func(tx *Tx) (err error) { objects, err = tx.NextObjects(jobKey(name), after, limit); return err })
	return objects
}

func totals(t testing.TB, s *Store, name string) (sums ObjectTotals) {
	t.Helper()
	view(t, s, func(tx *Tx) (err error) { sums, err = tx.ObjectTotals(jobKey(name)); return err })
	return sums
}

func add(t testing.TB, s *Store, name string, objects []Object) (added int) {
	t.Helper()
	update(t, s, func(tx *Tx) (err error) { added, err = tx.AddObjects(jobKey(name), objects); return err })
	return added
}

func suiteObjects(t *testing.T, s *Store) {
	create(t, s, newJob("j", 1), newJob("k", 1))
	add(t, s, "j", objectsFrom(0, 3))
	add(t, s, "k", objectsFrom(0, 1)) // Another job's objects are its own.
	if added := add(t, s, "j", objectsFrom(2, 5)); added != 2 {
		t.Errorf("%d added, want 2: a repeated entry counts once (BT-45)", added)
	}
	want := objectsFrom(0, 5)
	for i := range want {
		want[i].Seq, want[i].State = int64(i+1), ObjectPending
	}
	if diff := cmp.Diff(want, next(t, s, "j", 0, 100)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[2:4], next(t, s, "j", 2, 2)); diff != "" {
		t.Error(diff)
	}
	counts := Counts{Records: 10, Requests: 3, Retries: 1, BytesIn: 100, BytesOut: 50}
	update(t, s, func(tx *Tx) error {
		return tx.FinishObjects(jobKey("J"), []ObjectResult{
			{Seq: 4, State: ObjectDone, Counts: counts},
			{Seq: 2, State: ObjectFailed, Class: "ClientError", Detail: "record 7", Counts: counts},
		})
	})
	failed := want[1]
	failed.State, failed.Class, failed.Detail, failed.Counts = ObjectFailed, "ClientError", "record 7", counts
	var got []Object
	view(t, s, func(tx *Tx) (err error) { got, err = tx.FailedObjects(jobKey("j"), 10); return err })
	if diff := cmp.Diff([]Object{failed}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Object{want[0], want[2], want[4]}, next(t, s, "j", 0, 100)); diff != "" {
		t.Error(diff)
	}
	sums := ObjectTotals{Pending: Total{3, 6, Counts{}}, Done: Total{1, 3, counts}, Failed: Total{1, 1, counts}}
	if diff := cmp.Diff(sums, totals(t, s, "j")); diff != "" {
		t.Error(diff)
	}

	update(t, s, func(tx *Tx) error { return tx.ClearObjects(jobKey("j")) })
	if left := next(t, s, "j", 0, 100); len(left) > 0 || totals(t, s, "j") != (ObjectTotals{}) {
		t.Errorf("%v and %+v are left", left, totals(t, s, "j"))
	}
	if len(next(t, s, "k", 0, 100)) != 1 {
		t.Error("the other job's objects are gone")
	}
	add(t, s, "j", objectsFrom(0, 2))
	if again := next(t, s, "j", 0, 100); len(again) != 2 || again[0].Seq != 1 {
		t.Errorf("a listing begun anew gives %v", again)
	}
}

// BT-104: two inputs with one relative path are found, and both are named.
func suiteObjectCollision(t *testing.T, s *Store) {
	create(t, s, newJob("j", 1))
	add(t, s, "j", []Object{{Key: "x/a.csv", Rel: "a.csv"}})
	err := s.Update(t.Context(), func(tx *Tx) error {
		_, err := tx.AddObjects(jobKey("j"), []Object{{Key: "y/b.csv", Rel: "b.csv"}, {Key: "y/a.csv", Rel: "a.csv"}})
		return err
	})
	wantKind(t, err, fault.Invalid)
	for _, part := range []string{"x/a.csv", "y/a.csv"} {
		if !strings.Contains(fault.TextOf(err), part) {
			t.Errorf("%q does not name %s", fault.TextOf(err), part)
		}
	}
	if left := next(t, s, "j", 0, 10); len(left) != 1 {
		t.Errorf("%d objects, want those before the batch that failed", len(left))
	}
}

// The totals and the pages agree with a plain list after any history.
func suiteObjectsAgreeWithModel(t *testing.T, s *Store) {
	r := rand.New(rand.NewPCG(3, 4))
	create(t, s, newJob("j", 1))
	var plain []Object
	for step := range 60 {
		if step%3 == 0 {
			batch := objectsFrom(len(plain), len(plain)+r.IntN(20))
			add(t, s, "j", batch)
			for i := range batch {
				batch[i].Seq, batch[i].State = int64(len(plain)+1), ObjectPending
				plain = append(plain, batch[i])
			}
			continue
		}
		var results []ObjectResult
		for i := range plain {
			if plain[i].State != ObjectPending || r.IntN(4) > 0 {
				continue
			}
			result := ObjectResult{Seq: plain[i].Seq, State: ObjectDone, Counts: Counts{Records: r.Int64N(9), BytesOut: r.Int64N(99)}}
			if r.IntN(5) == 0 {
				result.State, result.Class = ObjectFailed, "ModelError"
			}
			plain[i].State, plain[i].Class, plain[i].Counts = result.State, result.Class, result.Counts
			results = append(results, result)
		}
		r.Shuffle(len(results), func(a, b int) { results[a], results[b] = results[b], results[a] })
		update(t, s, func(tx *Tx) error { return tx.FinishObjects(jobKey("j"), results) })
	}
	var want ObjectTotals
	for _, o := range plain {
		want.of(o.State).add(Total{1, o.Size, o.Counts})
	}
	if diff := cmp.Diff(want, totals(t, s, "j")); diff != "" {
		t.Error(diff)
	}
	var pending []Object
	for after := int64(0); ; {
		page := next(t, s, "j", after, 7)
		if len(page) == 0 {
			break
		}
		pending = append(pending, page...)
		after = page[len(page)-1].Seq
	}
	left := slices.DeleteFunc(plain, func(o Object) bool { return o.State != ObjectPending })
	if diff := cmp.Diff(left, pending); diff != "" {
		t.Error(diff)
	}
}

func suiteFinishRefuses(t *testing.T, s *Store) {
	create(t, s, newJob("j", 1))
	add(t, s, "j", objectsFrom(0, 2))
	finish := func(results ...ObjectResult) error {
		return s.Update(t.Context(), func(tx *Tx) error { return tx.FinishObjects(jobKey("j"), results) })
	}
	if err := finish(ObjectResult{Seq: 1, State: ObjectDone}); err != nil {
		t.Fatal(err)
	}
	wantKind(t, finish(ObjectResult{Seq: 2, State: ObjectDone}, ObjectResult{Seq: 1, State: ObjectFailed}), fault.Conflict)
	wantKind(t, finish(ObjectResult{Seq: 9, State: ObjectDone}), fault.Conflict)
	wantKind(t, finish(ObjectResult{Seq: 2, State: ObjectPending}), fault.Internal)
	if got := totals(t, s, "j"); got.Pending.Objects != 1 || got.Done.Objects != 1 || got.Failed.Objects != 0 {
		t.Errorf("a refused batch left %+v", got)
	}
	missing := jobKey("missing")
	for name, fn := range map[string]func(*Tx) error{
		"AddObjects":    func(tx *Tx) error { _, err := tx.AddObjects(missing, objectsFrom(0, 1)); return err },
		"FinishObjects": func(tx *Tx) error { return tx.FinishObjects(missing, nil) },
		"NextObjects":   func(tx *Tx) error { _, err := tx.NextObjects(missing, 0, 1); return err },
		"FailedObjects": func(tx *Tx) error { _, err := tx.FailedObjects(missing, 1); return err },
		"ObjectTotals":  func(tx *Tx) error { _, err := tx.ObjectTotals(missing); return err },
		"ClearObjects":  func(tx *Tx) error { return tx.ClearObjects(missing) },
	} {
		if err := s.Update(t.Context(), fn); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s of a job that does not exist: %v", name, err)
		}
	}
	// The objects of a job that leaves the table leave with it.
	update(t, s, func(tx *Tx) error { return tx.remove(jobKey("j")) })
	create(t, s, resource.TransformJob{Meta: newJob("j", 1).Meta})
	if got := totals(t, s, "j"); got != (ObjectTotals{}) || len(next(t, s, "j", 0, 9)) > 0 {
		t.Errorf("a new job begins with %+v", got)
	}
}
