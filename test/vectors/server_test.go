package vectors_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/daemon"
)

// image is the name under which the test binary is a model server.
const image = "test/vector:latest"

// inContainers says that the vectors run on a Docker engine, where the image was
// built before (see build).
func inContainers() bool { return os.Getenv("SAGEBRUSH_TEST_DOCKER") != "" }

// server is a running daemon and a client of it. Its requests are unsigned, as
// the open mode allows.
type server struct{ url string }

// serve starts a daemon with settings over the defaults. It ends with the test.
func serve(t *testing.T, settings map[string]any) *server {
	t.Helper()
	given := map[string]any{"listen": "127.0.0.1:0", "data": t.TempDir(), "max-instances": 12, "s3": "embedded", "ready-timeout": "20s", "stop-grace": "1s"}
	for k, v := range settings {
		given[k] = v
	}
	c, err := config.Load("", func(string) (string, bool) { return "", false }, given)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if c.Runtime = "docker"; !inContainers() {
		c.Runtime = "process"
		c.Images = []config.Image{{Image: image, Command: []string{self, "model"}}}
	}
	d, err := daemon.Open(t.Context(), daemon.Options{Config: c, Version: "test", Self: []string{self}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	})
	return &server{url: d.URL()}
}

// do sends a request and gives the answer's body and head.
func (s *server) do(method, path string, body []byte) ([]byte, *http.Response, error) {
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	return out, resp, err
}

// must sends a request whose answer has to be 200.
func (s *server) must(t *testing.T, method, path string, body []byte) ([]byte, *http.Response) {
	t.Helper()
	out, resp, err := s.do(method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s", method, path, resp.Status, out)
	}
	return out, resp
}

// call calls an operation and gives the text of its refusal, "" when it has none.
func (s *server) call(t *testing.T, operation string, in, out any) (refusal string) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	answer, resp, err := s.do(http.MethodPost, "/"+operation, body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusOK {
		if out != nil {
			if err := json.Unmarshal(answer, out); err != nil {
				t.Fatalf("%s: %v in %s", operation, err, answer)
			}
		}
		return ""
	}
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(answer, &e); err != nil || resp.StatusCode >= 500 {
		t.Fatalf("%s: %s: %s", operation, resp.Status, answer)
	}
	return e.Type + ": " + e.Message
}

// job is what DescribeTransformJob says of one that has ended.
type job struct{ TransformJobStatus, FailureReason string }

// wait waits for the end of a job.
func (s *server) wait(t *testing.T, name string) (j job) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if refusal := s.call(t, "DescribeTransformJob", map[string]string{"TransformJobName": name}, &j); refusal != "" {
			t.Fatal(refusal)
		}
		if j.TransformJobStatus != "InProgress" && j.TransformJobStatus != "Stopping" {
			return j
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the test ended before the job")
		}
	}
}

// put writes an object.
func (s *server) put(t *testing.T, bucket, key string, body []byte) {
	t.Helper()
	s.must(t, http.MethodPut, "/"+bucket+"/"+escape(key), body)
}

// escape writes a key in a path.
func escape(key string) string { return (&url.URL{Path: key}).EscapedPath() }

// stored is an object of the output.
type stored struct {
	body        []byte
	contentType string
}

// list reads everything below a prefix; keys come without it.
func (s *server) list(t *testing.T, bucket, prefix string) map[string]stored {
	t.Helper()
	var page struct {
		Contents    []struct{ Key string }
		IsTruncated bool
	}
	answer, _ := s.must(t, http.MethodGet, "/"+bucket+"?list-type=2&prefix="+url.QueryEscape(prefix), nil)
	if err := xml.Unmarshal(answer, &page); err != nil || page.IsTruncated {
		t.Fatalf("listing %s: %v in %s", prefix, err, answer)
	}
	all := map[string]stored{}
	for _, o := range page.Contents {
		body, resp := s.must(t, http.MethodGet, "/"+bucket+"/"+escape(o.Key), nil)
		all[strings.TrimPrefix(o.Key, prefix)] = stored{body, resp.Header.Get("Content-Type")}
	}
	return all
}

// dataLog gives the texts of a job's data-log lines (BT-80 to BT-86).
func (s *server) dataLog(t *testing.T, name string) (texts []string) {
	t.Helper()
	answer, _ := s.must(t, http.MethodGet, fmt.Sprintf("/-/api/v1/transform-jobs/%s/logs", name), nil)
	for lines := json.NewDecoder(bytes.NewReader(answer)); lines.More(); {
		var l struct{ Stream, Text string }
		if err := lines.Decode(&l); err != nil {
			t.Fatal(err)
		}
		if _, text, ok := strings.Cut(l.Text, ":[sagemaker logs]: "); ok && strings.HasSuffix(l.Stream, "/data-log") {
			texts = append(texts, text)
		}
	}
	return texts
}
