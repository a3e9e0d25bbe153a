package control

import (
	"context"
	"errors"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// CreateEndpoint stores an endpoint as Creating and returns; the controller does
// the rest (CP-50).
func (c *Control) CreateEndpoint(ctx context.Context, key resource.Key, configName string, d *resource.DeploymentConfig, tags []resource.Tag) (arn string, err error) {
	key.Kind = resource.KindEndpoint
	if err := checkTags(tags); err != nil {
		return "", err
	}
	if err := checkDeployment(d); err != nil {
		return "", err
	}
	now := c.Now()
	err = c.State.Update(ctx, func(tx *state.Tx) error {
		if _, err := tx.Endpoint(key); err == nil {
			return fault.New(fault.Exists, "Cannot create already existing endpoint %q.", c.ARN(key))
		}
		f, err := c.newFleet(tx, key.Region, configName)
		if err != nil {
			return err
		}
		if err := c.checkFleet(f); err != nil {
			return err
		}
		return tx.CreateEndpoint(resource.NewEndpoint(resource.Meta{Key: key, Created: now, Modified: now, Tags: tags}, f, d))
	})
	return c.ARN(key), err
}

// newFleet is a configuration with everything that it takes to run it, as it is
// now (CP-45).
func (c *Control) newFleet(tx *state.Tx, region, configName string) (f resource.Fleet, err error) {
	key := resource.Key{Region: region, Kind: resource.KindEndpointConfig, Name: configName}
	config, err := tx.EndpointConfig(key)
	if err != nil {
		return f, notFound(err, "Could not find endpoint configuration %q.", c.ARN(key))
	}
	f = resource.Fleet{ConfigName: config.Name, Config: config.Spec, Models: map[string]resource.ModelSpec{}}
	for _, v := range allVariants(config.Spec) {
		if f.Models[v.Name], err = c.modelOf(tx, region, v); err != nil {
			return f, err
		}
	}
	for _, v := range config.Spec.Variants {
		f.Variants = append(f.Variants, newVariant(v))
	}
	for _, v := range config.Spec.Shadows {
		f.Shadows = append(f.Shadows, newVariant(v))
	}
	return f, nil
}

func newVariant(v resource.ProductionVariant) resource.FleetVariant {
	return resource.FleetVariant{Name: v.Name, Weight: v.InitialWeight, Effective: v.InitialWeight, Count: v.InitialInstances()}
}

// DescribeEndpoint reads an endpoint and how many instances of each of its
// variants are ready.
func (c *Control) DescribeEndpoint(ctx context.Context, key resource.Key) (e resource.Endpoint, ready func(generation int, variant string) int, err error) {
	key.Kind = resource.KindEndpoint
	err = c.State.View(ctx, func(tx *state.Tx) error {
		e, err = tx.Endpoint(key)
		return err
	})
	if err != nil {
		return e, nil, notFound(err, "Could not find endpoint %q.", c.ARN(key))
	}
	return e, c.hosting.ready(e.Key.Folded()), nil
}

// ListEndpoints gives a page of endpoints (CP-56), in short, and the token of the next. Under
// the seed's behaviour the order is ascending unless it is said (SD-4).
func (c *Control) ListEndpoints(ctx context.Context, l List, ordered bool) ([]state.Summary, string, error) {
	if c.SeedCompat && !ordered {
		l.Ascending = true
	}
	return list(ctx, c, l, (*state.Tx).ListEndpoints)
}

// Update is UpdateEndpoint.
type Update struct {
	ConfigName string
	// RetainAll keeps the counts and weights that variants have now, but for those
	// named by the two others (EP-41).
	RetainAll                   bool
	ExcludeCount, ExcludeWeight bool
	Deployment                  *resource.DeploymentConfig
	// RetainDeployment uses the last DeploymentConfig again (EP-46).
	RetainDeployment bool
}

// UpdateEndpoint begins to move an endpoint to another configuration (CP-51).
func (c *Control) UpdateEndpoint(ctx context.Context, key resource.Key, u Update) (arn string, err error) {
	if err := checkDeployment(u.Deployment); err != nil {
		return "", err
	}
	return c.changeEndpoint(ctx, key, func(tx *state.Tx, e resource.Endpoint) (resource.EndpointEvent, error) {
		f, err := c.newFleet(tx, key.Region, u.ConfigName)
		if err != nil {
			return nil, err
		}
		if u.RetainAll && e.Current != nil {
			retain(&f, e.Current, u)
		}
		if err := c.checkFleet(f); err != nil {
			return nil, err
		}
		ask := resource.UpdateAsked{Fleet: f}
		switch {
		case u.Deployment != nil:
			ask.Deployment = *u.Deployment
		case u.RetainDeployment && e.LastDeployment != nil:
			ask.Deployment = *e.LastDeployment
		}
		return ask, nil
	})
}

// retain keeps what variants of the same name have now (EP-41).
func retain(f *resource.Fleet, old *resource.Fleet, u Update) {
	for _, v := range f.All() {
		before := old.Find(v.Name)
		if before == nil {
			continue
		}
		if !u.ExcludeCount {
			v.Count = before.Count
		}
		if !u.ExcludeWeight {
			v.Weight, v.Effective = before.Weight, before.Weight
		}
	}
}

// WeightAndCapacity is what one variant is to have; nil leaves it as it is.
type WeightAndCapacity struct {
	Variant string
	Weight  *float64
	Count   *int
}

// UpdateEndpointWeightsAndCapacities changes weights and instance counts without
// another configuration (CP-52).
func (c *Control) UpdateEndpointWeightsAndCapacities(ctx context.Context, key resource.Key, wanted []WeightAndCapacity) (arn string, err error) {
	return c.changeEndpoint(ctx, key, func(_ *state.Tx, e resource.Endpoint) (resource.EndpointEvent, error) {
		return c.scaleAsk(e, wanted)
	})
}

// scaleAsk makes the event of other weights and counts, or says why they cannot be.
func (c *Control) scaleAsk(e resource.Endpoint, wanted []WeightAndCapacity) (resource.EndpointEvent, error) {
	if e.Current == nil {
		return nil, fault.New(fault.Invalid, "The endpoint %q serves nothing yet.", c.ARN(e.Key))
	}
	var ask resource.ScaleAsked
	var seen []string
	for _, w := range wanted {
		if slices.Contains(seen, w.Variant) {
			return nil, fault.New(fault.Invalid, "The variant name %q was non-unique within the request.", w.Variant)
		}
		seen = append(seen, w.Variant)
		v := e.Current.Find(w.Variant)
		if v == nil {
			return nil, fault.New(fault.Invalid, "The variant name(s) %q is/are not present within endpoint configuration %q.", w.Variant, e.Current.ConfigName)
		}
		next := *v
		if w.Weight != nil {
			next.Weight = *w.Weight
		}
		if w.Count != nil {
			next.Count = *w.Count
		}
		ask.Variants = append(ask.Variants, next)
	}
	after := *e.Current
	after.Variants = slices.Clone(after.Variants)
	for _, v := range ask.Variants {
		if have := after.Find(v.Name); have != nil {
			have.Count = v.Count
		}
	}
	return ask, c.checkFleet(after)
}

// DeleteEndpoint begins the end of an endpoint (CP-54); force does in any status.
func (c *Control) DeleteEndpoint(ctx context.Context, key resource.Key, force bool) error {
	_, err := c.changeEndpoint(ctx, key, func(_ *state.Tx, e resource.Endpoint) (resource.EndpointEvent, error) {
		if force && e.Status == resource.EndpointDeleting {
			return nil, nil
		}
		return resource.DeleteAsked{Force: force}, nil
	})
	return err
}

// Maintain begins to replace all instances of an endpoint by new ones of the same
// images (EP-4, EP-22).
func (c *Control) Maintain(ctx context.Context, key resource.Key) error {
	_, err := c.changeEndpoint(ctx, key, func(_ *state.Tx, e resource.Endpoint) (resource.EndpointEvent, error) {
		if e.Status == resource.EndpointOutOfService || e.Status == resource.EndpointFailed || e.Status == resource.EndpointUpdateRollbackFailed {
			return nil, fault.New(fault.Invalid, "Endpoint %q is %s; only one that is InService can be maintained.", c.ARN(e.Key), e.Status)
		}
		return resource.MaintenanceBegan{ReplaceAll: true}, nil
	})
	return err
}

// changeEndpoint applies what a user asks for, in one transaction. A nil event
// changes nothing.
func (c *Control) changeEndpoint(ctx context.Context, key resource.Key, decide func(*state.Tx, resource.Endpoint) (resource.EndpointEvent, error)) (arn string, err error) {
	key.Kind = resource.KindEndpoint
	err = c.State.Update(ctx, func(tx *state.Tx) error {
		e, err := tx.Endpoint(key)
		if err != nil {
			return notFound(err, "Could not find endpoint %q.", c.ARN(key))
		}
		ev, err := decide(tx, e)
		if err != nil || ev == nil {
			return err
		}
		return c.applyEndpoint(tx, e, ev)
	})
	return c.ARN(key), c.busyError(key, err)
}

// busyError is the real service's sentence for a change at the wrong time (CP-53).
func (c *Control) busyError(key resource.Key, err error) error {
	illegal, ok := errors.AsType[*resource.IllegalMoveError](err)
	if !ok {
		return err
	}
	if illegal.Status.Busy() {
		return fault.Wrap(fault.Invalid, err, "Cannot update in-progress endpoint %q.", c.ARN(key))
	}
	return fault.Wrap(fault.Invalid, err, "The endpoint %q is %s, and then it can only be deleted.", c.ARN(key), illegal.Status) // EP-8
}

// applyEndpoint moves an endpoint by an event and stores it.
func (c *Control) applyEndpoint(tx *state.Tx, e resource.Endpoint, ev resource.EndpointEvent) error {
	next, err := e.Apply(ev, c.Now())
	if err != nil {
		return err
	}
	if next.Status != e.Status {
		c.Log.Info("endpoint moved", "endpoint", e.Name, "from", e.Status, "to", next.Status, "reason", next.FailureReason)
	}
	return tx.SaveEndpoint(next)
}
