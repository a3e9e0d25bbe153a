package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// RT-20, RT-22: invocations are kept in their order until they end, each endpoint's
// apart from the others'.
func suiteAsync(t *testing.T, s *Store) {
	want := AsyncInvocation{
		Region: region, Endpoint: "Queue", InferenceID: "id", ContentType: "text/csv", Accept: "a/b", CustomAttributes: "c",
		Payload: []byte{0, 1, 0xff}, Output: "s3://b/o", Failure: "s3://b/f", Created: at(1), Expires: at(2), Timeout: time.Minute,
	}
	var seqs []int64
	for i := range 5 {
		want.InferenceID = fmt.Sprint("id", i)
		want.Created = at(int64(i) + 1)
		update(t, s, func(tx *Tx) error {
			seq, err := tx.AddAsync(want)
			seqs = append(seqs, seq)
			return err
		})
	}
	other := AsyncInvocation{Region: region, Endpoint: "other", InputLocation: "s3://b/in", Created: at(1)}
	update(t, s, func(tx *Tx) error { _, err := tx.AddAsync(other); return err })

	next := func(endpoint string, after int64, limit int) (all []AsyncInvocation) {
		t.Helper()
		view(t, s, func(tx *Tx) (err error) { all, err = tx.NextAsync(region, endpoint, after, limit); return err })
		return all
	}
	got := next("queue", seqs[1], 2) // names fold (CP-9)
	want.Seq, want.InferenceID, want.Created = seqs[2], "id2", at(3)
	if len(got) != 2 || got[1].Seq != seqs[3] {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
	backlog := func(endpoint string) (b AsyncBacklog) {
		t.Helper()
		view(t, s, func(tx *Tx) (err error) { b, err = tx.AsyncBacklog(region, endpoint); return err })
		return b
	}
	if b := backlog("QUEUE"); b.Count != 5 || b.Bytes != 15 || !b.Oldest.Equal(at(1)) {
		t.Errorf("backlog %+v", b)
	}
	for range 2 {
		update(t, s, func(tx *Tx) error { return tx.RemoveAsync(seqs[0]) })
	}
	if b := backlog("queue"); b.Count != 4 || !b.Oldest.Equal(at(2)) {
		t.Errorf("backlog %+v", b)
	}
	update(t, s, func(tx *Tx) error { return tx.RemoveAllAsync(region, "QUEUE") })
	if b := backlog("queue"); b != (AsyncBacklog{}) {
		t.Errorf("backlog %+v", b)
	}
	if got := next("other", 0, 10); len(got) != 1 || got[0].InputLocation != "s3://b/in" || len(got[0].Payload) != 0 {
		t.Errorf("%+v", got)
	}
	// A place in the order is never given twice.
	update(t, s, func(tx *Tx) error {
		seq, err := tx.AddAsync(other)
		if seq <= seqs[4] {
			t.Errorf("place %d after %d", seq, seqs[4])
		}
		return err
	})
}
