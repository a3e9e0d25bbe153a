// Package reconcile runs a function for every key that changed, until the world
// is as the key's resource wants it: a queue of keys without duplicates, never two
// runs of one key at a time, a back-off for each key that fails, and a look again
// later when the function asks for it.
//
// It is level-triggered: Add carries no message, only the wish that the function
// looks at the key's present state once more after the call. Any number of Adds
// may therefore be served by one run. What a key means, where its state is kept
// and which keys to queue after a start are left to the caller.
package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// Func brings one key nearer to its desired state. It must return soon after ctx
// is cancelled.
//
// Without an error the key rests, or runs again after the time given when that is
// more than 0. With an error it runs again after its back-off and the time is
// not looked at. A panic counts as an error.
type Func[K comparable] func(ctx context.Context, key K) (again time.Duration, err error)

// Options tunes a Loop. All but Func may be left zero.
type Options[K comparable] struct {
	Func Func[K]
	// Workers is how many keys may run at the same time; 0 means 4.
	Workers int
	// MinBackoff is the wait after a key's first failure, doubled with every further
	// one up to MaxBackoff. They are 250 ms and 1 min when 0. The real wait is
	// between half of that and all of it, so that keys that failed together do not
	// come back together.
	MinBackoff, MaxBackoff time.Duration
	// Log gets a line for every failure; nil means none.
	Log *slog.Logger
}

const (
	defaultWorkers    = 4
	defaultMinBackoff = 250 * time.Millisecond
	defaultMaxBackoff = time.Minute
)

// Loop is a queue of keys and the runs of its function. Make one with New.
type Loop[K comparable] struct {
	opts Options[K]

	mu sync.Mutex
	// keys holds what is known of each key that waits, runs or has failed; a key
	// that rests is forgotten.
	keys  map[K]*entry
	queue []K // the keys whose entry is queued, first come first served
	// running is how many runs there are, at most Workers.
	running int
	ctx     context.Context // Run's; nil before Run
	stopped bool
	runs    sync.WaitGroup
}

// entry is the state of a key. It is queued, running or waiting for its timer,
// and only one of them.
type entry struct {
	queued, running bool
	// dirty asks for another run after the present one.
	dirty    bool
	failures int
	timer    *time.Timer
}

// New makes a loop that takes keys at once and runs them when Run is called.
func New[K comparable](opts Options[K]) *Loop[K] {
	if opts.Workers <= 0 {
		opts.Workers = defaultWorkers
	}
	if opts.MinBackoff <= 0 {
		opts.MinBackoff = defaultMinBackoff
	}
	if opts.MaxBackoff <= 0 {
		opts.MaxBackoff = max(defaultMaxBackoff, opts.MinBackoff)
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Loop[K]{opts: opts, keys: make(map[K]*entry)}
}

// Add asks for a run of key that begins after this call. It returns at once and
// may be called from anywhere, the function included. A key that waits for a
// look again or for its back-off runs now; a key that is running runs again
// afterwards, though not sooner than MinBackoff when the present run fails, so
// that a function which changes its own key and then fails does not spin. After
// the end of Run it does nothing.
func (l *Loop[K]) Add(key K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(key)
}

func (l *Loop[K]) add(key K) {
	if l.stopped {
		return
	}
	e := l.keys[key]
	if e == nil {
		e = &entry{}
		l.keys[key] = e
	}
	switch {
	case e.running:
		e.dirty = true
	case !e.queued:
		e.stopTimer()
		e.queued = true
		l.queue = append(l.queue, key)
		l.dispatch()
	}
}

// Run runs the function for the keys until ctx is cancelled, then waits for the
// runs that have begun. Keys that were still waiting are dropped: whoever starts
// the next loop queues them from what is stored. It may be called once.
func (l *Loop[K]) Run(ctx context.Context) {
	l.mu.Lock()
	if l.ctx != nil {
		l.mu.Unlock()
		panic("reconcile: Run was called twice")
	}
	l.ctx = ctx
	l.dispatch()
	l.mu.Unlock()

	<-ctx.Done()
	l.mu.Lock()
	l.stopped = true
	l.queue = nil
	for _, e := range l.keys {
		e.stopTimer()
	}
	l.mu.Unlock()
	l.runs.Wait()
}

// dispatch starts queued keys while there are workers for them. l.mu is held.
func (l *Loop[K]) dispatch() {
	if l.ctx == nil || l.ctx.Err() != nil {
		return
	}
	for l.running < l.opts.Workers && len(l.queue) > 0 {
		key := l.queue[0]
		l.queue = l.queue[1:]
		e := l.keys[key]
		e.queued, e.running = false, true
		l.running++
		l.runs.Go(func() { l.run(key, e) })
	}
}

// run does one run. Its end is deferred so that a function that ends its
// goroutine does not keep the key for ever.
func (l *Loop[K]) run(key K, e *entry) {
	again, err := time.Duration(0), fmt.Errorf("the run ended its goroutine")
	defer func() { l.finish(key, e, again, err) }()
	again, err = l.call(key)
}

// call turns a panic of the function into an error that carries the stack.
func (l *Loop[K]) call(key K) (again time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			again, err = 0, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return l.opts.Func(l.ctx, key)
}

// finish decides what becomes of a key after a run.
func (l *Loop[K]) finish(key K, e *entry, again time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	dirty := e.dirty
	e.running, e.dirty = false, false
	defer l.dispatch()
	if l.stopped || l.ctx.Err() != nil {
		return // What fails now fails because of the end.
	}
	if err != nil {
		e.failures++
		again = l.backoff(e.failures)
		if dirty {
			again = min(again, l.opts.MinBackoff)
		}
		l.opts.Log.Error("reconciling failed", "key", fmt.Sprint(key), "failures", e.failures, "again", again, "error", err)
		l.later(key, e, again)
		return
	}
	e.failures = 0
	switch {
	case dirty:
		l.add(key)
	case again > 0:
		l.later(key, e, again)
	default:
		delete(l.keys, key)
	}
}

// backoff gives the wait after a number of failures.
func (l *Loop[K]) backoff(failures int) time.Duration {
	wait := l.opts.MinBackoff
	for i := 1; i < failures && wait < l.opts.MaxBackoff; i++ {
		wait *= 2
	}
	wait = min(wait, l.opts.MaxBackoff)
	return wait - rand.N(wait/2+1)
}

// later queues the key after a time, unless something queues it before.
func (l *Loop[K]) later(key K, e *entry, after time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(after, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		// A timer that fired while it was being stopped has nothing to say.
		if e.timer == timer {
			l.add(key)
		}
	})
	e.timer = timer
}

func (e *entry) stopTimer() {
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
}
