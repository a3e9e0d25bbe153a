package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/fake"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// CC-21, CC-23: pings once a second, more often while the port is closed, each
// on its own connection, until 200 of whatever body.
func TestWaitReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var request string
		last := func(conn net.Conn) {
			request, _ = readRequest(conn)
			// The body never ends: the status alone counts.
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
			_, _ = io.Copy(io.Discard, conn)
		}
		m := &memory{servers: []func(net.Conn){nil, nil, answering(status("503", "")), mute, answering(status("404", "")), last}}
		in, _ := launch(t, "container:8080", Options{Dial: m.dial})
		if p := in.Progress(); p.Pings != 0 || p.LastAnswer != "" || p.Ready || !p.Started.Equal(time.Now()) {
			t.Errorf("%+v", p)
		}
		if err := in.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		const ms = time.Millisecond
		if want := []time.Duration{0, 100 * ms, 200 * ms, 1200 * ms, 3200 * ms, 4200 * ms}; !slices.Equal(m.dials, want) {
			t.Errorf("pinged at %v, want %v", m.dials, want)
		}
		if want := "GET /ping HTTP/1.1\nHost: 169.254.255.131:8080\nUser-Agent: Go-http-client/1.1\nAccept: */*\n\n"; request != want {
			t.Errorf("asked %q", request)
		}
		p := in.Progress()
		if !p.Ready || !p.PortOpen || p.Pings != 6 || p.LastAnswer != "200" ||
			p.Answers != "connection refused x2, then 503, then no answer in time, then 404, then 200" {
			t.Errorf("%+v", p)
		}
	})
}

// BT-91, CC-23: an instance that never answers 200 fails after 30 minutes, and
// is stopped with 30 s of grace (CC-27).
func TestNeverReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{servers: []func(net.Conn){nil, nil, nil, answering(status("503", ""))}}
		s := newStub("container:8080")
		begun := time.Now()
		_, err := Start(t.Context(), Options{Driver: s, Dial: m.dial})
		var e *ReadyError
		if !errors.As(err, &e) || e.Exited || time.Since(begun) != 30*time.Minute || !fault.Is(err, fault.Unavailable) {
			t.Fatalf("after %s: %v", time.Since(begun), err)
		}
		if s.stops != 1 || s.grace != 30*time.Second {
			t.Errorf("stopped %d times with %s of grace", s.stops, s.grace)
		}
		want := "AlgorithmError: Model container failed to respond to ping. Please ensure /ping endpoint is implemented and responds with an HTTP 200 status code. " +
			"The container was given 30m0s; 1803 pings were sent and met: connection refused x3, then 503 x1800. It printed nothing."
		if e.FailureReason() != want || err.Error() != want || fault.TextOf(err) != want {
			t.Errorf("%s", err)
		}
		if s.spec.Args[0] != "serve" || len(s.spec.Args) != 1 { // CC-1
			t.Errorf("arguments %q", s.spec.Args)
		}
	})
}

func TestExitWhileStarting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{servers: []func(net.Conn){nil}}
		s := newStub("container:8080")
		var log strings.Builder
		time.AfterFunc(2050*time.Millisecond, func() {
			fmt.Fprintln(s.spec.Output, "Traceback:\nImportError: no module named numpy")
			s.end(driver.Exit{Code: 3})
		})
		begun := time.Now()
		_, err := Start(t.Context(), Options{Driver: s, Dial: m.dial, Spec: driver.Spec{Output: &log}})
		var e *ReadyError
		if !errors.As(err, &e) || !e.Exited || e.Exit.Code != 3 || time.Since(begun) != 2050*time.Millisecond {
			t.Fatalf("after %s: %v", time.Since(begun), err)
		}
		for _, want := range []string{pingFailure, "exited with code 3 after 2.1s", "21 pings were sent and met: connection refused x21", "Its port was never open", "ImportError: no module named numpy"} {
			if !strings.Contains(err.Error(), want) || !strings.Contains(e.FailureReason(), want) {
				t.Errorf("%q is not in: %v", want, err)
			}
		}
		if strings.Contains(e.FailureReason(), "\n") {
			t.Error("the FailureReason has several lines")
		}
		if log.String() != "Traceback:\nImportError: no module named numpy\n" {
			t.Errorf("the output got %q", log.String())
		}
	})
}

func TestStartEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{servers: []func(net.Conn){mute}}
		s := newStub("container:8080")
		ctx, cancel := context.WithCancelCause(t.Context())
		stopped := errors.New("the job was stopped")
		time.AfterFunc(time.Second, func() { cancel(stopped) })
		if _, err := Start(ctx, Options{Driver: s, Dial: m.dial}); err != stopped || s.stops != 1 {
			t.Errorf("%v, %d stops", err, s.stops)
		}
	})
}

func TestFailureReasonFits(t *testing.T) {
	t.Parallel()
	e := &ReadyError{Exited: true, Exit: driver.Exit{Code: 1}, Tail: strings.Repeat("é\n", 2000) + "the last line"}
	reason := e.FailureReason()
	if len(reason) > 1024 || !strings.HasSuffix(reason, "the last line") || !strings.HasPrefix(reason, pingFailure) {
		t.Errorf("%d bytes: %s", len(reason), reason)
	}
	e.Progress.Pings, e.Progress.Answers = 9, strings.Repeat("é answer, ", 200)
	if reason = e.FailureReason(); len(reason) > 1024 || !strings.HasSuffix(reason, "...") {
		t.Errorf("%d bytes: %s", len(reason), reason)
	}
}

func TestPingRecordIsBounded(t *testing.T) {
	t.Parallel()
	var r pingRecord
	for i := range 100 {
		r.add(fmt.Sprint(i), false, false)
	}
	p := r.progress()
	if p.Pings != 100 || p.LastAnswer != "99" || !strings.HasPrefix(p.Answers, "..., then 92, then 93") {
		t.Errorf("%+v", p)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	tail := newTail(nil)
	if tail.String() != "" {
		t.Errorf("%q", tail.String())
	}
	for i := range 1000 {
		fmt.Fprintf(tail, "line %d\n", i)
	}
	lines := strings.Split(tail.String(), "\n")
	if len(lines) != tailLines || lines[0] != "line 980" || lines[19] != "line 999" {
		t.Errorf("%q", lines)
	}
	fmt.Fprint(tail, strings.Repeat("x", 100_000), "\nend\n")
	if got := tail.String(); got != "end" || cap(tail.buf) > 8*tailBytes {
		t.Errorf("%.100q, %d bytes kept", got, cap(tail.buf))
	}
	fmt.Fprint(tail, strings.Repeat("\xff", 100_000))
	if got := tail.String(); got != "\uFFFD" {
		t.Errorf("%.100q", got)
	}
}

// CC-30 to CC-35.
func TestParameters(t *testing.T) {
	t.Parallel()
	answer := func(body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	for _, c := range []struct {
		name, answer string
		want         string
		warnings     int
	}{
		{"all", answer(`{"MaxConcurrentTransforms": 8, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}`), "8 6 MULTI_RECORD", 0},
		{"limits", answer(`{"MaxConcurrentTransforms": 100, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 0}`), "100 0 SINGLE_RECORD", 0},
		{"floats", answer(`{"MaxConcurrentTransforms": 4.0, "MaxPayloadInMB": 6e0}`), "4 6 -", 0},
		{"unknown keys", answer(`{"Other": [1]}`), "- - -", 0},
		{"404", status("404", "nothing"), "- - -", 0},
		{"500", status("500", "x"), "- - -", 1},
		{"204", status("204", ""), "- - -", 1},
		{"not JSON", answer("hello"), "- - -", 1},
		{"an array", answer("[1]"), "- - -", 1},
		{"null", answer("null"), "- - -", 1},
		{"wrong types", answer(`{"MaxConcurrentTransforms": "8", "BatchStrategy": 1, "MaxPayloadInMB": [6]}`), "- - -", 3},
		{"nulls", answer(`{"MaxConcurrentTransforms": null, "BatchStrategy": null, "MaxPayloadInMB": null}`), "- - -", 3},
		{"too small", answer(`{"MaxConcurrentTransforms": 0, "BatchStrategy": "MultiRecord", "MaxPayloadInMB": -1}`), "- - -", 3},
		{"too large", answer(`{"MaxConcurrentTransforms": 101, "MaxPayloadInMB": 1e300}`), "- - -", 2},
		{"fractions", answer(`{"MaxConcurrentTransforms": 1.5, "MaxPayloadInMB": 0.5}`), "- - -", 2},
		{"one bad", answer(`{"MaxConcurrentTransforms": 3, "MaxPayloadInMB": "6"}`), "3 - -", 1},
		{"too long", answer(`{"MaxConcurrentTransforms": 3}` + strings.Repeat(" ", maxSmallAnswer)), "- - -", 1},
		{"cut", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "- - -", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &memory{servers: []func(net.Conn){answering(c.answer)}}
				in, _ := launch(t, "container:8080", Options{Dial: m.dial})
				p, warnings := in.Parameters(t.Context())
				if got := showParameters(p); got != c.want || len(warnings) != c.warnings || len(m.dials) != 1 {
					t.Errorf("%s, %q, %d dials", got, warnings, len(m.dials))
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		m := &memory{servers: []func(net.Conn){mute}}
		in, _ := launch(t, "container:8080", Options{Dial: m.dial})
		begun := time.Now()
		_, warnings := in.Parameters(t.Context())
		if len(warnings) != 1 || !strings.Contains(warnings[0], "no answer in time") || time.Since(begun) != 2*time.Second {
			t.Errorf("after %s: %q", time.Since(begun), warnings)
		}
	})
}

func showParameters(p Parameters) string {
	show := func(n *int) string {
		if n == nil {
			return "-"
		}
		return fmt.Sprint(*n)
	}
	strategy := "-"
	if p.BatchStrategy != nil {
		strategy = *p.BatchStrategy
	}
	return show(p.MaxConcurrentTransforms) + " " + show(p.MaxPayloadInMB) + " " + strategy
}

// CC-40, CC-41, CC-46.
func TestBatchEnv(t *testing.T) {
	t.Parallel()
	zero, four := 0, 4
	e := BatchEnv{Model: map[string]string{"A": "model", "B": "model"}, Job: map[string]string{"B": "job", "SAGEMAKER_BATCH": "no"}}
	if got, want := e.Map(), map[string]string{"A": "model", "B": "job", "SAGEMAKER_BATCH": "true"}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	e = BatchEnv{MaxConcurrentTransforms: &four, MaxPayloadInMB: &zero, BatchStrategy: SingleRecord}
	want := map[string]string{"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "4",
		"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0", "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD"}
	if got := e.Map(); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	e = BatchEnv{MaxConcurrentTransforms: &zero}
	if got := e.Map(); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// The whole contract against the fake driver: ping, parameters, invocation, end.
func TestWithDriver(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var calls []string
	d := fake.New(fake.Images(map[string]fake.Script{"image": {Handler: func(c *fake.Container) http.Handler {
		fmt.Fprintln(c, "serving")
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			calls = append(calls, r.Method+" "+r.URL.Path)
			mu.Unlock()
			switch r.URL.Path {
			case "/ping":
			case "/invocations":
				_, _ = io.Copy(w, r.Body)
			default:
				http.NotFound(w, r)
			}
		})
	}}}))
	scratch := t.TempDir()
	in, err := Start(t.Context(), Options{Driver: d, Retry: once, Spec: driver.Spec{ID: "one", Image: "image", ScratchDir: scratch}})
	if err != nil {
		t.Fatal(err)
	}
	if p, warnings := in.Parameters(t.Context()); len(warnings) != 0 || showParameters(p) != "- - -" {
		t.Errorf("%v, %q", p, warnings)
	}
	resp, err := newConn(t, in).Invoke(t.Context(), &Request{Body: []byte("1,2")}, nil)
	if err != nil || string(resp.Body) != "1,2" {
		t.Errorf("%+v, %v", resp, err)
	}
	if in.ID() != "one" || in.Tail() != "serving" || in.exited() {
		t.Errorf("%s, %q", in.ID(), in.Tail())
	}
	for range 2 {
		if err := in.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	<-in.Exited()
	if e := in.Exit(); e.Signal != "terminated" {
		t.Errorf("%+v", e)
	}
	if want := []string{"GET /ping", "GET /execution-parameters", "POST /invocations"}; !slices.Equal(calls, want) {
		t.Errorf("%q", calls)
	}
	_, err = Start(t.Context(), Options{Driver: d, Spec: driver.Spec{ID: "two", Image: "other", ScratchDir: scratch}})
	if !errors.Is(err, driver.ErrNoImage) {
		t.Errorf("%v", err)
	}
}
