package transform

import (
	"fmt"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Observation is what the controller sees of a job beside its row.
type Observation struct {
	// Running reports that a run of this job is under way in this process.
	Running bool
	// Ended is the result of a run that has ended, nil when there is none.
	Ended *Result
}

// Result is how a run ended.
type Result struct {
	// Objects were listed, Failed of them failed.
	Objects, Failed int64
	// Worst is the failure that the job's FailureReason tells (BT-92), nil when all
	// objects succeeded.
	Worst *Failure
}

// Action is something that the controller does.
type Action int

// The actions.
const (
	// Nothing to do: the job is over, or its run will say when it is.
	Nothing Action = iota
	// Run the job, from the start or from where an earlier server left it.
	Run
	// Halt the run that is under way: its user asked for it.
	Halt
)

// Decision is what to do for a job: an action, or an event for its row, or
// neither.
type Decision struct {
	Action Action
	Event  resource.TransformEvent
}

// Plan decides what a job needs next. It is pure and may be asked again at any
// time: the same row and the same observation give the same decision.
func Plan(j resource.TransformJob, seen Observation) Decision {
	switch {
	case j.Status.Terminal():
		return Decision{}
	case j.Status == resource.JobStopping && seen.Running:
		return Decision{Action: Halt}
	case j.Status == resource.JobStopping:
		return Decision{Event: resource.TransformHalted{}}
	case seen.Running:
		return Decision{}
	case seen.Ended != nil:
		return Decision{Event: ending(*seen.Ended)}
	}
	return Decision{Action: Run}
}

// ending is the event that a run's result makes of its job (BT-35).
func ending(r Result) resource.TransformEvent {
	if r.Worst == nil {
		return resource.TransformFinished{}
	}
	return resource.TransformBroke{Reason: r.Reason()}
}

// Reason is the FailureReason of a failed run: AWS's wording (BT-91), then how
// many objects failed, then what is known of the worst.
func (r Result) Reason() string {
	if r.Worst.Whole != "" {
		return r.Worst.Whole
	}
	reason := strings.TrimSuffix(r.Worst.Class.Reason(), ".") + ". "
	if r.Failed > 1 {
		reason += fmt.Sprintf("%d of %d objects failed; the first: ", r.Failed, r.Objects)
	}
	return reason + r.Worst.Detail()
}
