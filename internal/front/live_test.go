package front

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Requests on one connection share a connection to the container.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	onBoth(t, nil, func(t *testing.T, s side) {
		box := newContainer(t, scripts())
		for _, name := range []string{"echo", "chunked", "empty", "bad"} {
			s.desk.set(name, endpoint{addr: box.addr()})
		}
		c := dialTo(t, s.addr)
		in := bufio.NewReader(c)
		for i := range 100 {
			body := strings.Repeat("x", i*100)
			name := []string{"echo", "chunked", "empty", "bad"}[i%4]
			io.WriteString(c, invoke(name, body))
			resp, got := answerOf(t, in)
			if name == "echo" && got != body || resp.Close {
				t.Fatalf("answer %d to %s: %q, close %v", i, name, got, resp.Close)
			}
		}
		if n := box.connections(); n != 1 {
			t.Errorf("%d connections to the container, want 1", n)
		}
	})
}

// Requests that are sent at once are answered in their order, and one among them
// that is not an invocation as well.
func TestPipelining(t *testing.T) {
	t.Parallel()
	onBoth(t, nil, func(t *testing.T, s side) {
		box := newContainer(t, scripts())
		s.desk.set("echo", endpoint{addr: box.addr()})
		c := dialTo(t, s.addr)
		var all strings.Builder
		for i := range 200 {
			name := "echo"
			if i%7 == 3 {
				name = "absent"
			}
			all.WriteString(invoke(name, strings.Repeat("x", i*500)))
		}
		all.WriteString("GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(c, all.String())
			sent <- err
		}()
		in := bufio.NewReader(c)
		for i := range 200 {
			resp, body := answerOf(t, in)
			if i%7 == 3 {
				if resp.StatusCode != 400 {
					t.Fatalf("answer %d has the status %d", i, resp.StatusCode)
				}
			} else if resp.StatusCode != 200 || len(body) != i*500 {
				t.Fatalf("answer %d has the status %d and %d bytes", i, resp.StatusCode, len(body))
			}
		}
		if _, body := answerOf(t, in); body != "next GET /last 0" {
			t.Fatalf("the last answer is %q", body)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("behind the last answer: %v", err)
		}
	})
}

// A request may come in any pieces.
func TestPieces(t *testing.T) {
	t.Parallel()
	onBoth(t, nil, func(t *testing.T, s side) {
		box := newContainer(t, scripts())
		s.desk.set("echo", endpoint{addr: box.addr()})
		s.desk.set("stream", endpoint{addr: box.addr(), stream: true})
		c := dialTo(t, s.addr)
		in := bufio.NewReader(c)
		for _, x := range []struct {
			name         string
			length, each int
		}{{"echo", 20, 1}, {"echo", 40 << 10, 1 << 10}, {"echo", 1 << 20, 99_999}, {"stream", 40 << 10, 1 << 10}, {"stream", 1 << 20, 99_999}} {
			request := invoke(x.name, big[:x.length])
			go func() {
				for part := request; part != ""; {
					n := min(x.each, len(part))
					io.WriteString(c, part[:n])
					part = part[n:]
				}
			}()
			if resp, body := answerOf(t, in); resp.StatusCode != 200 || body != big[:x.length] {
				t.Fatalf("%d bytes in pieces of %d: status %d, %d bytes", x.length, x.each, resp.StatusCode, len(body))
			}
		}
	})
}

// The client's wish to end the connection is heeded.
func TestConnectionClose(t *testing.T) {
	t.Parallel()
	onBoth(t, nil, func(t *testing.T, s side) {
		box := newContainer(t, scripts())
		for _, name := range []string{"echo", "bad", "chunked"} {
			s.desk.set(name, endpoint{addr: box.addr()})
			c := dialTo(t, s.addr)
			io.WriteString(c, invoke(name, "x", "Connection: close"))
			in := bufio.NewReader(c)
			if resp, _ := answerOf(t, in); !resp.Close {
				t.Errorf("%s: the answer does not say that the connection ends", name)
			}
			if _, err := in.ReadByte(); err != io.EOF {
				t.Errorf("%s: behind the answer: %v", name, err)
			}
		}
	})
}

// A request that no container can have seen goes to another address, if the Handler
// says so.
func TestAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, nil, func(t *testing.T, s side) {
		box := newContainer(t, scripts())
		s.desk.set("echo", endpoint{addr: closedPort(t), second: box.addr()})
		for _, body := range []string{"abc", big} {
			if resp, got := exchangeOn(t, s.addr, invoke("echo", body)); resp.StatusCode != 200 || got != body {
				t.Fatalf("status %d, %d bytes", resp.StatusCode, len(got))
			}
			for _, want := range []Failure{Refused, None} {
				if o := <-s.desk.done; o.Failure != want || o.Again != (want == Refused) {
					t.Errorf("outcome %v, again %v; want %v", o.Failure, o.Again, want)
				}
			}
		}
		s.desk.set("nowhere", endpoint{addr: closedPort(t)})
		if resp, _ := exchangeOn(t, s.addr, invoke("nowhere", "x")); resp.StatusCode != 424 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// A client that goes away cancels the call to the container.
func TestClientGone(t *testing.T) {
	t.Parallel()
	for _, begun := range []bool{false, true} {
		onBoth(t, nil, func(t *testing.T, s side) {
			arrived, ended := make(chan struct{}), make(chan struct{})
			box := newContainer(t, map[string]script{"/wait": func(w net.Conn, r *http.Request, body []byte) bool {
				if begun {
					io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
				}
				close(arrived)
				io.Copy(io.Discard, w)
				close(ended)
				return false
			}})
			s.desk.set("wait", endpoint{addr: box.addr()})
			c := dialTo(t, s.addr)
			io.WriteString(c, invoke("wait", "x"))
			<-arrived
			if begun {
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
			if o := <-s.desk.done; o.Failure != ClientGone {
				t.Errorf("outcome %v", o.Failure)
			}
			<-ended
		})
	}
}

// What a client does not take is not read from the container either.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	const length = 64 << 20
	onBoth(t, nil, func(t *testing.T, s side) {
		var written atomic.Int64
		whole := make(chan struct{})
		box := newContainer(t, map[string]script{"/flood": func(w net.Conn, r *http.Request, body []byte) bool {
			defer close(whole)
			io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(length)+"\r\n\r\n")
			for written.Load() < length {
				n, err := io.WriteString(w, big)
				written.Add(int64(n))
				if err != nil {
					return false
				}
			}
			return true
		}})
		s.desk.set("flood", endpoint{addr: box.addr()})
		c := dialTo(t, s.addr)
		c.SetReadBuffer(64 << 10)
		io.WriteString(c, invoke("flood", "x"))
		select {
		case <-whole:
			t.Errorf("the container got rid of %d bytes that nobody reads", written.Load())
		case <-time.After(300 * time.Millisecond): // to give a wrong implementation the time to be wrong
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != length || err != nil {
			t.Errorf("%d bytes came, %v", n, err)
		}
		if o := <-s.desk.done; o.Failure != None || o.Received != length {
			t.Errorf("outcome %v with %d bytes", o.Failure, o.Received)
		}
	})
}

// A container that answers before it has the whole request is heard, and the
// connection ends.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	onBoth(t, nil, func(t *testing.T, s side) {
		box := newContainer(t, map[string]script{
			"/unread": func(w net.Conn, r *http.Request, body []byte) bool { // CC-60
				io.WriteString(w, "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")
				io.Copy(io.Discard, w)
				return false
			},
		})
		s.desk.set("unread", endpoint{addr: box.addr(), stream: true})
		c := dialTo(t, s.addr)
		request := invoke("unread", big)
		io.WriteString(c, request[:len(request)/2])
		resp, body := answerOf(t, bufio.NewReader(c))
		if o := <-s.desk.done; resp.StatusCode != 424 || !strings.Contains(body, "much") || o.Status != 413 {
			t.Errorf("status %d, %s; the container's %d (%v)", resp.StatusCode, body, o.Status, o.Failure)
		}
	})
}

// An answer that turns out to be too large in its midst is cut off.
func TestAnswerGrows(t *testing.T) {
	t.Parallel()
	onBoth(t, nil, func(t *testing.T, s side) {
		seen := make(chan struct{})
		box := newContainer(t, map[string]script{"/grow": func(w net.Conn, r *http.Request, body []byte) bool {
			io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
			<-seen
			io.WriteString(w, "10\r\n0123456789abcdef\r\n0\r\n\r\n")
			return true
		}})
		s.desk.set("grow", endpoint{addr: box.addr(), maxAnswer: 10})
		c := dialTo(t, s.addr)
		io.WriteString(c, invoke("grow", "x"))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		three := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, three); err != nil || string(three) != "abc" {
			t.Fatalf("the first bytes are %q, %v", three, err)
		}
		close(seen)
		if rest, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("the answer ends well with %q", rest)
		}
		if o := <-s.desk.done; o.Failure != TooLarge {
			t.Errorf("outcome %v", o.Failure)
		}
	})
}
