package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/control"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

// autoScaling is the table of the operations of Application Auto Scaling. It scales
// the variants of endpoints and nothing else.
func (s *Server) autoScaling() map[string]operation {
	table := map[string]operation{
		"RegisterScalableTarget":    bind(s.registerScalableTarget),
		"DeregisterScalableTarget":  bind(s.deregisterScalableTarget),
		"DescribeScalableTargets":   bind(s.describeScalableTargets),
		"PutScalingPolicy":          bind(s.putScalingPolicy),
		"DeleteScalingPolicy":       bind(s.deleteScalingPolicy),
		"DescribeScalingPolicies":   bind(s.describeScalingPolicies),
		"DescribeScalingActivities": bind(s.describeScalingActivities),
	}
	for name, do := range table {
		table[name] = operation{decode: do.decode, serve: func(ctx context.Context, region string, in wire.Message) (wire.Message, error) {
			out, err := do.serve(ctx, region, in)
			return out, scalingError(err)
		}}
	}
	return table
}

// scalingError gives an error this service's code.
func scalingError(err error) error {
	if err == nil {
		return nil
	}
	e := wire.FromFault(err)
	_, badToken := errors.AsType[*control.BadTokenError](err)
	_, missing := errors.AsType[*control.NoScalingError](err)
	switch {
	case badToken:
		e.Code = autoscaling.InvalidNextTokenException
	case missing: // a target or a policy; a missing endpoint is a ValidationException
		e.Code = autoscaling.ObjectNotFoundException
	case fault.Is(err, fault.Limit):
		e.Code = autoscaling.LimitExceededException
	case fault.Is(err, fault.Conflict):
		e.Code = autoscaling.ConcurrentUpdateException
	case e.Code == wire.InternalFailure:
		e.Code = autoscaling.InternalServiceException
	}
	e.Declared = true
	return e
}

// The one namespace and dimension.
const sageMakerNamespace = "sagemaker"

// checkScalable refuses what is not the count of a variant's instances.
func checkScalable(namespace, dimension *string) error {
	if value(namespace) != sageMakerNamespace || dimension != nil && *dimension != control.DesiredInstanceCount {
		what := value(namespace)
		if dimension != nil {
			what += " and " + *dimension
		}
		return fault.New(fault.Unsupported, "Unsupported service namespace, resource type or scalable dimension: %s. This server scales %s and %s.", what, sageMakerNamespace, control.DesiredInstanceCount)
	}
	return nil
}

func (s *Server) registerScalableTarget(ctx context.Context, region string, in *autoscaling.RegisterScalableTargetInput) (wire.Message, error) {
	if err := checkScalable(in.ServiceNamespace, in.ScalableDimension); err != nil {
		return nil, err
	}
	var r refusals
	r.add(len(in.Tags) > 0, "Tags")
	if err := r.err("RegisterScalableTarget"); err != nil {
		return nil, err
	}
	reg := control.Registration{Min: integer(in.MinCapacity), Max: integer(in.MaxCapacity)}
	if p := in.SuspendedState; p != nil {
		reg.In, reg.Out, reg.Scheduled = p.DynamicScalingInSuspended, p.DynamicScalingOutSuspended, p.ScheduledScalingSuspended
	}
	// ScalableTargetARN is not answered: it is for tags, which are not served.
	return &autoscaling.RegisterScalableTargetOutput{}, s.Control.RegisterScalableTarget(ctx, region, value(in.ResourceId), reg)
}

func (s *Server) deregisterScalableTarget(ctx context.Context, region string, in *autoscaling.DeregisterScalableTargetInput) (wire.Message, error) {
	if err := checkScalable(in.ServiceNamespace, in.ScalableDimension); err != nil {
		return nil, err
	}
	return &autoscaling.DeregisterScalableTargetOutput{}, s.Control.DeregisterScalableTarget(ctx, region, value(in.ResourceId))
}

func (s *Server) putScalingPolicy(ctx context.Context, region string, in *autoscaling.PutScalingPolicyInput) (wire.Message, error) {
	if err := checkScalable(in.ServiceNamespace, in.ScalableDimension); err != nil {
		return nil, err
	}
	p, err := scalingPolicy(in)
	if err != nil {
		return nil, err
	}
	arn, err := s.Control.PutScalingPolicy(ctx, region, value(in.ResourceId), p)
	// There are no alarms of CloudWatch behind a policy here.
	return &autoscaling.PutScalingPolicyOutput{PolicyARN: &arn, Alarms: []autoscaling.Alarm{}}, err
}

func (s *Server) deleteScalingPolicy(ctx context.Context, region string, in *autoscaling.DeleteScalingPolicyInput) (wire.Message, error) {
	if err := checkScalable(in.ServiceNamespace, in.ScalableDimension); err != nil {
		return nil, err
	}
	return &autoscaling.DeleteScalingPolicyOutput{}, s.Control.DeleteScalingPolicy(ctx, region, value(in.ResourceId), value(in.PolicyName))
}

// scalingPage is the largest page, and the usual one but for policies.
const (
	scalingPage = 50
	policyPage  = 10
)

// scalingList reads what the three lists have in common.
func scalingList(region string, namespace, dimension *string, ids []string, limit *int32, usual int, token *string) (control.ScalingList, error) {
	l := control.ScalingList{Region: region, IDs: ids, Limit: usual, NextToken: value(token)}
	if err := checkScalable(namespace, dimension); err != nil {
		return l, err
	}
	if dimension != nil && len(ids) == 0 {
		return l, fault.New(fault.Invalid, "If you specify a scalable dimension, you must also specify a resource ID.")
	}
	if len(ids) > scalingPage {
		return l, fault.New(fault.Invalid, "ResourceIds has %d names, and may have %d.", len(ids), scalingPage)
	}
	if limit != nil {
		if l.Limit = int(*limit); l.Limit < 1 || l.Limit > scalingPage {
			return l, fault.New(fault.Invalid, "MaxResults is %d, and may be 1 to %d.", l.Limit, scalingPage)
		}
	}
	return l, nil
}

// one is the list of a ResourceId that may be absent.
func one(id *string) []string {
	if id == nil {
		return nil
	}
	return []string{*id}
}

func (s *Server) describeScalableTargets(ctx context.Context, region string, in *autoscaling.DescribeScalableTargetsInput) (wire.Message, error) {
	l, err := scalingList(region, in.ServiceNamespace, in.ScalableDimension, in.ResourceIds, in.MaxResults, scalingPage, in.NextToken)
	if err != nil {
		return nil, err
	}
	page, next, err := s.Control.ScalableTargets(ctx, l)
	out := &autoscaling.DescribeScalableTargetsOutput{ScalableTargets: []autoscaling.ScalableTarget{}, NextToken: optional(next)}
	for _, p := range page {
		t := p.Entry
		out.ScalableTargets = append(out.ScalableTargets, autoscaling.ScalableTarget{
			ServiceNamespace: ref(sageMakerNamespace), ResourceId: &t.Name, ScalableDimension: ref(control.DesiredInstanceCount),
			MinCapacity: ref(int32(t.Min)), MaxCapacity: ref(int32(t.Max)), RoleARN: ref(s.scalingRole()), CreationTime: &t.Created,
			SuspendedState: &autoscaling.SuspendedState{
				DynamicScalingInSuspended: &t.Suspended.In, DynamicScalingOutSuspended: &t.Suspended.Out, ScheduledScalingSuspended: &t.Suspended.Scheduled,
			},
		})
	}
	return out, err
}

// scalingRole is the role that AWS answers whatever RoleARN was sent: the service's
// own.
func (s *Server) scalingRole() string {
	return fmt.Sprintf("arn:aws:iam::%s:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint", s.Account)
}

func (s *Server) describeScalingPolicies(ctx context.Context, region string, in *autoscaling.DescribeScalingPoliciesInput) (wire.Message, error) {
	l, err := scalingList(region, in.ServiceNamespace, in.ScalableDimension, one(in.ResourceId), in.MaxResults, policyPage, in.NextToken)
	if err != nil {
		return nil, err
	}
	l.Policies = in.PolicyNames
	page, next, err := s.Control.ScalingPolicies(ctx, l)
	out := &autoscaling.DescribeScalingPoliciesOutput{ScalingPolicies: []autoscaling.ScalingPolicy{}, NextToken: optional(next)}
	for _, p := range page {
		out.ScalingPolicies = append(out.ScalingPolicies, autoscaling.ScalingPolicy{
			PolicyARN: ref(p.Entry.ARN(s.Account, p.Target.Key)), PolicyName: ref(p.Entry.Name), PolicyType: ref(targetTracking),
			ServiceNamespace: ref(sageMakerNamespace), ResourceId: ref(p.Target.Name), ScalableDimension: ref(control.DesiredInstanceCount),
			TargetTrackingScalingPolicyConfiguration: wirePolicy(p.Entry, p.Target), Alarms: []autoscaling.Alarm{}, CreationTime: ref(p.Entry.Created),
		})
	}
	return out, err
}

func (s *Server) describeScalingActivities(ctx context.Context, region string, in *autoscaling.DescribeScalingActivitiesInput) (wire.Message, error) {
	l, err := scalingList(region, in.ServiceNamespace, in.ScalableDimension, one(in.ResourceId), in.MaxResults, scalingPage, in.NextToken)
	if err != nil {
		return nil, err
	}
	page, next, err := s.Control.ScalingActivities(ctx, l)
	out := &autoscaling.DescribeScalingActivitiesOutput{ScalingActivities: []autoscaling.ScalingActivity{}, NextToken: optional(next)}
	for _, p := range page {
		a := p.Entry
		out.ScalingActivities = append(out.ScalingActivities, autoscaling.ScalingActivity{
			ActivityId: &a.ID, ServiceNamespace: ref(sageMakerNamespace), ResourceId: ref(p.Target.Name), ScalableDimension: ref(control.DesiredInstanceCount),
			Description: ref(fmt.Sprintf("Setting desired instance count to %d.", a.To)), Cause: &a.Cause, StartTime: &a.Start, EndTime: moment(a.End),
			StatusCode: ref(string(a.Status)), StatusMessage: optional(a.Message), Details: optional(a.Details),
		})
	}
	return out, err
}
