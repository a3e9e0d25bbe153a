package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs test with a loop in fake time and ends the loop afterwards.
func bubble(t *testing.T, opts Options[string], test func(t *testing.T, l *Loop[string])) {
	synctest.Test(t, func(t *testing.T) {
		l := New(opts)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); l.Run(ctx) }()
		test(t, l)
		cancel()
		<-done
	})
}

// pass lets fake time go by.
func pass(d time.Duration) { <-time.After(d) }

// settle lets fake time go by and waits until nothing moves any more. Only the
// test's own goroutine may call it.
func settle(d time.Duration) {
	pass(d)
	synctest.Wait()
}

func TestAddRunsOnceForManyAdds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs []string
		l := New(Options[string]{Workers: 1, Func: func(_ context.Context, key string) (time.Duration, error) {
			runs = append(runs, key)
			return 0, nil
		}})
		for range 3 {
			l.Add("a")
			l.Add("b")
		}
		ctx, cancel := context.WithCancel(t.Context())
		go l.Run(ctx)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if got := strings.Join(runs, ""); got != "ab" {
			t.Errorf("runs = %q, want a and b once each in the order of Add", got)
		}
		if len(l.keys) != 0 {
			t.Errorf("%d keys are remembered after they rest", len(l.keys))
		}
	})
}

func TestAddDuringRunRunsAgain(t *testing.T) {
	t.Parallel()
	var runs, now, most atomic.Int32
	f := func(context.Context, string) (time.Duration, error) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		runs.Add(1)
		pass(time.Second)
		return 0, nil
	}
	bubble(t, Options[string]{Func: f}, func(t *testing.T, l *Loop[string]) {
		l.Add("a")
		synctest.Wait()
		l.Add("a")
		l.Add("a")
		settle(10 * time.Second)
		if runs.Load() != 2 || most.Load() != 1 {
			t.Errorf("%d runs, %d at a time; want 2 and 1", runs.Load(), most.Load())
		}
	})
}

func TestWorkersBoundRuns(t *testing.T) {
	t.Parallel()
	var now, most, runs atomic.Int32
	f := func(context.Context, string) (time.Duration, error) {
		most.Store(max(most.Load(), now.Add(1)))
		pass(time.Second)
		now.Add(-1)
		runs.Add(1)
		return 0, nil
	}
	bubble(t, Options[string]{Workers: 3, Func: f}, func(t *testing.T, l *Loop[string]) {
		for i := range 9 {
			l.Add(fmt.Sprint(i))
		}
		settle(3*time.Second + time.Millisecond)
		if runs.Load() != 9 || most.Load() != 3 {
			t.Errorf("%d runs, %d at a time; want 9 and 3", runs.Load(), most.Load())
		}
	})
}

func TestAgain(t *testing.T) {
	t.Parallel()
	var at []time.Duration
	var start time.Time
	f := func(context.Context, string) (time.Duration, error) {
		at = append(at, time.Since(start))
		if len(at) == 4 {
			return 0, nil
		}
		return 10 * time.Second, nil
	}
	bubble(t, Options[string]{Func: f}, func(t *testing.T, l *Loop[string]) {
		start = time.Now()
		l.Add("a")
		settle(12 * time.Second) // Runs at 0 and 10.
		l.Add("a")               // Runs at 12; the wait begins anew.
		settle(time.Minute)
		want := []time.Duration{0, 10 * time.Second, 12 * time.Second, 22 * time.Second}
		if fmt.Sprint(at) != fmt.Sprint(want) {
			t.Errorf("runs at %v, want %v", at, want)
		}
	})
}

func TestBackoffGrowsToItsCapAndIsForgotten(t *testing.T) {
	t.Parallel()
	var at []time.Time
	failing := true
	f := func(context.Context, string) (time.Duration, error) {
		at = append(at, time.Now())
		if failing {
			return time.Nanosecond, errors.New("no")
		}
		return 0, nil
	}
	opts := Options[string]{Func: f, MinBackoff: time.Second, MaxBackoff: 5 * time.Second}
	bubble(t, opts, func(t *testing.T, l *Loop[string]) {
		l.Add("a")
		settle(time.Minute)
		for i := 1; i < len(at); i++ {
			full := min(time.Second<<min(i-1, 10), 5*time.Second)
			if wait := at[i].Sub(at[i-1]); wait < full/2 || wait > full {
				t.Errorf("wait %d = %v, want between %v and %v", i, wait, full/2, full)
			}
		}
		if len(at) < 12 {
			t.Errorf("only %d runs in a minute", len(at))
		}
		failing = false
		l.Add("a") // It does not wait for the back-off.
		synctest.Wait()
		if last := at[len(at)-1]; last != time.Now() {
			t.Errorf("the last run was %v ago, want now", time.Since(last))
		}
		before := len(at)
		settle(time.Minute)
		failing = true
		l.Add("a")
		settle(time.Second) // The first failure counts as the first again.
		if len(at) != before+2 {
			t.Errorf("%d runs after a success, want 2", len(at)-before)
		}
	})
}

// A success that asks for another look ends a row of failures too.
func TestBackoffIsForgottenByASuccessThatLooksAgain(t *testing.T) {
	t.Parallel()
	var at []time.Time
	f := func(context.Context, string) (time.Duration, error) {
		at = append(at, time.Now())
		switch len(at) {
		case 6:
			return time.Second, nil
		case 8:
			return 0, nil
		}
		return 0, errors.New("no")
	}
	bubble(t, Options[string]{Func: f, MinBackoff: time.Second}, func(t *testing.T, l *Loop[string]) {
		l.Add("a")
		settle(time.Hour)
		if len(at) != 8 {
			t.Fatalf("%d runs, want 8", len(at))
		}
		if wait := at[7].Sub(at[6]); wait > time.Second {
			t.Errorf("the first failure after a success waits %v, want at most 1s", wait)
		}
	})
}

// A function that adds its own key and then fails must not spin.
func TestFailingRunThatAddsItselfWaits(t *testing.T) {
	t.Parallel()
	var l *Loop[string]
	var runs int
	f := func(_ context.Context, key string) (time.Duration, error) {
		runs++
		l.Add(key)
		return 0, errors.New("no")
	}
	opts := Options[string]{Func: f, MinBackoff: time.Second, MaxBackoff: time.Hour}
	bubble(t, opts, func(t *testing.T, made *Loop[string]) {
		l = made
		l.Add("a")
		settle(10*time.Second + time.Millisecond)
		if runs < 10 || runs > 21 {
			t.Errorf("%d runs in 10 s, want 10 to 21", runs)
		}
	})
}

func TestPanicIsAFailure(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(){
		"panic":  func() { panic("boom") },
		"goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			runs := 0
			f := func(_ context.Context, key string) (time.Duration, error) {
				if runs++; runs == 1 {
					end()
				}
				return 0, nil
			}
			opts := Options[string]{Workers: 1, Func: f, Log: slog.New(slog.NewTextHandler(&log, nil))}
			bubble(t, opts, func(t *testing.T, l *Loop[string]) {
				l.Add("key-a")
				synctest.Wait()
				if text := log.String(); !strings.Contains(text, "key-a") || name == "panic" && !strings.Contains(text, "boom") {
					t.Errorf("log = %q", text)
				}
				settle(time.Second)
				if runs != 2 {
					t.Errorf("%d runs, want 2", runs)
				}
			})
		})
	}
}

// Run waits for the run that has begun, drops the rest, and Add does nothing after.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var runs, ended atomic.Int32
		l := New(Options[string]{Workers: 1, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Func: func(ctx context.Context, key string) (time.Duration, error) {
				if key == "later" {
					return time.Hour, nil
				}
				runs.Add(1)
				<-ctx.Done()
				pass(time.Minute)
				ended.Add(1)
				return 0, ctx.Err()
			}})
		ctx, cancel := context.WithCancel(t.Context())
		l.Add("later")
		l.Add("a")
		l.Add("b")
		done := make(chan struct{})
		go func() { defer close(done); l.Run(ctx) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case <-done:
			t.Error("Run returned before its run did")
		default:
		}
		<-done
		l.Add("c")
		settle(24 * time.Hour)
		if runs.Load() != 1 || ended.Load() != 1 {
			t.Errorf("%d begun, %d ended; want 1 and 1", runs.Load(), ended.Load())
		}
		if log.Len() > 0 {
			t.Errorf("the end was logged as a failure: %s", log.String())
		}
	})
}

// Under random Adds, failures, panics and waits: no key runs twice at a time, and
// the last successful run of every key began after its last Add.
func TestPropertyNeverConcurrentNeverLost(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			fuzzLoop(t, seed)
		})
	}
}

func fuzzLoop(t *testing.T, seed uint64) {
	const keys, adders, addsEach = 4, 3, 40
	var wanted, seen, inside [keys]atomic.Int64
	f := func(_ context.Context, key string) (time.Duration, error) {
		k := key[0] - '0'
		if inside[k].Add(1) != 1 {
			t.Errorf("key %s runs twice at a time", key)
		}
		defer inside[k].Add(-1)
		version := wanted[k].Load()
		pass(rand.N(20 * time.Millisecond))
		switch rand.IntN(6) {
		case 0:
			return 0, errors.New("no")
		case 1:
			panic("boom")
		}
		seen[k].Store(version)
		if rand.IntN(3) == 0 {
			return rand.N(30 * time.Millisecond), nil
		}
		return 0, nil
	}
	opts := Options[string]{Func: f, Workers: 1 + int(seed%5), MinBackoff: time.Millisecond, MaxBackoff: 50 * time.Millisecond}
	bubble(t, opts, func(t *testing.T, l *Loop[string]) {
		for i := range adders {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			go func() {
				for range addsEach {
					k := r.IntN(keys)
					wanted[k].Add(1)
					l.Add(fmt.Sprint(k))
					if r.IntN(2) == 0 {
						pass(time.Duration(r.IntN(int(10 * time.Millisecond))))
					}
				}
			}()
		}
		settle(time.Minute)
		for k := range keys {
			if seen[k].Load() != wanted[k].Load() {
				t.Errorf("key %d: saw version %d of %d", k, seen[k].Load(), wanted[k].Load())
			}
		}
	})
}

func TestRunTwicePanics(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := New(Options[int]{Func: func(context.Context, int) (time.Duration, error) { return 0, nil }})
	l.Run(ctx)
	defer func() {
		if recover() == nil {
			t.Error("the second Run did not panic")
		}
	}()
	l.Run(ctx)
}

func BenchmarkAddAndRun(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	ran := make(chan struct{}, 1)
	l := New(Options[int]{Func: func(context.Context, int) (time.Duration, error) { ran <- struct{}{}; return 0, nil }})
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	b.ReportAllocs()
	for i := range b.N {
		l.Add(i)
		<-ran
	}
	cancel()
	<-done
}
