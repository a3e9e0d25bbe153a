package router

import (
	"hash/maphash"
	"math/rand/v2"
)

// draw chooses a variant by weight, independently for each request (EP-34), among
// those of a name where one is given (EP-32). at is the place of the draw, from 0 to
// below 1.
func (e *Endpoint) draw(target string, at float64) (*Variant, *Error) {
	sum, found := 0.0, (*Variant)(nil)
	for _, v := range e.Variants {
		if target == "" || v.Name == target {
			sum += v.Share
			if found == nil || len(found.Instances) == 0 {
				found = v
			}
		}
	}
	switch {
	case found == nil && target != "":
		return nil, Errorf(ValidationError, "Variant %s not found for Request to endpoint %s.", clip(target, 63), e.Name)
	case found == nil:
		return nil, Errorf(ServiceUnavailable, "Endpoint %s has no variant that can take requests at the moment.", e.Name)
	case sum <= 0 && target == "":
		return nil, Errorf(ValidationError, "The weights of all variants of endpoint %s are 0. Name a variant in TargetVariant, or raise a weight.", e.Name) // EP-31
	case sum <= 0:
		return found, nil // weight 0 takes no traffic by itself, but can be named (EP-30)
	}
	point := at * sum
	for _, v := range e.Variants {
		if target != "" && v.Name != target || v.Share <= 0 {
			continue
		}
		found = v
		if point -= v.Share; point < 0 {
			break
		}
	}
	return found, nil
}

// sibling is another fleet of the variant that takes traffic and has instances, for
// when v has none; nil when there is none.
func (e *Endpoint) sibling(v *Variant) *Variant {
	for _, o := range e.Variants {
		if o != v && o.Name == v.Name && o.Share > 0 && o.anyAlive() {
			return o
		}
	}
	return nil
}

// standIn is another variant that takes the requests of one whose instances have
// all ended a moment ago, as the next table will have it; nil when none can.
func (e *Endpoint) standIn(v *Variant, at float64) *Variant {
	sum := 0.0
	for _, o := range e.Variants {
		if o != v && o.Share > 0 && o.anyAlive() {
			sum += o.Share
		}
	}
	point := at * sum
	var found *Variant
	for _, o := range e.Variants {
		if o == v || o.Share <= 0 || !o.anyAlive() {
			continue
		}
		found = o
		if point -= o.Share; point < 0 {
			break
		}
	}
	return found
}

func (v *Variant) anyAlive() bool {
	for _, in := range v.Instances {
		if in.alive() {
			return true
		}
	}
	return false
}

// pick takes a place on an instance of the variant, as its strategy says (EP-33);
// nil when none has room. An instance that has a model loaded already comes first
// (EP-34), one to avoid last.
func (v *Variant) pick(model string, avoid *Instance) *Instance {
	if model != "" {
		if in := v.choose(func(in *Instance) bool { return in != avoid && in.models.has(model) }); in != nil {
			return in
		}
	}
	if in := v.choose(func(in *Instance) bool { return in != avoid }); in != nil || avoid == nil {
		return in
	}
	return v.choose(func(in *Instance) bool { return in == avoid })
}

// choose takes a place on one of the instances that may be taken.
func (v *Variant) choose(may func(*Instance) bool) *Instance {
	n := len(v.Instances)
	if n == 0 {
		return nil
	}
	start := 0
	if n > 1 {
		start = rand.IntN(n)
	}
	if v.LeastOutstanding {
		return v.leastOutstanding(start, may)
	}
	for i := range n {
		in := v.Instances[(start+i)%n]
		if may(in) && in.alive() && in.enter(v.limit) {
			return in
		}
	}
	return nil
}

// leastOutstanding takes the instance with the fewest requests; among equals the
// first from start on.
func (v *Variant) leastOutstanding(start int, may func(*Instance) bool) *Instance {
	n := len(v.Instances)
	for range n + 1 {
		var best *Instance
		least := int64(0)
		for i := range n {
			in := v.Instances[(start+i)%n]
			if !may(in) || !in.alive() {
				continue
			}
			if o := in.Outstanding(); best == nil || o < least {
				best, least = in, o
			}
		}
		if best == nil {
			return nil
		}
		if best.enter(v.limit) {
			return best
		}
		if least >= int64(v.limit) {
			return nil // even the best is full
		}
	}
	return nil
}

// fraction maps a text to a point from 0 to below 1, always the same within this
// process.
func (r *Router) fraction(text string) float64 {
	return float64(maphash.String(r.seed, text)>>11) / (1 << 53)
}
