package router

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// The bounds of the copies that shadow variants get. What does not fit is dropped and
// counted: a copy never delays or fails the caller (EP-36).
const (
	maxShadows     = 64
	maxShadowBytes = 64 << 20
)

// shadows counts the copies that are under way.
type shadows struct{ copies, bytes atomic.Int64 }

// enter takes room for a copy.
func (s *shadows) enter(bytes int64) bool {
	if s.copies.Add(1) > maxShadows || s.bytes.Add(bytes) > maxShadowBytes {
		s.leave(bytes)
		return false
	}
	return true
}

func (s *shadows) leave(bytes int64) {
	s.copies.Add(-1)
	s.bytes.Add(-bytes)
}

// shadow sends copies of a request to the endpoint's shadow variants, each with the
// share that its weight has of the production variants' (EP-36). It returns at once.
func (r *Router) shadow(e *Endpoint, q *Request, capture bool) {
	for _, v := range e.Shadows {
		if !drawn(v.Share, e.Variants) {
			continue
		}
		size := int64(len(q.Body))
		if r.life.Err() != nil || !r.shadows.enter(size) {
			v.rec.shadowDropped.Add(1)
			continue
		}
		copied := *q
		copied.Variant, copied.Session, copied.avoid = "", "", nil
		r.background.Go(func() {
			defer r.shadows.leave(size)
			r.runShadow(e, v, &copied, capture)
		})
	}
}

// drawn decides by weight.
func drawn(share float64, production []*Variant) bool {
	sum := 0.0
	for _, v := range production {
		sum += v.Share
	}
	return share > 0 && (share >= sum || rand.Float64()*sum < share)
}

// runShadow carries a copy to the shadow variant and drops its answer, or captures it.
// A variant without a free place drops the copy.
func (r *Router) runShadow(e *Endpoint, v *Variant, q *Request, capture bool) {
	in := r.enterShadow(e, v, q.Model)
	if in == nil {
		v.rec.shadowDropped.Add(1)
		return
	}
	v.rec.inFlight.Add(1)
	t := Ticket{Endpoint: e, Variant: v, Instance: in}
	x := exchange{r: r, t: &t, q: q, began: time.Now()}
	a, err := x.run(r.life)
	if err == nil && capture {
		r.captureAnswer(&t, q, a)
	}
	t.Done(x.outcome(r.life, err))
}

// enterShadow takes a place on an instance that the current table holds among the
// shadows; nil where there is none.
func (r *Router) enterShadow(e *Endpoint, v *Variant, model string) *Instance {
	in := v.pick(model, nil)
	if in == nil {
		return nil
	}
	if now := r.Find(e.Region, e.Name); now != nil { // as in try: the place was taken first
		for _, s := range now.Shadows {
			for _, other := range s.Instances {
				if other == in {
					return in
				}
			}
		}
	}
	in.leave()
	return nil
}
