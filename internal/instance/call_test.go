package instance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// serveHTTP serves with a handler on an address that launch can use.
func serveHTTP(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// A call has any path and headers, is told as hosting tells it (CC-26), and every
// status is an answer.
func TestCall(t *testing.T) {
	t.Parallel()
	in, _ := launch(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "a/b")
		w.Header().Set("X-Amzn-SageMaker-Custom-Attributes", "c")
		w.Header().Set("X-Amzn-SageMaker-Session-Id", "s")
		w.Header().Set("X-Amzn-SageMaker-Closed-Session-Id", "d")
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, "%s %s %s %s %q %q %s", r.Method, r.URL.Path, r.Host, r.UserAgent(), r.Header["X-One"], r.Header["X-None"], body)
	}), Options{})
	conn := in.Borrow()
	head, body, err := conn.Call(t.Context(), &Call{Method: "PUT", Path: "/models/x", Fields: []Field{{"X-One", "1"}, {"X-None", ""}}, Body: []byte("hi"), Timeout: time.Minute}, 1<<10, []byte(">"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Head{409, "a/b", "c", "s", "d"}); head != want {
		t.Errorf("head %+v, want %+v", head, want)
	}
	if want := `>PUT /models/x model.aws.local:8080 AHC/2.0 ["1"] [] hi`; string(body) != want {
		t.Errorf("body %q, want %q", body, want)
	}
	in.Return(conn)
	if again := in.Borrow(); again != conn {
		t.Error("the connection was not kept")
	} else {
		in.Return(again)
	}
}

func TestCallRefusesWhatNoHeaderHolds(t *testing.T) {
	t.Parallel()
	in, _ := launch(t, "127.0.0.1:1", Options{})
	for _, bad := range []string{"a\r\nX-Other: b", "\x00", "a\x7f"} {
		_, _, err := newConn(t, in).Call(t.Context(), &Call{Fields: []Field{{"X-One", bad}}, Timeout: time.Minute}, 1, nil)
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What reached no container may go to another one.
func TestCallTellsWhatWasSent(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := closed.Addr().String()
	closed.Close()
	breaking := serveTCP(t, func(_ int, conn net.Conn) { _, _ = readRequest(conn) })
	for addr, unsent := range map[string]bool{refusing: true, breaking: false} {
		in, _ := launch(t, addr, Options{})
		_, _, err := newConn(t, in).Call(t.Context(), &Call{Timeout: time.Minute}, 1, nil)
		var none *NoAnswerError
		if !errors.As(err, &none) || none.Unsent != unsent || none.Exited {
			t.Errorf("error %+v, unsent should be %v", err, unsent)
		}
	}
}

type pieces struct{ got []string }

func (p *pieces) Write(b []byte) (int, error) {
	p.got = append(p.got, string(b))
	return len(b), nil
}

// CC-90: a chunk of the container's is a piece, however the chunks lie in the
// packets.
func TestCallStreamKeepsChunks(t *testing.T) {
	t.Parallel()
	in, _ := launch(t, serveTCP(t, func(_ int, conn net.Conn) {
		for {
			if _, err := readRequest(conn); err != nil {
				return
			}
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")
		}
	}), Options{})
	conn := newConn(t, in)
	for range 2 { // the connection is used again
		var p pieces
		head, _, err := conn.CallStream(t.Context(), &Call{Timeout: time.Minute}, 1<<10, func(Head) (io.Writer, error) { return &p, nil })
		if err != nil || head.Status != 200 || strings.Join(p.got, "|") != "one|two|three" {
			t.Errorf("%+v %q %v", head, p.got, err)
		}
	}
}

func TestCallStreamOfAnError(t *testing.T) {
	t.Parallel()
	in, _ := launch(t, serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(503)
		_, _ = w.Write(make([]byte, 1<<20))
	}), Options{})
	head, body, err := newConn(t, in).CallStream(t.Context(), &Call{Timeout: time.Minute}, 100, func(Head) (io.Writer, error) {
		t.Error("begin was called")
		return nil, nil
	})
	if err != nil || head.Status != 503 || len(body) != 100 {
		t.Errorf("%+v, %d bytes, %v", head, len(body), err)
	}
}

// An error of the writer is the caller's own.
func TestCallStreamTellsWhoBroke(t *testing.T) {
	t.Parallel()
	in, _ := launch(t, serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }), Options{})
	gone := errors.New("gone")
	_, _, err := newConn(t, in).CallStream(t.Context(), &Call{Timeout: time.Minute}, 100, func(Head) (io.Writer, error) { return nil, gone })
	if !Broke(err) || !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
}

// An upload has its length, goes out while the answer may come, and takes over from
// a connection that was used.
func TestUpload(t *testing.T) {
	t.Parallel()
	in, _ := launch(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, r.ContentLength, err)
	}), Options{})
	conn := newConn(t, in)
	const size = 3 << 20
	for range 2 {
		var p pieces
		_, err := conn.Upload(t.Context(), &Call{Timeout: time.Minute}, strings.NewReader(strings.Repeat("x", size)), size, func(Head) (io.Writer, error) { return &p, nil })
		if want := fmt.Sprint(size, size, nil); err != nil || strings.Join(p.got, "") != want {
			t.Errorf("%q %v, want %q", p.got, err, want)
		}
	}
	_, err := conn.Upload(t.Context(), &Call{Timeout: time.Minute}, io.MultiReader(strings.NewReader("x"), brokenReader{}), size, nil)
	if !Broke(err) {
		t.Errorf("error %v", err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("the store is down") }
