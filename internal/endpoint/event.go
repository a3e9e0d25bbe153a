package endpoint

import (
	"math"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// event is what the observation makes of the row, nil for nothing.
func (p *planner) event() resource.EndpointEvent {
	switch p.e.Status {
	case resource.EndpointCreating:
		return p.creating()
	case resource.EndpointUpdating:
		if p.e.Change.Kind == resource.ChangeScale {
			return p.scaling()
		}
		return p.deploying()
	case resource.EndpointRollingBack:
		return p.rollingBack()
	case resource.EndpointSystemUpdating:
		return p.maintaining()
	case resource.EndpointInService:
		return p.serving()
	case resource.EndpointOutOfService:
		if p.canServe() {
			return resource.ServiceHealed{}
		}
	}
	return nil
}

// creating waits for the first fleet (EP-1).
func (p *planner) creating() resource.EndpointEvent {
	if why := p.broken(p.e.Pending); why != "" {
		return resource.CreateBroke{Reason: why}
	}
	if p.complete(p.e.Pending) {
		return resource.Deployed{}
	}
	if p.overdue(p.e.Change.Started.Add(creationPatience)) {
		return resource.CreateBroke{Reason: tooLong("creation of the endpoint", creationPatience)}
	}
	return nil
}

// scaling waits for the counts that were asked for (EP-23), and goes back when an
// instance cannot be had (EP-5).
func (p *planner) scaling() resource.EndpointEvent {
	if why := p.broken(p.e.Current); why != "" {
		return resource.RollbackBegan{Reason: why}
	}
	for _, v := range p.e.Current.All() {
		t := p.of(Group{p.e.Current.Generation, v.Name})
		if t.ready < v.Count || t.all()+t.busy > v.Count {
			if p.overdue(p.e.Change.Started.Add(Patience)) {
				return resource.RollbackBegan{Reason: tooLong("change of instance counts", Patience)}
			}
			return nil
		}
	}
	return resource.ScaleDone{}
}

// deploying moves the endpoint to its new fleet (EP-40 to EP-44).
func (p *planner) deploying() resource.EndpointEvent {
	d := p.e.LastDeployment
	if d == nil {
		d = &resource.DeploymentConfig{}
	}
	if why := p.broken(p.e.Pending); why != "" {
		return resource.RollbackBegan{Reason: why}
	}
	if p.seen.Guard != "" {
		return resource.RollbackBegan{Reason: p.seen.Guard}
	}
	if limit := maxExecution(*d); p.overdue(p.e.Change.Started.Add(limit)) {
		return resource.RollbackBegan{Reason: tooLong("update of the endpoint", limit)}
	}
	if d.Rolling != nil && p.e.Current != nil {
		return p.rolling(d.Rolling)
	}
	if !p.complete(p.e.Pending) {
		return nil
	}
	return p.blueGreen(d.BlueGreen)
}

func maxExecution(d resource.DeploymentConfig) time.Duration {
	var sent *int
	if d.BlueGreen != nil {
		sent = d.BlueGreen.MaxExecution
	}
	if d.Rolling != nil {
		sent = d.Rolling.MaxExecution
	}
	if sent == nil {
		return Patience
	}
	return seconds(*sent)
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// blueGreen gives the new fleet, which is whole, its traffic step by step. After
// the last step it bakes, then the old fleet waits for its end.
func (p *planner) blueGreen(b *resource.BlueGreen) resource.EndpointEvent {
	if b == nil {
		b = &resource.BlueGreen{Type: resource.AllAtOnce}
	}
	share := p.e.Change.Share
	baked := p.e.Change.StepAt.Add(seconds(b.Wait))
	if share == 0 {
		return resource.TrafficMoved{Share: p.step(b, 0)}
	}
	if share < 1 {
		if p.overdue(baked) {
			return resource.TrafficMoved{Share: p.step(b, share)}
		}
		return nil
	}
	if b.TerminationWait != nil {
		baked = baked.Add(seconds(*b.TerminationWait))
	}
	if p.overdue(baked) {
		return resource.Deployed{}
	}
	return nil
}

// step is the share after the next step.
func (p *planner) step(b *resource.BlueGreen, share float64) float64 {
	total := 0
	for _, v := range p.e.Pending.Variants {
		total += v.Count
	}
	switch {
	case b.Type == resource.Canary && b.Canary != nil && share == 0:
		return b.Canary.Of(total)
	case b.Type == resource.Linear && b.Linear != nil:
		return math.Min(1, share+b.Linear.Of(total))
	}
	return 1
}

// rolling takes the next batch when the last one is ready and has baked (EP-43).
func (p *planner) rolling(r *resource.Rolling) resource.EndpointEvent {
	if p.e.Change.Share > 0 && !p.overdue(p.e.Change.StepAt.Add(seconds(r.Wait))) {
		return nil
	}
	if p.e.Change.Share == 1 {
		return resource.Deployed{}
	}
	target := p.target()
	for _, v := range p.e.Pending.All() {
		if p.of(Group{p.e.Pending.Generation, v.Name}).ready < ceil(v.Count, target) {
			return nil
		}
	}
	return resource.TrafficMoved{Share: target}
}

// rollingBack waits until the old fleet is whole and nothing of the new one is
// left (EP-5, EP-9).
func (p *planner) rollingBack() resource.EndpointEvent {
	if p.e.Current == nil {
		return nil
	}
	if !p.complete(p.e.Current) {
		if why := p.broken(p.e.Current); why != "" && p.e.Change.Kind == resource.ChangeDeploy && p.rollsBack() {
			return resource.RollbackBroke{Reason: why}
		}
		return nil
	}
	for g, t := range p.have {
		if g.Generation != p.e.Current.Generation && t.all()+t.busy > 0 {
			return nil
		}
		if v := p.e.Current.Find(g.Variant); g.Generation == p.e.Current.Generation && v != nil && t.all()+t.busy > v.Count {
			return nil
		}
	}
	return resource.RolledBack{}
}

// rollsBack reports whether the old fleet was taken apart and must be built again.
func (p *planner) rollsBack() bool {
	return p.e.LastDeployment != nil && p.e.LastDeployment.Rolling != nil
}

// maintaining ends when no instance is left to replace and all are ready again, or
// when too many replacements failed (EP-4).
func (p *planner) maintaining() resource.EndpointEvent {
	done := true
	for _, v := range p.e.Current.All() {
		g := Group{p.e.Current.Generation, v.Name}
		t := p.of(g)
		if p.seen.Failures[g] >= giveUpAfter {
			continue
		}
		if len(t.old) > 0 || t.ready < v.Count || t.busy > 0 {
			done = false
		}
	}
	if done {
		return resource.MaintenanceDone{}
	}
	return nil
}

// serving looks whether the endpoint still can (EP-6), and whether the platform has
// to replace instances: those that a restart of the server has left, to be taken over
// or started again, and those that their runtime wants gone (EP-4).
func (p *planner) serving() resource.EndpointEvent {
	if p.seen.Fresh && len(p.e.Instances) > 0 || p.vacates() {
		return resource.MaintenanceBegan{}
	}
	if p.canServe() || !p.hopeless() {
		return nil
	}
	why := "No instance of the endpoint can serve."
	if last := p.lastLoss(); last != "" {
		why += " " + last
	}
	return resource.ServiceLost{Reason: why}
}

// vacates reports whether an instance is to leave and its replacement has not been
// given up: after too many failures the endpoint waits in service for one to succeed.
func (p *planner) vacates() bool {
	for _, v := range p.e.Current.All() {
		g := Group{p.e.Current.Generation, v.Name}
		if p.of(g).leaving && p.seen.Failures[g] < giveUpAfter {
			return true
		}
	}
	return false
}

// canServe reports whether any instance serves, or none is wanted.
func (p *planner) canServe() bool {
	wanted := 0
	for _, v := range p.e.Current.Variants {
		wanted += v.Count
		if p.of(Group{p.e.Current.Generation, v.Name}).ready > 0 {
			return true
		}
	}
	return wanted == 0
}

// hopeless reports that the last instance was lost, not that the first is being
// woken: a variant that sleeps has no instance and is in service.
func (p *planner) hopeless() bool {
	for _, v := range p.e.Current.Variants {
		g := Group{p.e.Current.Generation, v.Name}
		if v.Count > 0 && (p.of(g).failed != "" || p.of(g).lost != "" || p.seen.Failures[g] > 0) {
			return true
		}
	}
	return false
}

// lastLoss is why the current fleet lost an instance, "" when that is not known.
func (p *planner) lastLoss() string {
	if why := p.broken(p.e.Current); why != "" {
		return why
	}
	for _, v := range p.e.Current.All() {
		if why := p.of(Group{p.e.Current.Generation, v.Name}).lost; why != "" {
			return why
		}
	}
	return ""
}
