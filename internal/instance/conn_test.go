package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 2\r\n\r\nok"

// once is a policy without retries, and fails a test that would wait for ever.
var once = RetryPolicy{Timeout: time.Minute}

// CC-20, CC-26, CC-50, CC-51, CC-54: what is on the wire, to the byte.
func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	got := make(chan string, 3)
	addr := serveTCP(t, func(_ int, conn net.Conn) {
		for {
			text, err := readRequest(conn)
			if err != nil {
				return
			}
			got <- text
			_, _ = io.WriteString(conn, okAnswer)
		}
	})
	in, _ := launch(t, addr, Options{Retry: once})
	c := newConn(t, in)
	const start = "POST /invocations HTTP/1.1\nHost: 169.254.255.131:8080\nUser-Agent: Go-http-client/1.1\n"
	large := strings.Repeat("x", 3*copiedBody)
	for _, r := range []struct {
		req  Request
		want string
	}{
		{Request{ContentType: "text/csv", Accept: "application/json", Body: []byte("1,2")},
			start + "Content-Length: 3\nAccept: application/json\nContent-Type: text/csv\n\n1,2"},
		{Request{}, start + "Content-Length: 0\nAccept: */*\n\n"},
		{Request{Body: []byte(large)}, start + fmt.Sprintf("Content-Length: %d\nAccept: */*\n\n%s", len(large), large)},
	} {
		resp, err := c.Invoke(context.Background(), &r.req, []byte("before:"))
		if err != nil {
			t.Fatal(err)
		}
		if text := <-got; text != r.want {
			t.Errorf("sent %.300q", text)
		}
		if string(resp.Body) != "before:ok" || resp.Status != 200 || resp.ContentType != "text/csv" || resp.Attempts != 1 {
			t.Errorf("answer %+v", resp)
		}
	}
	for _, bad := range []Request{{ContentType: "a\r\nX: y"}, {Accept: "a\nb"}} {
		if _, err := c.Invoke(context.Background(), &bad, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestKeepAliveAgainstNetHTTP(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		if len(body)%2 == 1 {
			w.(http.Flusher).Flush() // makes the answer chunked
		}
		_, _ = w.Write(body)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	in, _ := launch(t, server.Listener.Addr().String(), Options{Retry: once})
	c := newConn(t, in)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var dst []byte
	for n := range 400 {
		body := bytes.Repeat([]byte{byte(n)}, n*n)
		contentType := fmt.Sprintf("type/%d", n/100)
		resp, err := c.Invoke(ctx, &Request{ContentType: contentType, Body: body}, dst[:0])
		if err != nil {
			t.Fatal(err)
		}
		dst = resp.Body
		if !bytes.Equal(resp.Body, body) || resp.ContentType != contentType {
			t.Fatalf("%d bytes of %s came back as %d of %s", len(body), contentType, len(resp.Body), resp.ContentType)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections were opened", n)
	}
}

// Answers that end the connection are followed by a new one.
func TestReconnects(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"close":         "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.0":      "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"until the end": "HTTP/1.1 200 OK\r\n\r\nok",
		"left-over":     okAnswer + "HTTP/1.1 200 OK\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serveTCP(t, func(_ int, conn net.Conn) {
				if _, err := readRequest(conn); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(conn, answer)
			})
			in, _ := launch(t, addr, Options{Retry: once})
			c := newConn(t, in)
			for range 3 {
				resp, err := c.Invoke(context.Background(), &Request{Body: []byte("x")}, nil)
				if err != nil || string(resp.Body) != "ok" || resp.Attempts != 1 {
					t.Fatalf("%+v, %v", resp, err)
				}
			}
		})
	}
}

// A connection that the server closed between two requests costs no attempt,
// but one that is cut at the first request does.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	addr := serveTCP(t, func(_ int, conn net.Conn) {
		if _, err := readRequest(conn); err == nil {
			requests.Add(1)
			_, _ = io.WriteString(conn, okAnswer) // and closes it, unannounced
		}
	})
	in, _ := launch(t, addr, Options{Retry: once})
	c := newConn(t, in)
	for n := range 50 {
		body := bytes.Repeat([]byte("x"), n*1000)
		if resp, err := c.Invoke(context.Background(), &Request{Body: body}, nil); err != nil || resp.Attempts != 1 {
			t.Fatalf("request %d: %+v, %v", n, resp, err)
		}
	}
	if n := requests.Load(); n != 50 {
		t.Errorf("%d requests were answered", n)
	}

	addr = serveTCP(t, func(_ int, conn net.Conn) { _, _ = readRequest(conn) })
	in, _ = launch(t, addr, Options{Retry: once})
	var no *NoAnswerError
	_, err := newConn(t, in).Invoke(context.Background(), &Request{}, nil)
	if !errors.As(err, &no) || no.Attempts != 1 || no.Exited || no.Timeout() || !strings.HasPrefix(err.Error(), "Unable to get response from algorithm") {
		t.Errorf("a first request that is cut: %v", err)
	}
}

// A server that ends an idle connection on its own side only, and goes on
// reading, would never answer.
func TestHalfClosedConnection(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	addr := serveTCP(t, func(n int, conn net.Conn) {
		if _, err := readRequest(conn); err != nil {
			return
		}
		_, _ = io.WriteString(conn, okAnswer)
		if n == 0 {
			_ = conn.(*net.TCPConn).CloseWrite()
			close(closed)
		}
		_, _ = io.Copy(io.Discard, conn)
	})
	in, _ := launch(t, addr, Options{Retry: once})
	c := newConn(t, in)
	for range 2 {
		if resp, err := c.Invoke(context.Background(), &Request{}, nil); err != nil || string(resp.Body) != "ok" {
			t.Fatalf("%+v, %v", resp, err)
		}
		<-closed
		c.link.usedAt = time.Time{} // long ago
	}
}

// A container may answer while a request larger than all buffers is on its way.
func TestFullDuplex(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	addr := serveTCP(t, func(_ int, conn net.Conn) {
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		for budget, rd := maxHead, (&reader{src: conn}); ; {
			line, err := rd.line(&budget)
			if err != nil {
				t.Error(err)
				return
			}
			if len(line) == 0 {
				_, _ = io.CopyN(conn, rd, size)
				return
			}
		}
	})
	in, _ := launch(t, addr, Options{Retry: once})
	body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	resp, err := newConn(t, in).Invoke(context.Background(), &Request{Body: body}, nil)
	if err != nil || !bytes.Equal(resp.Body, body) {
		t.Errorf("%d bytes, %v", len(resp.Body), err)
	}
}

// A container may refuse a large request before it has read it.
func TestEarlyRefusal(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	defer close(hold)
	addr := serveTCP(t, func(_ int, conn net.Conn) {
		buf := make([]byte, 100)
		_, _ = io.ReadFull(conn, buf)
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nToo big.")
		<-hold
	})
	in, _ := launch(t, addr, Options{Retry: once})
	c := newConn(t, in)
	for range 2 {
		var status *StatusError
		_, err := c.Invoke(context.Background(), &Request{Body: make([]byte, 64<<20)}, nil)
		if !errors.As(err, &status) || status.Status != 413 || string(status.Body) != "Too big." || status.ContentType != "text/plain" {
			t.Errorf("%v", err)
		}
	}
}

// BT-82, BT-83, CC-28: everything but 2xx is an error with its first bytes.
func TestStatuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("e", 5000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := int(r.ContentLength)
		if status/100 == 3 {
			w.Header().Set("Location", "/other")
		}
		w.WriteHeader(status)
		if status != 204 && status != 304 {
			_, _ = io.WriteString(w, long)
		}
	}))
	defer server.Close()
	in, _ := launch(t, server.Listener.Addr().String(), Options{Retry: once})
	c := newConn(t, in)
	for _, status := range []int{200, 201, 204, 299, 301, 304, 307, 400, 404, 413, 429, 500, 503, 599} {
		resp, err := c.Invoke(context.Background(), &Request{Body: make([]byte, status)}, nil)
		if status < 300 {
			if err != nil || resp.Status != status {
				t.Errorf("%d: %+v, %v", status, resp.Status, err)
			}
			continue
		}
		var e *StatusError
		if !errors.As(err, &e) || e.Status != status || e.Attempts != 1 || status != 304 && string(e.Body) != long[:keptBody] {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestResponseLimit(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.WriteHeader(int(r.ContentLength))
		_, _ = w.Write(make([]byte, 100_001))
	}))
	defer server.Close()
	in, _ := launch(t, server.Listener.Addr().String(), Options{Retry: RetryPolicy{MaxRetries: 3}, MaxResponseBytes: 100_000})
	c := newConn(t, in)
	var no *NoAnswerError
	_, err := c.Invoke(context.Background(), &Request{Body: make([]byte, 200)}, nil)
	if !errors.As(err, &no) || !fault.Is(err, fault.Limit) || !strings.Contains(err.Error(), "100000 bytes") {
		t.Errorf("%v", err)
	}
	var status *StatusError
	if _, err = c.Invoke(context.Background(), &Request{Body: make([]byte, 400)}, nil); !errors.As(err, &status) || status.Status != 400 {
		t.Errorf("a large refusal: %v", err)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests: an answer that is too large was asked for again", n)
	}
}

// silent is a server that reads and never answers; it tells when it has read.
func silent(t *testing.T) (addr string, read <-chan struct{}) {
	got := make(chan struct{}, 16)
	addr = serveTCP(t, func(_ int, conn net.Conn) {
		for {
			if _, err := readRequest(conn); err != nil {
				return
			}
			got <- struct{}{}
		}
	})
	return addr, got
}

func TestContextEndsARead(t *testing.T) {
	t.Parallel()
	addr, read := silent(t)
	in, _ := launch(t, addr, Options{})
	c := newConn(t, in)
	for range 3 {
		ctx, cancel := context.WithCancelCause(context.Background())
		stopped := errors.New("the job was stopped")
		var waiting sync.WaitGroup
		waiting.Go(func() {
			<-read
			cancel(stopped)
		})
		if _, err := c.Invoke(ctx, &Request{}, nil); err != stopped {
			t.Errorf("%v", err)
		}
		waiting.Wait()
		if _, err := c.Invoke(ctx, &Request{}, nil); err != stopped {
			t.Errorf("a context that has ended: %v", err)
		}
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	addr, _ := silent(t)
	in, _ := launch(t, addr, Options{Retry: RetryPolicy{Timeout: 10 * time.Millisecond}})
	_, err := newConn(t, in).Invoke(context.Background(), &Request{}, nil)
	var no *NoAnswerError
	if !errors.As(err, &no) || !no.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	in, _ := launch(t, l.Addr().String(), Options{Retry: once})
	_, err = newConn(t, in).Invoke(context.Background(), &Request{}, nil)
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
}

// A container whose death leaves the connection open does not hold a request
// until its timeout, and further requests fail without being sent.
func TestExitEndsARead(t *testing.T) {
	t.Parallel()
	addr, read := silent(t)
	in, s := launch(t, addr, Options{Retry: RetryPolicy{Timeout: time.Hour, MaxRetries: 100}})
	c := newConn(t, in)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		<-read
		s.end(driver.Exit{Code: -1, Signal: "killed", OOM: true})
	})
	_, err := c.Invoke(context.Background(), &Request{}, nil)
	waiting.Wait()
	var no *NoAnswerError
	if !errors.As(err, &no) || !no.Exited || no.Exit.Signal != "killed" || no.Attempts != 1 || !strings.Contains(err.Error(), `the container was ended by the signal "killed" because it ran out of memory`) {
		t.Errorf("%v", err)
	}
	if _, err := newConn(t, in).Invoke(context.Background(), &Request{}, nil); !errors.As(err, &no) || !no.Exited || no.Cause != nil {
		t.Errorf("after the end: %v", err)
	}
}

func TestManyConnsAtOnce(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer server.Close()
	in, _ := launch(t, server.Listener.Addr().String(), Options{Retry: once})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			c := in.NewConn()
			defer c.Close()
			for n := range 50 {
				want := fmt.Sprintf("%d of %d", n, i)
				resp, err := c.Invoke(ctx, &Request{Body: []byte(want)}, nil)
				if err != nil || string(resp.Body) != want {
					t.Errorf("%q, %v", resp.Body, err)
				}
			}
		})
	}
	all.Wait()
	if n := len(in.conns); n != 0 {
		t.Errorf("%d conns are still known", n)
	}
}
