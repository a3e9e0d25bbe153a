package fake

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
)

// Container is an instance as its Script sees it. It is safe for concurrent use.
type Container struct {
	d        *Driver
	spec     driver.Spec
	script   Script
	env      map[string]string
	listener net.Listener
	ready    atomic.Bool

	servingMu sync.Mutex
	over      bool // no further request is served
	handlers  sync.WaitGroup

	outMu sync.Mutex

	endOnce sync.Once
	exit    driver.Exit

	term       chan struct{} // closed by the first Stop with a grace
	termOnce   sync.Once
	leaving    chan struct{} // closed by Driver.Leave
	leaveOnce  sync.Once
	killed     context.Context // ends with the instance
	kill       context.CancelFunc
	done       chan struct{}
	background sync.WaitGroup
}

func newContainer(d *Driver, spec driver.Spec, script Script, env map[string]string, l net.Listener) *Container {
	c := &Container{
		d:        d,
		spec:     spec,
		script:   script,
		env:      env,
		listener: l,
		term:     make(chan struct{}),
		leaving:  make(chan struct{}),
		done:     make(chan struct{}),
	}
	c.killed, c.kill = context.WithCancel(context.Background())
	return c
}

// Spec is what the instance was started with. The maps must not be changed.
func (c *Container) Spec() driver.Spec { return c.spec }

// Env is the whole environment, with what a driver adds. It must not be changed.
func (c *Container) Env() map[string]string { return c.env }

// Write prints to the instance's output. It never fails: a program does not see
// what becomes of its log.
func (c *Container) Write(b []byte) (int, error) {
	c.outMu.Lock()
	defer c.outMu.Unlock()
	if c.spec.Output != nil {
		_, _ = c.spec.Output.Write(b)
	}
	return len(b), nil
}

// Terminated is closed when the instance gets SIGTERM.
func (c *Container) Terminated() <-chan struct{} { return c.term }

// Killed is closed when the instance ends, in whatever way.
func (c *Container) Killed() <-chan struct{} { return c.killed.Done() }

// End ends the instance; At is set by the driver. Only the first call counts. It
// does not wait, and may be called by the Handler.
func (c *Container) End(exit driver.Exit) {
	c.endOnce.Do(func() {
		c.exit = exit
		c.kill()
	})
}

// terminate is SIGTERM.
func (c *Container) terminate() {
	c.termOnce.Do(func() { close(c.term) })
	if !c.script.IgnoreTerm {
		c.End(driver.Exit{Code: -1, Signal: "terminated"})
	}
}

// run serves until the end.
func (c *Container) run() {
	requests, endRequests := context.WithCancel(context.Background())
	defer endRequests()
	server := &http.Server{
		Handler:           c.handler(),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: time.Minute,
	}
	c.background.Go(func() { _ = server.Serve(c.listener) }) // ends with Close
	if c.script.Main != nil {
		c.background.Go(func() { c.script.Main(c) })
	}
	c.wait()
	_ = server.Close() // cuts the connections, as the end of a process does
	endRequests()
	c.servingMu.Lock()
	c.over = true
	c.servingMu.Unlock()
	c.handlers.Wait()
	c.background.Wait()
	c.exit.At = time.Now()
	c.d.forget(c.spec.ID)
	close(c.done)
}

// wait returns when the instance has to end.
func (c *Container) wait() {
	ready := time.NewTimer(c.script.ReadyAfter)
	defer ready.Stop()
	var end <-chan time.Time
	if c.script.End != nil {
		t := time.NewTimer(c.script.End.After)
		defer t.Stop()
		end = t.C
	}
	for {
		select {
		case <-ready.C:
			c.ready.Store(true)
		case <-end:
			c.End(c.script.End.Exit)
		case <-c.killed.Done():
			return
		}
	}
}

// handler is the Script's, closed until the instance is ready.
func (c *Container) handler() http.Handler {
	inner := http.Handler(http.HandlerFunc(pingOnly))
	if c.script.Handler != nil {
		inner = c.script.Handler(c)
	}
	c.ready.Store(c.script.ReadyAfter <= 0)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.enter() {
			panic(http.ErrAbortHandler)
		}
		defer c.handlers.Done()
		if !c.ready.Load() {
			http.Error(w, "still loading", http.StatusServiceUnavailable)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// enter counts a request, unless the instance is over.
func (c *Container) enter() bool {
	c.servingMu.Lock()
	defer c.servingMu.Unlock()
	if c.over {
		return false
	}
	c.handlers.Add(1)
	return true
}

func pingOnly(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != "/ping" {
		http.NotFound(w, r)
	}
}

var _ io.Writer = (*Container)(nil)

// handle is an instance as its starter sees it. It implements driver.Handle.
type handle struct{ c *Container }

func (h handle) ID() string             { return h.c.spec.ID }
func (h handle) Inside(p string) string { return p }
func (h handle) Addr() string           { return h.c.listener.Addr().String() }
func (h handle) Done() <-chan struct{}  { return h.c.done }

// Leaving is closed by Driver.Leave.
func (h handle) Leaving() <-chan struct{} { return h.c.leaving }

func (h handle) Exit() driver.Exit {
	select {
	case <-h.c.done:
		return h.c.exit
	default:
		return driver.Exit{}
	}
}

// Stop waits for the Script's handlers, too.
func (h handle) Stop(ctx context.Context, grace time.Duration) error {
	if grace > 0 {
		h.c.terminate()
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-h.c.killed.Done():
		case <-ctx.Done():
		case <-t.C:
		}
	}
	h.c.End(driver.Exit{Code: -1, Signal: "killed"})
	<-h.c.done
	return nil
}
