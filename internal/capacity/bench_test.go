package capacity

import "testing"

func BenchmarkAcquire(b *testing.B) {
	p := newPool(b, Fit, Resources{CPUs: 64, MemoryBytes: 256 * gib, GPUs: 8, Instances: 64})
	c := Claim{Who: "a", Instances: 2, Each: Need{CPUs: 4, MemoryBytes: gib, GPUs: 1}}
	b.ReportAllocs()
	for b.Loop() {
		g, err := p.Acquire(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		g.Release()
	}
}

// BenchmarkServe is one turn of a queue of a thousand that wait: a release that
// lets the first of them run, and another one that comes.
func BenchmarkServe(b *testing.B) {
	p := newPool(b, Fit, Resources{CPUs: 64, MemoryBytes: 256 * gib, Instances: 64})
	enqueue := func() *request {
		r, err := p.request(Claim{Who: "a", Instances: 1, Each: Need{CPUs: 4, MemoryBytes: gib}})
		if err != nil {
			b.Fatal(err)
		}
		p.enqueue(r)
		return r
	}
	for range 16 + 1000 {
		enqueue()
	}
	b.ReportAllocs()
	for b.Loop() {
		p.grants[0].Release()
		enqueue()
	}
	if len(p.queue) != 1000 {
		b.Fatalf("%d wait", len(p.queue))
	}
}
