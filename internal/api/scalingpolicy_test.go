package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sagebrush-ml/sagebrush/internal/control"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
)

const policyOf = `{"PolicyName":"p","ServiceNamespace":"sagemaker","ResourceId":"endpoint/e/variant/v","ScalableDimension":"sagemaker:variant:DesiredInstanceCount",`

func readPolicy(t *testing.T, rest string) (resource.ScalingPolicy, error) {
	t.Helper()
	in, err := wire.Decode[autoscaling.PutScalingPolicyInput]([]byte(policyOf + rest + `}`))
	if err != nil {
		t.Fatalf("%s: %v", rest, err)
	}
	return scalingPolicy(in)
}

const tracks = `"PolicyType":"TargetTrackingScaling","TargetTrackingScalingPolicyConfiguration":`

func custom(name, statistic, more string) string {
	return tracks + `{"TargetValue":5,"CustomizedMetricSpecification":{"MetricName":"` + name + `","Namespace":"AWS/SageMaker","Statistic":"` + statistic + `"` + more + `}}`
}

const dimensions = `,"Dimensions":[{"Name":"VariantName","Value":"v"},{"Name":"EndpointName","Value":"e"}]`

// What a policy was put as is what it is described as.
func TestScalingPolicy(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{
		tracks + `{"TargetValue":70.5,"PredefinedMetricSpecification":{"PredefinedMetricType":"SageMakerVariantInvocationsPerInstance"},"DisableScaleIn":false}`,
		tracks + `{"TargetValue":3,"PredefinedMetricSpecification":{"PredefinedMetricType":"SageMakerVariantConcurrentRequestsPerModelHighResolution"},"ScaleOutCooldown":0,"ScaleInCooldown":7,"DisableScaleIn":true}`,
	} {
		p, err := readPolicy(t, rest)
		if err != nil {
			t.Fatal(err)
		}
		got := policyOf + tracks + string(wire.Encode(&autoscaling.PutScalingPolicyInput{TargetTrackingScalingPolicyConfiguration: wirePolicy(p, resource.ScalableTarget{Endpoint: "e", Variant: "v"})}))
		got = strings.Replace(got, `{"TargetTrackingScalingPolicyConfiguration":`, "", 1)
		if diff := cmp.Diff(policyOf+rest+"}", got); diff != "" {
			t.Error(diff)
		}
	}
	p, err := readPolicy(t, custom("InvocationsPerInstance", "Sum", dimensions))
	if err != nil || p.Metric != resource.InvocationsPerInstance || p.Custom == nil || p.Custom.Statistic != "Sum" {
		t.Errorf("%+v, %v", p, err)
	}
}

// I9: what a policy may not be is refused by name.
func TestScalingPolicyRefusals(t *testing.T) {
	t.Parallel()
	for rest, want := range map[string]string{
		`"PolicyType":"StepScaling"`:                                               "PolicyType=StepScaling",
		`"PolicyType":"PredictiveScaling"`:                                         "PolicyType=PredictiveScaling",
		`"StepScalingPolicyConfiguration":{"AdjustmentType":"ChangeInCapacity"}`:   "PolicyType=StepScaling",
		`"PolicyType":"TargetTrackingScaling","StepScalingPolicyConfiguration":{}`: "PolicyType=StepScaling",
		tracks + `{"TargetValue":1}`:                                               "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification",
		tracks + `{"TargetValue":1,"PredefinedMetricSpecification":{"PredefinedMetricType":"SageMakerInferenceComponentInvocationsPerCopy"}}`:                        "PredefinedMetricType=SageMakerInferenceComponentInvocationsPerCopy",
		tracks + `{"TargetValue":1,"PredefinedMetricSpecification":{"PredefinedMetricType":"SageMakerVariantInvocationsPerInstance","ResourceLabel":"app/a/b/t/c"}}`: "ResourceLabel",
		custom("CPUUtilization", "Average", dimensions):                                       "MetricName=CPUUtilization",
		custom("InvocationsPerInstance", "Average", dimensions):                               "Statistic=Average of InvocationsPerInstance",
		custom("InvocationsPerInstance", "Sum", dimensions+`,"Unit":"Bytes"`):                 "Unit=Bytes",
		custom("InvocationsPerInstance", "Sum", dimensions+`,"Metrics":[{"Id":"m1"}]`):        "CustomizedMetricSpecification.Metrics",
		custom("InvocationsPerInstance", "Sum", ""):                                           "must have EndpointName=e and VariantName=v",
		custom("InvocationsPerInstance", "Sum", strings.Replace(dimensions, `"v"`, `"w"`, 1)): "VariantName=w",
	} {
		_, err := readPolicy(t, rest)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rest, err)
		}
	}
}

// Errors have the codes by which this service's clients know them.
func TestScalingErrors(t *testing.T) {
	t.Parallel()
	for code, err := range map[wire.Code]error{
		autoscaling.ValidationException:       fault.New(fault.NotFound, "an endpoint"),
		autoscaling.LimitExceededException:    fault.New(fault.Limit, "too many"),
		autoscaling.ConcurrentUpdateException: fault.New(fault.Conflict, "stale"),
		autoscaling.InternalServiceException:  fault.New(fault.Internal, "secret"),
		autoscaling.ObjectNotFoundException:   &control.NoScalingError{Fault: fault.New(fault.NotFound, "a target")},
		autoscaling.InvalidNextTokenException: &control.BadTokenError{Fault: fault.New(fault.Invalid, "a token")},
	} {
		e := wire.FromFault(scalingError(err))
		if e.Code != code || !strings.Contains(string(e.Body()), `"Message":"`) || !strings.Contains(string(e.Body()), `"message":"`) || strings.Contains(string(e.Body()), "secret") {
			t.Errorf("%v: %s", err, e.Body())
		}
	}
	if scalingError(nil) != nil {
		t.Error("no error is one")
	}
}
