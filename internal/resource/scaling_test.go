package resource

import (
	"fmt"
	"testing"
	"time"
)

func TestScalableName(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"endpoint/e/variant/v": "e v", "endpoint/e/variant": "", "endpoint//variant/v": "", "endpoint/e/variant/": "", "endpoint/e/variant/v/w": "",
		"service/e/variant/v": "", "endpoint/e/copy/v": "", "Endpoint/e/variant/v": "", "": "",
	} {
		e, v, ok := ParseScalableName(id)
		if ok != (want != "") || ok && (e+" "+v != want || ScalableName(e, v) != id) {
			t.Errorf("%q is %q and %q, %v", id, e, v, ok)
		}
	}
}

func TestScalingPolicies(t *testing.T) {
	t.Parallel()
	var target ScalableTarget
	for _, name := range []string{"b", "a", "c", "a"} {
		target.Put(ScalingPolicy{Name: name, Target: float64(len(target.Policies))})
	}
	if got := fmt.Sprintln(len(target.Policies), target.Policies[0].Name, target.Policies[2].Name, target.Policy("a").Target); got != "3 a c 3\n" {
		t.Errorf("policies %s", got)
	}
	if target.Drop("x") || !target.Drop("b") || target.Policy("b") != nil || len(target.Policies) != 2 {
		t.Errorf("policies %v", target.Policies)
	}
	arn := ScalingPolicy{Name: "p", ID: "1-2"}.ARN("000000000000", Key{Region: "r", Name: "endpoint/e/variant/v"})
	if arn != "arn:aws:autoscaling:r:000000000000:scalingPolicy:1-2:resource/sagemaker/endpoint/e/variant/v:policyName/p" {
		t.Error(arn)
	}
}

func TestScalingActivities(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		count  int
		reason string
		want   ScalingStatus
	}{{3, "", ScalingSuccessful}, {1, "broken", ScalingFailed}, {3, "of another change", ScalingSuccessful}} {
		var target ScalableTarget
		if _, ok := target.Settle(1, "", noon); ok {
			t.Error("nothing was ended")
		}
		target.Begin(ScalingActivity{From: 1, To: 3, Start: noon, Status: ScalingInProgress})
		a, ok := target.Settle(tt.count, tt.reason, noon)
		if !ok || a.Status != tt.want || a.End != noon || target.Activities[0] != a {
			t.Errorf("%+v: %+v, %v", tt, a, ok)
		}
		if _, again := target.Settle(tt.count, tt.reason, noon); again {
			t.Error("it was ended twice")
		}
	}
}
