package instance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
)

// into gives a begin that collects the answer.
func into(w io.Writer) func(string) (io.Writer, error) {
	return func(string) (io.Writer, error) { return w, nil }
}

// CC-54, BT-78: the body goes out chunked as it comes, the answer comes back
// meanwhile, and both may be larger than any buffer.
func TestStreamFullDuplex(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		if r.ContentLength == 0 { // the Invoke after the streams
			return
		}
		if len(r.TransferEncoding) != 1 || r.TransferEncoding[0] != "chunked" || r.ContentLength != -1 {
			t.Errorf("encoding %q, length %d", r.TransferEncoding, r.ContentLength)
		}
		if r.Header.Get("Accept") != "b/c" || r.UserAgent() != agentName || r.Host != agentHost {
			t.Errorf("header %v", r.Header)
		}
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		buf := make([]byte, 1000)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}))
	defer server.Close()
	in, _ := launch(t, server.Listener.Addr().String(), Options{Retry: once, MaxResponseBytes: 1})
	c := newConn(t, in)
	for _, size := range []int{0, 1, streamBuffer, 8 << 20} {
		body := bytes.Repeat([]byte("x"), size)
		var got bytes.Buffer
		var contentType string
		resp, err := c.Stream(t.Context(), &StreamRequest{ContentType: "a/b", Accept: "b/c", Body: bytes.NewReader(body)}, func(s string) (io.Writer, error) {
			contentType = s
			return &got, nil
		})
		if err != nil || !bytes.Equal(got.Bytes(), body) || contentType != "a/b" || resp.ContentType != "a/b" || resp.Status != 200 {
			t.Errorf("%d bytes: %d came back, %+v, %v", size, got.Len(), resp, err)
		}
	}
	if c.link == nil {
		t.Fatal("a stream that ended well cost its connection")
	}
	c.link.usedAt = time.Time{} // long ago
	if resp, err := c.Invoke(t.Context(), &Request{}, nil); err != nil || resp.Status != 200 {
		t.Errorf("after the streams: %+v, %v", resp, err)
	}
}

// Each piece of the body reaches the container before the next is read.
func TestStreamSendsPiecesAtOnce(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			if err != nil {
				return
			}
			_, _ = w.Write(buf[:n])
			_ = control.Flush()
		}
	}))
	defer server.Close()
	in, _ := launch(t, server.Listener.Addr().String(), Options{Retry: once})
	questions, ask := io.Pipe()
	hear, answers := io.Pipe()
	var talk sync.WaitGroup
	talk.Go(func() {
		defer ask.Close()
		for _, word := range []string{"one", "two", "three"} {
			_, _ = io.WriteString(ask, word)
			got := make([]byte, len(word))
			if _, err := io.ReadFull(hear, got); err != nil || string(got) != word {
				t.Errorf("%q, %v", got, err)
			}
		}
	})
	if _, err := newConn(t, in).Stream(t.Context(), &StreamRequest{Body: questions}, into(answers)); err != nil {
		t.Error(err)
	}
	talk.Wait()
}

func TestStreamIsNotRepeated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server func(net.Conn)
		want   string
	}{
		"500": {func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1000))
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			_, _ = io.WriteString(conn, status("500", "boom"))
		}, `the container answered 500 to the invocation: "boom" (not repeated, because the body was streamed and cannot be sent again)`},
		"no answer": {func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1000)) },
			"Unable to get response from algorithm: the container closed the connection without an answer (not repeated, because the body was streamed and cannot be sent again)"},
		"silence": {mute, "Unable to get response from algorithm: no answer in time (not repeated, because the body was streamed and cannot be sent again)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &memory{servers: []func(net.Conn){nil, nil, c.server}}
				in, _ := launch(t, "container:8080", Options{Dial: m.dial, Retry: policy(5)})
				var got bytes.Buffer
				_, err := newConn(t, in).Stream(t.Context(), &StreamRequest{Body: strings.NewReader("data")}, into(&got))
				if err == nil || err.Error() != c.want {
					t.Errorf("%v", err)
				}
				if len(m.dials) != 3 || got.Len() != 0 {
					t.Errorf("%d dials, %q written", len(m.dials), &got)
				}
			})
		})
	}
}

// An early refusal ends the sending of a body that would not end.
func TestStreamEarlyRefusal(t *testing.T) {
	t.Parallel()
	addr := serveTCP(t, func(_ int, conn net.Conn) {
		_, _ = conn.Read(make([]byte, 10))
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
		_, _ = io.Copy(io.Discard, conn)
	})
	in, _ := launch(t, addr, Options{Retry: once})
	var e *StatusError
	_, err := newConn(t, in).Stream(t.Context(), &StreamRequest{Body: zeros{}}, into(io.Discard))
	if !errors.As(err, &e) || e.Status != 413 || string(e.Body) != "big" || !e.Streamed {
		t.Errorf("%v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error)  { return 0, b.err }
func (b broken) Write([]byte) (int, error) { return 0, b.err }

// Failures of the caller's reader and writer are told as they are.
func TestStreamCallerFailures(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		select {
		case ended <- err:
		default:
		}
		_, _ = io.WriteString(w, "answer")
	}))
	defer server.Close()
	in, _ := launch(t, server.Listener.Addr().String(), Options{Retry: once})
	c := newConn(t, in)
	cause := errors.New("the store is gone")
	body := io.MultiReader(strings.NewReader("some"), broken{cause})
	if _, err := c.Stream(t.Context(), &StreamRequest{Body: body}, into(io.Discard)); !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), "reading the request's body: ") {
		t.Errorf("reader: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the container took a body that was cut for a whole one")
	}
	if _, err := c.Stream(t.Context(), &StreamRequest{Body: strings.NewReader("x")}, into(broken{cause})); !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), "writing the answer: ") {
		t.Errorf("writer: %v", err)
	}
	_, err := c.Stream(t.Context(), &StreamRequest{Body: strings.NewReader("x")}, func(string) (io.Writer, error) { return nil, cause })
	if !errors.Is(err, cause) {
		t.Errorf("begin: %v", err)
	}
	if _, err := c.Invoke(t.Context(), &Request{}, nil); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// The timeout of a streamed request is a time without movement.
func TestStreamTimeoutMovesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{servers: []func(net.Conn){func(conn net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			for range 10 {
				time.Sleep(5 * time.Second) // of the bubble
				_, _ = io.WriteString(conn, "x")
			}
		}}}
		in, _ := launch(t, "container:8080", Options{Dial: m.dial, Retry: policy(0)}) // 8 s
		var got bytes.Buffer
		if _, err := newConn(t, in).Stream(t.Context(), &StreamRequest{Body: strings.NewReader("q")}, into(&got)); err != nil || got.String() != "xxxxxxxxxx" {
			t.Errorf("%q, %v", &got, err)
		}
	})
}

func TestStreamEndsWithContextAndContainer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{servers: []func(net.Conn){mute}}
		in, s := launch(t, "container:8080", Options{Dial: m.dial, Retry: RetryPolicy{Timeout: time.Hour}})
		ctx, cancel := context.WithCancelCause(t.Context())
		stopped := errors.New("the job was stopped")
		time.AfterFunc(time.Minute, func() { cancel(stopped) })
		c := newConn(t, in)
		if _, err := c.Stream(ctx, &StreamRequest{Body: strings.NewReader("q")}, into(io.Discard)); err != stopped {
			t.Errorf("context: %v", err)
		}
		time.AfterFunc(time.Minute, func() { s.end(driver.Exit{Code: 9}) })
		var no *NoAnswerError
		_, err := c.Stream(t.Context(), &StreamRequest{Body: strings.NewReader("q")}, into(io.Discard))
		if !errors.As(err, &no) || !no.Exited || no.Exit.Code != 9 || !no.Streamed {
			t.Errorf("exit: %v", err)
		}
	})
}
