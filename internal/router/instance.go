package router

import (
	"context"
	"net/netip"
	"sync/atomic"

	"github.com/sagebrush-ml/sagebrush/internal/fleet"
)

// Instance is an instance that requests are sent to. It is the same object in
// every table that holds it, so that what it has under way is known.
type Instance struct {
	ID string
	*fleet.Instance
	outstanding atomic.Int64
	idle        chan struct{} // gets a value when nothing is under way any more and somebody drains
	draining    atomic.Int32  // callers of Drain

	address netip.AddrPort // the zero value where it is a name

	models *models // what its multi-model container has loaded, nil when it has none

	invocations, modelErrors atomic.Int64
}

// NewInstance makes the router's side of a fleet's instance.
func NewInstance(in *fleet.Instance) *Instance {
	i := &Instance{ID: in.ID, Instance: in, idle: make(chan struct{}, 1)}
	i.address, _ = netip.ParseAddrPort(in.Containers()[0].Addr())
	for c, container := range in.Model().All() {
		if container.MultiModel {
			i.models = newModels(i, c, container)
		}
	}
	return i
}

// Outstanding is how many requests the instance has under way.
func (i *Instance) Outstanding() int64 { return i.outstanding.Load() }

// Counts gives how many requests the instance was sent since it is there, and how
// many of them the container did not answer with 2xx (OB-4). It tells an old from a
// new fleet of one variant.
func (i *Instance) Counts() (invocations, modelErrors int64) {
	return i.invocations.Load(), i.modelErrors.Load()
}

// alive reports whether all its containers run.
func (i *Instance) alive() bool { return !i.Gone() }

// enter takes a place for a request, unless the instance has bound requests
// already; a bound of 0 is none.
func (i *Instance) enter(bound int) bool {
	if bound <= 0 {
		i.outstanding.Add(1)
		return true
	}
	for {
		n := i.outstanding.Load()
		if n >= int64(bound) {
			return false
		}
		if i.outstanding.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave gives the place back.
func (i *Instance) leave() {
	if i.outstanding.Add(-1) == 0 && i.draining.Load() > 0 {
		i.signal()
	}
}

// signal wakes a Drain to look again.
func (i *Instance) signal() {
	select {
	case i.idle <- struct{}{}:
	default:
	}
}

// busy reports whether a request or the loading of a model is under way.
func (i *Instance) busy() bool { return i.outstanding.Load() > 0 || i.models.loading() }

// drain waits until nothing is under way.
func (i *Instance) drain(ctx context.Context) error {
	i.draining.Add(1)
	defer i.draining.Add(-1)
	i.models.close()
	for i.busy() {
		select {
		case <-i.idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	i.signal() // for another caller
	return nil
}
