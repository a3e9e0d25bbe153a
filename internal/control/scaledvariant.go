package control

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/autoscale"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// scaling are the variants of this process that are scaled.
type scaling struct {
	mu  sync.Mutex
	all map[resource.Key]map[string]*scaledVariant // by the endpoint's folded key and the variant
}

func newScaling() *scaling { return &scaling{all: map[resource.Key]map[string]*scaledVariant{}} }

// scaledVariant is one of them.
type scaledVariant struct {
	rule       autoscale.Rule
	registered bool // by a ScalableTarget; otherwise by its ManagedInstanceScaling

	// What follows is the scaler's own.
	history     autoscale.History
	meter       meter
	count       int // as it was seen last
	from, to    int // of the change that is being carried out, equal when there is none
	failedUntil time.Time
}

// look takes notice of the count that the variant has now, at rest.
func (v *scaledVariant) look(count int, now time.Time) {
	switch {
	case v.from == v.to: // somebody else changed it, if anybody
	case count == v.to:
		v.history.Scaled(v.from, v.to, now)
	default: // it was rolled back
		v.failedUntil = now.Add(autoscale.DefaultCooldown)
	}
	if count != v.count {
		v.forget()
	}
	v.count, v.from, v.to = count, 0, 0
}

// forget drops what was measured: it is of a variant of another size.
func (v *scaledVariant) forget() {
	v.history.Forget()
	v.meter = meter{}
}

// meter sums up what is read of the router in one period.
type meter struct {
	began       time.Time // zero before the first reading
	invocations int64     // the router's sum then
	latest      int64
	concurrent  float64 // a sum over the readings
	readings    int
}

// reading is what the router tells of a variant.
type reading struct{ invocations, concurrent int64 }

// readRouter is the reading of a variant now; false when it has no table yet. What
// waits in the queue of an asynchronous endpoint is part of what it has to carry.
func (c *Control) readRouter(region, endpoint, variant string) (reading, bool) {
	s, ok := c.Router.Stats(region, endpoint, variant)
	return reading{s.Invocations, max(s.InFlight+s.Waiting, s.AsyncBacklog)}, ok
}

func (m *meter) read(r reading, at time.Time) {
	if m.began.IsZero() || r.invocations < m.latest { // the router forgot it in between
		*m = meter{began: at, invocations: r.invocations}
	}
	m.latest = r.invocations
	m.concurrent += float64(r.concurrent)
	m.readings++
}

// sample ends the period; false when it was too short to say anything.
func (m *meter) sample(at time.Time) (autoscale.Sample, bool) {
	took := at.Sub(m.began)
	if m.readings < 2 || took <= 0 {
		return autoscale.Sample{}, false
	}
	s := autoscale.Sample{
		PerMinute:  float64(m.latest-m.invocations) / took.Minutes(),
		Concurrent: m.concurrent / float64(m.readings),
	}
	*m = meter{began: at, invocations: m.latest, latest: m.latest}
	return s, true
}

// managedTarget is how many requests at once an instance is given by
// ManagedInstanceScaling, which names no target of its own: that of AWS's example of
// a policy on concurrency. Its cool-downs are AWS's, but for increases, which wait
// for a minute.
const (
	managedTarget      = 5
	managedOutCooldown = time.Minute
)

// rules are what the variants of an endpoint are scaled by. A ScalableTarget goes
// before ManagedInstanceScaling.
func (c *Control) rules(e resource.Endpoint, targets []resource.ScalableTarget) map[string]*scaledVariant {
	if e.Current == nil || e.Status == resource.EndpointDeleting || e.Status == resource.EndpointFailed {
		return nil
	}
	rules := map[string]*scaledVariant{}
	for _, v := range e.Current.Variants {
		config := configOf(e.Current.Config, v.Name)
		at := slices.IndexFunc(targets, func(t resource.ScalableTarget) bool { return strings.EqualFold(t.Variant, v.Name) })
		switch s := config.Scaling; {
		case config.Serverless != nil:
		case at >= 0:
			t := targets[at]
			rule := autoscale.Rule{Min: t.Min, Max: t.Max, Suspended: t.Suspended}
			for _, p := range t.Policies {
				rule.Policies = append(rule.Policies, autoscale.PolicyOf(p))
			}
			rules[v.Name] = &scaledVariant{rule: rule, registered: true}
		case s != nil && s.Enabled:
			rules[v.Name] = &scaledVariant{rule: c.managedRule(config)}
		}
	}
	return rules
}

// managedRule keeps one instance; where there may be none, the keep-alive decides.
func (c *Control) managedRule(config resource.ProductionVariant) autoscale.Rule {
	r := autoscale.Rule{Min: 1, Max: c.Capacity.Most(variantNeed(config)), Policies: []autoscale.Policy{{
		Name: "ManagedInstanceScaling", Metric: resource.ConcurrentRequestsPerModel, Target: managedTarget,
		InCooldown: autoscale.DefaultCooldown, OutCooldown: managedOutCooldown,
	}}}
	if config.Scaling.Max != nil {
		r.Max = *config.Scaling.Max
	}
	if config.Scaling.Min != nil {
		r.Min = max(1, *config.Scaling.Min)
	}
	r.Max = max(r.Max, r.Min)
	return r
}

// set replaces the rules of an endpoint and keeps what was measured.
func (s *scaling) set(key resource.Key, rules map[string]*scaledVariant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.all[key]
	if len(rules) == 0 {
		delete(s.all, key)
		return
	}
	for name, v := range rules {
		if before := old[name]; before != nil {
			before.rule, before.registered = v.rule, v.registered
			rules[name] = before
		}
	}
	s.all[key] = rules
}

// registered gives the rule of a variant that is a ScalableTarget.
func (s *scaling) registered(key resource.Key, variant string) (autoscale.Rule, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.all[key.Folded()][variant]
	if v == nil || !v.registered {
		return autoscale.Rule{}, false
	}
	return v.rule, true
}

// keys are the endpoints with variants that are scaled.
func (s *scaling) keys() []resource.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]resource.Key, 0, len(s.all))
	for k := range s.all {
		keys = append(keys, k)
	}
	return keys
}

// decide asks the rule. A variant of ManagedInstanceScaling that sleeps is woken by a
// request, not by its minimum.
func (v *scaledVariant) decide(count int, now time.Time) autoscale.Decision {
	if count == 0 && !v.registered {
		return autoscale.Decision{}
	}
	return autoscale.Decide(v.rule, &v.history, count, now)
}

// pause drops what was measured of an endpoint that changes.
func (s *scaling) pause(key resource.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.all[key] {
		v.forget()
	}
}

// note remembers what is being carried out.
func (s *scaling) note(key resource.Key, steps []step, err error, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range steps {
		v := s.all[key][st.variant]
		switch {
		case v == nil:
		case err != nil:
			v.failedUntil = until
		default:
			v.from, v.to = st.from, st.to
		}
	}
}
