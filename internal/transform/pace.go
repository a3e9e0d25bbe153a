package transform

import (
	"sync/atomic"
	"time"
)

// pace decides how many single records go into one group. Handing a group over
// wakes three goroutines, so a fast container gets many records at once; a slow one
// gets them one by one, so that no connection waits for another at an object's end.
// What is observed is latency, which holds the queueing behind other connections:
// groupTime must be a good deal longer than that.
type pace struct{ mean atomic.Int64 } // nanoseconds an invocation takes; 0 is unknown

const (
	groupTime  = 8 * time.Millisecond // what a group should take
	maxGroup   = 512
	paceWeight = 8 // an observation moves the mean by an eighth
)

// observe records that n invocations took d together.
func (p *pace) observe(d time.Duration, n int) {
	if n == 0 {
		return
	}
	got := max(int64(d)/int64(n), 1)
	if old := p.mean.Load(); old != 0 {
		got = old + (got-old)/paceWeight
	}
	// A lost race loses one observation of many.
	p.mean.Store(max(got, 1))
}

// group gives the number of records for the next group.
func (p *pace) group() int {
	mean := p.mean.Load()
	if mean == 0 {
		return 1
	}
	return int(min(max(int64(groupTime)/mean, 1), maxGroup))
}
