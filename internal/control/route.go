package control

import (
	"fmt"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/endpoint"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/router"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// publish puts an endpoint into the routing table, or takes it out with nil.
func (c *Control) publish(key resource.Key, e *router.Endpoint) {
	h := c.hosting
	h.mu.Lock()
	defer h.mu.Unlock()
	if e == nil {
		delete(h.tables, key)
	} else {
		h.tables[key] = e
	}
	all := make([]*router.Endpoint, 0, len(h.tables))
	for _, one := range h.tables {
		all = append(all, one)
	}
	c.Router.Publish(router.NewTable(all))
}

// publishLook publishes an endpoint as a look has found it. A look that found nothing
// new publishes nothing: each table holds all endpoints.
func (c *Control) publishLook(key resource.Key, e resource.Endpoint, o *host) {
	mark := c.routeMark(e, o)
	o.mu.Lock()
	same := o.published == mark
	o.published = mark
	o.mu.Unlock()
	if !same {
		c.publish(key, c.route(e, o))
	}
}

// routeMark tells whether route would give something else: it looks at the row, its
// tags, which instances are ready, and which variants may sleep.
func (c *Control) routeMark(e resource.Endpoint, o *host) string {
	var sleepers []string
	if e.Current != nil {
		for _, v := range e.Current.Variants {
			if c.sleeps(e, configOf(e.Current.Config, v.Name)) {
				sleepers = append(sleepers, v.Name)
			}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var ready []string
	for id, u := range o.units {
		if u.state == endpoint.Ready {
			ready = append(ready, id)
		}
	}
	slices.Sort(ready)
	return fmt.Sprint(e.Rev, e.TagValue(keepAliveTag), ready, sleepers)
}

// route is an endpoint as requests see it now.
func (c *Control) route(e resource.Endpoint, o *host) *router.Endpoint {
	r := &router.Endpoint{
		Region: e.Region, Name: e.Name, Serves: e.Status.Serves(), Status: e.Status,
		Limits: router.Limits{Timeout: c.InvokeTimeout, Body: c.InvokeBytes, Waiting: c.InvokeWaiting},
	}
	current, pending := 1.0, 0.0
	if e.Pending != nil {
		switch {
		case e.Status == resource.EndpointUpdateRollbackFailed:
			current, pending = 0.5, 0.5
		case e.Status == resource.EndpointUpdating && e.Change != nil:
			pending = e.Change.Share
			current = 1 - pending
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var groups []*router.Variant
	if e.Current != nil {
		groups = c.routeFleet(e, e.Current, o, current)
	}
	if e.Pending != nil {
		groups = append(groups, c.routeFleet(e, e.Pending, o, pending)...)
	}
	r.Variants = lend(groups)
	if f := e.Current; f != nil {
		for i := range f.Shadows {
			r.Shadows = append(r.Shadows, c.routeVariant(e, f, &f.Shadows[i], o, 1))
		}
		if f.Config.Capture != nil && f.Config.Capture.Enabled {
			keyed := *f.Config.Capture
			keyed.KmsKeyID = c.objectKey(e.Region, keyed.KmsKeyID)
			r.Capture = &keyed
		}
		if f.Config.Async != nil {
			keyed := *f.Config.Async
			keyed.KmsKeyID = c.objectKey(e.Region, keyed.KmsKeyID)
			r.Async = &keyed
		}
	}
	return r
}

// routeFleet gives the variants of a fleet their part of the traffic.
func (c *Control) routeFleet(e resource.Endpoint, f *resource.Fleet, o *host, part float64) []*router.Variant {
	var all []*router.Variant
	for i := range f.Variants {
		v := c.routeVariant(e, f, &f.Variants[i], o, part)
		if part > 0 || len(v.Instances) > 0 && f == e.Current {
			all = append(all, v)
		}
	}
	return all
}

// routeVariant is one variant with the instances that serve. o.mu is held.
func (c *Control) routeVariant(e resource.Endpoint, f *resource.Fleet, v *resource.FleetVariant, o *host, part float64) *router.Variant {
	config := configOf(f.Config, v.Name)
	out := &router.Variant{
		Name: v.Name, Share: v.Effective * part, Model: f.Models[v.Name],
		LeastOutstanding: config.Routing == resource.RouteLeastOutstanding,
	}
	if s := config.Serverless; s != nil {
		out.Concurrency = s.MaxConcurrency
	}
	g := endpoint.Group{Generation: f.Generation, Variant: v.Name}
	for _, u := range o.units {
		if u.group == g && u.state == endpoint.Ready {
			out.Instances = append(out.Instances, u.in)
		}
	}
	if c.sleeps(e, config) && v.Count == 0 {
		out.WakeWait = c.WakeWait
		key, variant := e.Key, v.Name
		out.Wake = func() { c.wake(key, variant) }
	} else if v.Count > 0 { // where all are lost, others are on their way
		out.WakeWait = c.WakeWait
		out.Wake = func() {}
	}
	return out
}

// lend gives the share of a variant that has lost all its instances, and is not
// asleep, to those that have some: callers see no failure while it heals.
func lend(all []*router.Variant) []*router.Variant {
	able, lost := 0.0, 0.0
	for _, v := range all {
		if len(v.Instances) > 0 {
			able += v.Share
		} else if v.WakeWait > 0 && v.Share > 0 {
			lost += v.Share
		}
	}
	if able == 0 || lost == 0 {
		return all
	}
	for _, v := range all {
		if len(v.Instances) > 0 {
			v.Share *= (able + lost) / able
		} else if v.WakeWait > 0 {
			v.Share = 0
		}
	}
	return all
}

// sleeps reports whether a variant may have no instance while nobody asks it. Of one
// that is registered for scaling its limits say so.
func (c *Control) sleeps(e resource.Endpoint, v resource.ProductionVariant) bool {
	if rule, ok := c.scaling.registered(e.Key, v.Name); ok {
		return rule.Min == 0
	}
	return dozes(e, v)
}

// dozes reports whether a variant is put to sleep when it was idle for its
// keep-alive.
func dozes(e resource.Endpoint, v resource.ProductionVariant) bool {
	switch {
	case v.Serverless != nil:
		return v.Serverless.Provisioned == 0
	case v.Scaling != nil && v.Scaling.Enabled && v.Scaling.Min != nil && *v.Scaling.Min == 0:
		return true
	}
	return e.TagValue(keepAliveTag) != ""
}

// wake asks for the first instance of a variant that sleeps. It returns at once.
func (c *Control) wake(key resource.Key, variant string) {
	c.hosting.wait.Go(func() {
		ctx := c.hosting.life
		err := c.State.Update(ctx, func(tx *state.Tx) error {
			e, err := tx.Endpoint(key)
			if err != nil || e.Current == nil {
				return err
			}
			if v := e.Current.Find(variant); v == nil || v.Count > 0 {
				return nil
			}
			return c.applyEndpoint(tx, e, resource.Resized{Variant: variant, Count: 1})
		})
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("a variant was not woken", "endpoint", key.Name, "variant", variant, "error", err)
		}
	})
}

// usage is when a variant was last seen in use.
type usage struct {
	invocations int64
	at          time.Time
}

// lookAgain puts variants to sleep that nobody has used for their keep-alive, and
// says when to look again.
func (c *Control) lookAgain(e resource.Endpoint, o *host, d endpoint.Decision) time.Duration {
	again := d.Again
	sooner := func(t time.Duration) {
		if again == 0 || t < again {
			again = max(t, time.Millisecond)
		}
	}
	if e.Status == resource.EndpointUpdating && e.LastDeployment != nil && len(e.LastDeployment.Alarms) > 0 {
		sooner(guardInterval)
	}
	if e.Current == nil || e.Status != resource.EndpointInService {
		return again
	}
	for _, v := range e.Current.Variants {
		config, _ := e.Current.Config.Variant(v.Name)
		if _, scaled := c.scaling.registered(e.Key, v.Name); v.Count == 0 || scaled || !dozes(e, config) {
			continue
		}
		left := c.idleLeft(e, o, v.Name)
		if left <= 0 {
			c.sleep(e.Key, v.Name)
			continue
		}
		sooner(left)
	}
	return again
}

// guardInterval is how often a new fleet is judged by its alarms.
const guardInterval = time.Second

// idleLeft is how long a variant may still be idle before it sleeps.
func (c *Control) idleLeft(e resource.Endpoint, o *host, variant string) time.Duration {
	stats, _ := c.Router.Stats(e.Region, e.Name, variant)
	now := c.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	last, known := o.used[variant]
	if !known || stats.Invocations != last.invocations || stats.InFlight > 0 {
		last = usage{invocations: stats.Invocations, at: now}
		o.used[variant] = last
	}
	keep := c.KeepAlive
	if d, err := time.ParseDuration(e.TagValue(keepAliveTag)); err == nil {
		keep = d
	}
	return last.at.Add(keep).Sub(now)
}

// sleep takes the last instances from a variant.
func (c *Control) sleep(key resource.Key, variant string) {
	c.hosting.wait.Go(func() {
		ctx := c.hosting.life
		err := c.State.Update(ctx, func(tx *state.Tx) error {
			e, err := tx.Endpoint(key)
			if err != nil || e.Status != resource.EndpointInService {
				return err
			}
			return c.applyEndpoint(tx, e, resource.Resized{Variant: variant, Count: 0})
		})
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("a variant was not put to sleep", "endpoint", key.Name, "variant", variant, "error", err)
		}
	})
}

// guarded says which of a deployment's alarms rejects the new fleet, "" for none.
// o.mu is held.
func (o *host) guarded(e resource.Endpoint) string {
	if e.Status != resource.EndpointUpdating || e.Pending == nil || e.LastDeployment == nil {
		return ""
	}
	var requests, failed int64
	for _, u := range o.units {
		if u.group.Generation == e.Pending.Generation && u.in != nil {
			n, bad := u.in.Counts()
			requests, failed = requests+n, failed+bad
		}
	}
	return tripped(e.LastDeployment.Alarms, requests, failed)
}
