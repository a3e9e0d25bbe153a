package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/capacity"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// readingsPerPeriod is how often in a period the requests under way are counted.
const readingsPerPeriod = 5

// scale measures and scales until ctx ends: the one goroutine that does.
func (c *Control) scale(ctx context.Context) {
	tick := time.NewTicker(max(c.ScalingPeriod/readingsPerPeriod, time.Millisecond))
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, key := range c.scaling.keys() {
			c.measure(key)
			if n%readingsPerPeriod != 0 {
				continue
			}
			if err := c.scaleEndpoint(ctx, key); err != nil && ctx.Err() == nil {
				c.Log.Warn("an endpoint was not scaled", "endpoint", key.Name, "error", err)
			}
		}
	}
}

// measure reads what an endpoint's variants carry at the moment.
func (c *Control) measure(key resource.Key) {
	c.scaling.mu.Lock()
	defer c.scaling.mu.Unlock()
	for name, v := range c.scaling.all[key] {
		if r, ok := c.readLoad(key.Region, key.Name, name); ok {
			v.meter.read(r, c.Now())
		}
	}
}

// scaleEndpoint ends the period of an endpoint and changes its counts where they
// should change. One that is busy, or cannot serve, is left alone (EP-47).
func (c *Control) scaleEndpoint(ctx context.Context, key resource.Key) error {
	e, targets, err := c.endpointAndTargets(ctx, key)
	if fault.Is(err, fault.NotFound) {
		return nil // the controller forgets it
	}
	if err != nil {
		return err
	}
	if e.Status != resource.EndpointInService {
		c.scaling.pause(key)
		return nil
	}
	if err := c.settle(ctx, e, targets); err != nil {
		return err
	}
	steps := c.decide(e, key)
	if len(steps) == 0 {
		return nil
	}
	return c.carryOut(ctx, e, key, steps)
}

// endpointAndTargets reads an endpoint with what is registered of it.
func (c *Control) endpointAndTargets(ctx context.Context, key resource.Key) (e resource.Endpoint, targets []resource.ScalableTarget, err error) {
	err = c.State.View(ctx, func(tx *state.Tx) error {
		if e, err = tx.Endpoint(key); err != nil {
			return err
		}
		targets, err = tx.ScalableTargetsOf(key)
		return err
	})
	return e, targets, err
}

// step is a count that is to change.
type step struct {
	variant  string
	from, to int
	cause    string
	// short is why there is no room for what is wanted; then to is as many as there
	// is room for.
	short string
}

// decide takes a sample of each variant and says which counts are to change.
func (c *Control) decide(e resource.Endpoint, key resource.Key) (steps []step) {
	now, more := c.Now(), 0
	c.scaling.mu.Lock()
	defer c.scaling.mu.Unlock()
	for _, fv := range e.Current.Variants {
		v := c.scaling.all[key][fv.Name]
		if v == nil {
			continue
		}
		v.look(fv.Count, now)
		if s, ok := v.meter.sample(now); ok {
			v.history.Add(s)
		}
		d := v.decide(fv.Count, now)
		if d.Count == fv.Count || now.Before(v.failedUntil) {
			continue
		}
		st := step{variant: fv.Name, from: fv.Count, to: d.Count, cause: d.Cause}
		more += c.fit(&st, configOf(e.Current.Config, fv.Name), more)
		if st.short != "" {
			v.failedUntil = now.Add(retryAfterFailure)
		}
		steps = append(steps, st)
	}
	return steps
}

// retryAfterFailure is how long a variant that could not be scaled is left alone.
const retryAfterFailure = time.Minute

// fit lowers a step to what there is room for now, when others take some of it, and
// gives how many instances it takes. Instances that wait for room would keep the
// endpoint Updating, and nobody could change it.
func (c *Control) fit(s *step, config resource.ProductionVariant, taken int) int {
	more := s.to - s.from
	if more <= 0 {
		return 0
	}
	room := max(0, c.Capacity.Room(capacity.Claim{Who: "endpoint", Instances: 1, Each: variantNeed(config), Lasting: true})-taken)
	if room < more {
		s.short = fmt.Sprintf("This host has room for %d more instances of variant %s at the moment, and %d are wanted.", room, s.variant, more)
		s.to = s.from + room
	}
	return s.to - s.from
}

// carryOut changes counts in the way of UpdateEndpointWeightsAndCapacities, and
// records what was done and what could not be, in one transaction.
func (c *Control) carryOut(ctx context.Context, e resource.Endpoint, key resource.Key, steps []step) error {
	var wanted []WeightAndCapacity
	for _, s := range steps {
		if s.to != s.from {
			wanted = append(wanted, WeightAndCapacity{Variant: s.variant, Count: &s.to})
		}
	}
	_, err := c.changeEndpoint(ctx, e.Key, func(tx *state.Tx, now resource.Endpoint) (resource.EndpointEvent, error) {
		if now.Rev != e.Rev {
			return nil, fault.New(fault.Conflict, "the endpoint was changed in the meantime")
		}
		for _, s := range steps {
			if err := c.record(tx, e.Key, s); err != nil {
				return nil, err
			}
		}
		if len(wanted) == 0 {
			return nil, nil
		}
		return c.scaleAsk(now, wanted)
	})
	if illegal := (*resource.IllegalMoveError)(nil); fault.Is(err, fault.Conflict) || errors.As(err, &illegal) {
		return nil // somebody else was first; the next period looks again
	}
	for _, s := range steps {
		c.Log.Info("endpoint scaled", "endpoint", e.Name, "variant", s.variant, "from", s.from, "to", s.to, "cause", s.cause, "short", s.short, "error", err)
	}
	c.scaling.note(key, steps, err, c.Now().Add(retryAfterFailure))
	if err != nil {
		return c.recordFailure(ctx, e.Key, steps, err)
	}
	return nil
}

// record writes a step into the target's activities, where there is a target.
func (c *Control) record(tx *state.Tx, endpoint resource.Key, s step) error {
	t, err := tx.ScalableTarget(resource.Key{Region: endpoint.Region, Name: resource.ScalableName(endpoint.Name, s.variant)})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	now := c.Now()
	a := resource.ScalingActivity{ID: uuid.NewString(), From: s.from, To: s.to, Cause: s.cause, Start: now, Status: resource.ScalingInProgress}
	if s.to == s.from {
		a.Status, a.End, a.Message = resource.ScalingFailed, now, s.short
	} else {
		a.Details = s.short
	}
	t.Begin(a)
	return tx.SaveScalableTarget(t)
}

// recordFailure writes that nothing came of a change.
func (c *Control) recordFailure(ctx context.Context, endpoint resource.Key, steps []step, cause error) error {
	return c.State.Update(ctx, func(tx *state.Tx) error {
		for _, s := range steps {
			s.short = fmt.Sprintf("Failed to set desired instance count to %d. Reason: %s", s.to, fault.TextOf(cause))
			s.to = s.from
			if err := c.record(tx, endpoint, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// settle ends the activities in progress of an endpoint that is at rest.
func (c *Control) settle(ctx context.Context, e resource.Endpoint, targets []resource.ScalableTarget) error {
	now := c.Now()
	for _, t := range targets {
		v := e.Current.Find(t.Variant)
		if v == nil {
			continue
		}
		if _, open := t.Settle(v.Count, e.FailureReason, now); !open {
			continue
		}
		err := c.State.Update(ctx, func(tx *state.Tx) error { return tx.SaveScalableTarget(t) })
		if err != nil && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}
