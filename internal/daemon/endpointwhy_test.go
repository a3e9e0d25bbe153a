package daemon

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/api"
)

// progress asks how far an endpoint has come.
func progress(t *testing.T, d *Daemon, name string) (p api.EndpointProgress) {
	t.Helper()
	if err := json.Unmarshal([]byte(request(t, d, "GET", "/-/api/v1/endpoints/"+name)), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// says waits until an endpoint gives a reason that holds all the words.
func says(t *testing.T, d *Daemon, name string, words ...string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.Now().Add(time.Minute)
	for range tick.C {
		var w api.EndpointWhy
		if err := json.Unmarshal([]byte(request(t, d, "GET", "/-/api/v1/endpoints/"+name+"/why")), &w); err != nil {
			t.Fatal(err)
		}
		missing := ""
		for _, word := range words {
			if !strings.Contains(w.Why, word) {
				missing = word
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%s is %s because %q, which lacks %q", name, w.Status, w.Why, missing)
		}
	}
}

// The two paths tell what an endpoint waits for in each kind of change, and count
// its instances and its requests.
func TestEndpointWhy(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	gate := filepath.Join(t.TempDir(), "gate")
	must(t, d, "CreateModel", map[string]any{"ModelName": "gated", "PrimaryContainer": map[string]any{"Image": "test/model", "Environment": map[string]string{"GATE": gate}}})
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "gated", "ProductionVariants": []any{variantIn("v", "gated", 1, 1)}})
	must(t, d, "CreateEndpoint", map[string]any{"EndpointName": "e", "EndpointConfigName": "gated"})
	says(t, d, "e", "it is being created", "variant v of gated: 0 of 1 instances are ready, 1 starting: they have not answered a ping yet")
	if p := progress(t, d, "e"); p.Status != "Creating" || p.Change == nil || p.Change.Kind != "create" || len(p.Variants) != 1 || !p.Variants[0].Pending || p.Variants[0].Starting != 1 {
		t.Errorf("%+v", p)
	}
	letIn(t, gate)
	status(t, d, "e", "InService")
	says(t, d, "e", "it serves, and 0 requests are under way")
	for range 3 {
		invoke(t, d, "e", "x", nil)
	}
	p := progress(t, d, "e")
	if p.ConfigName != "gated" || p.Instances != 1 || p.Change != nil || p.Variants[0].Ready != 1 || p.Variants[0].Pending {
		t.Errorf("%+v", p)
	}
	if len(p.Traffic) != 1 || p.Traffic[0].Invocations != 3 || p.Traffic[0].ModelLatency <= 0 {
		t.Errorf("traffic %+v", p.Traffic)
	}

	// An update that waits, goes on with a part of the traffic, and is watched.
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "next", "ProductionVariants": []any{variantIn("v", "gated", 2, 1)}})
	must(t, d, "UpdateEndpoint", map[string]any{"EndpointName": "e", "EndpointConfigName": "next", "DeploymentConfig": map[string]any{
		"BlueGreenUpdatePolicy": map[string]any{"TrafficRoutingConfiguration": map[string]any{"Type": "CANARY", "WaitIntervalInSeconds": 600,
			"CanarySize": map[string]any{"Type": "INSTANCE_COUNT", "Value": 1}}}}})
	says(t, d, "e", "it moves to the configuration next, which has 0 percent of the traffic", "variant v of next: 0 of 2 instances are ready")
	letIn(t, gate)
	says(t, d, "e", "which has 50 percent of the traffic", "it is watched with that much for 10m0s more")
	request(t, d, "DELETE", "/-/api/v1/endpoints/e")
	status(t, d, "e", "gone")
	if resp, err := http.Get(d.URL() + "/-/api/v1/endpoints/e/why"); err != nil || resp.StatusCode != 404 || resp.Body.Close() != nil {
		t.Errorf("the reason of nothing is answered with %v, %v", resp, err)
	}

	// An instance that cannot be started.
	must(t, d, "CreateModel", map[string]any{"ModelName": "dead", "PrimaryContainer": map[string]any{"Image": "test/model", "Environment": map[string]string{"MODE": "dead"}}})
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "dead", "ProductionVariants": []any{variantIn("v", "dead", 1, 1)}})
	must(t, d, "CreateEndpoint", map[string]any{"EndpointName": "f", "EndpointConfigName": "dead"})
	status(t, d, "f", "Failed")
	says(t, d, "f", "it failed, and can only be deleted", "exited with code 3")
}

// letIn lets gated models be ready.
func letIn(t *testing.T, gate string) {
	t.Helper()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
