package capacity

import (
	"context"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Grant is what a claim got. Release it when the instances have ended.
type Grant struct {
	// Note says in a sentence what was made smaller than the claim, like GPUs that
	// the host does not have; empty when nothing was. It is for the user.
	Note string

	pool    *Pool
	who     string
	each    vector // what an instance may use
	reserve vector // what it reserves, without GPUs
	lasting bool

	// The pool's mu guards the rest.
	held     []*Instance
	released bool
}

// Instance is what one instance may use. The fields may be read at any time.
type Instance struct {
	// CPUs and MemoryBytes are limits to enforce; zero is none.
	CPUs        float64
	MemoryBytes int64
	// GPUs are indexes of the host's. An instance may use no other; nil is none.
	GPUs []int

	grant    *Grant
	released bool // guarded by the pool's mu
}

// Instances are those that were granted and not released, in the order they came.
func (g *Grant) Instances() []*Instance {
	g.pool.mu.Lock()
	defer g.pool.mu.Unlock()
	return slices.Clone(g.held)
}

// AcquireMore waits for n more instances like the others, and gives only those. It
// queues like any claim, while the others go on. It fails with a fault.Limit when
// it would wait for the grant's own instances, with ErrReleased, or with the
// context's error. Two grants that each want what the other has wait until one
// gives up: a caller bounds how long it waits.
func (g *Grant) AcquireMore(ctx context.Context, n int) ([]*Instance, error) {
	if n < 1 {
		return nil, fault.New(fault.Invalid, "%s asks for %d more instances, and needs at least one", g.who, n)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := g.pool
	p.mu.Lock()
	r, err := g.more(n)
	if err == nil {
		p.enqueue(r)
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, r); err != nil {
		return nil, err
	}
	return r.given, nil
}

// more makes the request for n more instances, unless it is sure to fail. The
// caller holds mu.
func (g *Grant) more(n int) (*request, error) {
	if g.released {
		return nil, ErrReleased
	}
	host, own, one := g.pool.host, g.own(), g.reserve
	if g.pool.policy != Share {
		one[gpuCount] = g.each[gpuCount]
	}
	var over []kind
	for k := cpus; k < kinds; k++ {
		if one[k] > (host[k]-own[k])/int64(n) { // the same as one*n > host-own
			over = append(over, k)
		}
	}
	switch {
	case int64(n) > host[instances]-own[instances]:
		return nil, fault.New(fault.Limit, "%s has %s and asks for %d more, and at most %d may run at once here (max-instances).",
			g.who, text(instances, own[instances]), n, host[instances])
	case over != nil:
		return nil, fault.New(fault.Limit, "%s has %s of this host's %s already, and %d more of its instances need %s each. Choose a smaller instance type or fewer instances.",
			g.who, own.texts(over), host.texts(over), n, one.texts(over))
	}
	return &request{grant: g, instances: n, need: one.times(n), done: make(chan struct{})}, nil
}

// holds is what is reserved for the grant. The caller holds mu.
func (g *Grant) holds() vector {
	v := g.reserve.times(len(g.held))
	if g.pool.policy != Share {
		used := map[int]bool{}
		for _, i := range g.held {
			for _, gpu := range i.GPUs {
				used[gpu] = true
			}
		}
		v[gpuCount] = int64(len(used))
	}
	return v
}

// own is what the grant has and waits for. The caller holds mu.
func (g *Grant) own() vector {
	v := g.holds()
	for _, r := range g.pool.queue {
		if r.grant == g {
			v = v.plus(r.need)
		}
	}
	return v
}

// Release gives all instances back, and ends an AcquireMore that waits. It may be
// called more than once.
func (g *Grant) Release() {
	p := g.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.released {
		return
	}
	g.released = true
	for len(g.held) > 0 {
		g.held[0].drop()
	}
	p.queue = slices.DeleteFunc(p.queue, func(r *request) bool {
		if r.grant != g {
			return false
		}
		r.err = ErrReleased
		close(r.done)
		return true
	})
	p.serve()
}

// Release gives one instance back; the others of its grant keep theirs. It may be
// called more than once, and after the grant's.
func (i *Instance) Release() {
	p := i.grant.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	i.drop()
	p.serve()
}

// drop gives an instance back, once. The caller holds mu and serves.
func (i *Instance) drop() {
	if i.released {
		return
	}
	i.released = true
	g := i.grant
	p := g.pool
	p.reserved = p.reserved.minus(g.reserve)
	p.gpus.put(i.GPUs)
	g.held = slices.DeleteFunc(g.held, func(h *Instance) bool { return h == i })
	if len(g.held) == 0 {
		p.grants = slices.DeleteFunc(p.grants, func(h *Grant) bool { return h == g })
	}
}
