package resource

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// KindScalableTarget is a variant that is registered with Application Auto Scaling.
const KindScalableTarget Kind = "scalable-target"

// ScalableTarget is a variant whose instance count policies may change. The name of
// its Meta is ScalableName's.
type ScalableTarget struct {
	Meta
	Endpoint, Variant string
	Min, Max          int
	Suspended         SuspendedScaling
	Policies          []ScalingPolicy   `json:",omitempty"` // sorted by name, at most MaxScalingPolicies
	Activities        []ScalingActivity `json:",omitempty"` // the newest first, at most MaxScalingActivities
}

// The bounds of what one target keeps. The first is AWS's quota.
const (
	MaxScalingPolicies   = 50
	MaxScalingActivities = 50
)

// ScalableName is the ResourceId of a variant, and the name of its ScalableTarget.
func ScalableName(endpoint, variant string) string {
	return "endpoint/" + endpoint + "/variant/" + variant
}

// ParseScalableName reads a ResourceId.
func ParseScalableName(id string) (endpoint, variant string, ok bool) {
	parts := strings.Split(id, "/")
	if len(parts) != 4 || parts[0] != "endpoint" || parts[2] != "variant" || parts[1] == "" || parts[3] == "" {
		return "", "", false
	}
	return parts[1], parts[3], true
}

// SuspendedScaling says what is held back for the time being.
type SuspendedScaling struct{ In, Out, Scheduled bool }

// ScalingMetric is what a policy compares with its target value.
type ScalingMetric string

// The metrics, by their names in the namespace AWS/SageMaker.
const (
	InvocationsPerInstance     ScalingMetric = "InvocationsPerInstance"     // in a minute
	ConcurrentRequestsPerModel ScalingMetric = "ConcurrentRequestsPerModel" // on one instance
)

// ScalingPolicy is a target-tracking policy.
type ScalingPolicy struct {
	Name    string
	ID      string // the number in its ARN
	Created time.Time
	Metric  ScalingMetric
	Target  float64
	// Custom is how a customised metric was written, nil for a predefined one.
	Custom *CustomMetric `json:",omitempty"`
	// InCooldown and OutCooldown are in seconds, nil where they were not sent.
	InCooldown, OutCooldown *int  `json:",omitempty"`
	DisableIn               *bool `json:",omitempty"`
}

// CustomMetric is echoed.
type CustomMetric struct{ Statistic, Unit string }

// ARN gives the policy's Amazon resource name.
func (p ScalingPolicy) ARN(account string, target Key) string {
	return fmt.Sprintf("arn:aws:autoscaling:%s:%s:scalingPolicy:%s:resource/sagemaker/%s:policyName/%s", target.Region, account, p.ID, target.Name, p.Name)
}

// Policy finds a policy by its name.
func (t *ScalableTarget) Policy(name string) *ScalingPolicy {
	for i := range t.Policies {
		if t.Policies[i].Name == name {
			return &t.Policies[i]
		}
	}
	return nil
}

// Put adds a policy, or replaces the one of its name.
func (t *ScalableTarget) Put(p ScalingPolicy) {
	t.Policies = append(t.without(p.Name), p)
	slices.SortFunc(t.Policies, func(a, b ScalingPolicy) int { return strings.Compare(a.Name, b.Name) })
}

// Drop removes a policy, and reports whether it was there.
func (t *ScalableTarget) Drop(name string) bool {
	before := len(t.Policies)
	t.Policies = t.without(name)
	return len(t.Policies) < before
}

func (t *ScalableTarget) without(name string) []ScalingPolicy {
	return slices.DeleteFunc(slices.Clone(t.Policies), func(p ScalingPolicy) bool { return p.Name == name })
}

// ScalingStatus is a status of a scaling activity.
type ScalingStatus string

// The statuses that occur here.
const (
	ScalingInProgress ScalingStatus = "InProgress"
	ScalingSuccessful ScalingStatus = "Successful"
	ScalingFailed     ScalingStatus = "Failed"
)

// ScalingActivity is a change of an instance count that a target brought about, or
// could not.
type ScalingActivity struct {
	ID         string
	From, To   int
	Cause      string
	Start, End time.Time // End is zero while it is in progress
	Status     ScalingStatus
	Message    string `json:",omitempty"`
	// Details tell what else there is to know: why To is less than what was wanted.
	Details string `json:",omitempty"`
}

// Begin records an activity; the oldest goes when there are too many. No two begin
// at the same time, so that lists can go on after one.
func (t *ScalableTarget) Begin(a ScalingActivity) {
	if len(t.Activities) > 0 && !a.Start.After(t.Activities[0].Start) {
		a.Start = t.Activities[0].Start.Add(1)
	}
	t.Activities = append([]ScalingActivity{a}, t.Activities...)
	t.Activities = t.Activities[:min(len(t.Activities), MaxScalingActivities)]
}

// Settle ends the activity in progress, if there is one, and gives it: the endpoint
// is at rest, with a count, and with why it could not have another one.
func (t *ScalableTarget) Settle(count int, reason string, at time.Time) (ended ScalingActivity, ok bool) {
	if len(t.Activities) == 0 || t.Activities[0].Status != ScalingInProgress {
		return ScalingActivity{}, false
	}
	t.Activities = slices.Clone(t.Activities)
	a := &t.Activities[0]
	a.End = at
	if reason == "" || count == a.To {
		a.Status = ScalingSuccessful
		a.Message = fmt.Sprintf("Successfully set desired instance count to %d. Change successfully fulfilled by sagemaker.", a.To)
	} else {
		a.Status = ScalingFailed
		a.Message = clip(fmt.Sprintf("Failed to set desired instance count to %d. Reason: %s", a.To, reason), MaxFailureReason)
	}
	return *a, true
}
