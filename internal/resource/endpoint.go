package resource

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// EndpointStatus is a status of the API (EP-1 to EP-9).
type EndpointStatus string

// Every status: the eight of the seed, and the one that came later (SD-3).
const (
	EndpointCreating             EndpointStatus = "Creating"
	EndpointInService            EndpointStatus = "InService"
	EndpointUpdating             EndpointStatus = "Updating"
	EndpointSystemUpdating       EndpointStatus = "SystemUpdating"
	EndpointRollingBack          EndpointStatus = "RollingBack"
	EndpointOutOfService         EndpointStatus = "OutOfService"
	EndpointDeleting             EndpointStatus = "Deleting"
	EndpointFailed               EndpointStatus = "Failed"
	EndpointUpdateRollbackFailed EndpointStatus = "UpdateRollbackFailed"
)

// Busy reports a status in which the endpoint takes no change (CP-53).
func (s EndpointStatus) Busy() bool {
	switch s {
	case EndpointCreating, EndpointUpdating, EndpointSystemUpdating, EndpointRollingBack, EndpointDeleting:
		return true
	}
	return false
}

// Serves reports a status in which requests are let through (EP-2 to EP-9).
func (s EndpointStatus) Serves() bool {
	switch s {
	case EndpointInService, EndpointUpdating, EndpointSystemUpdating, EndpointRollingBack, EndpointUpdateRollbackFailed:
		return true
	}
	return false
}

// Endpoint is a stored endpoint: what is wanted, and how far it has come. What
// its instances do at the moment is not stored; whoever runs them looks.
type Endpoint struct {
	Meta
	Status        EndpointStatus
	FailureReason string
	// Current serves, nil before the first deployment was done.
	Current *Fleet
	// Pending is what a creation or an update builds, nil otherwise.
	Pending *Fleet `json:",omitempty"`
	// Change is the operation under way, nil when there is none.
	Change *Change `json:",omitempty"`
	// LastDeployment is how the last deployment was or is carried out.
	LastDeployment *DeploymentConfig `json:",omitempty"`
	// Instances are those that the endpoint owns: started, being started, or to be
	// stopped. An instance is written here before it is started, and goes only when
	// nothing of it runs.
	Instances []EndpointInstance
	// Epoch counts the platform's replacements; instances of an older one are to be
	// replaced.
	Epoch int
	// Generation counts the fleets; the newest has this number.
	Generation int
}

// Fleet is an endpoint configuration as it is deployed, with everything that it
// takes to run it: the configuration and the models may be deleted (CP-45).
type Fleet struct {
	Generation int
	ConfigName string
	Config     EndpointConfigSpec
	Models     map[string]ModelSpec // by the variant's name, shadows included
	Variants   []FleetVariant
	Shadows    []FleetVariant `json:",omitempty"`
	Started    time.Time
}

// FleetVariant is a variant of a fleet with what may change while it serves.
type FleetVariant struct {
	Name string
	// Images are resolved once, when the fleet's first instance is prepared (EP-22).
	Images []DeployedImage `json:",omitempty"`
	// Weight is the desired one, Effective what traffic goes by (EP-23).
	Weight, Effective float64
	// Count is the desired number of instances.
	Count int
}

// All gives production variants and shadows.
func (f *Fleet) All() []*FleetVariant {
	var all []*FleetVariant
	for i := range f.Variants {
		all = append(all, &f.Variants[i])
	}
	for i := range f.Shadows {
		all = append(all, &f.Shadows[i])
	}
	return all
}

// Find gives a variant by name, shadows included, or nil.
func (f *Fleet) Find(name string) *FleetVariant {
	for _, v := range f.All() {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// clone copies what Apply changes.
func (f *Fleet) clone() *Fleet {
	if f == nil {
		return nil
	}
	c := *f
	c.Variants, c.Shadows = slices.Clone(f.Variants), slices.Clone(f.Shadows)
	return &c
}

// EndpointInstance is one instance that an endpoint owns.
type EndpointInstance struct {
	ID         string
	Generation int
	Variant    string
	Epoch      int
}

// ChangeKind is what a Change does.
type ChangeKind string

// The kinds.
const (
	ChangeCreate ChangeKind = "create" // the first deployment
	ChangeDeploy ChangeKind = "deploy" // UpdateEndpoint
	ChangeScale  ChangeKind = "scale"  // UpdateEndpointWeightsAndCapacities, autoscaling
)

// Change is an operation under way.
type Change struct {
	Kind    ChangeKind
	Started time.Time
	// Share is the part of the traffic, 0 to 1, that Pending has; StepAt is when it
	// got it.
	Share  float64
	StepAt time.Time
	// Previous are the variants to go back to when a scaling fails.
	Previous []FleetVariant `json:",omitempty"`
	// Reason is why the endpoint rolls back.
	Reason string `json:",omitempty"`
}

// DeploymentConfig is how a new fleet takes over (EP-42, EP-43).
type DeploymentConfig struct {
	BlueGreen *BlueGreen `json:",omitempty"`
	Rolling   *Rolling   `json:",omitempty"`
	Alarms    []string   `json:",omitempty"`
	// AutoRollback says that AutoRollbackConfiguration was sent.
	AutoRollback bool `json:",omitempty"`
}

// TrafficType is how traffic moves to the new fleet.
type TrafficType string

// The types.
const (
	AllAtOnce TrafficType = "ALL_AT_ONCE"
	Canary    TrafficType = "CANARY"
	Linear    TrafficType = "LINEAR"
)

// BlueGreen builds a whole new fleet beside the old one.
type BlueGreen struct {
	Type            TrafficType
	Wait            int       // seconds of baking after each step
	Canary, Linear  *Capacity `json:",omitempty"`
	TerminationWait *int      `json:",omitempty"` // seconds
	MaxExecution    *int      `json:",omitempty"` // seconds
}

// Rolling replaces a part of the fleet at a time.
type Rolling struct {
	Batch         Capacity
	Wait          int       // seconds of baking after each batch
	RollbackBatch *Capacity `json:",omitempty"`
	MaxExecution  *int      `json:",omitempty"` // seconds
}

// Capacity is a part of a fleet.
type Capacity struct {
	Percent bool
	Value   int
}

// Of gives the capacity as a part of n instances, over 0 and at most 1.
func (c Capacity) Of(n int) float64 {
	if c.Percent {
		return math.Min(1, float64(c.Value)/100)
	}
	return math.Min(1, float64(c.Value)/math.Max(1, float64(n)))
}

// EndpointEvent is something that happened to an endpoint. Apply is the only place
// where its status changes.
type EndpointEvent interface{ endpointEvent() }

type (
	// UpdateAsked is UpdateEndpoint.
	UpdateAsked struct {
		Fleet      Fleet
		Deployment DeploymentConfig
	}
	// ScaleAsked is UpdateEndpointWeightsAndCapacities, or a step of autoscaling:
	// variants by name.
	ScaleAsked struct{ Variants []FleetVariant }
	// Resized changes a count without being a change of the endpoint: an instance is
	// woken, or put to sleep.
	Resized struct {
		Variant string
		Count   int
	}
	// VariantResolved says which images a variant runs.
	VariantResolved struct {
		Generation int
		Variant    string
		Images     []DeployedImage
	}
	// InstancesOrdered and InstancesGone change what the endpoint owns.
	InstancesOrdered struct{ Instances []EndpointInstance }
	InstancesGone    struct{ IDs []string }
	// TrafficMoved gives Pending a part of the traffic.
	TrafficMoved struct{ Share float64 }
	// Deployed says that Pending has taken over.
	Deployed struct{}
	// ScaleDone says that weights and counts are as they were asked for.
	ScaleDone struct{}
	// CreateBroke says that the first deployment failed.
	CreateBroke struct{ Reason string }
	// RollbackBegan, RolledBack and RollbackBroke tell of an update that failed.
	RollbackBegan struct{ Reason string }
	RolledBack    struct{}
	RollbackBroke struct{ Reason string }
	// MaintenanceBegan says that the platform replaces instances: all of them, or
	// only those that a restart has lost, or that their runtime wants gone.
	MaintenanceBegan struct{ ReplaceAll bool }
	MaintenanceDone  struct{}
	// ServiceLost and ServiceHealed tell whether any instance can serve.
	ServiceLost   struct{ Reason string }
	ServiceHealed struct{}
	// DeleteAsked is DeleteEndpoint; Force is allowed in every status.
	DeleteAsked struct{ Force bool }
)

func (UpdateAsked) endpointEvent()      {}
func (ScaleAsked) endpointEvent()       {}
func (Resized) endpointEvent()          {}
func (VariantResolved) endpointEvent()  {}
func (InstancesOrdered) endpointEvent() {}
func (InstancesGone) endpointEvent()    {}
func (TrafficMoved) endpointEvent()     {}
func (Deployed) endpointEvent()         {}
func (ScaleDone) endpointEvent()        {}
func (CreateBroke) endpointEvent()      {}
func (RollbackBegan) endpointEvent()    {}
func (RolledBack) endpointEvent()       {}
func (RollbackBroke) endpointEvent()    {}
func (MaintenanceBegan) endpointEvent() {}
func (MaintenanceDone) endpointEvent()  {}
func (ServiceLost) endpointEvent()      {}
func (ServiceHealed) endpointEvent()    {}
func (DeleteAsked) endpointEvent()      {}

// IllegalMoveError is an event that the endpoint's status does not allow.
type IllegalMoveError struct {
	Endpoint string
	Status   EndpointStatus
	Event    EndpointEvent
}

// Error names the endpoint, its status and the event.
func (e *IllegalMoveError) Error() string {
	return fmt.Sprintf("endpoint %s is %s and takes no %T", e.Endpoint, e.Status, e.Event)
}
