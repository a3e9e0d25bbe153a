package control

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// checkDeployment refuses a deployment that the API's shapes cannot express
// (EP-42, EP-43).
func checkDeployment(d *resource.DeploymentConfig) error {
	if d == nil {
		return nil
	}
	if d.BlueGreen != nil && d.Rolling != nil {
		return fault.New(fault.Invalid, "DeploymentConfig has a BlueGreenUpdatePolicy and a RollingUpdatePolicy, and may have one.")
	}
	if b := d.BlueGreen; b != nil {
		if err := checkBlueGreen(*b); err != nil {
			return err
		}
	}
	if r := d.Rolling; r != nil && r.Batch.Percent && (r.Batch.Value < 5 || r.Batch.Value > 50) {
		return fault.New(fault.Invalid, "RollingUpdatePolicy.MaximumBatchSize is %d percent, and may be 5 to 50.", r.Batch.Value)
	}
	for _, alarm := range d.Alarms {
		if _, err := parseGuard(alarm); err != nil {
			return err
		}
	}
	return nil
}

func checkBlueGreen(b resource.BlueGreen) error {
	switch {
	case b.Type == resource.Canary && b.Canary == nil:
		return fault.New(fault.Invalid, "TrafficRoutingConfiguration has the Type CANARY and needs a CanarySize.")
	case b.Type == resource.Linear && b.Linear == nil:
		return fault.New(fault.Invalid, "TrafficRoutingConfiguration has the Type LINEAR and needs a LinearStepSize.")
	case b.Type != resource.Canary && b.Canary != nil, b.Type != resource.Linear && b.Linear != nil:
		return fault.New(fault.Invalid, "TrafficRoutingConfiguration has the Type %s, and a size that belongs to another.", b.Type)
	case b.Canary != nil && b.Canary.Percent && b.Canary.Value > 50:
		return fault.New(fault.Invalid, "CanarySize is %d percent, and may be 50 at the most.", b.Canary.Value)
	case b.Linear != nil && b.Linear.Percent && (b.Linear.Value < 10 || b.Linear.Value > 50):
		return fault.New(fault.Invalid, "LinearStepSize is %d percent, and may be 10 to 50.", b.Linear.Value)
	}
	return nil
}

// errorRateAlarm begins the name of an alarm that Sagebrush itself keeps for a new
// fleet, since there is no CloudWatch whose alarms could be asked:
// "sagebrush:error-rate:5" goes off when more than 5 percent of its requests fail.
const errorRateAlarm = "sagebrush:error-rate:"

// parseGuard reads the name of an alarm: the part of the requests, 0 to 1, that may
// fail.
func parseGuard(name string) (most float64, err error) {
	if text, ok := strings.CutPrefix(name, errorRateAlarm); ok {
		if n, err := strconv.ParseFloat(text, 64); err == nil && n >= 0 && n <= 100 {
			return n / 100, nil
		}
	}
	return 0, fault.New(fault.Unsupported, "AutoRollbackConfiguration names the alarm %q. This server keeps alarms of its own and cannot ask CloudWatch: use %sPERCENT.", name, errorRateAlarm)
}

// leastRequests is how many requests a new fleet must have had before it is judged.
const leastRequests = 10

// tripped says which of a deployment's alarms rejects a fleet with these figures,
// "" for none (EP-44).
func tripped(alarms []string, requests, failed int64) string {
	if requests < leastRequests {
		return ""
	}
	for _, name := range alarms {
		if most, err := parseGuard(name); err == nil && float64(failed)/float64(requests) > most {
			return fmt.Sprintf("The alarm %s went off: %d of %d requests to the new instances failed.", name, failed, requests)
		}
	}
	return ""
}
