package state

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func exists(t testing.TB, s *Store, name string) bool {
	t.Helper()
	err := s.View(t.Context(), func(tx *Tx) error { _, err := tx.TransformJob(jobKey(name)); return err })
	if err != nil && !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func creating(name string) func(*Tx) error {
	return func(tx *Tx) error { return tx.CreateTransformJob(newJob(name, 1)) }
}

// An error undoes all that its own closure wrote.
func suiteUpdate(t *testing.T, s *Store) {
	no := errors.New("no")
	err := s.Update(t.Context(), func(tx *Tx) error {
		if err := creating("a")(tx); err != nil {
			return err
		}
		if _, err := tx.TransformJob(jobKey("a")); err != nil {
			t.Errorf("a closure does not see its own write: %v", err)
		}
		return no
	})
	if !errors.Is(err, no) || exists(t, s, "a") {
		t.Errorf("error = %v, exists = %v", err, exists(t, s, "a"))
	}
	// A fault that the closure deals with itself does not undo the rest.
	update(t, s, func(tx *Tx) error {
		if err := creating("a")(tx); err != nil {
			return err
		}
		wantKind(t, creating("A")(tx), fault.InUse)
		return nil
	})
	if !exists(t, s, "a") {
		t.Error("the write is gone")
	}
}

// held begins an Update and keeps the writer busy until release is called, so
// that the Updates made meanwhile form the next part of the same group.
func held(t testing.TB, s *Store) (release func()) {
	t.Helper()
	begun, free, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- s.Update(context.Background(), func(*Tx) error { close(begun); <-free; return nil })
	}()
	<-begun
	return func() {
		t.Helper()
		close(free)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// A panic, an error and good writes in one group: each gets its own outcome.
func suitePanicInUpdate(t *testing.T, s *Store) {
	release := held(t, s)
	outcomes := make([]error, 12)
	var wg sync.WaitGroup
	for i := range outcomes {
		wg.Go(func() {
			outcomes[i] = s.Update(t.Context(), func(tx *Tx) error {
				if err := creating(numbered(i))(tx); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					panic("boom")
				case 2:
					return errors.New("no")
				}
				return nil
			})
		})
	}
	release()
	wg.Wait()
	for i, err := range outcomes {
		if (err == nil) != (i%3 == 0) || exists(t, s, numbered(i)) != (i%3 == 0) {
			t.Errorf("closure %d: error %v, exists %v", i, err, exists(t, s, numbered(i)))
		}
		if i%3 == 1 && (!strings.Contains(err.Error(), "boom") || strings.Contains(fault.TextOf(err), "boom")) {
			t.Errorf("a panic is told as %q to the log and %q to the caller", err, fault.TextOf(err))
		}
	}
}

func suiteParallelUpdates(t *testing.T, s *Store) {
	create(t, s, newJob("counter", 1))
	const writers, each = 16, 25
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				err := s.Update(t.Context(), func(tx *Tx) error {
					j, err := tx.TransformJob(jobKey("counter"))
					if err != nil {
						return err
					}
					j.Spec.DefaultConcurrency++
					return tx.SaveTransformJob(j)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 { // Readers meanwhile, who see the revision and the body move together.
		wg.Go(func() {
			for range each {
				if j := readJob(t, s, "counter"); j.Spec.DefaultConcurrency != int(j.Rev)-1 {
					t.Errorf("revision %d with the body of %d", j.Rev, j.Spec.DefaultConcurrency+1)
				}
			}
		})
	}
	wg.Wait()
	if j := readJob(t, s, "counter"); j.Spec.DefaultConcurrency != writers*each {
		t.Errorf("counted %d, want %d", j.Spec.DefaultConcurrency, writers*each)
	}
}

// Whoever gives up while waiting has written nothing; whoever is running is not
// interrupted, and neither are those in the same group.
func suiteCancelledUpdate(t *testing.T, s *Store) {
	release := held(t, s)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	answer := make(chan error)
	go func() { answer <- s.Update(ctx, creating("waiting")) }()
	cancel(gone)
	if err := <-answer; !errors.Is(err, gone) {
		t.Errorf("error = %v", err)
	}
	release()
	if exists(t, s, "waiting") {
		t.Error("an Update that gave up was written")
	}

	ctx, cancel = context.WithCancelCause(t.Context())
	err := s.Update(ctx, func(tx *Tx) error {
		cancel(gone)
		return creating("running")(tx)
	})
	if err != nil || !exists(t, s, "running") {
		t.Errorf("error = %v, exists = %v", err, exists(t, s, "running"))
	}
	if err := s.View(ctx, func(*Tx) error { return nil }); !errors.Is(err, gone) && !errors.Is(err, context.Canceled) {
		t.Errorf("View = %v", err)
	}
	readJob(t, s, "running") // The connection of the interrupted View is not used again.
}

func suiteViewIsASnapshot(t *testing.T, s *Store) {
	create(t, s, newJob("a", 1))
	view(t, s, func(tx *Tx) error {
		count := func() int {
			jobs, _, err := tx.ListTransformJobs(Query{Region: region, Limit: 10})
			if err != nil {
				t.Error(err)
			}
			return len(jobs)
		}
		before := count()
		create(t, s, newJob("b", 1))
		if after := count(); before != 1 || after != 1 {
			t.Errorf("%d, then %d in one View", before, after)
		}
		return nil
	})
	if !exists(t, s, "b") {
		t.Error("a View that ended hides a write")
	}
}

func suiteViewCannotWrite(t *testing.T, s *Store) {
	create(t, s, newJob("j", 1))
	add(t, s, "j", objectsFrom(0, 1))
	for name, fn := range map[string]func(*Tx) error{
		"create": creating("k"),
		"finish": func(tx *Tx) error {
			return tx.FinishObjects(jobKey("j"), []ObjectResult{{Seq: 1, State: ObjectDone}})
		},
	} {
		if err := s.View(t.Context(), fn); !errors.Is(err, errReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func suiteTxEnds(t *testing.T, s *Store) {
	var kept *Tx
	update(t, s, func(tx *Tx) error { kept = tx; return nil })
	if err := creating("a")(kept); !errors.Is(err, errEnded) {
		t.Errorf("a write after the end: %v", err)
	}
	view(t, s, func(tx *Tx) error { kept = tx; return nil })
	if _, err := kept.ActiveTransformJobs(); !errors.Is(err, errEnded) {
		t.Errorf("a read after the end: %v", err)
	}
	if _, _, err := kept.ListModels(Query{Limit: 1}); !errors.Is(err, errEnded) {
		t.Errorf("a list after the end: %v", err)
	}
}

// Each commit is told with its folded keys before Update returns; what was rolled
// back is not told.
func suiteWatch(t *testing.T, s *Store) {
	var mu sync.Mutex
	var got []resource.Key
	cancel := s.Watch(func(keys []resource.Key) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, keys...)
	})
	told := func() (names string) {
		mu.Lock()
		defer mu.Unlock()
		for _, key := range got {
			names += string(key.Kind[0]) + ":" + key.Name + " "
		}
		got = nil
		return names
	}
	create(t, s, newJob("A", 1), newJob("B", 1))
	if names := told(); names != "t:a t:b " {
		t.Errorf("told %q", names)
	}
	j := readJob(t, s, "B")
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.SaveTransformJob(j), tx.SetTags(jobKey("A"), nil),
			tx.PutModel(resource.Model{Meta: resource.Meta{Key: modelKey("M")}}), tx.DeleteModel(modelKey("m")))
	})
	if names := told(); names != "t:b t:a m:m m:m " {
		t.Errorf("told %q", names)
	}
	_ = s.Update(t.Context(), func(tx *Tx) error { return errors.Join(creating("c")(tx), errors.New("no")) })
	_ = s.Update(t.Context(), creating("a")) // The name is taken.
	if names := told(); names != "" {
		t.Errorf("told %q of what was not written", names)
	}
	cancel()
	create(t, s, newJob("d", 1))
	if names := told(); names != "" {
		t.Errorf("told %q after the end of the watch", names)
	}
}

func suiteSecret(t *testing.T, s *Store) {
	var wg sync.WaitGroup
	values := make([][]byte, 8)
	for i := range values {
		wg.Go(func() {
			value, err := s.Secret(t.Context(), "token")
			if err != nil {
				t.Error(err)
			}
			values[i] = value
		})
	}
	wg.Wait()
	for _, value := range values {
		if len(value) != secretSize || !bytes.Equal(value, values[0]) {
			t.Errorf("%x and %x", value, values[0])
		}
	}
	other, err := s.Secret(t.Context(), "other")
	if err != nil || bytes.Equal(other, values[0]) {
		t.Errorf("another name gave %x, %v", other, err)
	}
}

// Close waits for the Update that runs and for Views, and refuses the rest.
func suiteClose(t *testing.T, s *Store) {
	begun, free := make(chan struct{}), make(chan struct{})
	running := make(chan error, 1)
	go func() {
		running <- s.Update(context.Background(), func(tx *Tx) error { close(begun); <-free; return creating("a")(tx) })
	}()
	<-begun
	reading := make(chan struct{})
	viewed := make(chan error, 1)
	go func() {
		viewed <- s.View(context.Background(), func(tx *Tx) error {
			close(reading)
			<-free
			_, err := tx.ActiveTransformJobs()
			return err
		})
	}()
	<-reading
	closed := make(chan error, 2)
	go func() { closed <- s.Close() }()
	go func() { closed <- s.Close() }()
	<-s.closing
	wantKind(t, s.Update(t.Context(), creating("b")), fault.Unavailable)
	wantKind(t, s.View(t.Context(), func(*Tx) error { return nil }), fault.Unavailable)
	select {
	case <-closed:
		t.Error("Close did not wait")
	default:
	}
	close(free)
	for name, answer := range map[string]chan error{"Update": running, "View": viewed, "Close": closed} {
		if err := <-answer; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := <-closed; err != nil {
		t.Errorf("the second Close: %v", err)
	}
	_, err := s.Secret(t.Context(), "x")
	wantKind(t, err, fault.Unavailable)
}

// Everything that queues while a closure runs is committed with it.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, "")
		var commits [][]resource.Key
		s.Watch(func(keys []resource.Key) { commits = append(commits, keys) })
		release := held(t, s)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() { update(t, s, creating(numbered(i))) })
		}
		synctest.Wait()
		release()
		wg.Wait()
		if len(commits) != 1 || len(commits[0]) != 16 {
			t.Errorf("the keys by commit are %v, want one commit of 16", commits)
		}
	})
}

// Close does not return while a View reads.
func TestCloseWaitsForViews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := openAt(t, "")
		free, viewed, closed := make(chan struct{}), make(chan error, 1), make(chan error, 1)
		go func() { viewed <- s.View(t.Context(), func(*Tx) error { <-free; return nil }) }()
		synctest.Wait()
		go func() { closed <- s.Close() }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close returned before the View did")
		default:
		}
		close(free)
		if err := errors.Join(<-viewed, <-closed); err != nil {
			t.Error(err)
		}
	})
}

// The context of Open bounds the opening and nothing after it.
func TestOpenContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Open(ctx, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cancel()
	create(t, s, newJob("a", 1))
	readJob(t, s, "a")
}

// A closure that ends the writer's goroutine makes every Update fail, not hang.
func TestGoexitInUpdate(t *testing.T) {
	t.Parallel()
	s := openAt(t, "")
	wantKind(t, s.Update(t.Context(), func(*Tx) error { goexit(); return nil }), fault.Internal)
	if err := s.Update(t.Context(), creating("a")); err == nil {
		t.Error("an Update succeeded without a writer")
	}
}
