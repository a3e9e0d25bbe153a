package capacity

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is a pool without goroutines: claims are queued and cancelled directly, and
// what the pool did is compared with what the requests themselves say.
type model struct {
	p       *Pool
	all     []*request // in the order they came, until they are over
	claimed int
}

func granted(r *request) bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func drawHost(t *rapid.T) Resources {
	return Resources{
		CPUs:        float64(rapid.IntRange(1, 8).Draw(t, "CPUs")),
		MemoryBytes: int64(rapid.IntRange(8, 32).Draw(t, "bytes")),
		GPUs:        rapid.IntRange(0, 3).Draw(t, "GPUs"),
		Instances:   rapid.IntRange(1, 6).Draw(t, "instances"),
	}
}

func newModel(t *rapid.T) *model {
	policy := rapid.SampledFrom([]Policy{Share, Fit, Refuse}).Draw(t, "policy")
	p, err := New(policy, drawHost(t))
	if err != nil {
		t.Fatal(err)
	}
	return &model{p: p}
}

// claim queues a random claim, if it could ever run.
func (m *model) claim(t *rapid.T, lasting bool) *request {
	r, err := m.p.request(Claim{
		Who:       fmt.Sprint(m.claimed),
		Instances: rapid.IntRange(1, 4).Draw(t, "n"),
		Each: Need{
			CPUs:        float64(rapid.IntRange(0, 40).Draw(t, "need of CPUs")) / 8,
			MemoryBytes: int64(rapid.IntRange(0, 40).Draw(t, "need of bytes")),
			GPUs:        rapid.IntRange(0, 3).Draw(t, "need of GPUs"),
			ExactGPUs:   rapid.Bool().Draw(t, "exact"),
		},
		Lasting: lasting,
	})
	if err != nil {
		return nil
	}
	m.claimed++
	m.queue(r)
	return r
}

func (m *model) queue(r *request) {
	m.all = append(m.all, r)
	m.p.enqueue(r)
}

// some draws one of the requests that are granted, or that wait.
func (m *model) some(t *rapid.T, want bool) *request {
	var which []*request
	for _, r := range m.all {
		if granted(r) == want {
			which = append(which, r)
		}
	}
	if which == nil {
		return nil
	}
	return rapid.SampledFrom(which).Draw(t, "which")
}

// over forgets the requests of a grant.
func (m *model) over(g *Grant) {
	m.all = slices.DeleteFunc(m.all, func(r *request) bool { return r.grant == g })
}

func (m *model) step(t *rapid.T) {
	switch rapid.IntRange(0, 6).Draw(t, "action") {
	case 0, 1, 2:
		m.claim(t, rapid.IntRange(0, 4).Draw(t, "lasting") == 0)
	case 3:
		if r := m.some(t, false); r != nil {
			m.p.abandon(r)
			m.all = slices.DeleteFunc(m.all, func(q *request) bool { return q == r })
		}
	case 4:
		if r := m.some(t, true); r != nil {
			r.grant.Release()
			m.over(r.grant)
		}
	case 5:
		if r := m.some(t, true); r != nil {
			rapid.SampledFrom(r.given).Draw(t, "instance").Release()
		}
	case 6:
		if r := m.some(t, true); r != nil {
			if more, err := r.grant.more(rapid.IntRange(1, 3).Draw(t, "more")); err == nil {
				m.queue(more)
			}
		}
	}
	m.check(t)
}

// check looks at all that must be true at any time.
func (m *model) check(t *rapid.T) {
	p := m.p
	var taken vector
	users := make([]map[*Grant]bool, p.host[gpuCount])
	for _, r := range m.all {
		for _, i := range r.given {
			if i.released {
				continue
			}
			taken = taken.plus(r.grant.reserve)
			if !slices.IsSorted(i.GPUs) || len(slices.Compact(slices.Clone(i.GPUs))) != int(r.grant.each[gpuCount]) {
				t.Fatalf("an instance has the GPUs %v, want %d", i.GPUs, r.grant.each[gpuCount])
			}
			for _, gpu := range i.GPUs {
				if users[gpu] == nil {
					users[gpu] = map[*Grant]bool{}
				}
				users[gpu][r.grant] = true
			}
		}
	}
	for gpu, grants := range users {
		if len(grants) > 0 {
			taken[gpuCount]++
		}
		if len(grants) > 1 && p.policy != Share {
			t.Fatalf("GPU %d is used by %d grants", gpu, len(grants))
		}
	}
	if !taken.fits(p.host) {
		t.Fatalf("over capacity: %v of %v", taken, p.host)
	}
	if got := p.host.minus(p.free()); got != taken {
		t.Fatalf("the pool counts %v, the instances have %v", got, taken)
	}
	m.checkOrder(t)
}

// checkOrder finds requests that went before one that asked for no more.
func (m *model) checkOrder(t *rapid.T) {
	free, reach := m.p.free(), m.p.reach()
	first := true
	var waiting []*request
	for _, r := range m.all {
		if !granted(r) {
			if first && r.need.fits(reach) {
				first = false
				if r.need.fits(free) {
					t.Fatalf("%s is the first and fits, and waits", r.grant.who)
				}
			}
			waiting = append(waiting, r)
			if m.p.Waiting(r.grant.who) == "" {
				t.Fatalf("%s waits for nothing", r.grant.who)
			}
			continue
		}
		for _, w := range waiting {
			if w.need.fits(r.need) {
				t.Fatalf("%s went before %s, which came first and needs no more", r.grant.who, w.grant.who)
			}
		}
	}
	if !slices.Equal(waiting, m.p.queue) {
		t.Fatal("the pool's queue is another")
	}
}

// Never over capacity, first come first served among equals, and everything ends:
// when all that run end, again and again, all that wait have had their turn.
func TestPropertyOfAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			m.step(t)
		}
		for len(m.p.queue) > 0 {
			waiting := len(m.p.queue)
			for _, g := range slices.Clone(m.p.grants) {
				g.Release()
				m.over(g)
			}
			m.check(t)
			if len(m.p.queue) >= waiting {
				t.Fatalf("nobody had his turn of %d that wait", waiting)
			}
		}
	})
}

// Nobody is starved: a request has its turn as soon as those end that came before
// it, whatever came later, and even if that never ends.
func TestPropertyNobodyIsStarved(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		for range rapid.IntRange(0, 12).Draw(t, "earlier") {
			m.claim(t, false)
		}
		r := m.claim(t, false)
		if r == nil {
			t.Skip("it can never run here")
		}
		for {
			for range rapid.IntRange(0, 4).Draw(t, "later") {
				m.claim(t, rapid.Bool().Draw(t, "lasting"))
			}
			var earlier []*request
			for _, q := range m.all[:slices.Index(m.all, r)] {
				if granted(q) {
					earlier = append(earlier, q)
				}
			}
			if earlier == nil {
				break
			}
			g := rapid.SampledFrom(earlier).Draw(t, "ends").grant
			g.Release()
			m.over(g)
			m.check(t)
		}
		if !granted(r) {
			t.Fatalf("all before it have ended, and it %s", m.p.Waiting(r.grant.who))
		}
	})
}
