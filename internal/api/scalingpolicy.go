package api

import (
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

// targetTracking is the one type of policies that is served.
const targetTracking = "TargetTrackingScaling"

// predefined are the metrics that AWS has names for.
var predefined = map[string]resource.ScalingMetric{
	"SageMakerVariantInvocationsPerInstance":                   resource.InvocationsPerInstance,
	"SageMakerVariantConcurrentRequestsPerModelHighResolution": resource.ConcurrentRequestsPerModel,
}

// statistics are what a customised metric may be counted by: the one under which it
// says what is meant.
var statistics = map[resource.ScalingMetric]string{
	resource.InvocationsPerInstance:     "Sum",
	resource.ConcurrentRequestsPerModel: "Average",
}

// scalingPolicy reads a policy, or names what is not supported.
func scalingPolicy(in *autoscaling.PutScalingPolicyInput) (p resource.ScalingPolicy, err error) {
	t := in.TargetTrackingScalingPolicyConfiguration
	switch kind := value(in.PolicyType); {
	case in.StepScalingPolicyConfiguration != nil, kind != "" && kind != targetTracking:
		if kind == "" || kind == targetTracking {
			kind = "StepScaling"
		}
		return p, fault.New(fault.Unsupported, "PutScalingPolicy: PolicyType=%s is not supported by this version of Sagebrush. Use %s.", kind, targetTracking)
	case kind == "": // AWS's default is StepScaling
		return p, fault.New(fault.Unsupported, "PutScalingPolicy: PolicyType is missing and would be StepScaling, which is not supported by this version of Sagebrush. Use %s.", targetTracking)
	case t == nil:
		return p, fault.New(fault.Invalid, "TargetTrackingScalingPolicyConfiguration is required for PolicyType %s.", targetTracking)
	case (t.PredefinedMetricSpecification == nil) == (t.CustomizedMetricSpecification == nil):
		return p, fault.New(fault.Invalid, "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be given.")
	}
	p = resource.ScalingPolicy{
		Name: value(in.PolicyName), Target: value(t.TargetValue), DisableIn: t.DisableScaleIn,
		InCooldown: integer(t.ScaleInCooldown), OutCooldown: integer(t.ScaleOutCooldown),
	}
	if m := t.PredefinedMetricSpecification; m != nil {
		p.Metric, err = predefinedMetric(m)
	} else {
		p.Metric, p.Custom, err = customMetric(t.CustomizedMetricSpecification, value(in.ResourceId))
	}
	return p, err
}

func predefinedMetric(m *autoscaling.PredefinedMetricSpecification) (resource.ScalingMetric, error) {
	metric, ok := predefined[value(m.PredefinedMetricType)]
	switch {
	case !ok:
		return "", fault.New(fault.Unsupported, "PutScalingPolicy: PredefinedMetricType=%s is not supported by this version of Sagebrush for %s.", value(m.PredefinedMetricType), sageMakerNamespace)
	case m.ResourceLabel != nil:
		return "", fault.New(fault.Invalid, "ResourceLabel cannot be given with PredefinedMetricType %s.", value(m.PredefinedMetricType))
	}
	return metric, nil
}

// customMetric reads a metric of the namespace AWS/SageMaker of the variant itself.
func customMetric(m *autoscaling.CustomizedMetricSpecification, id string) (resource.ScalingMetric, *resource.CustomMetric, error) {
	const at = "CustomizedMetricSpecification."
	metric := resource.ScalingMetric(value(m.MetricName))
	statistic, known := statistics[metric]
	var r refusals
	r.add(len(m.Metrics) > 0, at+"Metrics")
	r.add(m.Namespace != nil && *m.Namespace != "AWS/SageMaker", at+"Namespace="+value(m.Namespace))
	r.add(m.MetricName != nil && !known, at+"MetricName="+value(m.MetricName))
	r.add(known && m.Statistic != nil && *m.Statistic != statistic, at+"Statistic="+value(m.Statistic)+" of "+value(m.MetricName))
	r.add(m.Unit != nil && *m.Unit != "None" && *m.Unit != "Count", at+"Unit="+value(m.Unit))
	if err := r.err("PutScalingPolicy"); err != nil {
		return "", nil, err
	}
	if m.MetricName == nil || m.Namespace == nil || m.Statistic == nil {
		return "", nil, fault.New(fault.Invalid, "CustomizedMetricSpecification needs a MetricName, a Namespace and a Statistic.")
	}
	endpoint, variant, _ := resource.ParseScalableName(id)
	own := map[string]string{"EndpointName": endpoint, "VariantName": variant}
	for _, d := range m.Dimensions {
		if want, ok := own[value(d.Name)]; !ok || !strings.EqualFold(want, value(d.Value)) {
			return "", nil, fault.New(fault.Unsupported, "PutScalingPolicy: %sDimensions has %s=%s. A metric is supported for the variant that is scaled, with EndpointName=%s and VariantName=%s.", at, value(d.Name), value(d.Value), endpoint, variant)
		}
		delete(own, value(d.Name))
	}
	if len(own) > 0 {
		return "", nil, fault.New(fault.Invalid, "%sDimensions must have EndpointName=%s and VariantName=%s.", at, endpoint, variant)
	}
	return metric, &resource.CustomMetric{Statistic: *m.Statistic, Unit: value(m.Unit)}, nil
}

// wirePolicy is a policy as it was put.
func wirePolicy(p resource.ScalingPolicy, t resource.ScalableTarget) *autoscaling.TargetTrackingScalingPolicyConfiguration {
	out := &autoscaling.TargetTrackingScalingPolicyConfiguration{
		TargetValue: &p.Target, ScaleOutCooldown: integer32(p.OutCooldown), ScaleInCooldown: integer32(p.InCooldown), DisableScaleIn: ref(value(p.DisableIn)),
	}
	if c := p.Custom; c != nil {
		out.CustomizedMetricSpecification = &autoscaling.CustomizedMetricSpecification{
			MetricName: ref(string(p.Metric)), Namespace: ref("AWS/SageMaker"), Statistic: &c.Statistic, Unit: optional(c.Unit),
			Dimensions: []autoscaling.MetricDimension{{Name: ref("EndpointName"), Value: &t.Endpoint}, {Name: ref("VariantName"), Value: &t.Variant}},
		}
		return out
	}
	for name, metric := range predefined {
		if metric == p.Metric {
			out.PredefinedMetricSpecification = &autoscaling.PredefinedMetricSpecification{PredefinedMetricType: &name}
		}
	}
	return out
}
