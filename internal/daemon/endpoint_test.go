package daemon

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// invoke sends one request to an endpoint.
func invoke(t testing.TB, d *Daemon, endpoint, body string, head map[string]string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", d.URL()+"/endpoints/"+endpoint+"/invocations", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range head {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(answer)
}

// variantIn is a production variant of a configuration.
func variantIn(name, model string, count int, weight float64) map[string]any {
	return map[string]any{"VariantName": name, "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": count, "InitialVariantWeight": weight}
}

// named makes a model that answers its name behind what it is sent.
func named(t *testing.T, d *Daemon, name string) {
	t.Helper()
	must(t, d, "CreateModel", map[string]any{"ModelName": name, "PrimaryContainer": map[string]any{
		"Image": "test/model", "Environment": map[string]string{"MODE": "suffix", "NAME": name}}})
}

// status waits until an endpoint has a status.
func status(t *testing.T, d *Daemon, name string, want ...string) map[string]any {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.Now().Add(time.Minute)
	for range tick.C {
		code, out := call(t, d, "DescribeEndpoint", map[string]any{"EndpointName": name})
		now := fmt.Sprint(out["EndpointStatus"])
		if code != 200 {
			now = "gone"
		}
		for _, w := range want {
			if now == w {
				return out
			}
		}
		if time.Now().After(limit) {
			t.Fatalf("%s is %s: %v", name, now, out)
		}
	}
	return nil
}

// hosted makes an endpoint of one variant and waits until it serves.
func hosted(t *testing.T, d *Daemon, name string, count int) {
	t.Helper()
	named(t, d, name+"-m")
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": name + "-c", "ProductionVariants": []any{variantIn("v", name+"-m", count, 1)}})
	must(t, d, "CreateEndpoint", map[string]any{"EndpointName": name, "EndpointConfigName": name + "-c"})
	status(t, d, name, "InService")
}

// CP-50 to CP-56, EP-1, EP-2, EP-7, EP-21: the plain life of an endpoint.
func TestEndpointLife(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	hosted(t, d, "plain", 2)
	out := must(t, d, "DescribeEndpoint", map[string]any{"EndpointName": "plain"})
	v := out["ProductionVariants"].([]any)[0].(map[string]any)
	image := v["DeployedImages"].([]any)[0].(map[string]any)
	if v["CurrentInstanceCount"] != 2.0 || v["DesiredWeight"] != 1.0 || image["SpecifiedImage"] != "test/model" || !strings.HasPrefix(fmt.Sprint(image["ResolvedImage"]), "test/model@sha256:") {
		t.Errorf("described %v", out)
	}
	resp, answer := invoke(t, d, "plain", "x", map[string]string{"Content-Type": "text/csv"})
	if resp.StatusCode != 200 || answer != "x>plain-m(text/csv)" || resp.Header.Get("x-Amzn-Invoked-Production-Variant") != "v" {
		t.Errorf("%d %q %v", resp.StatusCode, answer, resp.Header)
	}
	if list := must(t, d, "ListEndpoints", map[string]any{"StatusEquals": "InService"}); len(list["Endpoints"].([]any)) != 1 {
		t.Errorf("list %v", list)
	}
	must(t, d, "DeleteEndpoint", map[string]any{"EndpointName": "plain"})
	status(t, d, "plain", "gone")
	if resp, answer := invoke(t, d, "plain", "x", nil); resp.StatusCode != 400 || !strings.Contains(answer, "Endpoint plain of account 000000000000 not found.") {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
}

// EP-1, EP-8, EP-12: a container that never serves makes the endpoint Failed, and
// deletion is all that it takes then.
func TestEndpointFails(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	must(t, d, "CreateModel", map[string]any{"ModelName": "broken", "PrimaryContainer": map[string]any{
		"Image": "test/model", "Environment": map[string]string{"MODE": "dead", "DB_PASSWORD": "hunter2hunter2"}}})
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "c", "ProductionVariants": []any{variantIn("v", "broken", 1, 1)}})
	must(t, d, "CreateEndpoint", map[string]any{"EndpointName": "e", "EndpointConfigName": "c"})
	out := status(t, d, "e", "Failed")
	reason := fmt.Sprint(out["FailureReason"])
	for _, part := range []string{"The primary container for production variant v did not pass the ping health check. Please check CloudWatch logs for this endpoint.", "exited with code 3", "I cannot load **** "} {
		if !strings.Contains(reason, part) {
			t.Errorf("%q lacks %q", reason, part)
		}
	}
	if out["ProductionVariants"] != nil {
		t.Errorf("a failed endpoint has variants: %v", out)
	}
	code, refused := call(t, d, "UpdateEndpoint", map[string]any{"EndpointName": "e", "EndpointConfigName": "c"})
	if code != 400 || refused["__type"] != "ValidationException" {
		t.Errorf("%d %v", code, refused)
	}
	must(t, d, "DeleteEndpoint", map[string]any{"EndpointName": "e"})
	status(t, d, "e", "gone")
}

// load sends requests without a pause until it is told to stop, and counts.
type load struct {
	stop     chan struct{}
	wait     sync.WaitGroup
	mu       sync.Mutex
	answers  map[string]int
	failures []string
}

func startLoad(t *testing.T, d *Daemon, endpoint string, clients int) *load {
	l := &load{stop: make(chan struct{}), answers: map[string]int{}}
	for range clients {
		l.wait.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				resp, err := client.Post(d.URL()+"/endpoints/"+endpoint+"/invocations", "text/csv", bytes.NewReader([]byte("x")))
				l.count(resp, err)
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) count(resp *http.Response, err error) {
	var body []byte
	if err == nil {
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.failures = append(l.failures, err.Error())
	case resp.StatusCode != 200:
		l.failures = append(l.failures, fmt.Sprint(resp.StatusCode, " ", string(body)))
	default:
		l.answers[string(body)]++
	}
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.wait.Wait()
}

// total is how many requests were answered so far.
func (l *load) total() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.answers {
		n += k
	}
	return n
}

// more waits for further answers.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	want := l.total() + n
	for l.total() < want {
		l.mu.Lock()
		failed := len(l.failures)
		l.mu.Unlock()
		if failed > 100 {
			t.Fatalf("%d failures, the first: %s", failed, l.failures[0])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// EP-3, EP-4, EP-11, EP-40 to EP-44: through updates, a weight change, a crash,
// maintenance and a rollback no request fails.
func TestNoRequestFails(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	hosted(t, d, "e", 2)
	named(t, d, "second")
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "two", "ProductionVariants": []any{variantIn("v", "second", 2, 1), variantIn("w", "e-m", 1, 3)}})
	must(t, d, "CreateModel", map[string]any{"ModelName": "dead", "PrimaryContainer": map[string]any{"Image": "test/model", "Environment": map[string]string{"MODE": "dead"}}})
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "bad", "ProductionVariants": []any{variantIn("v", "dead", 1, 1)}})
	l := startLoad(t, d, "e", 4)
	l.more(t, 200)
	steps := []struct {
		name, operation string
		in              map[string]any
		through, then   string
	}{
		{"update", "UpdateEndpoint", map[string]any{"EndpointConfigName": "two"}, "Updating", "two"},
		{"weights", "UpdateEndpointWeightsAndCapacities", map[string]any{"DesiredWeightsAndCapacities": []any{
			map[string]any{"VariantName": "v", "DesiredWeight": 1, "DesiredInstanceCount": 1}, map[string]any{"VariantName": "w", "DesiredWeight": 1}}}, "Updating", "two"},
		{"rollback", "UpdateEndpoint", map[string]any{"EndpointConfigName": "bad"}, "RollingBack", "two"},
		{"rolling", "UpdateEndpoint", map[string]any{"EndpointConfigName": "e-c", "DeploymentConfig": map[string]any{
			"RollingUpdatePolicy": map[string]any{"MaximumBatchSize": map[string]any{"Type": "CAPACITY_PERCENT", "Value": 50}, "WaitIntervalInSeconds": 0}}}, "Updating", "e-c"},
		{"canary", "UpdateEndpoint", map[string]any{"EndpointConfigName": "two", "DeploymentConfig": map[string]any{
			"BlueGreenUpdatePolicy": map[string]any{"TrafficRoutingConfiguration": map[string]any{"Type": "CANARY", "WaitIntervalInSeconds": 1,
				"CanarySize": map[string]any{"Type": "CAPACITY_PERCENT", "Value": 20}}}}}, "Updating", "two"},
	}
	for _, s := range steps {
		s.in["EndpointName"] = "e"
		must(t, d, s.operation, s.in)
		if code, out := call(t, d, "DeleteEndpoint", map[string]any{"EndpointName": "e"}); code != 400 || !strings.Contains(fmt.Sprint(out), "Cannot update in-progress endpoint") {
			t.Errorf("%s: deleting meanwhile gave %d %v", s.name, code, out)
		}
		out := status(t, d, "e", "InService")
		if out["EndpointConfigName"] != s.then {
			t.Errorf("%s: %v", s.name, out)
		}
		if failed := out["FailureReason"] != nil; failed != (s.name == "rollback") {
			t.Errorf("%s: %v", s.name, out)
		}
		l.more(t, 200)
	}
	request(t, d, "POST", "/-/api/v1/endpoints/e/maintenance")
	status(t, d, "e", "InService")
	l.more(t, 200)
	// A crash: an instance exits in the middle of a request, which another answers.
	for i := range 3 {
		mark := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if resp, answer := invoke(t, d, "e", "exit once "+mark, nil); resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, answer)
		}
		l.more(t, 200)
		whole(t, d, "e")
	}
	l.more(t, 500)
	status(t, d, "e", "InService")
	l.end()
	if len(l.failures) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(l.failures), l.total()+len(l.failures), l.failures[0])
	}
	t.Logf("%d requests: %v", l.total(), l.answers)
}

// whole waits until an endpoint has all the instances that it should.
func whole(t *testing.T, d *Daemon, name string) {
	t.Helper()
	for range 6000 {
		lacks := false
		for _, v := range status(t, d, name, "InService")["ProductionVariants"].([]any) {
			v := v.(map[string]any)
			lacks = lacks || v["CurrentInstanceCount"] != v["DesiredInstanceCount"]
		}
		if !lacks {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the crashed instance was not replaced")
}

// request calls one of our own paths.
func request(t *testing.T, d *Daemon, method, path string) string {
	t.Helper()
	return string(object(t, d, method, path, nil))
}

// EP-4, EP-6: after a kill the endpoints come back by themselves; a variant that
// sleeps is woken by a request.
func TestEndpointRestart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	t.Run("before", func(t *testing.T) {
		d := start(t, data, withModel)
		hosted(t, d, "e", 1)
	})
	d := start(t, data, withModel)
	status(t, d, "e", "InService")
	if resp, answer := invoke(t, d, "e", "x", nil); resp.StatusCode != 200 || answer != "x>e-m()" {
		t.Errorf("%d %q", resp.StatusCode, answer)
	}
	named(t, d, "sleepy")
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "s", "ProductionVariants": []any{map[string]any{
		"VariantName": "v", "ModelName": "sleepy", "ServerlessConfig": map[string]any{"MemorySizeInMB": 1024, "MaxConcurrency": 5}}}})
	must(t, d, "CreateEndpoint", map[string]any{"EndpointName": "s", "EndpointConfigName": "s"})
	out := status(t, d, "s", "InService")
	if v := out["ProductionVariants"].([]any)[0].(map[string]any); v["CurrentInstanceCount"] != 0.0 {
		t.Errorf("described %v", v)
	}
	if resp, answer := invoke(t, d, "s", "x", nil); resp.StatusCode != 200 || answer != "x>sleepy()" {
		t.Errorf("%d %q", resp.StatusCode, answer)
	}
}
