package router

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver/fake"
)

// split counts which variant answers n requests.
func (w *world) split(t *testing.T, n int, q func() *Request) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		a, err := w.router.Invoke(t.Context(), q())
		if err != nil {
			t.Fatal(err)
		}
		got[a.Variant]++
	}
	return got
}

// EP-30, EP-34: the split is that of independent draws: within the 99.9 % interval of
// the binomial distribution, which one run in a thousand misses by chance.
func TestSplitIsBinomial(t *testing.T) {
	t.Parallel()
	e := endpoint("e", variant("a", 3), variant("b", 1), variant("none", 0))
	const n = 20000
	got := map[string]int{}
	for i := range n {
		// The points are evenly spread: a draw that is not by weight cannot pass, and one
		// that is cannot fail.
		v, err := e.draw("", float64(i)/n)
		if err != nil {
			t.Fatal(err)
		}
		got[v.Name]++
	}
	if got["a"] != n*3/4 || got["b"] != n/4 || got["none"] != 0 {
		t.Errorf("split %v", got)
	}
	w := newWorld(t)
	w.images["model"] = handler(echo)
	in := w.launch(single("model"))
	w.publish(endpoint("e", variant("a", 3, in), variant("b", 1, in)))
	const asked, share = 2000, .75
	seen := w.split(t, asked, func() *Request { return request("e", "") })
	// 4.9 standard deviations: one run in a million misses it by chance.
	if off := math.Abs(float64(seen["a"]) - asked*share); off > 4.9*math.Sqrt(asked*share*(1-share)) {
		t.Errorf("split %v", seen)
	}
}

// EP-31, EP-32: a name overrides the weights, also a weight of 0.
func TestTargetVariant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = handler(echo)
	in := w.launch(single("model"))
	w.publish(endpoint("e", variant("a", 1, in), variant("b", 0, in)), endpoint("zero", variant("a", 0, in)))
	to := func(name, variant string) func() *Request {
		return func() *Request {
			q := request(name, "")
			q.Variant = variant
			return q
		}
	}
	if got := w.split(t, 50, to("e", "")); got["a"] != 50 {
		t.Errorf("split %v", got)
	}
	if got := w.split(t, 5, to("e", "b")); got["b"] != 5 {
		t.Errorf("split %v", got)
	}
	_, err := w.router.Invoke(t.Context(), to("e", "A")())
	wantError(t, err, ValidationError, "Variant A not found for Request to endpoint e.")
	_, err = w.router.Invoke(t.Context(), to("zero", "")())
	wantError(t, err, ValidationError, "The weights of all variants of endpoint zero are 0. Name a variant in TargetVariant, or raise a weight.")
	if got := w.split(t, 1, to("zero", "a")); got["a"] != 1 {
		t.Errorf("split %v", got)
	}
}

// Two fleets of one variant share it, also when it is named.
func TestFleetsShare(t *testing.T) {
	t.Parallel()
	e := endpoint("e", variant("a", .9), variant("a", .1))
	for _, target := range []string{"", "a"} {
		counts := map[*Variant]int{}
		for i := range 1000 {
			v, err := e.draw(target, float64(i)/1000)
			if err != nil {
				t.Fatal(err)
			}
			counts[v]++
		}
		if counts[e.Variants[0]] != 900 || counts[e.Variants[1]] != 100 {
			t.Errorf("target %q: %v", target, counts)
		}
	}
}

// A fleet without instances leaves its part to the other fleet of the variant.
func TestEmptyFleet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = handler(echo)
	w.publish(endpoint("e", variant("a", .5), variant("a", .5, w.launch(single("model")))))
	if got := w.split(t, 50, func() *Request { return request("e", "") }); got["a"] != 50 {
		t.Errorf("split %v", got)
	}
}

// EP-33: the instance with the fewest requests.
func TestLeastOutstanding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = handler(echo)
	v := variant("v", 1, w.launch(single("model")), w.launch(single("model")), w.launch(single("model")))
	v.LeastOutstanding = true
	w.publish(endpoint("e", v))
	ask := Ask{Region: region, Endpoint: "e"}
	for range 30 {
		if _, waits, err := w.router.Try(&ask); waits || err != nil {
			t.Fatal(waits, err)
		}
	}
	for _, in := range v.Instances {
		if in.Outstanding() != 10 {
			t.Errorf("%s has %d requests", in.ID, in.Outstanding())
		}
	}
}

// Random choice reaches all instances.
func TestRandomReachesAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = handler(echo)
	v := variant("v", 1, w.launch(single("model")), w.launch(single("model")))
	w.publish(endpoint("e", v))
	for range 200 {
		if _, _, err := w.router.Try(&Ask{Region: region, Endpoint: "e"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, in := range v.Instances {
		if in.Outstanding() < 50 {
			t.Errorf("%s has %d of 200 requests", in.ID, in.Outstanding())
		}
	}
}

func TestTryAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	w.images["model"] = handler(echo)
	w.publish(endpoint("e", variant("a", 1, w.launch(single("model"))), variant("b", 1, w.launch(single("model")))))
	ask := Ask{Region: region, Endpoint: "e"}
	if n := testing.AllocsPerRun(100, func() {
		ticket, _, err := w.router.Try(&ask)
		if err != nil {
			t.Fatal(err)
		}
		ticket.Done(Outcome{Status: 200, Model: time.Millisecond})
	}); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

// slow is a container whose requests wait until it is let go.
type slow struct {
	entered atomic.Int64
	most    atomic.Int64
	now     atomic.Int64
	free    chan struct{}
}

func newSlow() *slow { return &slow{free: make(chan struct{})} }

func (s *slow) image(*fake.Container) http.Handler {
	return handler(func(w http.ResponseWriter, r *http.Request) {
		n := s.now.Add(1)
		for m := s.most.Load(); n > m && !s.most.CompareAndSwap(m, n); m = s.most.Load() {
		}
		s.entered.Add(1)
		select {
		case <-s.free:
		case <-r.Context().Done():
		}
		s.now.Add(-1)
		echo(w, r)
	})(nil)
}

// waitFor waits until something becomes true.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		pause(t.Context(), time.Millisecond)
	}
}

// The bound of an instance holds, a bounded number waits in order, and more are
// refused at once.
func TestAdmissionQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSlow()
	w.images["model"] = s.image
	v := variant("v", 1, w.launch(single("model")), w.launch(single("model")))
	v.Concurrency = 2
	e := endpoint("e", v)
	e.Limits.Waiting = 3
	w.publish(e)
	var all sync.WaitGroup
	failed := atomic.Int64{}
	for range 7 {
		all.Go(func() {
			if _, err := w.router.Invoke(context.Background(), request("e", "x")); err != nil {
				failed.Add(1)
			}
		})
	}
	waitFor(t, "4 at work and 3 in the line", func() bool { return s.entered.Load() == 4 && v.rec.line.n.Load() == 3 })
	_, err := w.router.Invoke(t.Context(), request("e", ""))
	wantError(t, err, ServiceUnavailable, "Variant v of endpoint e has as many requests as it takes. Repeat the request later, or raise the number of instances.")
	if st, _ := w.router.Stats(region, "e", "v"); st.Throttled != 1 || st.Waiting != 3 || st.InFlight != 4 {
		t.Errorf("stats %+v", st)
	}
	close(s.free)
	all.Wait()
	if failed.Load() != 0 || s.most.Load() > 4 || s.entered.Load() != 7 {
		t.Errorf("%d failed, %d at once, %d came through", failed.Load(), s.most.Load(), s.entered.Load())
	}
	if n := v.Instances[0].Outstanding() + v.Instances[1].Outstanding(); n != 0 || e.rec.waiting.Load() != 0 {
		t.Errorf("%d places are not given back, %d still wait", n, e.rec.waiting.Load())
	}
}

// Who waits leaves when its context ends, and takes no place along.
func TestWaitingEndsWithContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSlow()
	w.images["model"] = s.image
	v := variant("v", 1, w.launch(single("model")))
	v.Concurrency = 1
	w.publish(endpoint("e", v))
	var first sync.WaitGroup
	first.Go(func() { _, _ = w.router.Invoke(context.Background(), request("e", "")) })
	waitFor(t, "the first", func() bool { return s.entered.Load() == 1 })
	gone := errors.New("gone")
	for range 10 {
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := w.router.Invoke(ctx, request("e", ""))
			failed <- err
		}()
		waitFor(t, "the waiting", func() bool { return v.rec.line.n.Load() == 1 })
		cancel(gone)
		if err := <-failed; !errors.Is(err, gone) {
			t.Fatal(err)
		}
	}
	close(s.free)
	first.Wait()
	if _, err := w.router.Invoke(t.Context(), request("e", "")); err != nil {
		t.Error(err)
	}
}

// Who waits is let through when a new table brings an instance.
func TestNewTableFreesTheLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSlow()
	w.images["slow"], w.images["fast"] = s.image, handler(echo)
	full := variant("v", 1, w.launch(single("slow")))
	full.Concurrency = 1
	w.publish(endpoint("e", full))
	ticket, err := w.router.Admit(t.Context(), &Ask{Region: region, Endpoint: "e"})
	if err != nil {
		t.Fatal(err)
	}
	defer ticket.Release()
	answered := make(chan error, 1)
	go func() {
		_, err := w.router.Invoke(context.Background(), request("e", ""))
		answered <- err
	}()
	waitFor(t, "the waiting", func() bool { return full.rec.line.n.Load() == 1 })
	more := variant("v", 1, full.Instances[0], w.launch(single("fast")))
	more.Concurrency = 1
	w.publish(endpoint("e", more))
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// A variant without instances has one woken and holds the request for it (EP-30 and
// RT-4: ModelNotReadyException when it takes too long).
func TestWake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = handler(echo)
	asleep := variant("v", 1)
	woken := make(chan struct{}, 100)
	asleep.Wake, asleep.WakeWait = func() { woken <- struct{}{} }, time.Minute
	short := variant("v", 1)
	short.Wake, short.WakeWait = func() {}, 10*time.Millisecond
	w.publish(endpoint("e", asleep), endpoint("short", short), endpoint("never", variant("v", 1)))
	answered := make(chan error, 1)
	go func() {
		_, err := w.router.Invoke(context.Background(), request("e", ""))
		answered <- err
	}()
	<-woken
	w.publish(endpoint("e", variant("v", 1, w.launch(single("model")))), w.router.Find(region, "short"), w.router.Find(region, "never"))
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if s, _ := w.router.Stats(region, "e", "v"); s.ModelSetupTime.Count != 1 {
		t.Errorf("model setup time %+v (OB-8)", s.ModelSetupTime)
	}
	_, err := w.router.Invoke(t.Context(), request("short", ""))
	wantError(t, err, ModelNotReadyException, "Variant v of endpoint short has no instance at the moment; one is being started. Repeat the request later.")
	_, err = w.router.Invoke(t.Context(), request("never", ""))
	wantError(t, err, ServiceUnavailable, "Variant v of endpoint never has no instance that can take requests at the moment.")
}

// An endpoint that is deleted lets nobody wait for it.
func TestDeletionEndsTheWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := variant("v", 1)
	v.Wake, v.WakeWait = func() {}, time.Hour
	w.publish(endpoint("e", v))
	failed := make(chan error, 1)
	go func() {
		_, err := w.router.Invoke(context.Background(), request("e", ""))
		failed <- err
	}()
	waitFor(t, "the waiting", func() bool { return v.rec.line.n.Load() == 1 })
	w.publish()
	wantError(t, <-failed, ValidationError, "Endpoint e of account 123456789012 not found.")
}

// TestPublishAndDrain swaps tables and drains and stops instances as fast as it can
// while requests come: none may fail, and none may be under way on an instance that
// was drained.
func TestPublishAndDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var served atomic.Int64
	w.images["model"] = func(*fake.Container) http.Handler {
		return handler(func(rw http.ResponseWriter, r *http.Request) {
			served.Add(1)
			echo(rw, r)
		})(nil)
	}
	current := []*Instance{w.launch(single("model")), w.launch(single("model"))}
	table := func(bound int) {
		v := variant("v", 1, current...)
		v.Concurrency = bound
		w.publish(endpoint("e", v))
	}
	table(0)
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var failed atomic.Int64
	var first atomic.Value
	for n := range 8 {
		clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				body := fmt.Sprint(n, i)
				a, err := w.router.Invoke(context.Background(), request("e", body))
				if err != nil || string(a.Body) != body {
					failed.Add(1)
					first.CompareAndSwap(nil, fmt.Sprint(err))
				}
			}
		})
	}
	swaps := 60
	if testing.Short() {
		swaps = 15
	}
	for i := range swaps {
		old := current[i%2]
		next := w.launch(single("model"))
		current = []*Instance{next, current[(i+1)%2]}
		if i%2 == 1 {
			current[0], current[1] = current[1], current[0]
		}
		table(i % 3)
		if err := w.router.Drain(context.Background(), old); err != nil {
			t.Fatal(err)
		}
		if n := old.Outstanding(); n > 0 && !transient(old) {
			t.Fatalf("%d requests are under way after Drain", n)
		}
		if err := old.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	clients.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d requests failed, such as %v", failed.Load(), first.Load())
	}
	if st, _ := w.router.Stats(region, "e", "v"); st.Repeated != 0 {
		t.Errorf("%d requests met an instance that had been drained", st.Repeated)
	}
	t.Logf("%d requests through %d replacements", served.Load(), swaps)
}

// transient reports that the places on a drained instance are given back: a request
// that read an old table may hold one for the moment in which it finds that out.
func transient(in *Instance) bool {
	for range 1000 {
		if in.Outstanding() == 0 {
			return true
		}
		pause(context.Background(), time.Millisecond)
	}
	return false
}
