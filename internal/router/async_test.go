package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// queued gives a world whose router has a queue in the database at path.
func queued(t *testing.T, path string) *world {
	t.Helper()
	s, err := state.Open(t.Context(), path, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return newWorld(t, func(o *Options) { o.Queue = StoreQueue{s} })
}

func asyncEndpoint(name string, variants ...*Variant) *Endpoint {
	e := endpoint(name, variants...)
	e.Async = &resource.AsyncInference{OutputPath: "s3://bucket/out/", FailurePath: "s3://bucket/bad"}
	return e
}

func asyncRequest(name, id, body string) *AsyncRequest {
	return &AsyncRequest{Region: region, Endpoint: name, InferenceID: id, Body: []byte(body), TTL: time.Hour, Timeout: time.Minute}
}

// object waits for an object and gives it.
func (w *world) object(t *testing.T, key string) string {
	t.Helper()
	var body string
	waitFor(t, "the object "+key, func() bool {
		r, err := w.objects.Open(t.Context(), objstore.Ref{Bucket: "bucket", Key: key}, objstore.All)
		if err != nil {
			return false
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		body = string(b)
		return err == nil
	})
	return body
}

func (w *world) asyncStats(t *testing.T) Stats {
	t.Helper()
	s, ok := w.router.Stats(region, "e", "v")
	if !ok {
		t.Fatal("no stats")
	}
	return s
}

// RT-20 to RT-22: the payload comes with the request or from S3, the answer goes to
// the output path, a failure to the failure path.
func TestAsync(t *testing.T) {
	t.Parallel()
	w := queued(t, "")
	w.images["model"] = handler(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) == "bad" {
			status(400, "no such row")(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "text/x")
		fmt.Fprintf(rw, "%s %s %s %d %s", r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header.Get("X-Amzn-Sagemaker-Inference-Id"), r.ContentLength, body)
	})
	w.publish(asyncEndpoint("e", variant("v", 1, w.launch(single("model")))))
	inline := asyncRequest("e", "one", "hello")
	inline.ContentType, inline.Accept = "text/csv", "a/b"
	a, err := w.router.InvokeAsync(t.Context(), inline)
	if err != nil || a != (AsyncAnswer{"one", "s3://bucket/out/one.out", "s3://bucket/bad/one-error.out"}) {
		t.Fatal(a, err)
	}
	if got, want := w.object(t, "out/one.out"), "text/csv a/b one 5 hello"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
	w.objects.Put(objstore.Ref{Bucket: "bucket", Key: "in/big"}, strings.Repeat("x", 10<<20)) // more than a synchronous body may have
	far := asyncRequest("e", "../two", "")
	far.InputLocation, far.Extension, far.Filename = "s3://bucket/in/big", "a/b/", "answer.txt"
	a, err = w.router.InvokeAsync(t.Context(), far)
	if err != nil || a.InferenceID != "../two" || a.OutputLocation != "s3://bucket/out/a/b/answer.txt" || strings.Contains(a.FailureLocation, "..") {
		t.Fatal(a, err)
	}
	if got := w.object(t, "out/a/b/answer.txt"); !strings.HasPrefix(got, " */* ../two 10485760 xxx") || len(got) < 10<<20 {
		t.Errorf("output %.50q", got)
	}
	if _, err = w.router.InvokeAsync(t.Context(), asyncRequest("e", "three", "bad")); err != nil {
		t.Fatal(err)
	}
	var failure struct {
		Message            string
		OriginalStatusCode int
		OriginalMessage    string
	}
	if err := json.Unmarshal([]byte(w.object(t, "bad/three-error.out")), &failure); err != nil || failure.OriginalStatusCode != 400 || failure.OriginalMessage != "no such row" {
		t.Errorf("failure %+v %v", failure, err)
	}
	missing := asyncRequest("e", "four", "")
	missing.InputLocation = "s3://bucket/in/none"
	if _, err = w.router.InvokeAsync(t.Context(), missing); err != nil {
		t.Fatal(err)
	}
	if got := w.object(t, "bad/four-error.out"); !strings.Contains(got, "does not exist") {
		t.Errorf("failure %q", got)
	}
	waitFor(t, "the end of all", func() bool { return w.asyncStats(t).AsyncBacklog == 0 })
	if s := w.asyncStats(t); s.AsyncFinished != 2 || s.AsyncFailed != 2 || s.AsyncInputFailures != 1 || s.ModelErrors != 1 || s.InFlight != 0 {
		t.Errorf("stats %+v", s)
	}
	if b, err := w.router.Queue.Backlog(t.Context(), region, "e"); err != nil || b.Count != 0 {
		t.Errorf("backlog %+v %v", b, err)
	}
	if n := w.objects.Writing(); n != 0 {
		t.Errorf("%d objects are neither committed nor aborted", n)
	}
}

// RT-22: which endpoint takes which calls, and what a request must have.
func TestAsyncRefuses(t *testing.T) {
	t.Parallel()
	w := queued(t, "")
	w.images["model"] = handler(echo)
	in := w.launch(single("model"))
	w.publish(asyncEndpoint("e", variant("v", 1, in)), endpoint("sync", variant("v", 1, in)))
	_, err := w.router.Invoke(t.Context(), request("e", ""))
	wantError(t, err, ValidationError, "Endpoint e takes asynchronous requests only. Call InvokeEndpointAsync.")
	for want, q := range map[string]*AsyncRequest{
		"no AsyncInferenceConfig":     asyncRequest("sync", "", "x"),
		"not found":                   asyncRequest("none", "", "x"),
		"it has neither":              asyncRequest("e", "", ""),
		"not both":                    {Region: region, Endpoint: "e", Body: []byte("x"), InputLocation: "s3://b/k"},
		"not the URI of an S3 object": {Region: region, Endpoint: "e", InputLocation: "s3://b"},
		`may not have the part ".."`:  {Region: region, Endpoint: "e", Body: []byte("x"), Extension: "a/../../b"},
	} {
		_, err := w.router.InvokeAsync(t.Context(), q)
		if e := wantError(t, err, ValidationError, ""); !strings.Contains(e.Message, want) {
			t.Errorf("%q lacks %q", e.Message, want)
		}
	}
	w.router.Find(region, "e").rec.async.Load().count.Store(maxBacklog)
	_, err = w.router.InvokeAsync(t.Context(), asyncRequest("e", "", "x"))
	wantError(t, err, ServiceUnavailable, "")
}

// RT-22: no more than MaxConcurrentInvocationsPerInstance are under way on an instance.
func TestAsyncConcurrency(t *testing.T) {
	t.Parallel()
	w := queued(t, "")
	s := newSlow()
	w.images["model"] = s.image
	e := asyncEndpoint("e", variant("v", 1, w.launch(single("model")), w.launch(single("model"))))
	e.Async.MaxConcurrent = 3
	w.publish(e)
	for i := range 20 {
		if _, err := w.router.InvokeAsync(t.Context(), asyncRequest("e", fmt.Sprint("id", i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "6 at work", func() bool { return s.entered.Load() == 6 })
	if b := w.asyncStats(t); b.AsyncBacklog != 20 || b.AsyncOldest.IsZero() {
		t.Errorf("stats %+v (OB-10)", b)
	}
	close(s.free)
	waitFor(t, "the end of all", func() bool { return w.asyncStats(t).AsyncFinished == 20 })
	if s.most.Load() > 6 {
		t.Errorf("%d at once", s.most.Load())
	}
}

// RT-20: what waits too long expires, what takes too long is ended.
func TestAsyncLimits(t *testing.T) {
	t.Parallel()
	w := queued(t, "")
	w.images["model"] = handler(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	asleep := asyncEndpoint("asleep", variant("v", 1))
	w.publish(asyncEndpoint("e", variant("v", 1, w.launch(single("model")))), asleep)
	old := asyncRequest("asleep", "old", "x")
	old.TTL = 20 * time.Millisecond
	if _, err := w.router.InvokeAsync(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if got := w.object(t, "bad/old-error.out"); !strings.Contains(got, "expired before an instance was free") {
		t.Errorf("failure %q", got)
	}
	slow := asyncRequest("e", "slow", "x")
	slow.Timeout = 50 * time.Millisecond
	if _, err := w.router.InvokeAsync(t.Context(), slow); err != nil {
		t.Fatal(err)
	}
	if got := w.object(t, "bad/slow-error.out"); !strings.Contains(got, "Your invocation timed out") {
		t.Errorf("failure %q", got)
	}
}

// An endpoint without instances asks for one, and its requests wait for it.
func TestAsyncWakes(t *testing.T) {
	t.Parallel()
	w := queued(t, "")
	w.images["model"] = handler(echo)
	v := variant("v", 1)
	woken := make(chan struct{}, 10)
	v.Wake = func() { woken <- struct{}{} }
	w.publish(asyncEndpoint("e", v))
	if _, err := w.router.InvokeAsync(t.Context(), asyncRequest("e", "id", "x")); err != nil {
		t.Fatal(err)
	}
	<-woken
	w.publish(asyncEndpoint("e", variant("v", 1, w.launch(single("model")))))
	if got := w.object(t, "out/id.out"); got != "x" {
		t.Errorf("output %q", got)
	}
}

// What a server leaves behind the next one carries out, and no output is half there.
// Here the router ends in the middle; nothing that it does at its end is needed.
func TestAsyncSurvivesRestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := state.Open(t.Context(), path, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	first := newWorld(t, func(o *Options) { o.Queue = StoreQueue{s} })
	half := make(chan struct{}, 10)
	first.images["model"] = handler(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, "half")
		rw.(http.Flusher).Flush()
		half <- struct{}{}
		<-r.Context().Done()
	})
	first.publish(asyncEndpoint("e", variant("v", 1, first.launch(single("model")))))
	for i := range 8 {
		if _, err := first.router.InvokeAsync(t.Context(), asyncRequest("e", fmt.Sprint("id", i), fmt.Sprint("body", i))); err != nil {
			t.Fatal(err)
		}
	}
	<-half
	first.router.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for info, err := range first.objects.List(t.Context(), "bucket", "") {
		t.Errorf("there is %v %v", info.Key, err)
	}
	second := queued(t, path)
	second.images["model"] = handler(echo)
	second.publish(asyncEndpoint("e", variant("v", 1, second.launch(single("model")))))
	if b := second.asyncStats(t).AsyncBacklog; b > 8 {
		t.Errorf("backlog %d", b)
	}
	for i := range 8 {
		if got := second.object(t, fmt.Sprintf("out/id%d.out", i)); got != fmt.Sprint("body", i) {
			t.Errorf("output %q", got)
		}
	}
	waitFor(t, "the end of all", func() bool { return second.asyncStats(t).AsyncBacklog == 0 })
	if err := second.router.Forget(t.Context(), region, "e"); err != nil {
		t.Error(err)
	}
}

// A store that fails for a while fails nobody.
func TestAsyncRepeatsWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	w := queued(t, "")
	w.images["model"] = handler(echo)
	var times atomic.Int64
	w.objects.Fault = func(op memstore.Op) error {
		if op.Name == "commit" && times.Add(1) == 1 {
			return objstore.Unavailable(op.Ref, "writing", errors.New("down"))
		}
		return nil
	}
	w.publish(asyncEndpoint("e", variant("v", 1, w.launch(single("model")))))
	if _, err := w.router.InvokeAsync(context.Background(), asyncRequest("e", "id", "x")); err != nil {
		t.Fatal(err)
	}
	if got := w.object(t, "out/id.out"); got != "x" {
		t.Errorf("output %q", got)
	}
	if s := w.asyncStats(t); s.AsyncOutputFailures != 1 || s.AsyncFailed != 0 {
		t.Errorf("stats %+v", s)
	}
}

// Forget removes what waits.
func TestForget(t *testing.T) {
	t.Parallel()
	w := queued(t, "")
	w.publish(asyncEndpoint("e", variant("v", 1)))
	if _, err := w.router.InvokeAsync(t.Context(), asyncRequest("e", "id", "x")); err != nil {
		t.Fatal(err)
	}
	w.publish()
	if err := w.router.Forget(t.Context(), region, "E"); err != nil {
		t.Fatal(err)
	}
	if b, err := w.router.Queue.Backlog(t.Context(), region, "e"); err != nil || b.Count != 0 {
		t.Errorf("backlog %+v %v", b, err)
	}
	if err := w.router.Forget(t.Context(), region, "never"); err != nil {
		t.Error(err)
	}
}
