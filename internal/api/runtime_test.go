package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/fake"
	"github.com/sagebrush-ml/sagebrush/internal/fleet"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/modelcache"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/router"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// net/http lingers for half a second at a connection that it closes early, which is as
// long as goleak waits.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const (
	region  = "eu-west-1"
	account = "123456789012"
	keyID   = "AKIDEXAMPLE00000"
	secret  = "secretsecretsecretsecret"
)

// runtimePort is a Server that serves the runtime API for one scripted container: the
// endpoint "e" takes requests, "q" is asynchronous, "away" is being created.
type runtimePort struct {
	t       *testing.T
	server  *Server
	http    *httptest.Server
	client  *http.Client
	objects *memstore.Store
}

func newRuntime(t *testing.T, open bool, container http.HandlerFunc, change ...func(*router.Endpoint)) *runtimePort {
	t.Helper()
	p := &runtimePort{t: t, objects: memstore.New("bucket"), client: &http.Client{Transport: &http.Transport{}}}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	models, err := modelcache.Open(modelcache.Options{Dir: filepath.Join(t.TempDir(), "cache"), Store: p.objects, Bytes: 1 << 30, Log: log, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	instances := fleet.New(fleet.Options{
		Driver: fake.New(func(driver.Spec) (fake.Script, error) {
			return fake.Script{Handler: func(*fake.Container) http.Handler {
				mux := http.NewServeMux()
				mux.HandleFunc("/ping", func(http.ResponseWriter, *http.Request) {})
				mux.HandleFunc("/", container)
				return mux
			}}, nil
		}),
		Models: models, Work: filepath.Join(t.TempDir(), "work"), StopGrace: time.Second, Log: log, Now: time.Now,
	})
	b, err := instances.Prepare(t.Context(), fleet.Needs{Model: resource.ModelSpec{Container: resource.Container{Image: "model"}}})
	if err != nil {
		t.Fatal(err)
	}
	in, err := b.Launch(t.Context(), fleet.Order{
		ID: "i1", Env: func(resource.Container) map[string]string { return map[string]string{} },
		Output:       func(int) (io.Writer, time.Time) { return io.Discard, time.Time{} },
		ReadyTimeout: 10 * time.Second, MaxResponseBytes: 64 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Stop(context.Background()) })
	if err := in.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	store, err := state.Open(t.Context(), "", state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	r := router.New(router.Options{Account: account, Objects: p.objects, Queue: router.StoreQueue{Store: store}, Log: log, Now: time.Now})
	t.Cleanup(r.Close)
	one := router.NewInstance(in)
	endpoint := func(name string) *router.Endpoint {
		return &router.Endpoint{Region: region, Name: name, Serves: true, Status: resource.EndpointInService, Limits: router.Limits{Waiting: 10},
			Variants: []*router.Variant{{Name: "v", Share: 1, Model: in.Model(), Instances: []*router.Instance{one}}}}
	}
	e, q, away := endpoint("e"), endpoint("q"), endpoint("away")
	q.Async = &resource.AsyncInference{OutputPath: "s3://bucket/out", FailurePath: "s3://bucket/bad"}
	away.Serves, away.Status = false, resource.EndpointCreating
	for _, f := range change {
		f(e)
	}
	r.Publish(router.NewTable([]*router.Endpoint{e, q, away}))
	users := identities(t, store, account)
	if err := users.Import(t.Context(), "admin", []identity.Document{identity.AdministratorAccess()}, keyID, keyring.Secret(secret)); err != nil {
		t.Fatal(err)
	}
	p.server = New(Options{
		Router: r, Identities: users, Open: open,
		Account: account, Region: region, Log: log, Now: time.Now,
		S3: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }),
	})
	p.http = httptest.NewServer(p.server)
	t.Cleanup(p.http.Close)
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

func echo(w http.ResponseWriter, r *http.Request) {
	if v := r.Header.Get("Content-Type"); v != "" {
		w.Header().Set("Content-Type", v)
	} else {
		w.Header()["Content-Type"] = nil
	}
	_, _ = io.Copy(w, r.Body)
}

// request makes a request of the runtime API.
func (p *runtimePort) request(path, body string, headers ...string) *http.Request {
	p.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.http.URL+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// sign signs a request for a service over a payload hash.
func (p *runtimePort) sign(r *http.Request, id, secret, service, hash string) *http.Request {
	p.t.Helper()
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, r, hash, service, region, time.Now()); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// runtimeAnswer is a whole answer.
type runtimeAnswer struct {
	status int
	header http.Header
	body   string
}

func (p *runtimePort) do(r *http.Request) runtimeAnswer {
	p.t.Helper()
	resp, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return runtimeAnswer{resp.StatusCode, resp.Header, string(body)}
}

// wantFailure checks an error of the API (RT-4).
func (a runtimeAnswer) wantFailure(t *testing.T, status int, code, message string) {
	t.Helper()
	var body struct{ Message string }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Fatalf("body %q: %v", a.body, err)
	}
	if a.status != status || a.header.Get("X-Amzn-Errortype") != code || message != "" && body.Message != message || body.Message == "" {
		t.Errorf("%d %s %q, want %d %s %q", a.status, a.header.Get("X-Amzn-Errortype"), body.Message, status, code, message)
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Amzn-Requestid") == "" {
		t.Errorf("headers %v", a.header)
	}
}

const invocations = "/endpoints/e/invocations"

// RT-1 to RT-3: signed and not, with a body that is signed and not.
func TestInvokeEndpoint(t *testing.T) {
	t.Parallel()
	p := newRuntime(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amzn-SageMaker-Custom-Attributes", r.Header.Get("X-Amzn-SageMaker-Custom-Attributes")+"!")
		echo(w, r)
	})
	body := strings.Repeat("data", 100_000)
	for _, hash := range []string{sigv4.BodyHash([]byte(body)), sigv4.UnsignedPayload} {
		r := p.request(invocations, body, "Content-Type", "text/csv", "X-Amzn-SageMaker-Custom-Attributes", "c", "X-Amz-Content-Sha256", hash)
		a := p.do(p.sign(r, keyID, secret, "sagemaker", hash))
		if a.status != 200 || a.body != body || a.header.Get("Content-Type") != "text/csv" || a.header.Get("X-Amzn-Invoked-Production-Variant") != "v" ||
			a.header.Get("X-Amzn-SageMaker-Custom-Attributes") != "c!" || a.header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s: %d %v, %d bytes", hash, a.status, a.header, len(a.body))
		}
	}
	signed := sigv4.BodyHash([]byte("signed"))
	p.do(p.sign(p.request(invocations, "other", "X-Amz-Content-Sha256", signed), keyID, secret, "sagemaker", signed)).wantFailure(t, 403, "InvalidSignatureException", "")
	p.do(p.sign(p.request(invocations, "signed"), keyID, "wrong", "sagemaker", signed)).wantFailure(t, 403, "InvalidSignatureException", "")
	p.do(p.sign(p.request(invocations, "signed"), "AKIDOTHER", secret, "sagemaker", signed)).wantFailure(t, 400, "UnrecognizedClientException", "")
	p.do(p.request(invocations, "")).wantFailure(t, 403, "MissingAuthenticationTokenException", "")
	if a := p.do(p.sign(p.request(invocations, "", "X-Amz-Content-Sha256", sigv4.UnsignedPayload), keyID, secret, "s3", sigv4.UnsignedPayload)); a.status != http.StatusTeapot {
		t.Errorf("a request that is signed for S3 got %d", a.status)
	}
}

// CC-51: a container without a Content-Type has none guessed for it.
func TestNoContentTypeIsGuessed(t *testing.T) {
	t.Parallel()
	p := newRuntime(t, true, echo)
	a := p.do(p.request(invocations, "<html>"))
	if values, there := a.header["Content-Type"]; a.status != 200 || there {
		t.Errorf("%d with Content-Type %q", a.status, values)
	}
}

// RT-4 to RT-6: codes, statuses and members.
func TestRuntimeErrors(t *testing.T) {
	t.Parallel()
	p := newRuntime(t, true, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		fmt.Fprint(w, `a "bad" <row>`)
	})
	a := p.do(p.request(invocations, "x"))
	a.wantFailure(t, 424, "ModelError", `Received client error (400) from primary with message "a "bad" <row>". See https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logEventViewer:group=/aws/sagemaker/Endpoints/e in account 123456789012 for more information.`)
	var members map[string]any
	if err := json.Unmarshal([]byte(a.body), &members); err != nil || members["OriginalStatusCode"] != 400. || members["OriginalMessage"] != `a "bad" <row>` ||
		members["LogStreamArn"] != "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/sagemaker/Endpoints/e" {
		t.Errorf("members %v %v", members, err)
	}
	p.do(p.request("/endpoints/none/invocations", "x")).wantFailure(t, 400, "ValidationError", "Endpoint none of account 123456789012 not found.")
	p.do(p.request("/endpoints/away/invocations", "x")).wantFailure(t, 400, "ValidationError", "")
	p.do(p.request("/endpoints/q/invocations", "x")).wantFailure(t, 400, "ValidationError", "")
	p.do(p.request("/endpoints/e/async-invocations", "x")).wantFailure(t, 400, "ValidationError", "")
}

// RT-2: every header that breaks a constraint is named, at once.
func TestRuntimeMembers(t *testing.T) {
	t.Parallel()
	p := newRuntime(t, true, echo)
	long := strings.Repeat("x", 1025)
	violation := func(member, constraint string) string {
		return "Value at '" + member + "' failed to satisfy constraint: " + constraint
	}
	const most = "Member must have length less than or equal to "
	for _, c := range []struct{ path, header, value, want string }{
		{invocations, "X-Amzn-SageMaker-Target-Variant", "-", violation("targetVariant", "Member must satisfy regular expression pattern: "+nameText)},
		{invocations, "X-Amzn-SageMaker-Target-Model", long, violation("targetModel", most+"1024")},
		{invocations, "X-Amzn-SageMaker-Inference-Id", long[:65], violation("inferenceId", most+"64")},
		{invocations, "X-Amzn-SageMaker-Custom-Attributes", "ä", violation("customAttributes", `Member must satisfy regular expression pattern: \p{ASCII}*`)},
		{invocations, "X-Amzn-SageMaker-Session-Id", "OLD_SESSION", violation("sessionId", "Member must satisfy regular expression pattern: "+sessionOrNew.pattern)},
		{invocations + "-response-stream", "X-Amzn-SageMaker-Session-Id", "NEW_SESSION", violation("sessionId", "Member must satisfy regular expression pattern: "+sessionID.pattern)}, // RT-32
		{"/endpoints/-e/invocations", "Accept", "*/*", violation("endpointName", "Member must satisfy regular expression pattern: "+nameText)},
		{"/endpoints/q/async-invocations", "X-Amzn-SageMaker-RequestTTLSeconds", "59", violation("requestTTLSeconds", "Member must have value greater than or equal to 60")},
		{"/endpoints/q/async-invocations", "X-Amzn-SageMaker-InvocationTimeoutSeconds", "3601", violation("invocationTimeoutSeconds", "Member must have value less than or equal to 3600")},
		{"/endpoints/q/async-invocations", "X-Amzn-SageMaker-InvocationTimeoutSeconds", "1.5", violation("invocationTimeoutSeconds", "Member must be an integer")},
		{"/endpoints/q/async-invocations", "X-Amzn-SageMaker-Filename", "a.b.c", violation("filename", "Member must satisfy regular expression pattern: "+outputFilename.pattern)},
		{"/endpoints/q/async-invocations", "X-Amzn-SageMaker-InputLocation", "ftp://b/k", violation("inputLocation", "Member must satisfy regular expression pattern: "+inputLocation.pattern)},
	} {
		p.do(p.request(c.path, "x", c.header, c.value)).wantFailure(t, 400, "ValidationError", "1 validation error detected: "+c.want)
	}
	p.do(p.request(invocations, "x", "X-Amzn-SageMaker-Target-Variant", "_", "X-Amzn-SageMaker-Inference-Id", long)).wantFailure(t, 400, "ValidationError",
		"2 validation errors detected: "+violation("targetVariant", "Member must satisfy regular expression pattern: "+nameText)+"; "+violation("inferenceId", most+"64"))
}

// The members are those of the official model: names, headers and figures.
func TestRuntimeMembersAreTheOfficialModel(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../../shared/spec/api/sagemaker-runtime.service-2.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the API model of August 2026 is not beside the repository; nothing to compare with")
	}
	var model struct {
		Operations map[string]struct {
			HTTP  struct{ RequestURI string }
			Input struct{ Shape string }
		}
		Shapes map[string]struct {
			Type, Pattern string
			Min, Max      int
			Members       map[string]struct{ Shape, Location, LocationName string }
		}
	}
	if err == nil {
		err = json.Unmarshal(b, &model)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(model.Operations) != len(runtimeCalls) {
		t.Errorf("the model has %d operations", len(model.Operations))
	}
	for name, op := range model.Operations {
		var call *runtimeCall
		for i := range runtimeCalls {
			if op.HTTP.RequestURI == "/endpoints/{EndpointName}/"+runtimeCalls[i].suffix {
				call = &runtimeCalls[i]
			}
		}
		if call == nil {
			t.Errorf("%s is not served", name)
			continue
		}
		left := map[string]member{}
		for _, m := range call.members {
			left[m.name] = m
		}
		for member, of := range model.Shapes[op.Input.Shape].Members {
			shape := model.Shapes[of.Shape]
			switch {
			case member == "Body":
				if limit := call.limit; shape.Max != int(router.DefaultBody) && shape.Max != int(limit) {
					t.Errorf("%s: the body may have %d bytes", name, shape.Max)
				}
				continue
			case of.Location == "uri":
				left[member] = struct {
					name, header string
					*constraint
				}{member, of.LocationName, endpointName}
			}
			m, ok := left[member]
			if !ok || m.header != of.LocationName || m.min != shape.Min || m.max != shape.Max || m.pattern != shape.Pattern || m.integer != (shape.Type == "integer") {
				t.Errorf("%s.%s is %+v, the model has %+v at %s", name, member, m, shape, of.LocationName)
			}
			delete(left, member)
		}
		for member := range left {
			t.Errorf("%s has no member %s", name, member)
		}
	}
}

// RT-1, RT-8: a body may have as many bytes as the limit says; the real service tells
// a little more from much more.
func TestBodyLimits(t *testing.T) {
	t.Parallel()
	p := newRuntime(t, true, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}, func(e *router.Endpoint) { e.Limits.Body = 100_000 })
	if a := p.do(p.request(invocations, strings.Repeat("x", 100_000))); a.status != 200 || a.body != "100000" {
		t.Errorf("%d %q", a.status, a.body)
	}
	p.do(p.request(invocations, strings.Repeat("x", 100_001))).wantFailure(t, 400, "ValidationError", "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less than or equal to 100000")
	p.do(p.request(invocations, strings.Repeat("x", 104_097))).wantFailure(t, 413, "", "HTTP content length exceeded 104096 bytes.")
	chunked := p.request(invocations, "")
	chunked.Body, chunked.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", 104_000)), strings.NewReader(strings.Repeat("y", 97)))), -1
	p.do(chunked).wantFailure(t, 413, "", "HTTP content length exceeded 104096 bytes.")
	p.do(p.request("/endpoints/q/async-invocations", strings.Repeat("x", 128_001))).wantFailure(t, 400, "ValidationError", "") // RT-20
	if held := p.server.bodies.held.Load(); held != 0 {
		t.Errorf("%d bytes are still counted", held)
	}
}

// A body that does not come is not waited for, and what all bodies together take is
// bounded.
func TestSlowInvocations(t *testing.T) {
	t.Parallel()
	p := newRuntime(t, true, echo)
	p.server.bodies.time = 50 * time.Millisecond
	conn, err := net.Dial("tcp", p.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nsome", invocations)
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 400 ") || !strings.Contains(string(got), "did not arrive within") {
		t.Errorf("%q %v", got, err)
	}
	p.server.bodies.budget = 100_000
	p.do(p.request(invocations, strings.Repeat("x", 200_000))).wantFailure(t, 503, "ServiceUnavailable", "")
	if held := p.server.bodies.held.Load(); held != 0 {
		t.Errorf("%d bytes are still counted", held)
	}
}

// The deadlines of one request are not those of the next on its connection, and a
// client that leaves cuts the call.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	entered, cut := make(chan struct{}, 1), make(chan struct{}, 1)
	p := newRuntime(t, true, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		entered <- struct{}{}
		<-r.Context().Done()
		cut <- struct{}{}
	})
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() {
		resp, err := p.client.Do(p.request(invocations, "x").WithContext(ctx))
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	<-entered
	cancel()
	<-failed
	<-cut
}

// RT-30, RT-31: events as clients read them, one for each chunk as it comes.
func TestResponseStream(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	p := newRuntime(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "a/b" || r.Header.Get("Content-Type") != "text/csv" {
			w.WriteHeader(400)
			return
		}
		w.Header().Set("Content-Type", "text/x")
		for i := range 3 {
			fmt.Fprintf(w, "chunk %d", i)
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
		panic(http.ErrAbortHandler) // it breaks off
	})
	const stream = "/endpoints/e/invocations-response-stream"
	resp, err := p.client.Do(p.request(stream, "x", "Content-Type", "text/csv", "X-Amzn-SageMaker-Accept", "a/b"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	h := resp.Header
	if resp.StatusCode != 200 || h.Get("Content-Type") != "application/vnd.amazon.eventstream" || h.Get("X-Amzn-SageMaker-Content-Type") != "text/x" || h.Get("X-Amzn-Invoked-Production-Variant") != "v" {
		t.Errorf("%d %v", resp.StatusCode, h)
	}
	decoder := eventstream.NewDecoder()
	read := func() (kind, name, payload string) {
		t.Helper()
		m, err := decoder.Decode(resp.Body, nil)
		if err != nil {
			t.Fatal(err)
		}
		kind = m.Headers.Get(":message-type").String()
		return kind, m.Headers.Get(":" + kind + "-type").String(), string(m.Payload)
	}
	for i := range 3 {
		if kind, name, payload := read(); kind != "event" || name != "PayloadPart" || payload != fmt.Sprintf("chunk %d", i) {
			t.Errorf("%s %s %q", kind, name, payload)
		}
		next <- struct{}{}
	}
	kind, name, payload := read()
	if kind != "exception" || name != "ModelStreamError" || payload != `{"Message":"The stream of container primary broke: the container closed the connection in the middle of its answer.","ErrorCode":"StreamBroken"}` {
		t.Errorf("%s %s %q", kind, name, payload)
	}
	if _, err := decoder.Decode(resp.Body, nil); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	p.do(p.request(stream, "x")).wantFailure(t, 424, "ModelError", "") // RT-32
}

// RT-20, RT-21.
func TestInvokeEndpointAsync(t *testing.T) {
	t.Parallel()
	p := newRuntime(t, true, echo)
	a := p.do(p.request("/endpoints/q/async-invocations", "x", "X-Amzn-SageMaker-Inference-Id", "my-id", "X-Amzn-SageMaker-S3OutputPathExtension", "a/b", "X-Amzn-SageMaker-Filename", "f.txt"))
	if a.status != 202 || a.header.Get("X-Amzn-SageMaker-OutputLocation") != "s3://bucket/out/a/b/f.txt" || a.header.Get("X-Amzn-SageMaker-FailureLocation") != "s3://bucket/bad/my-id-error.out" || strings.TrimSpace(a.body) != `{"InferenceId":"my-id"}` {
		t.Errorf("%+v", a)
	}
	p.do(p.request("/endpoints/q/async-invocations", "")).wantFailure(t, 400, "ValidationError", "")
}

// OB-1 to OB-10: the figures are there, and pass Prometheus's own checks.
func TestEndpointMetrics(t *testing.T) {
	t.Parallel()
	p := newRuntime(t, true, echo)
	p.do(p.request(invocations, "x"))
	p.do(p.request("/endpoints/q/async-invocations", "x"))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&endpointMetrics{p.server.Router})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range families {
		for _, m := range f.Metric {
			labels := bytes.Buffer{}
			for _, l := range m.Label {
				fmt.Fprintf(&labels, "%s=%s,", l.GetName(), l.GetValue())
			}
			value := fmt.Sprint(m.GetCounter().GetValue() + m.GetGauge().GetValue())
			if h := m.GetHistogram(); h != nil {
				value = fmt.Sprint("n=", h.GetSampleCount())
			}
			found[f.GetName()+"{"+labels.String()+"}"] = value
		}
	}
	for name, want := range map[string]string{
		"sagemaker_invocations_total{endpoint=e,region=eu-west-1,variant=v,}":                   "1",
		"sagemaker_invocation_errors_total{class=model,endpoint=e,region=eu-west-1,variant=v,}": "0",
		"sagemaker_model_latency_seconds{endpoint=e,region=eu-west-1,variant=v,}":               "n=1",
		"sagemaker_overhead_latency_seconds{endpoint=e,region=eu-west-1,variant=v,}":            "n=1",
		"sagemaker_endpoint_instances{endpoint=e,region=eu-west-1,variant=v,}":                  "1",
		"sagemaker_async_expired_requests_total{endpoint=q,region=eu-west-1,}":                  "0",
	} {
		if found[name] != want {
			t.Errorf("%s is %q, want %s", name, found[name], want)
		}
	}
	for name := range found {
		if strings.HasPrefix(name, "sagemaker_async") && strings.Contains(name, "endpoint=e") {
			t.Errorf("%s: the endpoint has no queue", name)
		}
	}
}

// Without a router the paths are refused by name.
func TestNoRouter(t *testing.T) {
	t.Parallel()
	p := newRuntime(t, true, echo)
	p.server.Router = nil
	p.do(p.request(invocations, "x")).wantFailure(t, 400, "UnknownOperationException", "")
}
