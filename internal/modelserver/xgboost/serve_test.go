package xgboost

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// TestMainServes runs the whole process: it loads, answers on the port that it
// reports, and stops with code 0 when its context ends.
func TestMainServes(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	put(t, folder, "xgboost-model", read(t, "binary.ubj"))
	put(t, folder, "README.md", []byte("not a model"))
	put(t, folder, ".hidden", read(t, "binary.json"))
	if err := os.Mkdir(folder+"/code", 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	logs, stderr := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- Main(ctx, []string{"serve"}, env("SM_MODEL_DIR", folder, "SAGEMAKER_BIND_TO_PORT", "0",
			"SAGEBRUSH_BIND_HOST", "127.0.0.1", "SAGEMAKER_BATCH", "true"), io.Discard, stderr)
		stderr.Close()
	}()
	scanner := bufio.NewScanner(logs)
	if !scanner.Scan() {
		t.Fatal("no log line")
	}
	match := regexp.MustCompile(`address=(\S+) file=xgboost-model`).FindStringSubmatch(scanner.Text())
	if match == nil {
		t.Fatal(scanner.Text())
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("http://"+match[1]+"/invocations", "text/csv", strings.NewReader(string(read(t, "numeric.csv"))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || strings.Count(string(body), "\n") != 150 {
		t.Errorf("%s %v: %.100s", resp.Status, err, body)
	}
	stop()
	for scanner.Scan() {
	}
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
}

func TestMainFailures(t *testing.T) {
	t.Parallel()
	empty, none, two := t.TempDir(), t.TempDir(), t.TempDir()
	put(t, none, "model.tar.gz", []byte("\x1f\x8b\x08 packed"))
	put(t, two, "a.json", read(t, "binary.json"))
	put(t, two, "b.ubj", read(t, "binary.ubj"))
	good := t.TempDir()
	put(t, good, "xgboost-model", read(t, "binary.bin"))
	for _, c := range []struct {
		args []string
		env  []string
		code int
		want string
	}{
		{nil, nil, 2, "serve"},
		{[]string{"train"}, nil, 2, `"train"`},
		{[]string{"serve", "now"}, nil, 2, `"serve now"`},
		{[]string{"serve"}, []string{"SM_MODEL_DIR", empty + "/absent"}, 1, "reading the model folder"},
		{[]string{"serve"}, []string{"SM_MODEL_DIR", empty}, 1, "holds no file"},
		{[]string{"serve"}, []string{"SM_MODEL_DIR", none}, 1, "model.tar.gz: the file is neither"},
		{[]string{"serve"}, []string{"SM_MODEL_DIR", two}, 1, "holds 2 models, a.json, b.ubj"},
		{[]string{"serve"}, []string{"SM_MODEL_DIR", good, "SAGEMAKER_BIND_TO_PORT", "http"}, 2, "SAGEMAKER_BIND_TO_PORT"},
		{[]string{"serve"}, []string{"SM_MODEL_DIR", good, "SAGEMAKER_BIND_TO_PORT", "70000"}, 2, "SAGEMAKER_BIND_TO_PORT"},
		{[]string{"serve"}, []string{"SM_MODEL_DIR", good, "SAGEBRUSH_BIND_HOST", "256.0.0.1"}, 1, "listening"},
		{[]string{"serve"}, []string{"SM_MODEL_DIR", good, "MAX_CONTENT_LENGTH", "6MB"}, 2, "MAX_CONTENT_LENGTH"},
		{[]string{"serve"}, []string{"SM_MODEL_DIR", good, "SAGEMAKER_MAX_PAYLOAD_IN_MB", "-1"}, 2, "SAGEMAKER_MAX_PAYLOAD_IN_MB"},
		{[]string{"serve"}, []string{"SM_MODEL_DIR", good, "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "a/b"}, 1, "a/b"},
		{[]string{"serve"}, []string{"SM_MODEL_DIR", good, "SAGEMAKER_INFERENCE_OUTPUT", "labels"}, 2, "SAGEMAKER_INFERENCE_OUTPUT"},
	} {
		var stderr strings.Builder
		if code := Main(t.Context(), c.args, env(c.env...), io.Discard, &stderr); code != c.code || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%v %v: code %d, %q; want %d with %q", c.args, c.env, code, stderr.String(), c.code, c.want)
		}
	}
}

// TestLimits: CC-60 gives the default, CC-41 the variable that raises it.
func TestLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env             []string
		suggested, body int64
	}{
		{nil, 6 << 20, 6 << 20},
		{[]string{"MAX_CONTENT_LENGTH", "20971520"}, 20 << 20, 20 << 20},
		{[]string{"SAGEMAKER_MAX_PAYLOAD_IN_MB", "100"}, 6 << 20, 100 << 20},
		{[]string{"SAGEMAKER_MAX_PAYLOAD_IN_MB", "1"}, 6 << 20, 6 << 20},
		{[]string{"SAGEMAKER_MAX_PAYLOAD_IN_MB", "0"}, 6 << 20, largestBody},
	} {
		s, err := readSettings(env(c.env...))
		if err != nil || s.options.MaxContentLength != c.suggested || s.options.MaxBody != c.body {
			t.Errorf("%v: %d and %d, %v", c.env, s.options.MaxContentLength, s.options.MaxBody, err)
		}
		if s.address != ":8080" || s.folder != "/opt/ml/model" {
			t.Errorf("address %s, folder %s", s.address, s.folder)
		}
	}
}
