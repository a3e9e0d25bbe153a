package transform

import "sync"

// ring is the slots that a Runner may have in memory. It is longer than the number
// of connections, to keep them busy behind one slow answer, since answers are
// written in order; and as long as what slots turn out to hold allows.
type ring struct {
	free           chan *slot
	shortest, most int

	mu      sync.Mutex
	slots   int // in all; guarded by mu
	largest int // bytes that a slot has held; guarded by mu
}

// The ring's bounds. At ringBytes it stops to grow, and shrinks to the shortest.
const (
	ringBytes   = 64 << 20
	ringPerConn = 8
)

// newRing makes the ring of n connections. It allocates nothing large: slots grow
// with what they carry.
func newRing(n int) *ring {
	r := &ring{shortest: n + 2, most: max(ringPerConn*n, n+2)}
	r.free = make(chan *slot, r.most)
	for range r.shortest {
		r.free <- newSlot()
	}
	r.slots = r.shortest
	return r
}

// put gives a slot back that was taken from free, and makes the ring one slot
// longer or shorter where it must be.
func (r *ring) put(s *slot) {
	r.mu.Lock()
	r.largest = max(r.largest, cap(s.Body)+cap(s.answers))
	fit := min(max(ringBytes/max(r.largest, 1), r.shortest), r.most)
	var more *slot
	switch {
	case r.slots < fit:
		r.slots++
		more = newSlot()
	case r.slots > fit:
		r.slots--
		s = nil
	}
	r.mu.Unlock()
	for _, s := range [...]*slot{s, more} {
		if s != nil {
			r.free <- s
		}
	}
}
