package daemon

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/state"
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

// RT-20: the queue of an endpoint ends with it, and is not left to the next of its name.
func TestDeletedQueue(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	hosted(t, d, "queued", 1)
	store := d.control.State
	if err := store.Update(t.Context(), func(tx *state.Tx) error {
		_, err := tx.AddAsync(state.AsyncInvocation{Region: "us-east-1", Endpoint: "queued", InputLocation: "s3://bucket/in", Created: time.Now()})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	must(t, d, "DeleteEndpoint", map[string]any{"EndpointName": "queued"})
	status(t, d, "queued", "gone")
	if err := store.View(t.Context(), func(tx *state.Tx) error {
		left, err := tx.AsyncBacklog("us-east-1", "queued")
		if left.Count != 0 {
			t.Errorf("%d invocations are left", left.Count)
		}
		return err
	}); err != nil {
		t.Fatal(err)
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
