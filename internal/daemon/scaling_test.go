package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/config"
)

// quick measures often, so that a test need not wait for minutes.
func quick(c *config.Config) {
	withModel(c)
	c.ScalingPeriod = 50 * time.Millisecond
}

// auto calls Application Auto Scaling for the variant v of an endpoint.
func auto(t *testing.T, d *Daemon, operation, endpoint string, more map[string]any) (int, map[string]any) {
	t.Helper()
	in := map[string]any{"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/" + endpoint + "/variant/v", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
	for k, v := range more {
		in[k] = v
	}
	return call(t, d, "AnyScaleFrontendService."+operation, in)
}

func mustAuto(t *testing.T, d *Daemon, operation, endpoint string, more map[string]any) map[string]any {
	t.Helper()
	code, out := auto(t, d, operation, endpoint, more)
	if code != 200 {
		t.Fatalf("%s: %d %v", operation, code, out)
	}
	return out
}

// tracking is a policy on requests at once, without cool-downs.
func tracking(target float64) map[string]any {
	return map[string]any{"PolicyName": "busy", "PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": map[string]any{
		"TargetValue": target, "ScaleInCooldown": 0, "ScaleOutCooldown": 0,
		"PredefinedMetricSpecification": map[string]any{"PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"}}}
}

// slowEndpoint has one variant v of one instance, whose answers take a while.
func slowEndpoint(t *testing.T, d *Daemon, name string, more map[string]any) {
	t.Helper()
	must(t, d, "CreateModel", map[string]any{"ModelName": name, "PrimaryContainer": map[string]any{"Image": "test/model", "Environment": map[string]string{"MODE": "slow"}}})
	v := variantIn("v", name, 1, 1)
	for k, x := range more {
		v[k] = x
	}
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": name, "ProductionVariants": []any{v}})
	must(t, d, "CreateEndpoint", map[string]any{"EndpointName": name, "EndpointConfigName": name})
	status(t, d, name, "InService")
}

// count waits until a variant has so many instances, all of them ready.
func count(t *testing.T, d *Daemon, name string, want func(n float64) bool) float64 {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.Now().Add(time.Minute)
	for range tick.C {
		out := must(t, d, "DescribeEndpoint", map[string]any{"EndpointName": name})
		v := out["ProductionVariants"].([]any)[0].(map[string]any)
		n := v["CurrentInstanceCount"].(float64)
		if out["EndpointStatus"] == "InService" && n == v["DesiredInstanceCount"] && want(n) {
			return n
		}
		if time.Now().After(limit) {
			t.Fatalf("the variant stays at %v", out)
		}
	}
	return 0
}

func exactly(want float64) func(float64) bool { return func(n float64) bool { return n == want } }

// EP-47: load raises the count, less load lowers it, none takes the last instance, a
// request brings it back, and no request fails meanwhile.
func TestScalesWithLoad(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), quick)
	slowEndpoint(t, d, "e", nil)
	mustAuto(t, d, "RegisterScalableTarget", "e", map[string]any{"MinCapacity": 1, "MaxCapacity": 3})
	arn := mustAuto(t, d, "PutScalingPolicy", "e", tracking(1.5))["PolicyARN"]
	if !strings.HasSuffix(fmt.Sprint(arn), ":resource/sagemaker/endpoint/e/variant/v:policyName/busy") {
		t.Errorf("the policy's ARN is %v", arn)
	}
	one, many := startLoad(t, d, "e", 1), startLoad(t, d, "e", 8)
	count(t, d, "e", exactly(3))
	many.more(t, 200)
	many.end()
	count(t, d, "e", exactly(1))
	one.more(t, 50)
	mustAuto(t, d, "RegisterScalableTarget", "e", map[string]any{"MinCapacity": 0})
	one.more(t, 50)
	one.end()
	count(t, d, "e", exactly(0))
	if resp, answer := invoke(t, d, "e", "x", nil); resp.StatusCode != 200 || answer != "x" {
		t.Errorf("the request that wakes it got %d %q", resp.StatusCode, answer)
	}
	for _, l := range []*load{one, many} {
		if len(l.failures) > 0 {
			t.Errorf("%d of %d requests failed, the first: %s", len(l.failures), l.total()+len(l.failures), l.failures[0])
		}
	}
	t.Logf("%d requests", one.total()+many.total())
	checkActivities(t, d)
}

// checkActivities looks at what was recorded of the endpoint e on its way from 1 to 3
// to 1 to 0 instances.
func checkActivities(t *testing.T, d *Daemon) {
	t.Helper()
	list := mustAuto(t, d, "DescribeScalingActivities", "e", nil)["ScalingActivities"].([]any)
	if len(list) < 3 {
		t.Fatalf("activities %v", list)
	}
	for _, a := range list {
		a := a.(map[string]any)
		if a["StatusCode"] != "Successful" || a["EndTime"] == nil || !strings.HasPrefix(fmt.Sprint(a["StatusMessage"]), "Successfully set desired instance count to ") {
			t.Errorf("activity %v", a)
		}
	}
	newest, oldest := list[0].(map[string]any), list[len(list)-1].(map[string]any)
	if newest["Description"] != "Setting desired instance count to 0." || !strings.Contains(fmt.Sprint(newest["Cause"]), "policy busy: ConcurrentRequestsPerModel was 0, below the target of 1.5") {
		t.Errorf("the newest is %v", newest)
	}
	if !strings.Contains(fmt.Sprint(oldest["Cause"]), "above the target of 1.5") {
		t.Errorf("the oldest is %v", oldest)
	}
}

// A variant with ManagedInstanceScaling and no policy follows the requests at once.
func TestManagedInstanceScaling(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), quick)
	slowEndpoint(t, d, "e", map[string]any{"ManagedInstanceScaling": map[string]any{"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 2}})
	l := startLoad(t, d, "e", 10)
	count(t, d, "e", exactly(2))
	l.more(t, 100)
	l.end()
	if len(l.failures) > 0 {
		t.Errorf("%d requests failed, the first: %s", len(l.failures), l.failures[0])
	}
}

// A count moves into the limits of its target, without a policy too; after a restart
// all of it is still there; a target goes with its variant and with its endpoint.
func TestScalableTargetLife(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	t.Run("before", func(t *testing.T) {
		d := start(t, data, quick)
		slowEndpoint(t, d, "e", nil)
		mustAuto(t, d, "RegisterScalableTarget", "e", map[string]any{"MinCapacity": 2, "MaxCapacity": 3})
		mustAuto(t, d, "PutScalingPolicy", "e", tracking(1))
		count(t, d, "e", exactly(2))
	})
	d := start(t, data, quick)
	status(t, d, "e", "InService")
	if list := mustAuto(t, d, "DescribeScalingPolicies", "e", nil)["ScalingPolicies"].([]any); len(list) != 1 {
		t.Errorf("policies after a restart: %v", list)
	}
	list := mustAuto(t, d, "DescribeScalingActivities", "e", nil)["ScalingActivities"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["Cause"] != "minimum capacity was set to 2" {
		t.Errorf("activities after a restart: %v", list)
	}
	mustAuto(t, d, "RegisterScalableTarget", "e", map[string]any{"MinCapacity": 1, "MaxCapacity": 1})
	count(t, d, "e", exactly(1))
	targets := func(want int) {
		t.Helper()
		_, out := call(t, d, "AnyScaleFrontendService.DescribeScalableTargets", map[string]any{"ServiceNamespace": "sagemaker"})
		if got := out["ScalableTargets"].([]any); len(got) != want {
			t.Errorf("%d targets: %v", len(got), got)
		}
	}
	targets(1)
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "w", "ProductionVariants": []any{variantIn("w", "e", 1, 1)}})
	must(t, d, "UpdateEndpoint", map[string]any{"EndpointName": "e", "EndpointConfigName": "w"})
	status(t, d, "e", "InService")
	targets(0)
	if code, out := auto(t, d, "RegisterScalableTarget", "e", map[string]any{"MinCapacity": 1, "MaxCapacity": 1}); code != 400 || out["__type"] != "ValidationException" || !strings.Contains(fmt.Sprint(out["Message"]), `Could not find variant "v"`) {
		t.Errorf("%d %v", code, out)
	}
	mustAuto(t, d, "RegisterScalableTarget", "e", map[string]any{"ResourceId": "endpoint/E/variant/w", "MinCapacity": 1, "MaxCapacity": 1})
	targets(1)
	must(t, d, "DeleteEndpoint", map[string]any{"EndpointName": "e"})
	status(t, d, "e", "gone")
	targets(0)
}

// What cannot be fulfilled is said in the activities, and the endpoint stays usable.
func TestScalingWithoutRoom(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), func(c *config.Config) { quick(c); c.MaxInstances = 1 })
	slowEndpoint(t, d, "e", nil)
	mustAuto(t, d, "RegisterScalableTarget", "e", map[string]any{"MinCapacity": 2, "MaxCapacity": 3})
	var list []any
	for limit := time.Now().Add(time.Minute); len(list) == 0 && time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		list = mustAuto(t, d, "DescribeScalingActivities", "e", nil)["ScalingActivities"].([]any)
	}
	if len(list) != 1 {
		t.Fatalf("activities %v", list)
	}
	a := list[0].(map[string]any)
	if a["StatusCode"] != "Failed" || !strings.Contains(fmt.Sprint(a["StatusMessage"]), "room for 0 more instances of variant v at the moment, and 1 are wanted") {
		t.Errorf("activity %v", a)
	}
	count(t, d, "e", exactly(1))
}
