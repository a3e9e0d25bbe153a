// Package instance is the container contract as a client: it starts a model
// container through a driver, waits until it answers /ping, asks for its
// execution parameters, sends it invocations and stops it (CC-20 to CC-54).
//
// What the invocations hold and what becomes of the answers is left to the room
// transform, how an instance runs to the drivers, and the wording of job logs
// and statuses to the rooms above.
package instance

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
)

// StopGrace is the default of Options.StopGrace.
const StopGrace = 30 * time.Second

// exitGrace is how long an answer that is on its way may still be read after
// the instance has ended.
const exitGrace = time.Second

// Options say what to start and how patient to be. Driver and Spec are
// required; the zero value of everything else is a default.
type Options struct {
	Driver driver.Driver
	// Spec is passed to the driver with Output wrapped, so that the last lines
	// are at hand when the instance fails. Args nil becomes "serve" (CC-1).
	Spec driver.Spec
	// Adopt takes over the instance Spec.ID if one outlived the server, and starts
	// one otherwise.
	Adopt bool
	// PingInterval is the time between pings, 1 s by default. While the port is
	// closed it is tried ten times as often for the first seconds: a refused
	// connection does not reach the container.
	PingInterval time.Duration
	// PingTimeout bounds one ping, and the request for the execution parameters;
	// 2 s by default (CC-21).
	PingTimeout time.Duration
	// ReadyTimeout is how long the instance may take to answer the first ping,
	// 30 min by default (CC-23).
	ReadyTimeout time.Duration
	// StopGrace is how long the instance has between SIGTERM and SIGKILL; 30 s by
	// default (CC-27).
	StopGrace time.Duration
	// Retry is the policy of every Conn.
	Retry RetryPolicy
	// MaxResponseBytes bounds the answer to one invocation that is held in
	// memory; 256 MiB by default. Streamed answers are not bounded.
	MaxResponseBytes int64
	// Dial opens connections; the default is that of net.Dialer. The fast path
	// needs TCP, anything else that is a net.Conn works.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (o *Options) setDefaults() {
	setDefault(&o.PingInterval, time.Second)
	setDefault(&o.PingTimeout, 2*time.Second)
	setDefault(&o.ReadyTimeout, 30*time.Minute)
	setDefault(&o.StopGrace, StopGrace)
	if o.MaxResponseBytes <= 0 {
		o.MaxResponseBytes = 256 << 20
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Spec.Args == nil {
		o.Spec.Args = []string{"serve"}
	}
	o.Retry.setDefaults()
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// Instance is one running container. It is safe for concurrent use; its Conns
// are not.
type Instance struct {
	opts    Options
	handle  driver.Handle
	started time.Time
	tail    *tail
	pings   pingRecord

	mu    sync.Mutex
	conns map[*Conn]struct{}
	idle  []*Conn // Borrow takes the last
}

// Start starts an instance and returns when it is ready to serve. When it does
// not become so, it is stopped and the error is that of WaitReady.
func Start(ctx context.Context, o Options) (*Instance, error) {
	in, err := Launch(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := in.WaitReady(ctx); err != nil {
		// The job's end must not deprive the container of its grace.
		if stopErr := in.Stop(context.WithoutCancel(ctx)); stopErr != nil {
			err = &stopFailure{err: err, stop: stopErr}
		}
		return nil, err
	}
	return in, nil
}

// stopFailure is an error of Start with that of the Stop that followed.
type stopFailure struct{ err, stop error }

func (f *stopFailure) Error() string {
	return f.err.Error() + "; then it could not be stopped: " + f.stop.Error()
}
func (f *stopFailure) Unwrap() []error { return []error{f.err, f.stop} }

// Launch starts an instance and returns at once, before it serves. The caller
// calls WaitReady, may read Progress meanwhile, and must call Stop. An error is
// the driver's.
func Launch(ctx context.Context, o Options) (*Instance, error) {
	o.setDefaults()
	in := &Instance{tail: newTail(o.Spec.Output), started: time.Now(), conns: make(map[*Conn]struct{})}
	o.Spec.Output = io.Writer(in.tail)
	in.opts = o
	var err error
	if in.handle, err = begin(ctx, o); err != nil {
		return nil, err
	}
	go in.watchExit()
	return in, nil
}

// begin adopts or starts.
func begin(ctx context.Context, o Options) (driver.Handle, error) {
	if o.Adopt {
		h, err := o.Driver.Attach(ctx, o.Spec)
		if err == nil || !errors.Is(err, driver.ErrNoInstance) {
			return h, err
		}
	}
	return o.Driver.Start(ctx, o.Spec)
}

// watchExit ends, soon after the instance, the requests that wait for it. It
// lives as long as the instance.
func (in *Instance) watchExit() {
	<-in.handle.Done()
	in.mu.Lock()
	for c := range in.conns {
		c.instanceEnded()
	}
	in.mu.Unlock()
	in.closeIdle()
}

// ID is the Spec's.
func (in *Instance) ID() string { return in.handle.ID() }

// Addr is the host:port where the container serves.
func (in *Instance) Addr() string { return in.handle.Addr() }

// Inside gives the path under which the container sees a folder of the Spec.
func (in *Instance) Inside(path string) string { return in.handle.Inside(path) }

// Leaving is closed when the runtime wants the container gone while it still serves;
// nil is never.
func (in *Instance) Leaving() <-chan struct{} { return in.handle.Leaving() }

// Exited is closed when the container has ended, for whatever reason.
func (in *Instance) Exited() <-chan struct{} { return in.handle.Done() }

// Exit tells how the container ended. It is valid once Exited is closed.
func (in *Instance) Exit() driver.Exit { return in.handle.Exit() }

// Tail gives the last lines that the container printed, at most 20 lines and
// 4 KiB. They are as printed: the caller masks secrets.
func (in *Instance) Tail() string { return in.tail.String() }

// Stop ends the instance: SIGTERM, StopGrace, SIGKILL (CC-27). When ctx
// ends first, force is used at once. It returns when nothing of the instance
// runs any more, and may be called twice.
func (in *Instance) Stop(ctx context.Context) error {
	return in.handle.Stop(ctx, in.opts.StopGrace)
}

// exited reports whether the container has ended.
func (in *Instance) exited() bool {
	select {
	case <-in.handle.Done():
		return true
	default:
		return false
	}
}
