package crash_test

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// newServer makes a server over a folder of its own, and starts it.
func newServer(t *testing.T) (s *server, dir string) {
	t.Helper()
	dir = t.TempDir()
	s = &server{data: filepath.Join(dir, "data"), pids: filepath.Join(dir, "pids"), log: filepath.Join(dir, "log")}
	if err := os.Mkdir(s.pids, 0o700); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	t.Cleanup(func() { s.kill(t) })
	return s, dir
}

// variant is a production variant of a model of the same name.
func variant(name string, count int) map[string]any {
	return map[string]any{"VariantName": name, "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": count}
}

// config makes models, by their environments, and a configuration of them, each
// with so many instances.
func (s *server) config(t *testing.T, name string, count int, models map[string]map[string]string) {
	t.Helper()
	var variants []any
	for model, env := range models {
		s.call(t, "CreateModel", map[string]any{"ModelName": model, "PrimaryContainer": map[string]any{"Image": image, "Environment": env}})
		variants = append(variants, variant(model, count))
	}
	s.call(t, "CreateEndpointConfig", map[string]any{"EndpointConfigName": name, "ProductionVariants": variants})
}

// one is the usual configuration: one model that has the configuration's name.
func (s *server) one(t *testing.T, name string, count int, env map[string]string) {
	t.Helper()
	s.config(t, name, count, map[string]map[string]string{name: env})
}

func (s *server) host(t *testing.T, endpoint, config string) {
	t.Helper()
	s.call(t, "CreateEndpoint", map[string]string{"EndpointName": endpoint, "EndpointConfigName": config})
}

// described is what the test reads of DescribeEndpoint.
type described struct {
	EndpointStatus, EndpointConfigName, FailureReason string
}

// describe reads an endpoint; its status is "gone" when it is no more.
func (s *server) describe(t *testing.T, endpoint string) (d described) {
	t.Helper()
	resp, err := http.Post(s.url+"/DescribeEndpoint", "application/json", strings.NewReader(`{"EndpointName": "`+endpoint+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return described{EndpointStatus: "gone"}
	}
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// reaches waits for a status.
func (s *server) reaches(t *testing.T, endpoint, status string) described {
	t.Helper()
	var d described
	eventually(t, endpoint+" is "+status, func() bool {
		d = s.describe(t, endpoint)
		return d.EndpointStatus == status
	})
	return d
}

// answers sends a request, which must be answered as the model does.
func (s *server) answers(t *testing.T, endpoint string) {
	t.Helper()
	if got := s.do(t, http.MethodPost, "/endpoints/"+endpoint+"/invocations", []byte("hello\n")); string(got) != string(answer([]byte("hello\n"))) {
		t.Errorf("%s answered %q", endpoint, got)
	}
}

// owned wants, while no server runs, that every instance of which the data folder
// has a trace belongs to an endpoint, and to one only.
func (s *server) owned(t *testing.T) {
	t.Helper()
	store, err := state.Open(t.Context(), filepath.Join(s.data, "sagebrush.db"), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	owner := map[string]string{}
	err = store.View(t.Context(), func(tx *state.Tx) error {
		keys, err := tx.EndpointKeys()
		for _, k := range keys {
			e, err := tx.Endpoint(k)
			if err != nil {
				return err
			}
			for _, i := range e.Instances {
				if other := owner[i.ID]; other != "" {
					t.Errorf("the instance %s belongs to %s and %s", i.ID, other, e.Name)
				}
				owner[i.ID] = e.Name
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"work/instances", "run"} {
		entries, err := os.ReadDir(filepath.Join(s.data, folder))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			id, _, _ := strings.Cut(e.Name(), ".")
			if strings.HasPrefix(id, "endpoint-") && owner[id] == "" {
				t.Errorf("%s/%s belongs to no endpoint", folder, e.Name())
			}
		}
	}
}

// crash kills the server, wants that nothing it ran is left and that all traces
// have an owner, and starts it again.
func (s *server) crash(t *testing.T) {
	t.Helper()
	s.kill(t)
	eventually(t, "the models end with their server", func() bool { return len(s.models(t)) == 0 })
	s.owned(t)
	s.start(t)
}

func touch(t *testing.T, file string) string {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// canary is a deployment that is watched for so many seconds with half the traffic.
func canary(wait int) map[string]any {
	return map[string]any{"BlueGreenUpdatePolicy": map[string]any{"TrafficRoutingConfiguration": map[string]any{
		"Type": "CANARY", "WaitIntervalInSeconds": wait, "CanarySize": map[string]any{"Type": "CAPACITY_PERCENT", "Value": 50}}}}
}

// The server is killed with an endpoint in each of the nine statuses (EP-1 to EP-9).
// After its start each is where it belongs, and goes on from there.
func TestKillInEveryStatus(t *testing.T) {
	t.Parallel()
	s, dir := newServer(t)
	file := func(name string) string { return filepath.Join(dir, name) }
	gate, lost, mixed := file("gate"), file("lost"), file("mixed")
	update := func(endpoint, config string, deployment map[string]any) {
		in := map[string]any{"EndpointName": endpoint, "EndpointConfigName": config}
		if deployment != nil {
			in["DeploymentConfig"] = deployment
		}
		s.call(t, "UpdateEndpoint", in)
	}
	touch(t, gate)
	s.one(t, "plain", 1, nil)
	s.one(t, "gated", 1, map[string]string{gateEnv: gate})
	s.one(t, "dead", 1, map[string]string{deadEnv: s.data})
	s.one(t, "mortal", 1, map[string]string{dieEnv: lost})
	s.one(t, "old", 2, map[string]string{dieEnv: mixed})
	s.one(t, "new", 2, map[string]string{deadEnv: mixed})
	s.one(t, "stubborn", 1, map[string]string{stubbornEnv: "1"})
	s.config(t, "half-dead", 1, map[string]map[string]string{"stubborn-too": {stubbornEnv: "1"}, "dies": {gateEnv: file("never"), dieEnv: file("dies")}})

	for endpoint, config := range map[string]string{
		"serving": "plain", "updating": "plain", "rolling-back": "plain", "canary": "plain",
		"maintained": "gated", "out": "mortal", "mix": "old", "deleting": "stubborn",
	} {
		s.host(t, endpoint, config)
		s.reaches(t, endpoint, "InService")
	}
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	s.host(t, "creating", "gated")
	s.host(t, "failed", "dead")
	s.reaches(t, "failed", "Failed")
	update("updating", "gated", nil)
	update("canary", "plain", canary(600))
	s.do(t, http.MethodPost, "/-/api/v1/endpoints/maintained/maintenance", nil)
	s.rollBack(t, file("dies"))
	touch(t, lost)
	s.reaches(t, "out", "OutOfService")
	s.mixUp(t, mixed)
	s.call(t, "DeleteEndpoint", map[string]string{"EndpointName": "deleting"})

	held := map[string]string{
		"creating": "Creating", "serving": "InService", "updating": "Updating", "canary": "Updating", "maintained": "SystemUpdating",
		"rolling-back": "RollingBack", "out": "OutOfService", "deleting": "Deleting", "failed": "Failed", "mix": "UpdateRollbackFailed",
	}
	for endpoint, status := range held {
		if d := s.describe(t, endpoint); d.EndpointStatus != status {
			t.Fatalf("before the kill %s is %+v, not %s", endpoint, d, status)
		}
	}
	s.crash(t)

	// What waits for something outside is as it was; the others have gone on.
	for endpoint, status := range map[string]string{
		"creating": "Creating", "updating": "Updating", "canary": "Updating", "maintained": "SystemUpdating", "out": "OutOfService",
		"failed": "Failed", "mix": "UpdateRollbackFailed",
	} {
		if d := s.describe(t, endpoint); d.EndpointStatus != status {
			t.Errorf("after the start %s is %+v, not %s", endpoint, d, status)
		}
	}
	s.reaches(t, "deleting", "gone")
	s.reaches(t, "serving", "InService")
	if d := s.reaches(t, "rolling-back", "InService"); !strings.Contains(d.FailureReason, "dies") || d.EndpointConfigName != "plain" {
		t.Errorf("the update that failed tells %+v", d)
	}
	for _, endpoint := range []string{"serving", "updating", "canary", "rolling-back"} {
		s.answers(t, endpoint)
	}
	touch(t, gate)
	for _, gone := range []string{lost, mixed} {
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}
	}
	for endpoint, status := range map[string]string{
		"creating": "InService", "updating": "InService", "maintained": "InService", "out": "InService", "canary": "Updating", "mix": "UpdateRollbackFailed", "failed": "Failed",
	} {
		d := s.reaches(t, endpoint, status)
		if endpoint == "updating" && (d.EndpointConfigName != "gated" || d.FailureReason != "") {
			t.Errorf("the update ended as %+v", d)
		}
		if endpoint != "failed" {
			s.answers(t, endpoint)
		}
	}
	s.crash(t) // once more, with all of them at rest
	for endpoint := range held {
		if endpoint != "deleting" {
			s.do(t, http.MethodDelete, "/-/api/v1/endpoints/"+endpoint, nil)
			s.reaches(t, endpoint, "gone")
		}
	}
	eventually(t, "all models end with their endpoints", func() bool { return len(s.models(t)) == 0 })
}

// rollBack makes an update fail while one of its instances takes its time to end.
func (s *server) rollBack(t *testing.T, dies string) {
	t.Helper()
	s.call(t, "UpdateEndpoint", map[string]string{"EndpointName": "rolling-back", "EndpointConfigName": "half-dead"})
	eventually(t, "the stubborn instance is ready", func() bool {
		var p api.EndpointProgress
		if err := json.Unmarshal(s.do(t, http.MethodGet, "/-/api/v1/endpoints/rolling-back", nil), &p); err != nil {
			t.Fatal(err)
		}
		for _, v := range p.Variants {
			if v.Name == "stubborn-too" && v.Ready == 1 {
				return true
			}
		}
		return false
	})
	touch(t, dies)
	s.reaches(t, "rolling-back", "RollingBack")
}

// mixUp makes a rolling update fail half-way, and its rollback too (EP-9).
func (s *server) mixUp(t *testing.T, mixed string) {
	t.Helper()
	s.call(t, "UpdateEndpoint", map[string]any{"EndpointName": "mix", "EndpointConfigName": "new", "DeploymentConfig": map[string]any{
		"RollingUpdatePolicy": map[string]any{"MaximumBatchSize": map[string]any{"Type": "CAPACITY_PERCENT", "Value": 50}, "WaitIntervalInSeconds": 1}}})
	eventually(t, "half of the traffic has moved", func() bool {
		var p api.EndpointProgress
		if err := json.Unmarshal(s.do(t, http.MethodGet, "/-/api/v1/endpoints/mix", nil), &p); err != nil {
			t.Fatal(err)
		}
		return p.Change != nil && p.Change.Share == 0.5
	})
	touch(t, mixed)
	s.reaches(t, "mix", "UpdateRollbackFailed")
	s.answers(t, "mix")
}

// The server is killed at random instants while an endpoint is updated to and fro,
// scaled and maintained. Each time it comes back to service, with as many instances
// as it should have, and answers.
func TestKillWhileChanging(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t)
	s.one(t, "a", 1, nil)
	s.one(t, "b", 2, nil)
	s.host(t, "e", "a")
	s.reaches(t, "e", "InService")
	left := kills / 2
	if testing.Short() {
		left = quickKills / 2
	}
	seen := map[string]int{}
	for n := range left {
		switch n % 4 {
		case 0:
			s.call(t, "UpdateEndpoint", map[string]any{"EndpointName": "e", "EndpointConfigName": "b"})
		case 1:
			s.call(t, "UpdateEndpoint", map[string]any{"EndpointName": "e", "EndpointConfigName": "a", "DeploymentConfig": canary(1)})
		case 2:
			s.do(t, http.MethodPost, "/-/api/v1/endpoints/e/maintenance", nil)
		case 3:
			s.call(t, "UpdateEndpointWeightsAndCapacities", map[string]any{"EndpointName": "e", "DesiredWeightsAndCapacities": []any{
				map[string]any{"VariantName": "a", "DesiredInstanceCount": 1 + n%3}}})
		}
		time.Sleep(time.Duration(rand.Int64N(int64(time.Second)))) // the instant of the kill
		seen[s.describe(t, "e").EndpointStatus]++
		s.crash(t)
		d := s.reaches(t, "e", "InService")
		if d.FailureReason != "" {
			t.Errorf("after kill %d: %+v", n, d)
		}
		s.answers(t, "e")
		s.whole(t, "e")
	}
	t.Logf("killed %d times: %v", left, seen)
}

// whole waits until as many models run as the endpoint is described with.
func (s *server) whole(t *testing.T, endpoint string) {
	t.Helper()
	eventually(t, "the instances are as many as they should be", func() bool {
		var d struct {
			ProductionVariants []struct{ CurrentInstanceCount, DesiredInstanceCount int }
		}
		if err := json.Unmarshal(s.call(t, "DescribeEndpoint", map[string]string{"EndpointName": endpoint}), &d); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, v := range d.ProductionVariants {
			if v.CurrentInstanceCount != v.DesiredInstanceCount {
				return false
			}
			n += v.DesiredInstanceCount
		}
		return len(s.models(t)) == n
	})
}
