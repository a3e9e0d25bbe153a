package control

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// Registration is RegisterScalableTarget; what is nil stays as it is.
type Registration struct {
	Min, Max *int
	// In, Out and Scheduled suspend scaling, or let it go on.
	In, Out, Scheduled *bool
}

// targetKey names a scalable target by its ResourceId.
func targetKey(region, id string) (key resource.Key, endpoint, variant string, err error) {
	endpoint, variant, ok := resource.ParseScalableName(id)
	if !ok {
		return key, "", "", fault.New(fault.Invalid, "Unsupported service namespace, resource type or scalable dimension. The ResourceId of a variant is endpoint/NAME/variant/VARIANT, not %q.", id)
	}
	return resource.Key{Region: region, Kind: resource.KindScalableTarget, Name: id}, endpoint, variant, nil
}

// noTarget is the sentence for a target that is not there.
func noTarget(err error, what, id string) error {
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	return &NoScalingError{fault.New(fault.NotFound, "No scalable target %s for service namespace: sagemaker, resource ID: %s, scalable dimension: %s", what, id, DesiredInstanceCount)}
}

// NoScalingError tells that there is no such scalable target or policy: clients of
// the service know it by a code of its own.
type NoScalingError struct{ Fault error }

// Error is the fault's.
func (e *NoScalingError) Error() string { return e.Fault.Error() }

// Unwrap gives the fault.
func (e *NoScalingError) Unwrap() error { return e.Fault }

// DesiredInstanceCount is the one dimension that is scaled.
const DesiredInstanceCount = "sagemaker:variant:DesiredInstanceCount"

// RegisterScalableTarget lets policies change the count of a variant, or changes
// between which limits they may. The count moves into the limits by itself.
func (c *Control) RegisterScalableTarget(ctx context.Context, region, id string, r Registration) error {
	key, name, variant, err := targetKey(region, id)
	if err != nil {
		return err
	}
	now := c.Now()
	return c.State.Update(ctx, func(tx *state.Tx) error {
		t, err := tx.ScalableTarget(key)
		isNew := fault.Is(err, fault.NotFound)
		if err != nil && !isNew {
			return err
		}
		if err := c.checkScalable(tx, region, name, variant); err != nil {
			return err
		}
		if isNew {
			if r.Min == nil || r.Max == nil {
				return fault.New(fault.Invalid, "MinCapacity and MaxCapacity are required to register a scalable target that is not registered yet.")
			}
			t = resource.ScalableTarget{Meta: resource.Meta{Key: key, Created: now, Modified: now}, Endpoint: name, Variant: variant}
		}
		r.apply(&t)
		switch {
		case t.Min < 0:
			return fault.New(fault.Invalid, "Minimum capacity cannot be negative: %d.", t.Min)
		case t.Max < t.Min:
			return fault.New(fault.Invalid, "Maximum capacity cannot be less than minimum capacity: %d and %d.", t.Max, t.Min)
		case isNew:
			return tx.CreateScalableTarget(t)
		}
		return tx.SaveScalableTarget(t)
	})
}

func (r Registration) apply(t *resource.ScalableTarget) {
	set(&t.Min, r.Min)
	set(&t.Max, r.Max)
	set(&t.Suspended.In, r.In)
	set(&t.Suspended.Out, r.Out)
	set(&t.Suspended.Scheduled, r.Scheduled)
}

// set changes a value where another was sent.
func set[T any](to *T, sent *T) {
	if sent != nil {
		*to = *sent
	}
}

// checkScalable refuses what has no count that could be changed.
func (c *Control) checkScalable(tx *state.Tx, region, name, variant string) error {
	key := resource.Key{Region: region, Kind: resource.KindEndpoint, Name: name}
	e, err := tx.Endpoint(key)
	if err != nil {
		return notFound(err, "Could not find endpoint %q.", c.ARN(key))
	}
	for _, f := range []*resource.Fleet{e.Current, e.Pending} {
		if f == nil {
			continue
		}
		for _, v := range f.Config.Variants {
			if !strings.EqualFold(v.Name, variant) {
				continue
			}
			if v.Serverless != nil {
				return fault.New(fault.Invalid, "Variant %s of endpoint %s has a ServerlessConfig, and %s is for variants with instances.", v.Name, e.Name, DesiredInstanceCount)
			}
			return nil
		}
	}
	return fault.New(fault.Invalid, "Could not find variant %q of endpoint %q.", variant, c.ARN(key))
}

// DeregisterScalableTarget ends the scaling of a variant; its policies go with it.
func (c *Control) DeregisterScalableTarget(ctx context.Context, region, id string) error {
	key, _, _, err := targetKey(region, id)
	if err != nil {
		return err
	}
	err = c.State.Update(ctx, func(tx *state.Tx) error { return tx.DeleteScalableTarget(key) })
	return noTarget(err, "found", id)
}

// PutScalingPolicy adds a policy to a target, or replaces the one of its name, and
// gives its ARN.
func (c *Control) PutScalingPolicy(ctx context.Context, region, id string, p resource.ScalingPolicy) (arn string, err error) {
	key, _, _, err := targetKey(region, id)
	if err != nil {
		return "", err
	}
	if !(p.Target > 0) || math.IsInf(p.Target, 1) {
		return "", fault.New(fault.Invalid, "TargetTrackingScalingPolicyConfiguration.TargetValue is %g, and must be over 0.", p.Target)
	}
	for name, n := range map[string]*int{"ScaleInCooldown": p.InCooldown, "ScaleOutCooldown": p.OutCooldown} {
		if n != nil && *n < 0 {
			return "", fault.New(fault.Invalid, "TargetTrackingScalingPolicyConfiguration.%s is %d seconds, and cannot be negative.", name, *n)
		}
	}
	p.ID, p.Created = uuid.NewString(), c.Now()
	err = c.State.Update(ctx, func(tx *state.Tx) error {
		t, err := tx.ScalableTarget(key)
		if err != nil {
			return noTarget(err, "registered", id)
		}
		if old := t.Policy(p.Name); old != nil {
			p.ID, p.Created = old.ID, old.Created
		} else if len(t.Policies) == resource.MaxScalingPolicies {
			return fault.New(fault.Limit, "There are already %d scaling policies for resource ID: %s, and there may be no more.", len(t.Policies), id)
		}
		t.Put(p)
		arn = p.ARN(c.Account, t.Key)
		return tx.SaveScalableTarget(t)
	})
	return arn, err
}

// DeleteScalingPolicy removes a policy from its target.
func (c *Control) DeleteScalingPolicy(ctx context.Context, region, id, name string) error {
	key, _, _, err := targetKey(region, id)
	if err != nil {
		return err
	}
	missing := &NoScalingError{fault.New(fault.NotFound, "No scaling policy found for service namespace: sagemaker, resource ID: %s, scalable dimension: %s, policy name: %s", id, DesiredInstanceCount, name)}
	return c.State.Update(ctx, func(tx *state.Tx) error {
		t, err := tx.ScalableTarget(key)
		if fault.Is(err, fault.NotFound) {
			return missing
		}
		if err != nil {
			return err
		}
		if !t.Drop(name) {
			return missing
		}
		return tx.SaveScalableTarget(t)
	})
}

// ScalingList is what the Describe operations of autoscaling take. Zero members do
// not filter.
type ScalingList struct {
	Region    string
	IDs       []string // ResourceIds
	Policies  []string // names
	Limit     int
	NextToken string
}

// BadTokenError is a NextToken that the list did not give; it has a code of its own
// in this service.
type BadTokenError struct{ Fault error }

// Error is the fault's.
func (e *BadTokenError) Error() string { return e.Fault.Error() }

// Unwrap gives the fault.
func (e *BadTokenError) Unwrap() error { return e.Fault }

// Scaled is one entry of a list with the target that it belongs to.
type Scaled[T any] struct {
	Target resource.ScalableTarget
	Entry  T
}

// ScalableTargets gives a page of targets and the token of the next.
func (c *Control) ScalableTargets(ctx context.Context, l ScalingList) ([]Scaled[resource.ScalableTarget], string, error) {
	return listScaling(ctx, c, l, "targets", func(t resource.ScalableTarget) ([]resource.ScalableTarget, func(int) string) {
		return []resource.ScalableTarget{t}, func(int) string { return "" }
	})
}

// ScalingPolicies gives a page of policies and the token of the next.
func (c *Control) ScalingPolicies(ctx context.Context, l ScalingList) ([]Scaled[resource.ScalingPolicy], string, error) {
	return listScaling(ctx, c, l, "policies", func(t resource.ScalableTarget) ([]resource.ScalingPolicy, func(int) string) {
		some := t.Policies
		if len(l.Policies) > 0 {
			some = slices.DeleteFunc(slices.Clone(some), func(p resource.ScalingPolicy) bool { return !slices.Contains(l.Policies, p.Name) })
		}
		return some, func(i int) string { return some[i].Name }
	})
}

// ScalingActivities gives a page of activities, those of one target from the newest
// on, and the token of the next.
func (c *Control) ScalingActivities(ctx context.Context, l ScalingList) ([]Scaled[resource.ScalingActivity], string, error) {
	return listScaling(ctx, c, l, "activities", func(t resource.ScalableTarget) ([]resource.ScalingActivity, func(int) string) {
		return t.Activities, func(i int) string { return fmt.Sprintf("%019d", math.MaxInt64-t.Activities[i].Start.UnixNano()) }
	})
}

// listScaling gives a page of what targets have, in the order of the targets' names
// and, within one, of the place that parts gives each entry.
func listScaling[T any](ctx context.Context, c *Control, l ScalingList, what string, parts func(resource.ScalableTarget) ([]T, func(int) string)) (page []Scaled[T], next string, err error) {
	// It is no query of the store: it ties a token to this list and its filters.
	q := state.Query{Region: l.Region, SortBy: state.Sort(what), NameContains: fmt.Sprintf("%q %q", l.IDs, l.Policies)}
	after, err := c.tokens.open(q, l.NextToken)
	if err != nil {
		return nil, "", &BadTokenError{err}
	}
	if after == nil {
		after = &state.Cursor{}
	}
	var last state.Cursor
	take := func(t resource.ScalableTarget) (more bool) {
		name := strings.ToLower(t.Name)
		entries, place := parts(t)
		for i, entry := range entries {
			at := state.Cursor{Name: name, Status: place(i)}
			if name < after.Name || name == after.Name && at.Status <= after.Status {
				continue
			}
			if len(page) == l.Limit {
				next = c.tokens.seal(q, &last)
				return false
			}
			page, last = append(page, Scaled[T]{t, entry}), at
		}
		return true
	}
	err = c.State.View(ctx, func(tx *state.Tx) error {
		page, next = nil, ""
		if len(l.IDs) == 0 {
			return tx.EachScalableTarget(l.Region, after.Name, take)
		}
		return eachNamed(tx, l, take)
	})
	return page, next, err
}

// eachNamed is EachScalableTarget for the targets that a list names; one that is not
// there is passed over.
func eachNamed(tx *state.Tx, l ScalingList, fn func(resource.ScalableTarget) bool) error {
	names := make([]string, len(l.IDs))
	for i, id := range l.IDs {
		names[i] = strings.ToLower(id)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		t, err := tx.ScalableTarget(resource.Key{Region: l.Region, Name: name})
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if !fn(t) {
			return nil
		}
	}
	return nil
}

// dropTargets removes the targets of an endpoint whose variants are no more: all
// when it is deleted, which is told by no fleet.
func dropTargets(tx *state.Tx, e resource.Endpoint, serving *resource.Fleet) error {
	targets, err := tx.ScalableTargetsOf(e.Key)
	if err != nil {
		return err
	}
	for _, t := range targets {
		if serving != nil && slices.ContainsFunc(serving.Variants, func(v resource.FleetVariant) bool { return strings.EqualFold(v.Name, t.Variant) }) {
			continue
		}
		if err := tx.DeleteScalableTarget(t.Key); err != nil {
			return err
		}
	}
	return nil
}
