package router

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestDrainMissesNobody takes places as fast as it can while instances leave the
// table and are drained: nobody may hold a place on one that was drained.
func TestDrainMissesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = handler(echo)
	instances := []*Instance{w.launch(single("model")), w.launch(single("model")), w.launch(single("model"))}
	drained := map[*Instance]*atomic.Bool{}
	for _, in := range instances {
		drained[in] = &atomic.Bool{}
	}
	table := func(bound int, use ...*Instance) {
		v := variant("v", 1, use...)
		v.Concurrency = bound
		w.publish(endpoint("e", v))
	}
	table(0, instances...)
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var taken, wrong atomic.Int64
	for range 3 {
		clients.Go(func() {
			ask := Ask{Region: region, Endpoint: "e"}
			for ctx.Err() == nil {
				ticket, err := w.router.Admit(ctx, &ask)
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					return
				}
				taken.Add(1)
				if drained[ticket.Instance].Load() {
					wrong.Add(1)
				}
				ticket.Release()
				runtime.Gosched()
			}
		})
	}
	rounds := 300
	if testing.Short() {
		rounds = 100
	}
	for i := range rounds {
		out := instances[i%3]
		table(i%4, instances[(i+1)%3], instances[(i+2)%3])
		if err := w.router.Drain(t.Context(), out); err != nil {
			t.Fatal(err)
		}
		drained[out].Store(true)
		pause(t.Context(), 10*time.Microsecond)
		drained[out].Store(false)
		table(i%4, instances...)
	}
	stop()
	clients.Wait()
	if wrong.Load() > 0 {
		t.Errorf("%d of %d requests held a place on an instance that had been drained", wrong.Load(), taken.Load())
	}
	for _, in := range instances {
		if in.Outstanding() != 0 {
			t.Errorf("%d places on %s are not given back", in.Outstanding(), in.ID)
		}
	}
	if n := w.router.Find(region, "e").rec.waiting.Load(); n != 0 {
		t.Errorf("%d still wait", n)
	}
	t.Logf("%d places in %d rounds", taken.Load(), rounds)
}

// A drain that takes too long ends with its context, and several may wait at once.
func TestDrainEndsWithContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = handler(echo)
	in := w.launch(single("model"))
	w.publish(endpoint("e", variant("v", 1, in)))
	ticket, err := w.router.Admit(t.Context(), &Ask{Region: region, Endpoint: "e"})
	if err != nil {
		t.Fatal(err)
	}
	w.publish()
	late := errors.New("late")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(late)
	if err := w.router.Drain(ctx, in); !errors.Is(err, late) {
		t.Errorf("error %v", err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := w.router.Drain(context.Background(), in); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, "the draining", func() bool { return in.draining.Load() == 4 })
	ticket.Release()
	all.Wait()
}
