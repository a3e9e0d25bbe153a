// Package capacity admits instances to this host: how many run at once, what each
// may use of the host's CPUs, memory and GPUs, and who waits for what.
//
// It counts and says; it measures and enforces nothing. Drivers enforce the limits
// of an Instance, and callers decide what a claim is: a transform job's instances,
// an endpoint's.
package capacity

import (
	"context"
	"slices"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/instancetype"
)

// Policy says what an instance type means on a host that is not that type.
type Policy string

const (
	// Share lets instances share the host: each may use what its type has, or what
	// the host has where that is less. Only their number is bounded.
	Share Policy = "share"
	// Fit reserves what instances may use. What is larger than the host is shrunk
	// to it, and what does not fit now waits.
	Fit Policy = "fit"
	// Refuse reserves as Fit does, and shrinks nothing: what could never fit is an
	// error (BT-22).
	Refuse Policy = "refuse"
)

// Resources are what a host has, or what is taken of it.
type Resources struct {
	CPUs        float64
	MemoryBytes int64
	GPUs        int // they have the indexes 0 to GPUs-1
	Instances   int // how many may run at once: max-instances
}

// Need is what an instance wants to use. Of what is zero it is not known: nothing
// is reserved of it, and it has no limit.
type Need struct {
	CPUs        float64
	MemoryBytes int64
	GPUs        int
	// ExactGPUs says that an instance cannot run with fewer GPUs, as with a model
	// that is cut into as many parts: no policy may shrink their number.
	ExactGPUs bool
}

// NeedOf is what an instance of a type wants.
func NeedOf(t instancetype.Type) Need {
	return Need{CPUs: float64(t.VCPUs), MemoryBytes: t.MemoryBytes, GPUs: t.GPUs}
}

// Claim asks for instances that run together: they come at once or not at all.
type Claim struct {
	Who       string // in the words of users: "transform-job a"
	Instances int
	Each      Need
	// Lasting says that the instances do not end by themselves, as an endpoint's.
	Lasting bool
}

// maxGPUs bounds a setting that would otherwise be a size in memory.
const maxGPUs = 1024

// Pool admits claims. It is safe for concurrent use and has no goroutine.
type Pool struct {
	policy Policy
	host   vector

	mu       sync.Mutex
	reserved vector     // of the instances that run, without GPUs
	gpus     gpus       // the GPUs, and how many instances use each
	grants   []*Grant   // those with instances, in the order they came
	queue    []*request // those that wait, in the order they came
}

// New makes a Pool of a host, which Host reads and settings may change.
func New(policy Policy, host Resources) (*Pool, error) {
	if policy != Share && policy != Fit && policy != Refuse {
		return nil, fault.New(fault.Invalid, "the capacity policy is %q, and may be %s, %s or %s", policy, Share, Fit, Refuse)
	}
	v := host.vector()
	if n := v[instances]; n < 1 || v[cpus] < n || v[memory] < n || host.GPUs < 0 || host.GPUs > maxGPUs {
		return nil, fault.New(fault.Invalid, "the host's capacity is %g CPUs, %d bytes of memory, %d GPUs and %d instances: there must be instances, some CPU and memory for each, and at most %d GPUs",
			host.CPUs, host.MemoryBytes, host.GPUs, host.Instances, maxGPUs)
	}
	return &Pool{policy: policy, host: v, gpus: make(gpus, host.GPUs)}, nil
}

// Check tells what could never run here, also on an empty host, and says why with
// figures: a fault.Limit (BT-22). It never waits. An operation asks it before it
// accepts what will be acquired later.
func (p *Pool) Check(c Claim) error {
	if most := p.host[instances]; int64(c.Instances) > most {
		return fault.New(fault.Limit, "It asks for %s, and at most %d may run at once here (max-instances).", text(instances, int64(c.Instances)), most)
	}
	_, err := p.size(c)
	return err
}

// Most is how many instances of a need could ever run at once: the quota in the
// words of BT-22.
func (p *Pool) Most(each Need) int {
	most := p.host[instances]
	need := each.vector()
	for k := cpus; k < kinds; k++ {
		exact := k == gpuCount && each.ExactGPUs
		switch {
		case need[k] == 0 || p.policy != Refuse && !exact:
		case p.policy == Share && need[k] <= p.host[k]: // GPUs are shared
		case p.policy == Share:
			most = 0
		default:
			most = min(most, p.host[k]/need[k])
		}
	}
	return int(most)
}

// Acquire waits until all instances of a claim may run. The error is the context's,
// or a fault.Limit when the claim can never be granted under the pool's policy.
//
// More instances than max-instances are an error under Refuse; else as many run as
// may, since the setting may have come down since the claim was checked.
//
// The order is first come, first served, with one exception. Who waits has set
// aside for him whatever is free of what he needs, all that there is of what is
// short included; who came later gets what is then left. So a request for GPUs
// that are in use does not hold up those that need none, as long as they leave it
// the CPUs and memory that it will need with them; a large request is not starved
// by small ones, because what comes free goes to it first; and of two that ask for
// the same the first is first. The price is that CPUs may lie idle for one that
// waits for a GPU.
//
// Who waits for what Lasting grants have sets nothing aside, since nobody knows for
// how long: a job as large as the host would hold up all others for as long as there
// is an endpoint. It has its place in the order again when they are released.
func (p *Pool) Acquire(ctx context.Context, c Claim) (*Grant, error) {
	r, err := p.request(c)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.enqueue(r)
	p.mu.Unlock()
	if err := p.await(ctx, r); err != nil {
		return nil, err
	}
	return r.grant, nil
}

// Room is how many claims like this one would be granted at once, one after the
// other. It takes nothing, so somebody else may be faster; whoever must have the
// room acquires it.
func (p *Pool) Room(c Claim) int {
	r, err := p.request(c)
	if err != nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.free()
	for _, before := range p.queue {
		left = left.minus(before.need.least(left))
	}
	room := left[instances] // every claim needs some
	for k := range kinds {
		if r.need[k] > 0 {
			room = min(room, left[k]/r.need[k])
		}
	}
	return int(room)
}

// request makes a claim into what can wait in the queue.
func (p *Pool) request(c Claim) (*request, error) {
	s, err := p.size(c)
	if err != nil {
		return nil, err
	}
	g := &Grant{Note: s.note, pool: p, who: c.Who, lasting: c.Lasting, each: s.each, reserve: s.reserve}
	return &request{grant: g, instances: s.instances, need: s.total, done: make(chan struct{})}, nil
}

// Usage is what is taken at one moment. Under Share nothing is reserved of CPUs and
// memory, and GPUs are those that an instance may use.
type Usage struct {
	Host, Taken Resources
	Waiting     int // claims, not instances
}

// Usage gives figures for metrics.
func (p *Pool) Usage() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Usage{Host: p.host.resources(), Taken: p.host.minus(p.free()).resources(), Waiting: len(p.queue)}
}

// free is what nobody has. The caller holds mu.
func (p *Pool) free() vector {
	f := p.host.minus(p.reserved)
	f[gpuCount] = p.gpus.unused()
	return f
}

// reach is what will be free when all have ended that end by themselves. The caller
// holds mu.
func (p *Pool) reach() vector {
	v := p.host
	for _, g := range p.grants {
		if g.lasting {
			v = v.minus(g.holds())
		}
	}
	return v
}

// gpus holds for each GPU of the host how many instances may use it.
type gpus []int

// unused counts the GPUs that no instance has.
func (g gpus) unused() (n int64) {
	for _, users := range g {
		if users == 0 {
			n++
		}
	}
	return n
}

// take gives n GPUs to an instance, those with the fewest users. Where GPUs are
// reserved, the caller has seen that there are unused ones.
func (g gpus) take(n int64) []int {
	if n == 0 {
		return nil
	}
	order := make([]int, len(g))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return g[a] - g[b] })
	got := order[:n:n]
	slices.Sort(got)
	for _, i := range got {
		g[i]++
	}
	return got
}

// put gives them back.
func (g gpus) put(got []int) {
	for _, i := range got {
		g[i]--
	}
}
