package autoscale

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func rule(low, high int, policies ...Policy) Rule {
	return Rule{Min: low, Max: high, Policies: policies}
}

// per tracks 60 invocations a minute, without cool-downs.
func per(target float64) Policy {
	return Policy{Name: "p", Metric: resource.InvocationsPerInstance, Target: target}
}

func steady(n int, perMinute float64) (h History) {
	for range n {
		h.Add(Sample{PerMinute: perMinute, Concurrent: perMinute / 60})
	}
	return h
}

func TestDecide(t *testing.T) {
	t.Parallel()
	spike := steady(InSamples, 60)
	spike.Add(Sample{PerMinute: 6000})
	busyAgo := steady(0, 0)
	for _, load := range []float64{0, 0, 600, 600, 600, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} {
		busyAgo.Add(Sample{PerMinute: load})
	}
	after := func(h History, from, to int, ago time.Duration) History {
		samples := h.samples
		h.Scaled(from, to, noon.Add(-ago))
		h.samples = samples
		return h
	}
	cool := per(60)
	cool.InCooldown, cool.OutCooldown = 5*time.Minute, 5*time.Minute
	keeps, concurrent := per(60), per(2)
	keeps.DisableIn = true
	concurrent.Name, concurrent.Metric = "c", resource.ConcurrentRequestsPerModel
	for name, tt := range map[string]struct {
		rule    Rule
		history History
		count   int
		want    int
		cause   string
	}{
		"nothing measured":                {rule(1, 9, per(60)), History{}, 4, 4, ""},
		"under the minimum":               {rule(3, 9), History{}, 1, 3, "minimum capacity was set to 3"},
		"over the maximum":                {rule(0, 2), History{}, 5, 2, "maximum capacity was set to 2"},
		"limits count where suspended":    {Rule{Min: 2, Max: 4, Suspended: resource.SuspendedScaling{In: true, Out: true}}, History{}, 1, 2, "minimum"},
		"in proportion":                   {rule(1, 9, per(60)), steady(3, 250), 1, 5, "policy p: InvocationsPerInstance was 250, above the target of 60"},
		"two samples do not do":           {rule(1, 9, per(60)), steady(2, 250), 1, 1, ""},
		"up to the maximum":               {rule(1, 3, per(60)), steady(3, 6000), 1, 3, "above"},
		"at the target":                   {rule(1, 9, per(60)), steady(InSamples, 120), 2, 2, ""},
		"within the slack":                {rule(1, 9, per(60)), steady(InSamples, 110), 3, 3, ""},
		"under the slack":                 {rule(1, 9, per(60)), steady(InSamples, 107), 3, 2, "policy p: InvocationsPerInstance was 35.67, below the target of 60"},
		"one spike":                       {rule(1, 9, per(60)), spike, 2, 2, ""},
		"a lull too short":                {rule(1, 20, per(60)), busyAgo, 12, 12, ""},
		"down when all is quiet":          {rule(1, 20, per(60)), steady(InSamples, 0), 12, 1, "below"},
		"to zero when idle":               {rule(0, 20, per(60)), steady(InSamples, 0), 1, 0, "below"},
		"not to zero while used":          {rule(0, 20, per(60)), steady(InSamples, 1), 3, 1, "below"},
		"not without a full window":       {rule(0, 20, per(60)), steady(InSamples-1, 0), 3, 3, ""},
		"without policies":                {rule(0, 20), steady(InSamples, 0), 3, 3, ""},
		"cools down after an increase":    {rule(1, 9, cool), after(steady(3, 240), 1, 3, time.Minute), 3, 3, ""},
		"a larger step does not wait":     {rule(1, 9, cool), after(steady(3, 360), 1, 3, time.Minute), 3, 6, "above"},
		"cooled down":                     {rule(1, 9, cool), after(steady(3, 240), 1, 3, 6*time.Minute), 3, 4, "above"},
		"cools down after a decrease":     {rule(1, 9, cool), after(steady(InSamples, 0), 4, 3, time.Minute), 3, 3, ""},
		"in after an increase":            {rule(1, 9, cool), after(steady(InSamples, 0), 1, 3, time.Minute), 3, 1, "below"},
		"out though it cools from in":     {rule(1, 9, cool), after(steady(3, 600), 4, 3, time.Minute), 3, 9, "above"},
		"scale-in disabled":               {rule(1, 9, keeps), steady(InSamples, 0), 3, 3, ""},
		"one disabled, the other counts":  {rule(1, 9, keeps, concurrent), steady(InSamples, 90), 5, 2, "policy c: ConcurrentRequestsPerModel was 0.3"},
		"the largest of several":          {rule(1, 9, per(60), concurrent), steady(3, 600), 2, 9, "policy p"},
		"in only where all policies want": {rule(1, 9, per(60), Policy{Name: "q", Metric: resource.InvocationsPerInstance, Target: 20}), steady(InSamples, 60), 9, 4, "below"},
		"in suspended":                    {Rule{Min: 1, Max: 9, Policies: []Policy{per(60)}, Suspended: resource.SuspendedScaling{In: true}}, steady(InSamples, 0), 3, 3, ""},
		"out suspended":                   {Rule{Min: 1, Max: 9, Policies: []Policy{per(60)}, Suspended: resource.SuspendedScaling{Out: true}}, steady(3, 600), 3, 3, ""},
		"from zero":                       {rule(0, 9, concurrent), steady(3, 300), 0, 3, "above"},
		"zero stays":                      {rule(0, 9, per(60)), steady(InSamples, 0), 0, 0, ""},
	} {
		if got := Decide(tt.rule, &tt.history, tt.count, noon); got.Count != tt.want || !strings.Contains(got.Cause, tt.cause) || (got.Cause == "") != (tt.cause == "") {
			t.Errorf("%s: %+v, want %d, %q", name, got, tt.want, tt.cause)
		}
	}
}

func TestPolicyOf(t *testing.T) {
	t.Parallel()
	in, yes := 7, true
	got := PolicyOf(resource.ScalingPolicy{Name: "p", Metric: resource.InvocationsPerInstance, Target: 3, InCooldown: &in, DisableIn: &yes})
	want := Policy{Name: "p", Metric: resource.InvocationsPerInstance, Target: 3, InCooldown: 7 * time.Second, OutCooldown: DefaultCooldown, DisableIn: true}
	if got != want {
		t.Errorf("%+v", got)
	}
}

// world is a variant under a load, which is changed at once and remembered so.
type world struct {
	rule    Rule
	history History
	count   int
	now     time.Time
	ups     int
	downs   int
}

func (w *world) step(t *testing.T, s Sample) {
	w.now = w.now.Add(10 * time.Second)
	w.history.Add(s)
	d := Decide(w.rule, &w.history, w.count, w.now)
	if d.Count < w.rule.Min || d.Count > w.rule.Max {
		t.Fatalf("%d is not within %d and %d", d.Count, w.rule.Min, w.rule.Max)
	}
	if (d.Count == w.count) != (d.Cause == "") {
		t.Fatalf("%d to %+v", w.count, d)
	}
	if d.Count != w.count {
		w.history.Scaled(w.count, d.Count, w.now)
		if d.Count > w.count {
			w.ups++
		} else {
			w.downs++
		}
		w.count = d.Count
	}
}

func random(r *rand.Rand) (world, Sample) {
	w := world{now: noon, count: r.IntN(20)}
	w.rule.Min = r.IntN(5)
	w.rule.Max = w.rule.Min + r.IntN(20)
	for range 1 + r.IntN(2) {
		p := Policy{Name: "p", Metric: resource.InvocationsPerInstance, Target: math.Exp(r.Float64()*8 - 2)}
		if r.IntN(2) == 0 {
			p.Metric = resource.ConcurrentRequestsPerModel
		}
		p.InCooldown, p.OutCooldown = time.Duration(r.IntN(600))*time.Second, time.Duration(r.IntN(600))*time.Second
		w.rule.Policies = append(w.rule.Policies, p)
	}
	load := Sample{PerMinute: math.Exp(r.Float64() * 8), Concurrent: math.Exp(r.Float64() * 4)}
	if r.IntN(10) == 0 {
		load = Sample{}
	}
	return w, load
}

// Whatever comes, a count is within its limits and changes for a cause.
func TestAlwaysWithinLimits(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		w, _ := random(r)
		for range 100 {
			w.step(t, Sample{PerMinute: math.Exp(r.Float64()*20 - 5), Concurrent: r.ExpFloat64() * 10})
			if r.IntN(20) == 0 {
				w.count = r.IntN(30) // somebody else changes it
			}
		}
	}
}

// A load that stays the same, but for a twentieth more or less, is answered soon, by
// as many instances as it takes and hardly more. Then one that is exactly the same
// changes nothing any more, and one that is not never changes both up and down.
func TestConvergesAndDoesNotFlap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 200 {
		w, load := random(r)
		noise := 0.05 * float64(i%2)
		run := func(n int) {
			for range n {
				k := 1 + noise*(2*r.Float64()-1)
				w.step(t, Sample{PerMinute: load.PerMinute * k, Concurrent: load.Concurrent * k})
			}
		}
		run(150) // of ten seconds: more than two cool-downs and windows
		least, most := w.rule.Min, w.rule.Min
		for _, p := range w.rule.Policies {
			least = max(least, p.wants(load.load(p.Metric)*(1-noise)))
			most = max(most, p.wants(load.load(p.Metric)*(1+noise)/slack))
		}
		if !load.idle() {
			least, most = max(least, 1), max(most, 1)
		}
		least, most = min(least, w.rule.Max), min(most, w.rule.Max)
		if w.count < least || w.count > most {
			t.Fatalf("case %d: %d instances for %+v, want %d to %d: %+v", i, w.count, load, least, most, w.rule)
		}
		w.ups, w.downs = 0, 0
		run(300)
		if noise == 0 && w.ups+w.downs > 0 || w.ups > 0 && w.downs > 0 {
			t.Fatalf("case %d: %d ups and %d downs under a steady load %+v: %+v", i, w.ups, w.downs, load, w.rule)
		}
	}
}

// History is bounded.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	h := steady(1000, 1)
	if len(h.samples) != InSamples || cap(h.samples) > 2*InSamples {
		t.Errorf("%d samples, room for %d", len(h.samples), cap(h.samples))
	}
}
