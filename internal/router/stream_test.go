package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// parts gets the pieces of a stream.
type parts struct {
	begun *Answer
	got   chan string
	fail  error
}

func newParts() *parts { return &parts{got: make(chan string, 100)} }

func (p *parts) begin(a *Answer) (io.Writer, error) {
	p.begun = a
	return p, nil
}

func (p *parts) Write(b []byte) (int, error) {
	p.got <- string(b)
	return len(b), p.fail
}

// CC-90, RT-30: each chunk is passed on when it comes, not when the next does.
func TestStreamPassesChunksOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	next := make(chan struct{})
	w.images["model"] = handler(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/x")
		rw.Header().Set("X-Amzn-SageMaker-Custom-Attributes", "c")
		for i := range 5 {
			fmt.Fprintf(rw, "chunk %d", i)
			rw.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	w.publish(endpoint("e", variant("v", 1, w.launch(single("model")))))
	q := request("e", "x")
	q.Operation = Stream
	p := newParts()
	ended := make(chan error, 1)
	go func() { ended <- w.router.InvokeStream(context.Background(), q, p.begin) }()
	for i := range 5 {
		if got := <-p.got; got != fmt.Sprintf("chunk %d", i) { // the container has not gone on
			t.Fatalf("piece %q", got)
		}
		next <- struct{}{}
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if a := *p.begun; a.Variant != "v" || a.ContentType != "text/x" || a.CustomAttributes != "c" || a.Body != nil {
		t.Errorf("answer %+v", a)
	}
	if s, _ := w.router.Stats(region, "e", "v"); s.Invocations != 1 || s.ModelErrors != 0 {
		t.Errorf("stats %+v", s)
	}
}

// RT-31, RT-32: errors before the first byte, and after it.
func TestStreamErrors(t *testing.T) {
	t.Parallel()
	first := func(then http.HandlerFunc) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, "first")
			rw.(http.Flusher).Flush()
			then(rw, r)
		}
	}
	for name, c := range map[string]struct {
		h           http.HandlerFunc
		before      string // a part of the ModelError
		code, after string // the StreamError
	}{
		"error before":   {h: status(500, "boom"), before: `Received server error (500) from primary with message "boom"`},
		"hangs before":   {h: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, before: "Your invocation timed out"},
		"resets before":  {h: hijack(""), before: "closed the connection"},
		"stands still":   {h: first(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), code: ModelInvocationTimeExceeded, after: timedOut("primary")},
		"breaks":         {h: hijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"), code: StreamBroken, after: "The stream of container primary broke: the container closed the connection in the middle of its answer."},
		"talks nonsense": {h: hijack("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\nxyz\r\n"), code: StreamBroken, after: `The stream of container primary broke: the container's answer is not valid HTTP: it has the chunk size "xyz".`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.images["model"] = handler(c.h)
			e := endpoint("e", variant("v", 1, w.launch(single("model"))))
			e.Limits.Timeout = 300 * time.Millisecond
			w.publish(e)
			q := request("e", "x")
			q.Operation = Stream
			p := newParts()
			err := w.router.InvokeStream(t.Context(), q, p.begin)
			if c.before != "" {
				if e := wantError(t, err, ModelError, ""); !strings.Contains(e.Message, c.before) || p.begun != nil {
					t.Errorf("message %q, begun %v", e.Message, p.begun)
				}
			} else {
				var broke *StreamError
				if !errors.As(err, &broke) || broke.Code != c.code || broke.Message != c.after || <-p.got != "first" {
					t.Errorf("error %v", err)
				}
			}
			if s, _ := w.router.Stats(region, "e", "v"); s.ModelErrors != 1 || s.InFlight != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// Another client's fault is not the container's.
func TestStreamOfAClientThatLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cut := make(chan struct{})
	w.images["model"] = handler(func(rw http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := fmt.Fprint(rw, "more"); err != nil {
				break
			}
			rw.(http.Flusher).Flush()
			pause(r.Context(), time.Millisecond)
		}
		close(cut)
	})
	w.publish(endpoint("e", variant("v", 1, w.launch(single("model")))))
	ctx, cancel := context.WithCancel(t.Context())
	q := request("e", "x")
	q.Operation = Stream
	p := newParts()
	p.fail = errors.New("the client is gone")
	go func() { <-p.got; cancel() }()
	if err := w.router.InvokeStream(ctx, q, p.begin); err == nil {
		t.Error("no error")
	}
	<-cut
	if s, _ := w.router.Stats(region, "e", "v"); s.ModelErrors != 0 {
		t.Errorf("stats %+v", s)
	}
}
