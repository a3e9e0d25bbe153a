package instance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// parts collects what Sent is told of in one attempt after the other.
type parts struct{ attempts [][]byte }

func (p *parts) of(body []byte) func([]byte) {
	return func(part []byte) {
		if &part[0] == &body[0] {
			p.attempts = append(p.attempts, nil)
		}
		last := len(p.attempts) - 1
		p.attempts[last] = append(p.attempts[last], part...)
	}
}

// Each attempt tells of its parts in order and of all of them when it goes through;
// one that breaks off in the middle is repeated from the start (BT-88).
func TestSentTellsOfEachAttempt(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16)
	addr := serveTCP(t, func(n int, conn net.Conn) {
		if n < 2 { // these connections end in the middle of the request
			_, _ = io.CopyN(io.Discard, conn, partSize)
			return
		}
		for {
			text, err := readRequest(conn)
			if err != nil {
				return
			}
			if !bytes.HasSuffix([]byte(text), body) {
				t.Error("the request has another body")
			}
			_, _ = io.WriteString(conn, okAnswer)
		}
	})
	in, _ := launch(t, addr, Options{Retry: RetryPolicy{MaxRetries: 3, Backoff: func(int) time.Duration { return 0 }}})
	c := newConn(t, in)
	for _, attempts := range []int{3, 1} {
		var told parts
		resp, err := c.Invoke(context.Background(), &Request{Body: body, Sent: told.of(body)}, nil)
		if err != nil || resp.Attempts != attempts || string(resp.Body) != "ok" {
			t.Fatalf("%+v, %v", resp, err)
		}
		for i, got := range told.attempts {
			if !bytes.HasPrefix(body, got) || i == len(told.attempts)-1 && len(got) != len(body) {
				t.Errorf("part of attempt %d: %d bytes", i+1, len(got))
			}
		}
	}
}

// An answer that comes before the request is whole ends the sending, and nothing
// is told of after the return.
func TestSentAndEarlyAnswer(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	defer close(hold)
	addr := serveTCP(t, func(_ int, conn net.Conn) {
		_, _ = io.ReadFull(conn, make([]byte, 100))
		_, _ = io.WriteString(conn, okAnswer)
		<-hold
	})
	in, _ := launch(t, addr, Options{Retry: once})
	told := 0
	resp, err := newConn(t, in).Invoke(context.Background(), &Request{Body: make([]byte, 64<<20), Sent: func(p []byte) { told += len(p) }}, nil)
	if err != nil || string(resp.Body) != "ok" || told >= 64<<20 {
		t.Errorf("%+v, %v; told of %d bytes", resp, err, told)
	}
}

// A body in a mapped file that was cut short fails its request at once, however
// many attempts it might have, and the next request is unharmed.
func TestUnreadableBody(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mapped, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	addr := serveTCP(t, func(_ int, conn net.Conn) {
		for {
			if _, err := readRequest(conn); err != nil {
				return
			}
			_, _ = io.WriteString(conn, okAnswer)
		}
	})
	in, _ := launch(t, addr, Options{Retry: RetryPolicy{MaxRetries: 100, Backoff: func(int) time.Duration { return time.Hour }}})
	c := newConn(t, in)
	for range 2 {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Invoke(context.Background(), &Request{Body: mapped, Sent: func([]byte) {}}, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size/2); err != nil {
			t.Fatal(err)
		}
		_, err := c.Invoke(context.Background(), &Request{Body: mapped, Sent: func([]byte) {}}, nil)
		var no *NoAnswerError
		if !errors.As(err, &no) || no.Attempts != 1 || !fault.Is(err, fault.Invalid) || !errors.Is(err, syscall.EFAULT) {
			t.Errorf("%v", err)
		}
	}
}

// A container that does not read holds neither the end of the context nor that of
// the instance up, and nothing is told of after the return.
func TestSentToDeafContainer(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	defer close(hold)
	addr := serveTCP(t, func(int, net.Conn) { <-hold })
	in, s := launch(t, addr, Options{})
	c := newConn(t, in)
	stopped := errors.New("the job was stopped")
	body := make([]byte, 64<<20)
	ctx, cancel := context.WithCancelCause(context.Background())
	if _, err := c.Invoke(ctx, &Request{Body: body, Sent: func([]byte) { cancel(stopped) }}, nil); err != stopped {
		t.Errorf("the context's end: %v", err)
	}
	_, err := c.Invoke(context.Background(), &Request{Body: body, Sent: func([]byte) { s.end(driver.Exit{Code: 3}) }}, nil)
	var no *NoAnswerError
	if !errors.As(err, &no) || !no.Exited || no.Exit.Code != 3 {
		t.Errorf("the instance's end: %v", err)
	}
}
