package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/endpoint"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/router"
)

// EndpointProgress is how far an endpoint has come: its row, and what its instances
// do at the moment.
type EndpointProgress struct {
	resource.Endpoint
	// Variants are those of the fleet that serves, then those of the one that is
	// being built.
	Variants []VariantProgress
	// Traffic has the sums of each variant that requests can reach, by name: the
	// fleets of one name together.
	Traffic []router.Stats
}

// VariantProgress is one variant of one fleet.
type VariantProgress struct {
	resource.FleetVariant
	ConfigName      string
	Pending, Shadow bool
	// Ready serve. Starting are on their way, Sick are to be replaced, Stopping are
	// ending, and Waiting are in the row and not looked at yet.
	Ready, Starting, Sick, Stopping, Waiting int
	// Failures is how many starts in a row have failed, RetryAt when the next may
	// begin, and LastFailure why the last one did.
	Failures    int
	RetryAt     time.Time
	LastFailure string
	// Step is what those that start are waiting for, "" for their containers.
	Step string
}

// EndpointProgress reads an endpoint and looks at its instances.
func (c *Control) EndpointProgress(ctx context.Context, key resource.Key) (p EndpointProgress, err error) {
	p.Endpoint, _, err = c.DescribeEndpoint(ctx, key)
	if err != nil {
		return p, err
	}
	o := c.hosting.of(p.Key.Folded())
	for _, f := range []*resource.Fleet{p.Current, p.Pending} {
		if f == nil {
			continue
		}
		for _, v := range f.All() {
			one := o.progress(p.Instances, endpoint.Group{Generation: f.Generation, Variant: v.Name})
			one.FleetVariant, one.ConfigName, one.Pending = *v, f.ConfigName, f == p.Pending
			one.Shadow = slices.ContainsFunc(f.Shadows, func(s resource.FleetVariant) bool { return s.Name == v.Name })
			if room := c.Capacity.Waiting(roomOf(p.Endpoint, v.Name)); room != "" && one.Starting > 0 {
				one.Step = room
			}
			p.Variants = append(p.Variants, one)
			if s, ok := c.Router.Stats(p.Region, p.Name, v.Name); ok && !slices.ContainsFunc(p.Traffic, func(t router.Stats) bool { return t.Variant == v.Name }) {
				p.Traffic = append(p.Traffic, s)
			}
		}
	}
	return p, nil
}

// progress counts the instances of a group.
func (o *host) progress(owned []resource.EndpointInstance, g endpoint.Group) (p VariantProgress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, i := range owned {
		if i.Generation != g.Generation || i.Variant != g.Variant {
			continue
		}
		u := o.units[i.ID]
		if u == nil {
			p.Waiting++
			continue
		}
		switch u.state {
		case endpoint.Starting:
			p.Starting++
		case endpoint.Ready:
			p.Ready++
		case endpoint.Sick:
			p.Sick++
		case endpoint.Stopping:
			p.Stopping++
		}
	}
	p.Failures, p.RetryAt = o.failures[g], o.retryAt[g]
	if p.Failures > 0 {
		p.LastFailure = o.reasons[g]
	}
	if b := o.blueprints[g]; b != nil && p.Starting > 0 {
		select {
		case <-b.ready:
		default:
			p.Step = "fetches the image and the model data"
		}
	}
	return p
}

// WhyEndpoint says what an endpoint waits for or does now, in one sentence or
// several.
func (c *Control) WhyEndpoint(ctx context.Context, key resource.Key) (resource.Endpoint, []string, error) {
	p, err := c.EndpointProgress(ctx, key)
	if err != nil {
		return p.Endpoint, nil, err
	}
	return p.Endpoint, p.why(c.Now()), nil
}

// why makes the sentences.
func (p EndpointProgress) why(now time.Time) []string {
	parts := p.doing(now)
	for _, v := range p.Variants {
		parts = append(parts, v.why(p.Status, now)...)
	}
	if p.FailureReason != "" && p.Status == resource.EndpointInService {
		parts = append(parts, "its last change was rolled back: "+p.FailureReason)
	}
	return parts
}

// doing says what the endpoint as a whole is about.
func (p EndpointProgress) doing(now time.Time) []string {
	switch p.Status {
	case resource.EndpointFailed:
		return []string{"it failed, and can only be deleted: " + p.FailureReason}
	case resource.EndpointDeleting:
		return []string{fmt.Sprintf("it is being deleted; %s to end", left(len(p.Instances)))}
	case resource.EndpointUpdateRollbackFailed:
		return []string{"it serves with a mix of old and new instances until it is updated again: " + p.FailureReason}
	case resource.EndpointOutOfService:
		return []string{"no instance can serve, and it heals by itself when one can: " + p.FailureReason}
	case resource.EndpointSystemUpdating:
		return []string{fmt.Sprintf("the platform replaces its instances; %d of the old ones are left, and requests are served meanwhile", p.outdated())}
	case resource.EndpointRollingBack:
		return []string{"it goes back to what it was: " + p.Change.Reason}
	case resource.EndpointCreating:
		return []string{"it is being created"}
	case resource.EndpointUpdating:
		if p.Change.Kind == resource.ChangeScale {
			return []string{"its weights and instance counts are being changed"}
		}
		return p.deploying(now)
	}
	flying := int64(0)
	for _, t := range p.Traffic {
		flying += t.InFlight
	}
	return []string{fmt.Sprintf("it serves, and %d requests are under way", flying)}
}

// deploying says how an update goes on.
func (p EndpointProgress) deploying(now time.Time) []string {
	parts := []string{fmt.Sprintf("it moves to the configuration %s, which has %.0f percent of the traffic", p.Pending.ConfigName, 100*p.Change.Share)}
	if until := p.baked(); p.Change.Share > 0 && until.After(now) {
		parts = append(parts, fmt.Sprintf("it is watched with that much for %s more", until.Sub(now).Round(time.Second)))
	}
	return parts
}

// baked is when the step that was taken last has been watched for long enough.
func (p EndpointProgress) baked() time.Time {
	wait := 0
	switch d := p.LastDeployment; {
	case d == nil:
	case d.Rolling != nil:
		wait = d.Rolling.Wait
	case d.BlueGreen != nil:
		wait = d.BlueGreen.Wait
		if d.BlueGreen.TerminationWait != nil && p.Change.Share == 1 {
			wait += *d.BlueGreen.TerminationWait
		}
	}
	return p.Change.StepAt.Add(time.Duration(wait) * time.Second)
}

// outdated counts the instances that maintenance has not replaced yet.
func (p EndpointProgress) outdated() (n int) {
	for _, i := range p.Instances {
		if i.Epoch < p.Epoch {
			n++
		}
	}
	return n
}

// left says how many instances there are.
func left(n int) string {
	if n == 1 {
		return "1 instance is left"
	}
	return fmt.Sprintf("%d instances are left", n)
}

// why says what a variant lacks and waits for; nothing when it lacks nothing.
func (v VariantProgress) why(status resource.EndpointStatus, now time.Time) (parts []string) {
	if status == resource.EndpointDeleting || status == resource.EndpointFailed {
		return nil
	}
	name := "variant " + v.Name
	if v.Pending {
		name += " of " + v.ConfigName
	}
	if v.Count == 0 && v.Ready+v.Starting == 0 {
		return []string{name + " has no instance, and is woken by a request where it may sleep"}
	}
	if v.Ready < v.Count {
		text := fmt.Sprintf("%s: %d of %d instances are ready", name, v.Ready, v.Count)
		switch {
		case v.Starting > 0 && v.Step != "":
			text += fmt.Sprintf(", %d starting: it %s", v.Starting, v.Step)
		case v.Starting > 0:
			text += fmt.Sprintf(", %d starting: they have not answered a ping yet", v.Starting)
		}
		parts = append(parts, text)
	}
	if v.Sick+v.Stopping > 0 {
		parts = append(parts, fmt.Sprintf("%s: %d instances are ending", name, v.Sick+v.Stopping))
	}
	if v.Failures > 0 && v.Ready < v.Count {
		text := fmt.Sprintf("%s: %d starts in a row have failed, the last because: %s", name, v.Failures, v.LastFailure)
		if v.RetryAt.After(now) {
			text += fmt.Sprintf(" The next one begins in %s.", v.RetryAt.Sub(now).Round(time.Second))
		}
		parts = append(parts, text)
	}
	return parts
}
