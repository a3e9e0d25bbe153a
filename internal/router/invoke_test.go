package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/fake"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// CC-25, CC-52: what a container gets of the client; CC-53, RT-3: what comes back.
func TestHeadersBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := make(chan *http.Request, 1)
	w.images["model"] = handler(func(rw http.ResponseWriter, r *http.Request) {
		seen <- r.Clone(context.Background())
		rw.Header().Set("Content-Type", "application/x-thing")
		rw.Header().Set("X-Amzn-SageMaker-Custom-Attributes", "trace=1")
		rw.WriteHeader(http.StatusCreated) // any 2xx is success (CC-28)
		fmt.Fprint(rw, "answer")
	})
	w.publish(endpoint("e", variant("AllTraffic", 1, w.launch(single("model")))))
	q := request("E", "body") // CP-9
	q.ContentType, q.Accept, q.CustomAttributes, q.InferenceID = "text/csv", "application/json", "a=b", "id-1"
	a, err := w.router.Invoke(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	want := Answer{Variant: "AllTraffic", ContentType: "application/x-thing", CustomAttributes: "trace=1", Body: []byte("answer")}
	if fmt.Sprint(*a) != fmt.Sprint(want) {
		t.Errorf("answer %+v, want %+v", *a, want)
	}
	got := <-seen
	for name, value := range map[string]string{
		"Content-Type": "text/csv", "Accept": "application/json", "X-Amzn-Sagemaker-Custom-Attributes": "a=b",
		"X-Amzn-Sagemaker-Inference-Id": "id-1", "Content-Length": "4",
	} {
		if got.Header.Get(name) != value {
			t.Errorf("the container got %s %q, want %q", name, got.Header.Get(name), value)
		}
	}
	if got.Host != "model.aws.local:8080" || got.UserAgent() != "AHC/2.0" { // CC-26
		t.Errorf("host %q, agent %q", got.Host, got.UserAgent())
	}
}

// RT-6, RT-7: the exact texts, members and statuses.
func TestModelErrors(t *testing.T) {
	t.Parallel()
	const see = `. See https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logEventViewer:group=/aws/sagemaker/Endpoints/e in account 123456789012 for more information.`
	timeout := "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
	for name, c := range map[string]struct {
		h        http.HandlerFunc
		kind     string
		status   int
		original string
	}{
		"client error": {status(400, "bad <row>"), "client", 400, "bad <row>"},
		"server error": {status(500, "boom"), "server", 500, "boom"},
		"redirect":     {status(302, "there"), "server", 302, "there"}, // CC-28
		"hangs":        {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "server", 0, timeout},
		"trickles": {func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "1000000")
			for r.Context().Err() == nil {
				fmt.Fprint(rw, ".")
				rw.(http.Flusher).Flush()
				pause(r.Context(), 10*time.Millisecond)
			}
		}, "server", 0, timeout},
		"resets":    {hijack(""), "server", 0, "the container closed the connection without an answer"},
		"nonsense":  {hijack("hello there, this is no HTTP\r\n\r\n"), "server", 0, `the container's answer is not valid HTTP: it begins with "hello there, this is no HTTP" instead of a status line of HTTP/1.x`},
		"cut short": {hijack("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "server", 0, "the container closed the connection in the middle of its answer"},
		"gigabytes": {func(rw http.ResponseWriter, r *http.Request) {
			piece := bytes.Repeat([]byte("x"), 1<<20)
			for r.Context().Err() == nil {
				if _, err := rw.Write(piece); err != nil {
					return
				}
			}
		}, "server", 0, "the container's answer to one request is larger than the limit of 6291456 bytes; send smaller requests or stream the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.images["model"] = handler(c.h)
			e := endpoint("e", variant("v", 1, w.launch(single("model"))))
			if c.original == timeout {
				e.Limits.Timeout = 200 * time.Millisecond
			}
			w.publish(e)
			_, err := w.router.Invoke(t.Context(), request("e", "x"))
			got := wantError(t, err, ModelError, fmt.Sprintf(`Received %s error (%d) from primary with message "%s"%s`, c.kind, c.status, c.original, see))
			if *got.Original != (Original{c.status, c.original, "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/sagemaker/Endpoints/e"}) {
				t.Errorf("original %+v", *got.Original)
			}
			s, _ := w.router.Stats(region, "e", "v")
			if s.Invocations != 1 || s.ModelErrors != 1 || s.Errors4XX+s.Errors5XX != 1 || (s.Errors4XX == 1) != (c.kind == "client") || s.InFlight != 0 {
				t.Errorf("stats %+v (OB-3, OB-4)", s)
			}
		})
	}
}

func status(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}
}

// hijack answers bytes and closes the connection.
func hijack(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, answer)
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.Close()
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func TestErrorTextsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = handler(status(500, strings.Repeat("é", 3<<20)))
	w.publish(endpoint("e", variant("v", 1, w.launch(single("model")))))
	_, err := w.router.Invoke(t.Context(), request("e", ""))
	e := wantError(t, err, ModelError, "")
	if n := len([]rune(e.Message)); n != maxMessage || !strings.HasSuffix(e.Message, "for more information.") {
		t.Errorf("message of %d characters: %.50q", n, e.Message)
	}
	if n := len([]rune(e.Original.Message)); n != maxMessage {
		t.Errorf("original message of %d characters", n)
	}
}

// RT-5, EP-2 to EP-9: which statuses let requests through, and what the others say.
func TestEndpointsThatDoNotServe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = handler(echo)
	in := w.launch(single("model"))
	for _, s := range []resource.EndpointStatus{
		resource.EndpointCreating, resource.EndpointInService, resource.EndpointUpdating, resource.EndpointSystemUpdating, resource.EndpointRollingBack,
		resource.EndpointOutOfService, resource.EndpointDeleting, resource.EndpointFailed, resource.EndpointUpdateRollbackFailed,
	} {
		e := endpoint("e", variant("v", 1, in))
		e.Status, e.Serves = s, s.Serves()
		w.publish(e)
		_, err := w.router.Invoke(t.Context(), request("e", ""))
		switch {
		case s.Serves():
			if err != nil {
				t.Errorf("%s: %v", s, err)
			}
		case s == resource.EndpointOutOfService:
			wantError(t, err, ServiceUnavailable, "")
		default:
			wantError(t, err, ValidationError, "Endpoint e of account 123456789012 not found. Its status is "+string(s)+".")
		}
	}
	_, err := w.router.Invoke(t.Context(), request("other", ""))
	wantError(t, err, ValidationError, "Endpoint other of account 123456789012 not found.")
	elsewhere := request("e", "")
	elsewhere.Region = "us-east-1"
	_, err = w.router.Invoke(t.Context(), elsewhere)
	wantError(t, err, ValidationError, "Endpoint e of account 123456789012 not found.")
}

// A client that goes away cuts the call to the container.
func TestDisconnectCancels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	entered, cut := make(chan struct{}), make(chan struct{})
	w.images["model"] = handler(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		close(cut)
	})
	w.publish(endpoint("e", variant("v", 1, w.launch(single("model")))))
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := w.router.Invoke(ctx, request("e", "x"))
		failed <- err
	}()
	<-entered
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	<-cut
	if s, _ := w.router.Stats(region, "e", "v"); s.Errors5XX != 0 || s.ModelErrors != 0 || s.Invocations != 1 {
		t.Errorf("stats %+v: a client that leaves is nobody's error", s)
	}
}

// A request whose instance ends goes to another one, so that a crash fails nobody.
func TestCrashGoesElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var once sync.Once
	w.images["model"] = func(c *fake.Container) http.Handler {
		return handler(func(rw http.ResponseWriter, r *http.Request) {
			crash := false
			once.Do(func() { crash = true })
			if crash {
				c.End(driver.Exit{Code: -1, Signal: "killed"})
				<-r.Context().Done()
				panic(http.ErrAbortHandler)
			}
			echo(rw, r)
		})(c)
	}
	w.publish(endpoint("e", variant("v", 1, w.launch(single("model")), w.launch(single("model")))))
	for range 20 {
		if a, err := w.router.Invoke(t.Context(), request("e", "hello")); err != nil || string(a.Body) != "hello" {
			t.Fatalf("%v %v", a, err)
		}
	}
	if s, _ := w.router.Stats(region, "e", "v"); s.Repeated != 1 || s.Invocations != 20 || s.ModelErrors != 0 {
		t.Errorf("stats %+v", s)
	}
}

// A request that kills whoever reads it does not go through a whole fleet.
func TestPoisonIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = func(c *fake.Container) http.Handler {
		return handler(func(_ http.ResponseWriter, r *http.Request) {
			c.End(driver.Exit{Code: 139})
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		})(c)
	}
	var all []*Instance
	for range 5 {
		all = append(all, w.launch(single("model")))
	}
	w.publish(endpoint("e", variant("v", 1, all...)))
	_, err := w.router.Invoke(t.Context(), request("e", "x"))
	wantError(t, err, ModelError, "")
	alive := 0
	for _, in := range all {
		if in.alive() {
			alive++
		}
	}
	if alive != len(all)-maxInstances {
		t.Errorf("%d of %d instances live", alive, len(all))
	}
}

// pipeline makes a model of several containers.
func pipeline(images ...string) resource.ModelSpec {
	var m resource.ModelSpec
	for _, i := range images {
		m.Containers = append(m.Containers, resource.Container{Image: i})
	}
	return m
}

// CC-70, CC-74: each answer is the next request, the Accept is the last one's.
func TestPipeline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stage := func(mark string) func(*fake.Container) http.Handler {
		return handler(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			rw.Header().Set("Content-Type", "type/"+mark)
			fmt.Fprintf(rw, "%s|%s:%s:%s", body, mark, r.Header.Get("Content-Type"), r.Header.Get("Accept"))
		})
	}
	w.images["one"], w.images["two"], w.images["three"] = stage("1"), stage("2"), stage("3")
	w.publish(endpoint("e", variant("v", 1, w.launch(pipeline("one", "two", "three")))))
	q := request("e", "in")
	q.ContentType, q.Accept = "text/csv", "final/type"
	a, err := w.router.Invoke(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(a.Body), "in|1:text/csv:*/*|2:type/1:*/*|3:type/2:final/type"; got != want || a.ContentType != "type/3" {
		t.Errorf("%q of type %q, want %q", got, a.ContentType, want)
	}
	if s, _ := w.router.Stats(region, "e", "v"); len(s.ContainerLatency) != 3 || s.ContainerLatency["container-2"].Count != 1 {
		t.Errorf("container latencies %v (OB-7)", s.ContainerLatency)
	}
}

// CC-72, CC-73, RT-6: the 5 MB between containers, and the name of the one that failed.
func TestPipelineFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["big"] = handler(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(make([]byte, 6_000_000)) })
	w.images["echo"] = handler(echo)
	w.images["bad"] = handler(status(418, "teapot"))
	w.publish(
		endpoint("big", variant("v", 1, w.launch(pipeline("big", "echo")))),
		endpoint("bad", variant("v", 1, w.launch(pipeline("echo", "bad")))),
		endpoint("last", variant("v", 1, w.launch(pipeline("echo", "big")))),
	)
	_, err := w.router.Invoke(t.Context(), request("big", ""))
	e := wantError(t, err, ModelError, "")
	if want := "Received response from container-1 with status code 200. However, the request payload from container-1 to container-2 is 6000000 bytes, which has exceeded the maximum limit of 5 MB."; e.Original.Message != want {
		t.Errorf("message %q\nwant    %q", e.Original.Message, want)
	}
	_, err = w.router.Invoke(t.Context(), request("bad", ""))
	if e := wantError(t, err, ModelError, ""); !strings.HasPrefix(e.Message, `Received client error (418) from container-2 with message "teapot".`) {
		t.Errorf("message %q", e.Message)
	}
	if a, err := w.router.Invoke(t.Context(), request("last", "")); err != nil || len(a.Body) != 6_000_000 {
		t.Errorf("the limit is for what is between containers: %v", err)
	}
}

// CC-75, EP-37 and what is not supported: each is a ValidationError.
func TestTargets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	named := func(name string) func(*fake.Container) http.Handler { return handler(status(200, name)) }
	w.images["a"], w.images["b"] = named("a"), named("b")
	direct := pipeline("a", "b")
	direct.Direct = true
	direct.Containers[0].Hostname, direct.Containers[1].Hostname = "first", "second"
	w.publish(endpoint("direct", variant("v", 1, w.launch(direct))), endpoint("plain", variant("v", 1, w.launch(single("a")))))
	for _, c := range []struct {
		endpoint string
		change   func(*Request)
		want     string // a body, or a part of the ValidationError
	}{
		{"direct", func(q *Request) { q.Container = "second" }, "b"},
		{"direct", func(q *Request) { q.Container = "third" }, "no container with the hostname third"},
		{"direct", func(*Request) {}, "name a container in TargetContainerHostname"},
		{"direct", func(q *Request) { q.Container, q.Model = "first", "m.tar.gz" }, "TargetModel"},
		{"plain", func(q *Request) { q.Container = "first" }, "Mode Direct"},
		{"plain", func(q *Request) { q.Model = "m.tar.gz" }, "TargetModel is for multi-model endpoints"},
		{"plain", func(q *Request) { q.InferenceComponent = "c" }, "InferenceComponentName is not supported"},
		{"plain", func(q *Request) { q.Explanations = "`true`" }, "EnableExplanations is not supported"},
		{"plain", func(q *Request) { q.Variant = "w" }, "Variant w not found"},
		{"plain", func(q *Request) { q.Operation = Async }, "no AsyncInferenceConfig"},
		{"plain", func(q *Request) { q.CustomAttributes = "a\nb" }, "cannot be sent"},
	} {
		q := request(c.endpoint, "")
		c.change(q)
		a, err := w.router.Invoke(t.Context(), q)
		if err == nil {
			if string(a.Body) != c.want {
				t.Errorf("%s: answer %q, want %q", c.endpoint, a.Body, c.want)
			}
			continue
		}
		if e := wantError(t, err, ValidationError, ""); !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %q lacks %q", c.endpoint, e.Message, c.want)
		}
	}
}
