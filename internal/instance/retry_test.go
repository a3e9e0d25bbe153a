package instance

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
)

// memory is a network within a bubble: each dial takes the next server, which
// is nil for a refused connection. The last one is taken again and again.
type memory struct {
	servers []func(net.Conn)
	dials   []time.Duration // since the start
	start   time.Time
}

func (m *memory) dial(context.Context, string, string) (net.Conn, error) {
	if m.start.IsZero() {
		m.start = time.Now()
	}
	serve := m.servers[min(len(m.dials), len(m.servers)-1)]
	m.dials = append(m.dials, time.Since(m.start))
	if serve == nil {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		serve(server)
	}()
	return client, nil
}

// answering serves one answer for each request.
func answering(answers ...string) func(net.Conn) {
	return func(conn net.Conn) {
		for _, answer := range answers {
			if _, err := readRequest(conn); err != nil {
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}
}

// mute reads and never answers.
func mute(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func status(code, body string) string {
	return "HTTP/1.1 " + code + "\r\nConnection: close\r\n\r\n" + body
}

// policy waits 1, 2, 4 s without jitter.
func policy(retries int) RetryPolicy {
	return RetryPolicy{Timeout: 8 * time.Second, MaxRetries: retries, Backoff: func(n int) time.Duration { return time.Second << (n - 1) }}
}

// BT-88, BT-89: which failures are tried again, and when.
func TestRetries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		servers []func(net.Conn)
		retries int
		dials   []time.Duration
		want    string // of the error, "" for success
	}{
		{"5xx", []func(net.Conn){answering(status("500", "a")), answering(status("503", "b")), answering(okAnswer)}, 3, []time.Duration{0, 1e9, 3e9}, ""},
		{"refused", []func(net.Conn){nil, answering(okAnswer)}, 3, []time.Duration{0, 1e9}, ""},
		{"cut", []func(net.Conn){answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), answering(okAnswer)}, 3, []time.Duration{0, 1e9}, ""},
		{"malformed", []func(net.Conn){answering("nonsense\r\n"), answering(okAnswer)}, 3, []time.Duration{0, 1e9}, ""},
		{"timeout", []func(net.Conn){mute, answering(okAnswer)}, 3, []time.Duration{0, 10e9}, ""},
		{"4xx", []func(net.Conn){answering(status("400", "no"))}, 3, []time.Duration{0}, `the container answered 400 to the invocation: "no"`},
		{"used up", []func(net.Conn){answering(status("500", "boom"))}, 3, []time.Duration{0, 1e9, 3e9, 7e9}, `the container answered 500 to the invocation: "boom" (after 4 attempts)`},
		{"refused for ever", []func(net.Conn){nil}, 2, []time.Duration{0, 1e9, 3e9}, "Unable to get response from algorithm: connection refused (after 3 attempts)"},
		{"timeouts", []func(net.Conn){mute}, 1, []time.Duration{0, 10e9}, "Unable to get response from algorithm: no answer in time (after 2 attempts)"},
		{"none allowed", []func(net.Conn){answering(status("500", ""))}, 0, []time.Duration{0}, "the container answered 500 to the invocation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &memory{servers: c.servers}
				in, _ := launch(t, "container:8080", Options{Dial: m.dial, Retry: policy(c.retries)})
				resp, err := newConn(t, in).Invoke(t.Context(), &Request{Body: []byte("x")}, []byte("kept:"))
				switch {
				case c.want == "" && (err != nil || string(resp.Body) != "kept:ok" || resp.Attempts != len(c.dials)):
					t.Errorf("%+v, %v", resp, err)
				case c.want != "" && (err == nil || err.Error() != c.want):
					t.Errorf("error %v, want %s", err, c.want)
				}
				if len(m.dials) != len(c.dials) {
					t.Fatalf("dialled at %v, want %v", m.dials, c.dials)
				}
				for i, at := range m.dials {
					// A timeout may take up to a second more.
					if off := at - c.dials[i]; off != 0 && (!strings.HasPrefix(c.name, "timeout") || off < -time.Second || off > 0) {
						t.Errorf("dialled at %v, want %v", m.dials, c.dials)
					}
				}
			})
		})
	}
}

func TestBackoffHasJitter(t *testing.T) {
	t.Parallel()
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 1000: 30 * time.Second} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := exponential(attempt)
			if d < want-want/4 || d > want+want/4 {
				t.Errorf("attempt %d: %s", attempt, d)
			}
			seen[d] = true
		}
		if len(seen) < 10 {
			t.Errorf("attempt %d: only %d different waits", attempt, len(seen))
		}
	}
}

// The wait between two attempts ends with the container or the context.
func TestWaitEndsEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{servers: []func(net.Conn){answering(status("500", "dying"))}}
		long := RetryPolicy{MaxRetries: 3, Backoff: func(int) time.Duration { return time.Hour }}
		in, s := launch(t, "container:8080", Options{Dial: m.dial, Retry: long})
		begun := time.Now()

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := newConn(t, in).Invoke(ctx, &Request{}, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}

		time.AfterFunc(time.Minute, func() { s.end(driver.Exit{Code: 137}) })
		_, err := newConn(t, in).Invoke(t.Context(), &Request{}, nil)
		var no *NoAnswerError
		var last *StatusError
		if !errors.As(err, &no) || !no.Exited || no.Exit.Code != 137 || !errors.As(err, &last) || time.Since(begun) != 2*time.Minute {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		if !strings.Contains(err.Error(), "exited with code 137") || len(m.dials) != 2 {
			t.Errorf("%d dials: %v", len(m.dials), err)
		}
	})
}
