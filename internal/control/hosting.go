package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/endpoint"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/fleet"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/router"
	"github.com/sagebrush-ml/sagebrush/internal/state"
	"github.com/sagebrush-ml/sagebrush/internal/volume"
)

// hosting are the endpoints that this process runs.
type hosting struct {
	mu     sync.Mutex
	all    map[resource.Key]*host
	tables map[resource.Key]*router.Endpoint // what each has in the routing table
	life   context.Context                   // of the units; ends at shutdown
	end    context.CancelFunc
	wait   sync.WaitGroup
}

func newHosting() *hosting {
	h := &hosting{all: map[resource.Key]*host{}, tables: map[resource.Key]*router.Endpoint{}}
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// host is one endpoint in this process: its instances and what is known of them.
type host struct {
	mu         sync.Mutex
	fresh      bool // not looked at before
	units      map[string]*unit
	blueprints map[endpoint.Group]*blueprint
	failures   map[endpoint.Group]int
	retryAt    map[endpoint.Group]time.Time
	reasons    map[endpoint.Group]string // of the last failure
	used       map[string]usage          // by variant: when it was last seen in use
	published  string                    // the routeMark of what the routing table has
}

// unit is one instance of an endpoint.
type unit struct {
	id     string
	group  endpoint.Group
	state  endpoint.UnitState
	reason string
	// leaving: its runtime wants it gone. lost: its runtime took it away.
	leaving, lost bool
	in            *router.Instance
	cancel        context.CancelFunc // ends its start or its watch
}

// of gives the host of an endpoint, a fresh one at the first look.
func (h *hosting) of(key resource.Key) *host {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.all[key]
	if one == nil {
		one = &host{
			fresh: true, units: map[string]*unit{}, blueprints: map[endpoint.Group]*blueprint{},
			failures: map[endpoint.Group]int{}, retryAt: map[endpoint.Group]time.Time{},
			reasons: map[endpoint.Group]string{}, used: map[string]usage{},
		}
		h.all[key] = one
	}
	return one
}

// ready counts the instances of a variant that serve.
func (h *hosting) ready(key resource.Key) func(generation int, variant string) int {
	one := h.of(key)
	return func(generation int, variant string) int {
		one.mu.Lock()
		defer one.mu.Unlock()
		n := 0
		for _, u := range one.units {
			if u.state == endpoint.Ready && u.group == (endpoint.Group{Generation: generation, Variant: variant}) {
				n++
			}
		}
		return n
	}
}

// forget drops an endpoint that is no more.
func (h *hosting) forget(key resource.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, key)
}

// shutdown stops all instances and waits for them.
func (h *hosting) shutdown() {
	h.end()
	h.wait.Wait()
}

// observe is what Plan wants to know.
func (o *host) observe() endpoint.Observation {
	seen := endpoint.Observation{
		Units: map[string]endpoint.Unit{}, Fresh: o.fresh,
		RetryAt: map[endpoint.Group]time.Time{}, Failures: map[endpoint.Group]int{},
	}
	for id, u := range o.units {
		seen.Units[id] = endpoint.Unit{State: u.state, Reason: u.reason, Leaving: u.leaving, Lost: u.lost}
	}
	for g, n := range o.failures {
		seen.Failures[g], seen.RetryAt[g] = n, o.retryAt[g]
	}
	return seen
}

// reconcileEndpoint looks at one endpoint and does what Plan says. It never waits
// for an instance: what instances do comes back as a new look at their endpoint.
func (c *Control) reconcileEndpoint(ctx context.Context, key resource.Key) (again time.Duration, err error) {
	e, targets, err := c.endpointAndTargets(ctx, key)
	o := c.hosting.of(key)
	if fault.Is(err, fault.NotFound) {
		c.hosting.forget(key)
		c.scaling.set(key, nil)
		c.publish(key, nil)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	c.scaling.set(key, c.rules(e, targets))
	o.mu.Lock()
	seen := o.observe()
	seen.Guard = o.guarded(e)
	o.mu.Unlock()
	d := endpoint.Plan(e, seen, c.Now())
	if d.Remove { // before the row goes: a crash must not leave a queue to the next of the name
		c.publish(key, nil)
		if err := c.Router.Forget(ctx, key.Region, key.Name); err != nil {
			return 0, err
		}
	}
	ordered, err := c.commit(ctx, e, d)
	if fault.Is(err, fault.Conflict) {
		return time.Millisecond, nil // somebody else wrote: look at what it is now
	}
	if err != nil {
		return 0, err
	}
	if d.Remove {
		c.hosting.forget(key)
		c.scaling.set(key, nil)
		return 0, nil
	}
	o.mu.Lock()
	o.fresh = false
	for _, id := range d.Gone {
		delete(o.units, id)
	}
	for _, id := range d.Stop {
		if u := o.units[id]; u != nil {
			u.state = endpoint.Stopping
		} else { // of an earlier server: nothing of it is known here
			o.units[id] = &unit{id: id, state: endpoint.Stopping}
		}
	}
	o.mu.Unlock()
	// What is to be stopped must have left the table before it is drained.
	if e, _, err = c.DescribeEndpoint(ctx, key); err != nil {
		return 0, err
	}
	c.publishLook(key, e, o)
	for _, id := range d.Stop {
		c.stopUnit(key, o, id)
	}
	for _, i := range e.Instances {
		for _, id := range append(d.Start, ordered...) {
			if i.ID == id {
				c.startUnit(e, o, i)
			}
		}
	}
	c.retire(e, o)
	return c.lookAgain(e, o, d), nil
}

// commit stores what Plan decided of the row, and gives the IDs of the instances
// that were ordered. They are stored before anything of them runs.
func (c *Control) commit(ctx context.Context, e resource.Endpoint, d endpoint.Decision) (ordered []string, err error) {
	var events []resource.EndpointEvent
	if len(d.Gone) > 0 {
		events = append(events, resource.InstancesGone{IDs: d.Gone})
	}
	if len(d.Order) > 0 {
		var more []resource.EndpointInstance
		for _, g := range d.Order {
			i := resource.EndpointInstance{ID: newInstanceID(), Generation: g.Generation, Variant: g.Variant, Epoch: e.Epoch}
			more, ordered = append(more, i), append(ordered, i.ID)
		}
		events = append(events, resource.InstancesOrdered{Instances: more})
	}
	if d.Event != nil {
		events = append(events, d.Event)
	}
	if len(events) == 0 && !d.Remove {
		return nil, nil
	}
	err = c.State.Update(ctx, func(tx *state.Tx) error {
		now, err := tx.Endpoint(e.Key)
		if err != nil {
			return err
		}
		if now.Rev != e.Rev {
			return fault.New(fault.Conflict, "the endpoint was changed in the meantime")
		}
		if d.Remove {
			if err := dropTargets(tx, e, nil); err != nil {
				return err
			}
			return tx.DeleteEndpoint(e.Key)
		}
		for _, ev := range events {
			if err := c.applyEndpoint(tx, now, ev); err != nil {
				return err
			}
			if now, err = tx.Endpoint(e.Key); err != nil {
				return err
			}
		}
		if _, ok := d.Event.(resource.Deployed); ok {
			return dropTargets(tx, now, now.Current)
		}
		return nil
	})
	return ordered, err
}

// newInstanceID names an instance of an endpoint.
func newInstanceID() string {
	var b [12]byte
	rand.Read(b[:]) // it never fails
	return "endpoint-" + hex.EncodeToString(b[:])
}

// retire gives back what fleets held that are no more.
func (c *Control) retire(e resource.Endpoint, o *host) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for g, b := range o.blueprints {
		if o.inUse(g) || isFleetOf(e, g.Generation) {
			continue
		}
		delete(o.blueprints, g)
		c.hosting.release(c, b)
	}
}

// inUse reports whether a group has instances.
func (o *host) inUse(g endpoint.Group) bool {
	for _, u := range o.units {
		if u.group == g {
			return true
		}
	}
	return false
}

func isFleetOf(e resource.Endpoint, generation int) bool {
	return e.Status != resource.EndpointDeleting && e.Status != resource.EndpointFailed &&
		(e.Current != nil && e.Current.Generation == generation || e.Pending != nil && e.Pending.Generation == generation)
}

// blueprint is what the instances of a group are made of, prepared by the first.
type blueprint struct {
	ready  chan struct{}
	volume *volume.Volume // nil without KmsKeyId
	b      *fleet.Blueprint
	err    error
}

// release gives the model's data back, once it is there, and destroys the volume.
func (h *hosting) release(c *Control, b *blueprint) {
	h.wait.Go(func() { // preparing ends by itself
		<-b.ready
		if b.b != nil {
			b.b.Release()
		}
		c.closeVolume(b.volume)
	})
}

// releaseAll gives back what all fleets hold, when no instance runs any more.
func (h *hosting) releaseAll(c *Control) {
	h.mu.Lock()
	for _, o := range h.all {
		o.mu.Lock()
		for _, b := range o.blueprints {
			h.release(c, b)
		}
		clear(o.blueprints)
		o.mu.Unlock()
	}
	h.mu.Unlock()
	h.wait.Wait()
}

// resumeHosting takes the endpoints of an earlier server up, before the first
// request comes: those in service are being updated by the platform until their
// instances are back (EP-4), and requests wait for these meanwhile.
func (c *Control) resumeHosting(ctx context.Context) error {
	var all []resource.Endpoint
	targets := map[resource.Key][]resource.ScalableTarget{}
	err := c.State.View(ctx, func(tx *state.Tx) error {
		keys, err := tx.EndpointKeys()
		for i, k := range keys {
			if i == 0 || k.Region != keys[i-1].Region {
				err = errors.Join(err, tx.EachScalableTarget(k.Region, "", func(t resource.ScalableTarget) bool {
					of := resource.Key{Region: k.Region, Kind: resource.KindEndpoint, Name: t.Endpoint}.Folded()
					targets[of] = append(targets[of], t)
					return true
				}))
			}
			e, lerr := tx.Endpoint(k)
			if lerr != nil {
				return errors.Join(err, lerr)
			}
			all = append(all, e)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, e := range all {
		if e.Status == resource.EndpointInService && len(e.Instances) > 0 {
			err := c.State.Update(ctx, func(tx *state.Tx) error { return c.applyEndpoint(tx, e, resource.MaintenanceBegan{}) })
			if err != nil {
				return err
			}
			e.Status = resource.EndpointSystemUpdating
		}
		key := e.Key.Folded()
		c.scaling.set(key, c.rules(e, targets[key]))
		o := c.hosting.of(key)
		o.mu.Lock()
		o.fresh = false
		o.mu.Unlock()
		c.hosting.tables[key], o.published = c.route(e, o), c.routeMark(e, o)
	}
	c.publish(resource.Key{}, nil)
	return nil
}

// sweepable are the instances that must survive the start of this server.
func (c *Control) sweepable(ctx context.Context) (keep []string, err error) {
	err = c.State.View(ctx, func(tx *state.Tx) error {
		keys, err := tx.EndpointKeys()
		for _, k := range keys {
			e, lerr := tx.Endpoint(k)
			if lerr != nil {
				return errors.Join(err, lerr)
			}
			for _, i := range e.Instances {
				if f := fleetOf(e, i.Generation); f == nil || f.Config.KmsKeyID == "" {
					keep = append(keep, i.ID)
				} // else its volume goes with its server
			}
		}
		return err
	})
	return keep, err
}
