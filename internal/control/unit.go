package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/endpoint"
	"github.com/sagebrush-ml/sagebrush/internal/fleet"
	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/router"
	"github.com/sagebrush-ml/sagebrush/internal/state"
	"github.com/sagebrush-ml/sagebrush/internal/volume"
)

// startUnit starts an instance of the row, or takes it over, in a goroutine that
// lives as long as the instance does.
func (c *Control) startUnit(e resource.Endpoint, o *host, i resource.EndpointInstance) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.units[i.ID] != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.hosting.life)
	u := &unit{id: i.ID, group: endpoint.Group{Generation: i.Generation, Variant: i.Variant}, state: endpoint.Starting, cancel: cancel}
	o.units[i.ID] = u
	key := e.Key.Folded()
	c.hosting.wait.Go(func() {
		defer cancel()
		s := &unitStart{Control: c, endpoint: e, host: o, unit: u}
		reason := s.mask().Text(s.run(ctx))
		o.mu.Lock()
		if u.state == endpoint.Stopping || ctx.Err() != nil {
			u.state = endpoint.Gone
		} else {
			u.state, u.reason = endpoint.Failed, reason
			o.failed(u.group, reason, c.Now())
		}
		u.in = nil
		o.mu.Unlock()
		c.loop.Add(key)
	})
}

// The pauses after failures in a row, doubled each time.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// failed counts a failure of a group, and puts its next start off. o.mu is held.
func (o *host) failed(g endpoint.Group, reason string, now time.Time) {
	pause := min(firstRetry<<min(o.failures[g], 10), lastRetry)
	o.failures[g]++
	o.retryAt[g], o.reasons[g] = now.Add(pause), reason
}

// stopUnit drains an instance and ends it. It has left the routing table.
func (c *Control) stopUnit(key resource.Key, o *host, id string) {
	o.mu.Lock()
	u := o.units[id]
	o.mu.Unlock()
	if u.cancel != nil {
		c.hosting.wait.Go(func() {
			if in := o.instance(u); in != nil {
				ctx, cancel := context.WithTimeout(c.hosting.life, c.DrainTime)
				_ = c.Router.Drain(ctx, in) // what is left then is cut off
				cancel()
			}
			u.cancel() // its goroutine stops it and says so
		})
		return
	}
	c.hosting.wait.Go(func() {
		if err := c.Fleet.Abandon(c.hosting.life, id); err != nil {
			c.Log.Warn("an instance of an earlier server was not ended", "instance", id, "error", err)
		}
		o.mu.Lock()
		u.state = endpoint.Gone
		o.mu.Unlock()
		c.loop.Add(key)
	})
}

func (o *host) instance(u *unit) *router.Instance {
	o.mu.Lock()
	defer o.mu.Unlock()
	return u.in
}

// unitStart is one instance from its start to its end.
type unitStart struct {
	*Control
	endpoint resource.Endpoint
	host     *host
	unit     *unit
}

// run starts the instance, watches it, and returns when nothing of it runs any
// more, with the reason unless ctx ended.
func (s *unitStart) run(ctx context.Context) (reason string) {
	variant, model := s.variant()
	ctx, err := s.as(ctx, model.ExecutionRoleArn)
	if err != nil {
		return failureText(variant.Name, err)
	}
	room, err := s.takeRoom(ctx, variant)
	if err != nil {
		return failureText(variant.Name, err)
	}
	defer room.Release()
	b, err := s.blueprint(ctx, model)
	if err != nil {
		return failureText(variant.Name, err)
	}
	out, err := s.openUnitLogs(ctx, model)
	if err != nil {
		return failureText(variant.Name, err)
	}
	defer out.close()
	share := room.Instances()[0]
	in, err := b.b.Launch(ctx, fleet.Order{
		ID: s.unit.id, Env: s.environment, Output: out.container,
		Labels: map[string]string{
			"sagebrush.endpoint": s.endpoint.Name, "sagebrush.variant": variant.Name, "sagebrush.region": s.endpoint.Region,
		},
		Held: true,
		CPUs: share.CPUs, MemoryBytes: share.MemoryBytes, ShmBytes: shmOf(share.MemoryBytes), GPUs: gpuNames(share.GPUs),
		ReadyTimeout: startupTime(variant, s.StartupTimeout), MaxResponseBytes: s.MaxAnswerBytes,
	})
	if err != nil {
		return failureText(variant.Name, err)
	}
	// Its end must not deprive the container of its grace.
	defer func() {
		if err := in.Stop(context.WithoutCancel(ctx)); err != nil {
			s.Log.Warn("an instance did not stop cleanly", "endpoint", s.endpoint.Name, "error", err)
		}
	}()
	if err := in.WaitReady(ctx); err != nil {
		return failureText(variant.Name, err)
	}
	s.serves(in)
	return s.watch(ctx, in, b.volume, variant.Name)
}

// mask hides the values of the model's secret variables.
func (s *unitStart) mask() *joblog.Masker {
	_, model := s.variant()
	var all []map[string]string
	for _, c := range model.All() {
		all = append(all, c.Environment)
	}
	return newMasker(all...)
}

// variant finds what the instance is of.
func (s *unitStart) variant() (resource.ProductionVariant, resource.ModelSpec) {
	f := s.fleet()
	return configOf(f.Config, s.unit.group.Variant), f.Models[s.unit.group.Variant]
}

func (s *unitStart) fleet() *resource.Fleet {
	if f := fleetOf(s.endpoint, s.unit.group.Generation); f != nil {
		return f
	}
	return s.endpoint.Current
}

// fleetOf finds the fleet of a generation, nil when it is neither the current nor
// the pending one.
func fleetOf(e resource.Endpoint, generation int) *resource.Fleet {
	for _, f := range []*resource.Fleet{e.Pending, e.Current} {
		if f != nil && f.Generation == generation {
			return f
		}
	}
	return nil
}

// startupTime is how long the containers may take (CC-22).
func startupTime(v resource.ProductionVariant, usual time.Duration) time.Duration {
	if v.StartupTimeout > 0 {
		return v.StartupTimeout
	}
	return usual
}

// environment is what the platform sets under the model's own variables.
func (s *unitStart) environment(c resource.Container) map[string]string {
	env := map[string]string{"AWS_REGION": s.endpoint.Region, "AWS_DEFAULT_REGION": s.endpoint.Region}
	maps.Copy(env, c.Environment)
	return env
}

// blueprint gives what the group's instances are made of. The first to ask prepares
// it; after a failure the next one does so anew.
func (s *unitStart) blueprint(ctx context.Context, model resource.ModelSpec) (*blueprint, error) {
	g := s.unit.group
	s.host.mu.Lock()
	slot := s.host.blueprints[g]
	mine := slot == nil
	if mine {
		slot = &blueprint{ready: make(chan struct{})}
		s.host.blueprints[g] = slot
	}
	s.host.mu.Unlock()
	if mine {
		s.prepare(ctx, slot, model)
		close(slot.ready)
	}
	select {
	case <-slot.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if slot.err != nil {
		s.host.mu.Lock()
		if s.host.blueprints[g] == slot {
			delete(s.host.blueprints, g)
		}
		s.host.mu.Unlock()
	}
	return slot, slot.err
}

// prepare resolves the images, once for the fleet's life (EP-22).
func (s *unitStart) prepare(ctx context.Context, slot *blueprint, model resource.ModelSpec) {
	g := s.unit.group
	defer func() {
		if slot.err != nil {
			s.closeVolume(slot.volume)
		}
	}()
	needs := fleet.Needs{Model: model, Pinned: s.pinned(ctx), Writable: s.endpoint.TagValue(writableTag) == "true"}
	if slot.volume, slot.err = s.openVolume(ctx, s.endpoint.Region, newVolumeID(), s.fleet().Config.KmsKeyID); slot.err != nil {
		return
	}
	if slot.volume != nil {
		s.Log.Info("an endpoint has a volume", "endpoint", s.endpoint.Name, "variant", g.Variant, "volume", slot.volume)
		needs.Sealed = slot.volume.Dir
	}
	if slot.b, slot.err = s.Fleet.Prepare(ctx, needs); slot.err != nil {
		return
	}
	slot.err = s.State.Update(ctx, func(tx *state.Tx) error {
		e, err := tx.Endpoint(s.endpoint.Key)
		if err != nil {
			return err
		}
		return s.applyEndpoint(tx, e, resource.VariantResolved{Generation: g.Generation, Variant: g.Variant, Images: slot.b.Images()})
	})
	if slot.err != nil {
		slot.b.Release()
	}
}

// pinned are the images that were resolved before, as the row has them now.
func (s *unitStart) pinned(ctx context.Context) []resource.DeployedImage {
	e, _, err := s.DescribeEndpoint(ctx, s.endpoint.Key)
	if err != nil {
		return nil
	}
	for _, f := range []*resource.Fleet{e.Current, e.Pending} {
		if f != nil && f.Generation == s.unit.group.Generation {
			if v := f.Find(s.unit.group.Variant); v != nil {
				return v.Images
			}
		}
	}
	return nil
}

// serves makes the instance ready for requests.
func (s *unitStart) serves(in *fleet.Instance) {
	s.host.mu.Lock()
	if s.unit.state == endpoint.Starting {
		s.unit.state, s.unit.in = endpoint.Ready, router.NewInstance(in)
		s.host.failures[s.unit.group] = 0
	}
	s.host.mu.Unlock()
	s.loop.Add(s.endpoint.Key.Folded())
}

// How often an instance that serves is pinged, and after how many failures in a row
// it is replaced.
const (
	healthInterval = 5 * time.Second
	healthFailures = 3
)

// watch returns when the instance has ended, has stopped answering, has too much on
// its volume, or ctx has ended.
func (s *unitStart) watch(ctx context.Context, in *fleet.Instance, v *volume.Volume, variant string) (reason string) {
	var over <-chan struct{}
	if v != nil {
		over = v.Over()
	}
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	missed, leaving := 0, in.Leaving()
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-leaving:
			leaving = nil // once
			s.leaves(in.ID)
			continue
		case <-in.Exited():
			name, exit, tail := in.Ended()
			s.lost(exit.Lost)
			return fmt.Sprintf("The %s container for production variant %s %s.%s", name, variant, exit, lastLines(tail))
		case <-over:
			return failureText(variant, errOver(v))
		case <-tick.C:
		}
		if in.Healthy(ctx) {
			missed = 0
			continue
		}
		if missed++; missed == healthFailures && ctx.Err() == nil {
			s.sick(variant)
		}
	}
}

// leaves has the instance replaced because its runtime wants it gone (EP-4).
func (s *unitStart) leaves(id string) {
	s.Log.Info("an instance is to leave and is replaced", "endpoint", s.endpoint.Name, "variant", s.unit.group.Variant, "instance", id)
	s.host.mu.Lock()
	s.unit.leaving = true
	s.host.mu.Unlock()
	s.loop.Add(s.endpoint.Key.Folded())
}

// lost notes whether it was the runtime that took the instance away.
func (s *unitStart) lost(is bool) {
	s.host.mu.Lock()
	s.unit.lost = is
	s.host.mu.Unlock()
}

// sick has the instance replaced: it stays until it is told to stop.
func (s *unitStart) sick(variant string) {
	s.host.mu.Lock()
	if s.unit.state == endpoint.Ready {
		s.unit.state = endpoint.Sick
		s.unit.reason = fmt.Sprintf("An instance of production variant %s stopped answering pings.", variant)
	}
	s.host.mu.Unlock()
	s.loop.Add(s.endpoint.Key.Folded())
}

// failureText is why an instance never served, in the words of EP-12.
func failureText(variant string, err error) string {
	var ready *instance.ReadyError
	var several *fleet.NotReadyError
	switch {
	case errors.As(err, &several):
		return fmt.Sprintf("The containers %s for production variant %s did not pass the ping health check. Please check CloudWatch logs for this endpoint. %s",
			strings.Join(several.Containers, ", "), variant, several.Error())
	case errors.As(err, &ready):
		return fmt.Sprintf("The primary container for production variant %s did not pass the ping health check. Please check CloudWatch logs for this endpoint. %s",
			variant, ready.Story())
	}
	return startFailure(err).Detail()
}

// openUnitLogs opens the streams of the instance's containers (OB-21).
func (s *unitStart) openUnitLogs(ctx context.Context, model resource.ModelSpec) (*logs, error) {
	name := s.unit.group.Variant + "/i-" + strings.TrimPrefix(s.unit.id, "endpoint-")[:17]
	l, mask := &logs{}, s.mask()
	for k := range model.All() {
		stream := name
		if len(model.Containers) > 0 {
			stream += "/" + model.ContainerName(k)
		}
		w, err := s.createLog(ctx, joblog.EndpointName(s.endpoint.Key), stream, s.fleet().Config.KmsKeyID)
		if err != nil {
			l.close()
			return nil, err
		}
		l.add(mask, w, time.Time{})
	}
	return l, nil
}
