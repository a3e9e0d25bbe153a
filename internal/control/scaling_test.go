package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/capacity"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/router"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// scaledWorld is an endpoint e with a variant v whose requests the test makes up,
// without instances: the test plays the controller that starts them.
type scaledWorld struct {
	*Control
	t           testing.TB
	invocations atomic.Int64 // so far
	concurrent  atomic.Int64
}

var (
	endpointE = resource.Key{Region: "r", Kind: resource.KindEndpoint, Name: "E"}
	idV       = resource.ScalableName("E", "v")
)

const period = 10 * time.Second

// newScaledWorld is called in a bubble; its scaler runs until the test ends.
func newScaledWorld(t testing.TB, config resource.ProductionVariant) *scaledWorld {
	t.Helper()
	store, err := state.Open(t.Context(), "", state.Options{Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := capacity.New(capacity.Share, capacity.Resources{CPUs: 8, MemoryBytes: 1 << 33, Instances: 8})
	if err != nil {
		t.Fatal(err)
	}
	routes := router.New(router.Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now})
	c, err := New(t.Context(), Options{State: store, Router: routes, Capacity: pool, ScalingPeriod: period, Log: routes.Log, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	w := &scaledWorld{Control: c, t: t}
	c.readLoad = func(_, _, variant string) (reading, bool) {
		return reading{w.invocations.Load(), w.concurrent.Load()}, variant == "v"
	}
	config.Name = "v"
	f := resource.Fleet{Config: resource.EndpointConfigSpec{Variants: []resource.ProductionVariant{config}}, Variants: []resource.FleetVariant{{Name: "v", Count: 1, Weight: 1, Effective: 1}}}
	w.update(func(tx *state.Tx) error {
		return tx.CreateEndpoint(resource.NewEndpoint(resource.Meta{Key: endpointE, Created: time.Now(), Modified: time.Now()}, f, nil))
	})
	w.apply(resource.Deployed{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); c.scale(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		routes.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *scaledWorld) update(fn func(*state.Tx) error) {
	w.t.Helper()
	if err := w.State.Update(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// apply moves the endpoint.
func (w *scaledWorld) apply(events ...resource.EndpointEvent) {
	w.t.Helper()
	for _, ev := range events {
		w.update(func(tx *state.Tx) error {
			e, err := tx.Endpoint(endpointE)
			if err != nil {
				return err
			}
			return w.applyEndpoint(tx, e, ev)
		})
	}
	w.know()
}

// know tells the scaler of the rows, as the controller's look at the endpoint does.
func (w *scaledWorld) know() {
	w.t.Helper()
	e, targets, err := w.endpointAndTargets(w.t.Context(), endpointE)
	if err != nil {
		w.t.Fatal(err)
	}
	w.scaling.set(endpointE.Folded(), w.rules(e, targets))
}

func (w *scaledWorld) register(low, high int, policies ...resource.ScalingPolicy) {
	w.t.Helper()
	if err := w.RegisterScalableTarget(w.t.Context(), "r", idV, Registration{Min: &low, Max: &high}); err != nil {
		w.t.Fatal(err)
	}
	for _, p := range policies {
		if _, err := w.PutScalingPolicy(w.t.Context(), "r", idV, p); err != nil {
			w.t.Fatal(err)
		}
	}
	w.know()
}

// run lets periods pass, each with so many invocations, and gives the endpoint.
func (w *scaledWorld) run(periods int, invocations int64) (resource.Endpoint, int) {
	w.t.Helper()
	for range periods * readingsPerPeriod {
		w.invocations.Add(invocations / readingsPerPeriod)
		time.Sleep(period / readingsPerPeriod)
		synctest.Wait()
	}
	e, _, err := w.endpointAndTargets(w.t.Context(), endpointE)
	if err != nil {
		w.t.Fatal(err)
	}
	return e, e.Current.Find("v").Count
}

func (w *scaledWorld) activities() []resource.ScalingActivity {
	w.t.Helper()
	page, _, err := w.ScalingActivities(w.t.Context(), ScalingList{Region: "r", IDs: []string{idV}, Limit: 50})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []resource.ScalingActivity
	for _, p := range page {
		all = append(all, p.Entry)
	}
	return all
}

func invocationsPolicy(target float64) resource.ScalingPolicy {
	return resource.ScalingPolicy{Name: "p", Metric: resource.InvocationsPerInstance, Target: target}
}

// EP-47: a change makes the endpoint Updating, a busy endpoint is left alone, and
// cool-downs begin when a change has ended. EP-5: after a rollback it is let be.
func TestScaler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newScaledWorld(t, resource.ProductionVariant{InstanceType: "ml.m5.large"})
		w.register(1, 6, invocationsPolicy(60))
		if e, n := w.run(10, 10); n != 1 || e.Status != resource.EndpointInService { // 60 a minute
			t.Fatalf("at its target it is %s with %d", e.Status, n)
		}
		e, n := w.run(4, 30) // 180
		if n != 3 || e.Status != resource.EndpointUpdating || e.Change.Kind != resource.ChangeScale || e.Current.Find("v").Weight != 1 {
			t.Fatalf("it is %s with %d instances: %+v", e.Status, n, e.Change)
		}
		if a := w.activities(); len(a) != 1 || a[0].Status != resource.ScalingInProgress || !a[0].End.IsZero() || a[0].From != 1 || a[0].To != 3 {
			t.Fatalf("activities %+v", a)
		}
		if e, n := w.run(20, 900); n != 3 || e.Status != resource.EndpointUpdating {
			t.Fatalf("a busy endpoint was changed to %d", n)
		}
		w.apply(resource.ScaleDone{})
		if e, n := w.run(4, 40); n != 3 || e.Status != resource.EndpointInService { // wants 4, one more
			t.Fatalf("in its cool-down it is %s with %d", e.Status, n)
		}
		if a := w.activities(); a[0].Status != resource.ScalingSuccessful || a[0].End.IsZero() {
			t.Fatalf("activities %+v", a)
		}
		if _, n := w.run(30, 40); n != 4 { // five minutes
			t.Fatalf("after its cool-down it has %d", n)
		}
		w.apply(resource.RollbackBegan{Reason: "the host is tired."}, resource.RolledBack{})
		if _, n := w.run(25, 60); n != 3 {
			t.Fatalf("after a rollback it has %d at once", n)
		}
		if a := w.activities(); len(a) != 2 || a[0].Status != resource.ScalingFailed || a[0].Message != "Failed to set desired instance count to 4. Reason: the host is tired." {
			t.Fatalf("activities %+v", a)
		}
		if _, n := w.run(10, 60); n != 6 {
			t.Fatalf("later it has %d", n)
		}
	})
}

// Down only after a quiet window, to none where there may be none; a restart of the
// router's sums is no load.
func TestScalerGoesIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newScaledWorld(t, resource.ProductionVariant{InstanceType: "ml.m5.large"})
		w.apply(resource.Resized{Variant: "v", Count: 4})
		zero := 0
		p := invocationsPolicy(60)
		p.InCooldown = &zero
		w.register(0, 6, p)
		w.run(10, 40)
		w.invocations.Store(0)
		if _, n := w.run(12, 0); n != 4 {
			t.Fatalf("before its window was quiet it has %d", n)
		}
		if _, n := w.run(3, 0); n != 3 {
			t.Fatalf("with what is left of the load in its window it has %d", n)
		}
		w.apply(resource.ScaleDone{})
		if e, n := w.run(17, 0); n != 0 || e.Status != resource.EndpointUpdating {
			t.Fatalf("idle it is %s with %d", e.Status, n)
		}
		if !w.sleeps(resource.Endpoint{Meta: resource.Meta{Key: endpointE}}, resource.ProductionVariant{Name: "v"}) {
			t.Error("a variant with a minimum of 0 cannot be woken")
		}
		w.register(1, 6)
		if w.sleeps(resource.Endpoint{Meta: resource.Meta{Key: endpointE}}, resource.ProductionVariant{Name: "v", Serverless: &resource.Serverless{}}) {
			t.Error("a variant with a minimum of 1 sleeps")
		}
	})
}

// A minimum of 0 reaches the routing table although nothing else of the endpoint has
// changed: its variant can be woken from then on.
func TestMinimumReachesRoutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newScaledWorld(t, resource.ProductionVariant{InstanceType: "ml.m5.large"})
		w.apply(resource.Resized{Variant: "v", Count: 0})
		wakes := func() bool {
			e, _, err := w.DescribeEndpoint(t.Context(), endpointE)
			if err != nil {
				t.Fatal(err)
			}
			key := endpointE.Folded()
			w.publishLook(key, e, w.hosting.of(key))
			return w.Router.Find("r", "E").Variants[0].Wake != nil
		}
		if wakes() {
			t.Error("a variant that was scaled to zero by hand is woken")
		}
		w.register(0, 2)
		if !wakes() {
			t.Error("a variant with a minimum of 0 is not woken")
		}
		w.register(1, 2)
		if wakes() {
			t.Error("a variant with a minimum of 1 is woken")
		}
	})
}

// A scaler that finds no room takes what there is, says so, and tries again later.
func TestScalerWithoutRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newScaledWorld(t, resource.ProductionVariant{InstanceType: "ml.m5.large"})
		taken, err := w.Capacity.Acquire(t.Context(), capacity.Claim{Who: "x", Instances: 7, Lasting: true})
		if err != nil {
			t.Fatal(err)
		}
		w.register(4, 6)
		if _, n := w.run(2, 0); n != 2 {
			t.Fatalf("it has %d", n)
		}
		if a := w.activities(); a[0].To != 2 || a[0].Details != "This host has room for 1 more instances of variant v at the moment, and 3 are wanted." {
			t.Fatalf("activities %+v", a)
		}
		w.apply(resource.ScaleDone{})
		more, err := w.Capacity.Acquire(t.Context(), capacity.Claim{Who: "v", Instances: 1, Lasting: true})
		if err != nil {
			t.Fatal(err)
		}
		defer more.Release()
		w.run(60, 0) // ten minutes
		if a := w.activities(); len(a) < 5 || len(a) > 12 || a[0].Status != resource.ScalingFailed {
			t.Fatalf("%d activities in ten minutes: %+v", len(a), a[0])
		}
		taken.Release()
		if e, n := w.run(10, 0); n != 4 || e.Status != resource.EndpointUpdating {
			t.Fatalf("with room it is %s with %d", e.Status, n)
		}
	})
}

// ManagedInstanceScaling keeps managedTarget requests at once on an instance, between
// its limits, and leaves the last instance to the keep-alive.
func TestManagedScaler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		low, high := 0, 3
		w := newScaledWorld(t, resource.ProductionVariant{InstanceType: "ml.m5.large", Scaling: &resource.InstanceScaling{Enabled: true, Min: &low, Max: &high}})
		w.concurrent.Store(2 * managedTarget)
		if _, n := w.run(5, 0); n != 2 {
			t.Fatalf("it has %d", n)
		}
		w.apply(resource.ScaleDone{})
		w.concurrent.Store(100)
		if _, n := w.run(12, 0); n != 3 {
			t.Fatalf("it has %d", n)
		}
		w.apply(resource.ScaleDone{})
		w.concurrent.Store(0)
		if _, n := w.run(50, 0); n != 1 {
			t.Fatalf("idle it has %d", n)
		}
		w.apply(resource.ScaleDone{}, resource.Resized{Variant: "v", Count: 0})
		if e, n := w.run(50, 0); n != 0 || e.Status != resource.EndpointInService {
			t.Fatalf("asleep it is %s with %d", e.Status, n)
		}
	})
}

// What a target keeps is bounded, and what it is not is refused.
func TestScalableTargetBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newScaledWorld(t, resource.ProductionVariant{InstanceType: "ml.m5.large"})
		ctx := t.Context()
		var missing *NoScalingError
		if _, err := w.PutScalingPolicy(ctx, "r", idV, invocationsPolicy(1)); !errors.As(err, &missing) || !strings.HasPrefix(err.Error(), "No scalable target registered for service namespace: sagemaker, resource ID: endpoint/E/variant/v") {
			t.Errorf("a policy without a target: %v", err)
		}
		low, high := 1, 0
		for _, r := range []Registration{{}, {Min: &low}, {Min: &low, Max: &high}, {Min: ref(-1), Max: &low}} {
			if err := w.RegisterScalableTarget(ctx, "r", idV, r); !fault.Is(err, fault.Invalid) {
				t.Errorf("registered with %+v: %v", r, err)
			}
		}
		w.register(1, 1)
		var arn string
		for i := range resource.MaxScalingPolicies + 1 {
			p := invocationsPolicy(1)
			p.Name = fmt.Sprint(i)
			var err error
			if arn, err = w.PutScalingPolicy(ctx, "r", idV, p); fault.Is(err, fault.Limit) != (i == resource.MaxScalingPolicies) {
				t.Fatalf("policy %d: %v", i, err)
			}
		}
		if arn != "" {
			t.Errorf("a policy too many is %s", arn)
		}
		first, _ := w.PutScalingPolicy(ctx, "r", idV, resource.ScalingPolicy{Name: "7", Target: 2})
		again, err := w.PutScalingPolicy(ctx, "r", idV, resource.ScalingPolicy{Name: "7", Target: 3})
		if err != nil || first != again {
			t.Errorf("a policy that was put again: %s, %s, %v", first, again, err)
		}
		names, pages, token := map[string]bool{}, 0, ""
		for more := true; more; more = token != "" {
			var page []Scaled[resource.ScalingPolicy]
			if page, token, err = w.ScalingPolicies(ctx, ScalingList{Region: "r", Limit: 7, NextToken: token}); err != nil {
				t.Fatal(err)
			}
			for _, p := range page {
				names[p.Entry.Name] = true
			}
			pages++
		}
		if len(names) != resource.MaxScalingPolicies || pages != 8 {
			t.Errorf("%d policies on %d pages", len(names), pages)
		}
		var bad *BadTokenError
		if _, _, err := w.ScalingPolicies(ctx, ScalingList{Region: "r", Limit: 7, NextToken: "x"}); !errors.As(err, &bad) {
			t.Errorf("a token that is none: %v", err)
		}
		var full resource.ScalableTarget
		for range 3 * resource.MaxScalingActivities {
			full.Begin(resource.ScalingActivity{Start: time.Unix(1, 0)})
		}
		if len(full.Activities) != resource.MaxScalingActivities || !full.Activities[0].Start.After(full.Activities[1].Start) {
			t.Errorf("%d activities", len(full.Activities))
		}
	})
}

// What one period costs of one endpoint that is scaled and at rest.
func BenchmarkScaleEndpoint(b *testing.B) {
	w := newScaledWorld(b, resource.ProductionVariant{InstanceType: "ml.m5.large"})
	w.register(1, 6, invocationsPolicy(60))
	e, _, err := w.DescribeEndpoint(b.Context(), endpointE)
	if err != nil {
		b.Fatal(err)
	}
	w.readLoad = w.readRouter
	key := endpointE.Folded()
	w.publish(key, w.route(e, w.hosting.of(key)))
	for b.Loop() {
		for range readingsPerPeriod {
			w.measure(key)
		}
		if err := w.scaleEndpoint(b.Context(), key); err != nil {
			b.Fatal(err)
		}
	}
}

func ref[T any](v T) *T { return &v }
