// Package autoscale decides how many instances a variant should have: what it was
// measured to carry comes in, with limits and target-tracking policies, and a count
// goes out. It is pure; the room control measures and carries out.
//
// Every policy wants as many instances as bring its metric to its target: the
// variant's whole load over the target, rounded up. The load is a mean over
// OutSamples samples. A count rises, to what the latest mean wants, when each of these
// samples wants more; it falls when every mean of the last InSamples samples, taken
// as a ninth larger than it was, wants less. So what is between 90 and 100 percent of
// the target moves nothing, a steady load is answered once, and a lull of less than
// InSamples-OutSamples+1 samples changes nothing.
package autoscale

import (
	"fmt"
	"math"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// How many samples a decision takes: AWS's alarms look at three and at fifteen.
const (
	OutSamples = 3
	InSamples  = 15
)

// slack is the part of the target under which a load must be to let go of instances.
const slack = 0.9

// DefaultCooldown is that of policies that say none.
const DefaultCooldown = 300 * time.Second

// Sample is what all instances of a variant carried together in one period.
type Sample struct {
	PerMinute  float64 // invocations, as many as a minute would have
	Concurrent float64 // requests at the same time, those that waited included; a mean
}

// load is what a metric measured.
func (s Sample) load(m resource.ScalingMetric) float64 {
	if m == resource.ConcurrentRequestsPerModel {
		return s.Concurrent
	}
	return s.PerMinute
}

// idle reports that nothing at all was asked.
func (s Sample) idle() bool { return s.PerMinute == 0 && s.Concurrent == 0 }

// Rule is what a variant is scaled by.
type Rule struct {
	Min, Max  int
	Policies  []Policy
	Suspended resource.SuspendedScaling
}

// Policy tracks one metric.
type Policy struct {
	Name                    string
	Metric                  resource.ScalingMetric
	Target                  float64 // over 0
	InCooldown, OutCooldown time.Duration
	DisableIn               bool
}

// PolicyOf reads a stored policy.
func PolicyOf(p resource.ScalingPolicy) Policy {
	out := Policy{Name: p.Name, Metric: p.Metric, Target: p.Target, InCooldown: DefaultCooldown, OutCooldown: DefaultCooldown}
	if p.InCooldown != nil {
		out.InCooldown = time.Duration(*p.InCooldown) * time.Second
	}
	if p.OutCooldown != nil {
		out.OutCooldown = time.Duration(*p.OutCooldown) * time.Second
	}
	out.DisableIn = p.DisableIn != nil && *p.DisableIn
	return out
}

// wants is how many instances bring a load to the target.
func (p Policy) wants(load float64) int {
	n := math.Ceil(load/p.Target - 1e-9)
	return int(min(n, math.MaxInt32))
}

// cause is why a policy changes a count.
func (p Policy) cause(side string, load float64, count int) string {
	return fmt.Sprintf("policy %s: %s was %.4g, %s the target of %.4g", p.Name, p.Metric, load/float64(max(1, count)), side, p.Target)
}

// History is what a decision remembers of a variant. The zero value is ready. It is
// bounded, and not safe for concurrent use.
type History struct {
	samples         []Sample // since the last change, at most InSamples, the latest last
	lastOut, lastIn time.Time
	outStep         int // of the last increase
}

// Add takes a sample of a variant that is at rest: one that is being changed carries
// what says nothing of its new size.
func (h *History) Add(s Sample) {
	if len(h.samples) == InSamples {
		h.samples = append(h.samples[:0:0], h.samples[1:]...)
	}
	h.samples = append(h.samples, s)
}

// Forget drops the samples, because the variant changes. Cool-downs go on.
func (h *History) Forget() { h.samples = nil }

// Scaled tells of a change that was carried out; a cool-down begins.
func (h *History) Scaled(from, to int, at time.Time) {
	h.Forget()
	if to > from {
		h.lastOut, h.outStep = at, to-from
	} else {
		h.lastIn = at
	}
}

// mean is the load over the OutSamples samples before end.
func (h *History) mean(m resource.ScalingMetric, end int) float64 {
	sum := 0.0
	for _, s := range h.samples[end-OutSamples : end] {
		sum += s.load(m)
	}
	return sum / OutSamples
}

// every reports whether all of the last n samples are so.
func (h *History) every(n int, is func(Sample) bool) bool {
	for _, s := range h.samples[len(h.samples)-n:] {
		if !is(s) {
			return false
		}
	}
	return true
}

// Decision is a count and why it is wanted: Cause is in the words of AWS's scaling
// activities, and "" when the count is to stay.
type Decision struct {
	Count int
	Cause string
}

// Decide gives the count that a variant which has count instances should have. It is
// within the rule's limits, which count even where scaling is suspended.
func Decide(r Rule, h *History, count int, now time.Time) Decision {
	switch {
	case count < r.Min:
		return Decision{r.Min, fmt.Sprintf("minimum capacity was set to %d", r.Min)}
	case count > r.Max:
		return Decision{r.Max, fmt.Sprintf("maximum capacity was set to %d", r.Max)}
	case len(h.samples) < OutSamples:
		return Decision{Count: count}
	}
	if d := out(r, h, count, now); d.Count > count {
		return d
	}
	return in(r, h, count, now)
}

// out is the largest that any policy wants and may have now.
func out(r Rule, h *History, count int, now time.Time) Decision {
	d := Decision{Count: count}
	if r.Suspended.Out {
		return d
	}
	for _, p := range r.Policies {
		load := h.mean(p.Metric, len(h.samples))
		n := min(p.wants(load), r.Max)
		if !h.every(OutSamples, func(s Sample) bool { return p.wants(s.load(p.Metric)) > count }) {
			continue // a moment is no load
		}
		// While it cools down, only a larger step than the last one is taken.
		if n-count <= h.outStep && now.Before(h.lastOut.Add(p.OutCooldown)) {
			continue
		}
		if n > d.Count {
			d = Decision{n, p.cause("above", load, count)}
		}
	}
	return d
}

// in is the smallest count that every policy can do with. Those with DisableIn have
// no say, but for what they need at the moment.
func in(r Rule, h *History, count int, now time.Time) Decision {
	stay := Decision{Count: count}
	if r.Suspended.In || len(h.samples) < InSamples {
		return stay
	}
	least, cause := r.Min, ""
	for _, p := range r.Policies {
		if p.DisableIn {
			least = max(least, p.wants(h.mean(p.Metric, len(h.samples))))
			continue
		}
		if now.Before(h.lastIn.Add(p.InCooldown)) {
			return stay
		}
		cause = p.cause("below", h.mean(p.Metric, len(h.samples)), count)
		for end := OutSamples; end <= len(h.samples); end++ {
			least = max(least, p.wants(h.mean(p.Metric, end)/slack))
		}
	}
	if least == 0 && !h.every(len(h.samples), Sample.idle) {
		least = 1
	}
	if cause == "" || least >= count {
		return stay
	}
	return Decision{least, cause}
}
