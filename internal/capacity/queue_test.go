package capacity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// outcome is what came of an Acquire.
type outcome struct {
	grant *Grant
	err   error
}

// background acquires and sends what comes of it.
func background(ctx context.Context, p *Pool, c Claim) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		g, err := p.Acquire(ctx, c)
		done <- outcome{g, err}
	}()
	synctest.Wait()
	return done
}

// ready gives the grant, if there is one by now.
func ready(t *testing.T, done <-chan outcome) *Grant {
	t.Helper()
	synctest.Wait()
	select {
	case o := <-done:
		if o.err != nil {
			t.Fatal(o.err)
		}
		return o.grant
	default:
		return nil
	}
}

func claim(who string, cpus float64, gpus int) Claim {
	return Claim{Who: who, Instances: 1, Each: Need{CPUs: cpus, GPUs: gpus}}
}

func TestFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Fit, eight)
		a := must(t, p, claim("a", 5, 0))
		large := background(t.Context(), p, claim("large", 8, 0))
		small := background(t.Context(), p, claim("small", 1, 0))
		if ready(t, large) != nil || ready(t, small) != nil {
			t.Fatal("the small one went before the large one, which then never has its turn")
		}
		a.Release()
		l := ready(t, large)
		if l == nil || ready(t, small) != nil {
			t.Fatal("the large one was not first")
		}
		l.Release()
		if ready(t, small) == nil {
			t.Fatal("the small one was forgotten")
		}
	})
}

// A request for GPUs that are in use holds up only what it needs.
func TestWhoNeedsNothingOfItPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Fit, eight)
		a := must(t, p, claim("a", 2, 2))
		gpu := background(t.Context(), p, claim("gpu", 4, 1)) // keeps 4 of the 6 CPUs
		two := background(t.Context(), p, claim("two", 2, 0))
		if ready(t, two) == nil {
			t.Error("2 CPUs that nobody needs were not granted")
		}
		three := background(t.Context(), p, claim("three", 1, 0))
		if ready(t, three) != nil {
			t.Error("a CPU was granted that is kept for the GPU")
		}
		if ready(t, gpu) != nil {
			t.Fatal("a third GPU of two was granted")
		}
		a.Release()
		if ready(t, gpu) == nil || ready(t, three) == nil {
			t.Error("not granted when the GPUs were free")
		}
	})
}

// A job as large as the host does not hold up others while there is an endpoint.
func TestWhoWaitsForAnEndpointHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Fit, eight)
		c := claim("endpoint e", 1, 0)
		c.Lasting = true
		e := must(t, p, c)
		whole := background(t.Context(), p, claim("whole", 96, 0))
		small := ready(t, background(t.Context(), p, claim("small", 7, 0)))
		if small == nil {
			t.Fatal("held up by a job that waits for the endpoint")
		}
		seven := background(t.Context(), p, claim("seven", 7, 0))
		e.Release()
		if ready(t, whole) != nil || ready(t, seven) != nil {
			t.Fatal("granted too much")
		}
		small.Release()
		w := ready(t, whole)
		if w == nil || ready(t, seven) != nil {
			t.Fatal("the job lost its place in the order")
		}
		w.Release()
		if ready(t, seven) == nil {
			t.Fatal("the last one was forgotten")
		}
	})
}

func TestCancelledWaitersLeaveNoTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Fit, eight)
		a := must(t, p, claim("a", 6, 0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		large := background(ctx, p, claim("large", 8, 0))
		small := background(t.Context(), p, claim("small", 2, 0))
		if p.Usage().Waiting != 2 || p.Waiting("large") == "" {
			t.Fatalf("%+v", p.Usage())
		}
		time.Sleep(time.Hour) // fake: the deadline
		if o := <-large; !errors.Is(o.err, context.DeadlineExceeded) || o.grant != nil {
			t.Errorf("got %+v", o)
		}
		if ready(t, small) == nil {
			t.Error("who was behind the cancelled one was not served")
		}
		if p.Usage().Waiting != 0 || p.Waiting("large") != "" {
			t.Errorf("a trace: %+v, %s", p.Usage(), p.Waiting("large"))
		}
		if _, err := p.Acquire(ctx, claim("late", 1, 0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a dead context: %v", err)
		}
		if _, err := a.AcquireMore(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("more with a dead context: %v", err)
		}
	})
}

// A grant that comes at the moment of the cancellation is given back.
func TestGrantedAndCancelled(t *testing.T) {
	t.Parallel()
	p := newPool(t, Fit, eight)
	r, err := p.request(claim("a", 8, 2))
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.enqueue(r)
	<-r.done
	p.abandon(r)
	p.mu.Unlock()
	if got := p.Usage(); got.Taken != (Resources{}) || len(p.grants) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestReleaseEndsAcquireMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Fit, eight)
		other := must(t, p, claim("other", 6, 0))
		g := must(t, p, claim("endpoint e", 2, 0))
		done := make(chan error, 1)
		go func() { _, err := g.AcquireMore(t.Context(), 2); done <- err }()
		synctest.Wait()
		if _, err := g.AcquireMore(t.Context(), 2); err == nil { // with those that it waits for it would be 10 CPUs
			t.Error("it waits for itself")
		}
		g.Release()
		if err := <-done; !errors.Is(err, ErrReleased) {
			t.Errorf("got %v", err)
		}
		other.Release()
		if got := p.Usage(); got.Taken != (Resources{}) || got.Waiting != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestWaitingSentences(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newPool(t, Fit, eight)
		must(t, p, claim("transform-job a", 3, 0))
		must(t, p, claim("endpoint b", 1, 1))
		must(t, p, Claim{Who: "endpoint b", Instances: 1, Each: Need{MemoryBytes: 31 * gib}})
		for _, c := range []Claim{
			claim("one", 7, 0),
			claim("two", 5, 2),
			claim("three", 0.5, 0),
			{Who: "four", Instances: 1, Each: Need{MemoryBytes: 2*gib + 1}},
		} {
			background(ctx, p, c)
		}
		for who, want := range map[string]string{
			"one":        "waits for 3 more CPUs: 4 of 8 are taken by transform-job a, endpoint b",
			"two":        "waits for 1 more CPU: 4 of 8 are taken by transform-job a, endpoint b; 1 more GPU: 1 of 2 is taken by endpoint b; 1 request is before it",
			"three":      "waits for its turn: what is free is kept for 2 requests before it",
			"four":       "waits for 1.01 GiB more memory: 31 GiB of 32 GiB is taken by endpoint b; 3 requests are before it",
			"five":       "",
			"endpoint b": "",
		} {
			if got := p.Waiting(who); got != want {
				t.Errorf("%s:\ngot  %s\nwant %s", who, got, want)
			}
		}
		cancel()
		synctest.Wait()

		p = newPool(t, Share, Resources{CPUs: 2, MemoryBytes: gib, Instances: 8})
		for i := range 8 {
			must(t, p, claim(fmt.Sprintf("transform-job %d", i), 1, 0))
		}
		ctx, cancel = context.WithCancel(t.Context())
		background(ctx, p, Claim{Who: "many", Instances: 2})
		if got, want := p.Waiting("many"), "waits for 2 more instances: 8 of 8 are taken by transform-job 0, transform-job 1, transform-job 2, transform-job 3, transform-job 4 and 3 others"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		cancel()
		synctest.Wait()
	})
}

// Many goroutines at once, for the race detector: claims that grow, shrink and are
// cancelled leave an empty host.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Fit, eight)
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(n), 1))
				pass := func() { time.Sleep(time.Duration(rng.IntN(50)) * time.Millisecond) } // fake
				pass()
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(2000))*time.Millisecond)
				defer cancel()
				g, err := p.Acquire(ctx, Claim{Who: fmt.Sprint(n), Instances: 1 + rng.IntN(3), Each: Need{CPUs: rng.Float64() * 4, GPUs: rng.IntN(2)}})
				p.Waiting(fmt.Sprint(n))
				if err != nil {
					return
				}
				defer g.Release()
				pass()
				g.Instances()[0].Release()
				if u := p.Usage(); u.Taken.CPUs > u.Host.CPUs || u.Taken.GPUs > u.Host.GPUs || u.Taken.Instances > u.Host.Instances {
					t.Errorf("over capacity: %+v", u)
				}
				more, err := g.AcquireMore(ctx, 1)
				if err == nil {
					pass()
					more[0].Release()
				}
			})
		}
		all.Wait()
		if u := p.Usage(); u.Taken != (Resources{}) || u.Waiting != 0 || len(p.grants) != 0 {
			t.Errorf("at the end: %+v", u)
		}
	})
}

// Room counts what is free and not waited for, and takes nothing.
func TestRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Fit, eight)
		if n := p.Room(claim("x", 3, 0)); n != 2 {
			t.Errorf("room for %d on an empty host of eight", n)
		}
		a := must(t, p, claim("a", 5, 0))
		if n := p.Room(claim("x", 1, 0)); n != 3 {
			t.Errorf("room for %d beside five", n)
		}
		large := background(t.Context(), p, claim("large", 8, 0))
		if n := p.Room(claim("x", 1, 0)); n != 0 {
			t.Errorf("room for %d before one that waits", n)
		}
		a.Release()
		ready(t, large).Release()
		if n := p.Room(claim("x", 8, 0)); n != 1 {
			t.Errorf("room for %d when all have gone", n)
		}
		if n := newPool(t, Refuse, eight).Room(claim("x", 9, 0)); n != 0 {
			t.Errorf("room for %d of what can never run", n)
		}
		share := newPool(t, Share, eight)
		if n := share.Room(claim("x", 100, 0)); n != eight.Instances {
			t.Errorf("room for %d where instances share", n)
		}
	})
}
