package resource

import (
	"slices"
	"time"
)

// NewEndpoint is an endpoint at its creation.
func NewEndpoint(meta Meta, f Fleet, d *DeploymentConfig) Endpoint {
	f.Generation, f.Started = 1, meta.Created
	return Endpoint{
		Meta: meta, Status: EndpointCreating, Pending: &f, Generation: 1, LastDeployment: d,
		Change: &Change{Kind: ChangeCreate, Started: meta.Created, StepAt: meta.Created},
	}
}

// EndpointMoves is every legal move between two statuses. A move that is not here
// never happens; Apply and the drawing in ARCHITECTURE.md follow it. Deleting ends
// with the row, and is reached from everywhere by force.
var EndpointMoves = map[EndpointStatus][]EndpointStatus{
	EndpointCreating:             {EndpointInService, EndpointFailed, EndpointDeleting},
	EndpointInService:            {EndpointUpdating, EndpointSystemUpdating, EndpointOutOfService, EndpointDeleting},
	EndpointUpdating:             {EndpointInService, EndpointRollingBack, EndpointDeleting},
	EndpointSystemUpdating:       {EndpointInService, EndpointDeleting},
	EndpointRollingBack:          {EndpointInService, EndpointUpdateRollbackFailed, EndpointDeleting},
	EndpointOutOfService:         {EndpointInService, EndpointUpdating, EndpointDeleting},
	EndpointUpdateRollbackFailed: {EndpointUpdating, EndpointDeleting},
	EndpointFailed:               {EndpointDeleting},
	EndpointDeleting:             {},
}

// Apply returns the endpoint as it is after an event. An event that the status
// does not allow is an *IllegalMoveError and leaves the endpoint as it was.
func (e Endpoint) Apply(event EndpointEvent, at time.Time) (Endpoint, error) {
	before := e
	e.Current, e.Pending = e.Current.clone(), e.Pending.clone()
	if e.Change != nil {
		c := *e.Change
		e.Change = &c
	}
	if !e.take(event, at) {
		return before, &IllegalMoveError{Endpoint: e.Name, Status: before.Status, Event: event}
	}
	if e.Status != before.Status && !slices.Contains(EndpointMoves[before.Status], e.Status) {
		return before, &IllegalMoveError{Endpoint: e.Name, Status: before.Status, Event: event}
	}
	if e.Status != before.Status { // EP-13
		e.Modified = at
	}
	return e, nil
}

// take changes the endpoint, or reports false when its status does not allow it.
func (e *Endpoint) take(event EndpointEvent, at time.Time) bool {
	switch v := event.(type) {
	case InstancesOrdered:
		e.Instances = append(slices.Clone(e.Instances), v.Instances...)
		return e.Status != EndpointDeleting && e.Status != EndpointFailed
	case InstancesGone:
		e.Instances = slices.DeleteFunc(slices.Clone(e.Instances), func(i EndpointInstance) bool { return slices.Contains(v.IDs, i.ID) })
		return true
	case VariantResolved:
		return e.resolve(v)
	case UpdateAsked, ScaleAsked, DeleteAsked, Resized:
		return e.ask(event, at)
	case MaintenanceBegan, MaintenanceDone, ServiceLost, ServiceHealed:
		return e.keep(event)
	}
	return e.progress(event, at)
}

// resolve keeps the first answer for each variant (EP-22).
func (e *Endpoint) resolve(v VariantResolved) bool {
	for _, f := range []*Fleet{e.Current, e.Pending} {
		if f == nil || f.Generation != v.Generation {
			continue
		}
		if variant := f.Find(v.Variant); variant != nil && variant.Images == nil {
			variant.Images = v.Images
		}
	}
	return true
}

// ask is what users ask for.
func (e *Endpoint) ask(event EndpointEvent, at time.Time) bool {
	switch v := event.(type) {
	case DeleteAsked:
		if e.Status.Busy() && !v.Force {
			return false
		}
		e.Status, e.Change = EndpointDeleting, nil
		if e.Current != nil { // else it names the configuration, which is always there (EP-20)
			e.Pending = nil
		}
	case UpdateAsked:
		if e.Status.Busy() || e.Status == EndpointFailed {
			return false
		}
		e.Generation++
		v.Fleet.Generation, v.Fleet.Started = e.Generation, at
		e.Status, e.Pending, e.FailureReason = EndpointUpdating, &v.Fleet, ""
		e.LastDeployment = &v.Deployment
		e.Change = &Change{Kind: ChangeDeploy, Started: at, StepAt: at}
	case ScaleAsked:
		if e.Status != EndpointInService && e.Status != EndpointOutOfService {
			return false
		}
		e.Change = &Change{Kind: ChangeScale, Started: at, StepAt: at, Previous: slices.Clone(e.Current.Variants)}
		e.Status, e.FailureReason = EndpointUpdating, ""
		for _, want := range v.Variants {
			if have := e.Current.Find(want.Name); have != nil {
				have.Weight, have.Count = want.Weight, want.Count
			}
		}
	case Resized:
		if e.Current == nil || e.Status == EndpointDeleting || e.Status == EndpointFailed {
			return false
		}
		if have := e.Current.Find(v.Variant); have != nil {
			have.Count = v.Count
		}
	}
	return true
}

// keep is what happens to an endpoint that nobody changes.
func (e *Endpoint) keep(event EndpointEvent) bool {
	switch v := event.(type) {
	case MaintenanceBegan:
		if e.Status != EndpointInService {
			return false
		}
		e.Status = EndpointSystemUpdating
		if v.ReplaceAll {
			e.Epoch++
		}
	case MaintenanceDone:
		if e.Status != EndpointSystemUpdating {
			return false
		}
		e.Status = EndpointInService
		e.Instances = slices.Clone(e.Instances)
		for i := range e.Instances { // those that could not be replaced stay
			e.Instances[i].Epoch = e.Epoch
		}
	case ServiceLost:
		if e.Status != EndpointInService {
			return false
		}
		e.Status, e.FailureReason = EndpointOutOfService, clip(v.Reason, MaxFailureReason)
	case ServiceHealed:
		if e.Status != EndpointOutOfService {
			return false
		}
		e.Status, e.FailureReason = EndpointInService, ""
	}
	return true
}

// progress is how a change goes on.
func (e *Endpoint) progress(event EndpointEvent, at time.Time) bool {
	if e.Change == nil {
		return false
	}
	switch v := event.(type) {
	case TrafficMoved:
		if e.Status != EndpointUpdating || e.Pending == nil || v.Share < 0 || v.Share > 1 {
			return false
		}
		e.Change.Share, e.Change.StepAt = v.Share, at
	case Deployed:
		if e.Status != EndpointCreating && e.Status != EndpointUpdating || e.Pending == nil {
			return false
		}
		e.Current, e.Pending, e.Change, e.Status = e.Pending, nil, nil, EndpointInService
	case ScaleDone:
		if e.Status != EndpointUpdating || e.Change.Kind != ChangeScale {
			return false
		}
		e.settleWeights()
		e.Change, e.Status = nil, EndpointInService
	case CreateBroke:
		if e.Status != EndpointCreating {
			return false
		}
		// What was to be built stays, for whoever describes the endpoint; none of it runs.
		e.Status, e.FailureReason, e.Change = EndpointFailed, clip(v.Reason, MaxFailureReason), nil
	case RollbackBegan:
		if e.Status != EndpointUpdating {
			return false
		}
		e.beginRollback(v.Reason, at)
	case RolledBack, RollbackBroke:
		return e.endRollback(event)
	default:
		return false
	}
	return true
}

// settleWeights makes the desired weights those that traffic goes by.
func (e *Endpoint) settleWeights() {
	for _, v := range e.Current.All() {
		v.Effective = v.Weight
	}
}

func (e *Endpoint) beginRollback(reason string, at time.Time) {
	e.Status, e.Change.Reason, e.Change.StepAt = EndpointRollingBack, clip(reason, MaxFailureReason), at
	if e.Change.Kind != ChangeScale {
		return
	}
	for _, old := range e.Change.Previous {
		if v := e.Current.Find(old.Name); v != nil {
			v.Weight, v.Count = old.Weight, old.Count
		}
	}
}

// endRollback ends a rollback: what was current serves as before, or a mix of old
// and new does (EP-9, EP-11).
func (e *Endpoint) endRollback(event EndpointEvent) bool {
	if e.Status != EndpointRollingBack {
		return false
	}
	e.FailureReason = e.Change.Reason
	e.Status = EndpointInService
	if broke, ok := event.(RollbackBroke); ok {
		e.Status = EndpointUpdateRollbackFailed
		e.FailureReason = clip(e.Change.Reason+" Then the rollback failed: "+broke.Reason, MaxFailureReason)
	} else {
		e.Pending = nil
	}
	e.Change = nil
	return true
}
