package capacity

import (
	"context"
	"errors"
	"slices"
)

// ErrReleased is what AcquireMore answers when the grant is, or is meanwhile,
// released.
var ErrReleased = errors.New("capacity: the grant was released")

// request is what one caller waits for: the first instances of a grant, or more.
type request struct {
	grant     *Grant
	instances int
	need      vector // of all instances
	done      chan struct{}

	// Written before done is closed.
	given []*Instance
	err   error
}

// await returns when a request in the queue is granted. When it returns an error,
// nothing of the request is left.
func (p *Pool) await(ctx context.Context, r *request) error {
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		p.abandon(r)
		return ctx.Err()
	}
}

// enqueue lets a request wait, which may be over at once. The caller holds mu, as
// for all below.
func (p *Pool) enqueue(r *request) {
	p.queue = append(p.queue, r)
	p.serve()
}

// abandon forgets a request, and takes back what it was just granted.
func (p *Pool) abandon(r *request) {
	for _, i := range r.given {
		i.drop()
	}
	p.queue = slices.DeleteFunc(p.queue, func(q *request) bool { return q == r })
	p.serve()
}

// serve grants what can be granted, in the order and by the rule of Acquire.
func (p *Pool) serve() {
	left, reach := p.free(), p.reach()
	waiting := p.queue[:0]
	for i, r := range p.queue {
		if left[instances] == 0 { // nobody needs none
			waiting = append(waiting, p.queue[i:]...)
			break
		}
		if r.need.fits(left) {
			p.give(r)
			reach = p.reach()
		} else {
			waiting = append(waiting, r)
			if !r.need.fits(reach) {
				continue
			}
		}
		left = left.minus(r.need.least(left))
	}
	clear(p.queue[len(waiting):])
	p.queue = waiting
}

// give grants a request that fits.
func (p *Pool) give(r *request) {
	g := r.grant
	for range r.instances {
		i := &Instance{
			CPUs:        float64(g.each[cpus]) / nano,
			MemoryBytes: g.each[memory],
			GPUs:        p.gpus.take(g.each[gpuCount]),
			grant:       g,
		}
		p.reserved = p.reserved.plus(g.reserve)
		r.given = append(r.given, i)
	}
	if len(g.held) == 0 {
		p.grants = append(p.grants, g)
	}
	g.held = append(g.held, r.given...)
	close(r.done)
}
