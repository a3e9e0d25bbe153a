package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/driver/process"
	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost"
)

// The test binary is also the shim and the model server, as the real one is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "shim":
			os.Exit(process.ShimMain(os.Args[2:]))
		case "testmodel":
			os.Exit(testModel())
		case "modelserver":
			os.Exit(xgboost.Main(context.Background(), os.Args[3:], os.Getenv, os.Stdout, os.Stderr))
		}
	}
	// A race-enabled child otherwise sleeps a second before it exits.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// start runs a daemon for the test.
func start(t testing.TB, data string, edit func(*config.Config)) *Daemon {
	t.Helper()
	return startWith(t, data, func(o *Options) {
		if edit != nil {
			edit(&o.Config)
		}
	})
}

// startWith is start for a test that changes more than the settings.
func startWith(t testing.TB, data string, edit func(*Options)) *Daemon {
	t.Helper()
	given := map[string]any{"listen": "127.0.0.1:0", "data": data, "runtime": "process"}
	c, err := config.Load("", func(string) (string, bool) { return "", false }, given)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	o := Options{Config: c, Version: "test", Self: []string{os.Args[0]}, Log: log}
	edit(&o)
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return d
}

// call makes an unsigned request for an operation and gives its answer. One of another
// service than SageMaker has its target before a point.
func call(t testing.TB, d *Daemon, operation string, in any) (status int, out map[string]any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", d.URL()+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(operation, ".") {
		operation = "SageMaker." + operation
	}
	req.Header.Set("X-Amz-Target", operation)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &out); err != nil {
			t.Fatalf("%s: %s", err, answer)
		}
	}
	return resp.StatusCode, out
}

// must calls an operation that has to succeed.
func must(t testing.TB, d *Daemon, operation string, in any) map[string]any {
	t.Helper()
	status, out := call(t, d, operation, in)
	if status != 200 {
		t.Fatalf("%s: %d %v", operation, status, out)
	}
	return out
}

// object puts or gets an object of the embedded S3.
func object(t testing.TB, d *Daemon, method, path string, body []byte) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, d.URL()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, answer, err)
	}
	return answer
}

// await polls a job until it is over.
func await(t testing.TB, d *Daemon, name string) map[string]any {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		out := must(t, d, "DescribeTransformJob", map[string]any{"TransformJobName": name})
		if s := out["TransformJobStatus"]; s != "InProgress" && s != "Stopping" {
			return out
		}
	}
	return nil
}

const demoData = "../demo/data/"

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// job is CreateTransformJob's request with the least that it takes.
func job(name, model string, edit func(map[string]any)) map[string]any {
	in := map[string]any{
		"TransformJobName": name, "ModelName": model,
		"TransformInput": map[string]any{
			"DataSource":  map[string]any{"S3DataSource": map[string]any{"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}},
			"ContentType": "text/csv", "SplitType": "Line",
		},
		"TransformOutput":    map[string]any{"S3OutputPath": "s3://bucket/out", "AssembleWith": "Line"},
		"TransformResources": map[string]any{"InstanceType": "ml.m5.large", "InstanceCount": 1},
	}
	if edit != nil {
		edit(in)
	}
	return in
}

// The main job, end to end: a real model, real data, through the API.
func TestMainJob(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), nil)
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/model.tar.gz", readFile(t, demoData+"model.tar.gz"))
	object(t, d, "PUT", "/bucket/in/diamonds.csv.gz", readFile(t, demoData+"diamonds.csv.gz"))
	must(t, d, "CreateModel", map[string]any{"ModelName": "diamonds", "PrimaryContainer": map[string]any{
		"Image": "sagebrush/xgboost:latest", "ModelDataUrl": "s3://bucket/model.tar.gz"}})
	out := must(t, d, "CreateTransformJob", job("Score", "diamonds", func(in map[string]any) {
		in["TransformInput"].(map[string]any)["CompressionType"] = "Gzip"
		in["TransformResources"].(map[string]any)["InstanceCount"] = 2
	}))
	if want := "arn:aws:sagemaker:us-east-1:000000000000:transform-job/score"; out["TransformJobArn"] != want {
		t.Errorf("ARN %v", out)
	}
	end := await(t, d, "Score")
	if end["TransformJobStatus"] != "Completed" || end["FailureReason"] != nil {
		t.Fatalf("the job ended as %v", end)
	}
	got := bytes.Count(object(t, d, "GET", "/bucket/out/diamonds.csv.gz.out", nil), []byte("\n"))
	if got != 53940 {
		t.Errorf("%d predictions", got)
	}
	files, err := filepath.Glob(filepath.Join(d.Data(), "s3", "bucket", "out", "*"))
	if err != nil || len(files) != 1 {
		t.Errorf("files %v, %v", files, err)
	}
}

// A container that never answers /ping, and one that ends at once, fail the job
// with the reason (CC-23, BT-91, T-26).
func TestContainersThatDoNotServe(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), func(c *config.Config) {
		c.ReadyTimeout = 3 * time.Second
		c.StopGrace = time.Second
		c.Images = []config.Image{
			{Image: "test/silent", Command: []string{"/bin/sh", "-c", "sleep 60", "sh"}},
			{Image: "test/broken", Command: []string{"/bin/sh", "-c", "echo no model here; exit 3", "sh"}},
		}
	})
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/in/a", []byte("1\n"))
	for image, want := range map[string]string{
		"test/silent":  "AlgorithmError: Model container failed to respond to ping. Please ensure /ping endpoint is implemented and responds with an HTTP 200 status code. ",
		"test/broken":  "exited with code 3",
		"test/unknown": "test/unknown",
	} {
		t.Run(image, func(t *testing.T) {
			name := strings.ReplaceAll(image, "/", "-")
			must(t, d, "CreateModel", map[string]any{"ModelName": name, "PrimaryContainer": map[string]any{"Image": image}})
			must(t, d, "CreateTransformJob", job(name, name, nil))
			end := await(t, d, name)
			if end["TransformJobStatus"] != "Failed" || !strings.Contains(fmt.Sprint(end["FailureReason"]), want) {
				t.Errorf("the job ended as %v: %v", end["TransformJobStatus"], end["FailureReason"])
			}
			t.Log(end["FailureReason"])
		})
	}
}

// A listener that other machines reach is never open.
func TestOpenOnlyOnLoopback(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]bool{"127.0.0.1:0": true, "[::1]:0": true, "localhost:0": true, "0.0.0.0:0": false, ":0": false, "10.0.0.1:0": false} {
		open, err := decideAuth(config.Config{Listen: listen, Auth: "auto"})
		if err != nil || open != want {
			t.Errorf("%s: open = %v, %v", listen, open, err)
		}
		if _, err := decideAuth(config.Config{Listen: listen, Auth: "open"}); (err == nil) != want {
			t.Errorf("%s with auth=open: %v", listen, err)
		}
	}
}

func TestRemap(t *testing.T) {
	t.Parallel()
	f := remap([]config.Remap{{From: "*.dkr.ecr.*.amazonaws.com/scorer:*", To: "acme/scorer:1"}})
	for in, want := range map[string]string{
		"1.dkr.ecr.us-east-1.amazonaws.com/scorer:2":  "acme/scorer:1",
		"1.dkr.ecr.us-east-1.amazonaws.com/scorer2:2": "1.dkr.ecr.us-east-1.amazonaws.com/scorer2:2",
		"scorer": "scorer",
	} {
		if got := f(in); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
}
