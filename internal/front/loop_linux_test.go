package front

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// on runs a task on the loop of the only client, or of all, and waits for it.
func on(f *Front, task func(*loop)) {
	for _, l := range f.loops {
		done := make(chan struct{})
		l.post(func() { task(l); close(done) })
		<-done
	}
}

// A bad head is answered as an error of the runtime API, and the connection ends.
func TestRefusedHeads(t *testing.T) {
	t.Parallel()
	s := startFront(t, newDesk(), nil)
	for _, h := range heads {
		if h.want != refused {
			continue
		}
		c := dialTo(t, s.addr)
		io.WriteString(c, h.head)
		in := bufio.NewReader(c)
		resp, body := answerOf(t, in)
		if resp.StatusCode != h.status || !resp.Close || !strings.HasPrefix(body, `{"Message":"`) || resp.Header.Get("X-Amzn-Errortype") == "" { // RT-4
			t.Errorf("%s: %d %s", h.name, resp.StatusCode, body)
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("%s: behind the answer: %v", h.name, err)
		}
	}
}

// What is for net/http gets there with every byte.
func TestHandOver(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Options{Listener: l, Handler: newDesk(), Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close(context.Background())
	for _, h := range heads {
		if h.want != elsewhere {
			continue
		}
		text := h.head + "and what follows"
		c := dialTo(t, l.Addr().String())
		io.WriteString(c, text)
		c.CloseWrite()
		got, err := f.Rest().Accept()
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(got)
		if err != nil || string(all) != text {
			t.Errorf("%s: %q arrived, %v", h.name, all, err)
		}
		if _, ok := got.(interface{ CloseWrite() error }); !ok {
			t.Errorf("%s: a %T cannot end its sending", h.name, got)
		}
		got.Close()
	}
}

// A connection that has ended while it was idle is no reason for a request to fail.
func TestIdleEnd(t *testing.T) {
	t.Parallel()
	s := startFront(t, newDesk(), nil)
	box := newContainer(t, map[string]script{"/once": func(w net.Conn, r *http.Request, body []byte) bool {
		plain("ok")(w, r, body)
		return false // without saying so
	}})
	s.desk.set("once", endpoint{addr: box.addr()})
	c := dialTo(t, s.addr)
	in := bufio.NewReader(c)
	for range 200 {
		io.WriteString(c, invoke("once", "x"))
		if resp, body := answerOf(t, in); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
}

// The race itself: the request is on its way when the container ends the idle
// connection. It is sent once more, since the container cannot have read it. A
// container that has read it is not asked a second time.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	for _, read := range []bool{false, true} {
		s := startFront(t, newDesk(), func(o *Options) { o.Loops = 1 })
		calls := make(chan string, 10)
		closing := make(chan struct{})
		box := newContainer(t, map[string]script{"/stale": func(w net.Conn, r *http.Request, body []byte) bool {
			calls <- string(body)
			if string(body) == "second" && read {
				return false
			}
			return plain("ok")(w, r, body)
		}})
		s.desk.set("stale", endpoint{addr: box.addr()})
		c := dialTo(t, s.addr)
		in := bufio.NewReader(c)
		io.WriteString(c, invoke("stale", "first"))
		answerOf(t, in)
		if !read {
			// The loop stands still while the client sends and then the container ends.
			l := s.loop.loops[0]
			standing := make(chan struct{})
			l.post(func() { close(standing); <-closing })
			<-standing
			io.WriteString(c, invoke("stale", "second"))
			box.closeConns()
			box.mu.Lock()
			for len(box.conns) > 0 { // until its own side has noticed
				box.mu.Unlock()
				time.Sleep(time.Millisecond)
				box.mu.Lock()
			}
			box.mu.Unlock()
			close(closing)
		} else {
			io.WriteString(c, invoke("stale", "second"))
		}
		resp, body := answerOf(t, in)
		want := 200
		if read {
			want = 424
		}
		if resp.StatusCode != want {
			t.Errorf("read %v: %d %s", read, resp.StatusCode, body)
		}
		if n := len(calls); n != 2 {
			t.Errorf("read %v: the container was asked %d times, want 2", read, n)
		}
		for range 2 { // the last may come a moment after the answer
			<-s.desk.done
		}
		if n := len(s.desk.done); n != 0 {
			t.Errorf("read %v: Done was called %d times, want 2", read, 2+n)
		}
	}
}

// Drain closes idle connections, and used ones behind their answer.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := startFront(t, newDesk(), func(o *Options) { o.Loops = 1 })
	arrived, goOn := make(chan struct{}), make(chan struct{})
	ended := make(chan struct{}, 2)
	script := scripts()
	script["/slow"] = func(w net.Conn, r *http.Request, body []byte) bool {
		close(arrived)
		<-goOn
		plain("ok")(w, r, body)
		io.Copy(io.Discard, w)
		ended <- struct{}{}
		return false
	}
	script["/quick"] = func(w net.Conn, r *http.Request, body []byte) bool {
		plain("ok")(w, r, body)
		io.Copy(io.Discard, w)
		ended <- struct{}{}
		return false
	}
	box := newContainer(t, script)
	s.desk.set("slow", endpoint{addr: box.addr()})
	s.desk.set("quick", endpoint{addr: box.addr()})
	slow := dialTo(t, s.addr)
	io.WriteString(slow, invoke("slow", "x"))
	<-arrived
	exchangeOn(t, s.addr, invoke("quick", "x"))
	s.loop.Drain(box.addr())
	<-ended
	close(goOn)
	if resp, _ := answerOf(t, bufio.NewReader(slow)); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	<-ended
	on(s.loop, func(l *loop) {
		if len(l.backends) > 0 {
			t.Errorf("%d backends are remembered", len(l.backends))
		}
	})
}

// Clients that are too slow are told so where they can be, and end.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	box := newContainer(t, scripts())
	for _, x := range []struct {
		name, request string
		status        int // 0: the connection just ends
		failure       Failure
		done          bool
	}{
		{name: "nothing"},
		{name: "half a head", request: "POST /endpoints/echo/inv", status: 408},
		{name: "half a body", request: invoke("echo", big)[:100_000], status: 408},
		{name: "half a streamed body", request: invoke("stream", big)[:100_000], failure: ClientGone, done: true},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := startFront(t, newDesk(), func(o *Options) {
				o.HeadTimeout, o.BodyTimeout, o.IdleTimeout = 50*time.Millisecond, -16*time.Second+50*time.Millisecond, 50*time.Millisecond
			})
			s.desk.set("echo", endpoint{addr: box.addr()})
			s.desk.set("stream", endpoint{addr: box.addr(), stream: true})
			c := dialTo(t, s.addr)
			io.WriteString(c, x.request)
			in := bufio.NewReader(c)
			if x.status != 0 {
				if resp, body := answerOf(t, in); resp.StatusCode != x.status {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
			}
			if _, err := in.ReadByte(); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the connection goes on: %v", err)
			}
			if x.done {
				if o := <-s.desk.done; o.Failure != x.failure {
					t.Errorf("outcome %v", o.Failure)
				}
			}
		})
	}
	t.Run("takes nothing", func(t *testing.T) {
		t.Parallel()
		s := startFront(t, newDesk(), func(o *Options) { o.WriteTimeout = 50 * time.Millisecond })
		s.desk.set("big", endpoint{addr: newContainer(t, map[string]script{"/big": plain(strings.Repeat(big, 64))}).addr()})
		c := dialTo(t, s.addr)
		c.SetReadBuffer(64 << 10)
		io.WriteString(c, invoke("big", "x"))
		if o := <-s.desk.done; o.Failure != ClientGone {
			t.Errorf("outcome %v", o.Failure)
		}
	})
}

// The bounds hold.
func TestBounds(t *testing.T) {
	t.Parallel()
	box := newContainer(t, scripts())
	t.Run("bodies in memory", func(t *testing.T) {
		t.Parallel()
		s := startFront(t, newDesk(), func(o *Options) { o.MaxBuffered = 5 << 20 / 2 })
		s.desk.set("echo", endpoint{addr: box.addr()})
		c := dialTo(t, s.addr)
		long := invoke("echo", big+big[:1<<19])
		io.WriteString(c, long[:len(long)-1]) // takes 2 MiB
		for s.loop.reserved.Load() < 2<<20 {
			time.Sleep(time.Millisecond)
		}
		if resp, _ := exchangeOn(t, s.addr, invoke("echo", big)); resp.StatusCode != 503 {
			t.Errorf("status %d", resp.StatusCode)
		}
		if resp, _ := exchangeOn(t, s.addr, invoke("echo", "small")); resp.StatusCode != 200 {
			t.Errorf("a small one: status %d", resp.StatusCode)
		}
		io.WriteString(c, long[len(long)-1:])
		if resp, body := answerOf(t, bufio.NewReader(c)); resp.StatusCode != 200 || len(body) != 3<<19 {
			t.Errorf("the first one: status %d", resp.StatusCode)
		}
		if n := s.loop.reserved.Load(); n != 0 {
			t.Errorf("%d bytes are still reserved", n)
		}
	})
	t.Run("clients", func(t *testing.T) {
		t.Parallel()
		s := startFront(t, newDesk(), func(o *Options) { o.MaxClients = 2 })
		for range 2 {
			exchangeHeld(t, s)
		}
		c := dialTo(t, s.addr)
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a third client is served")
		}
	})
	t.Run("connections to a container", func(t *testing.T) {
		t.Parallel()
		s := startFront(t, newDesk(), func(o *Options) { o.Loops, o.MaxConnections = 1, 1 })
		arrived := make(chan struct{})
		box := newContainer(t, map[string]script{"/hold": func(w net.Conn, r *http.Request, body []byte) bool {
			close(arrived)
			io.Copy(io.Discard, w)
			return false
		}})
		s.desk.set("hold", endpoint{addr: box.addr()})
		c := dialTo(t, s.addr)
		io.WriteString(c, invoke("hold", "x"))
		<-arrived
		exchangeOn(t, s.addr, invoke("hold", "x"))
		if o := <-s.desk.done; o.Failure != Saturated || !o.Again {
			t.Errorf("outcome %v", o.Failure)
		}
	})
}

// exchangeHeld makes a request on a connection that stays open.
func exchangeHeld(t *testing.T, s side) {
	c := dialTo(t, s.addr)
	io.WriteString(c, invoke("absent", ""))
	answerOf(t, bufio.NewReader(c))
}

// Close lets requests end, and tells their clients that the connection does too.
func TestClose(t *testing.T) {
	t.Parallel()
	arrived, goOn := make(chan struct{}), make(chan struct{})
	box := newContainer(t, map[string]script{"/wait": func(w net.Conn, r *http.Request, body []byte) bool {
		close(arrived)
		<-goOn
		return plain("ok")(w, r, body)
	}})
	s := startFront(t, newDesk(), nil)
	s.desk.set("wait", endpoint{addr: box.addr()})
	idle := dialTo(t, s.addr)
	io.WriteString(idle, invoke("absent", ""))
	idleIn := bufio.NewReader(idle)
	answerOf(t, idleIn)
	c := dialTo(t, s.addr)
	io.WriteString(c, invoke("wait", "x"))
	<-arrived
	closed := make(chan error)
	go func() { closed <- s.loop.Close(context.Background()) }()
	if _, err := idleIn.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("connections are still accepted")
	}
	close(goOn)
	resp, _ := answerOf(t, bufio.NewReader(c))
	if resp.StatusCode != 200 || !resp.Close {
		t.Errorf("status %d, close %v", resp.StatusCode, resp.Close)
	}
	c.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := s.loop.Close(context.Background()); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// Close does not wait longer than it is told to.
func TestCloseNow(t *testing.T) {
	t.Parallel()
	box := newContainer(t, scripts())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk()
	d.set("hang", endpoint{addr: box.addr()})
	f, err := New(Options{Listener: l, Handler: d, Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	c := dialTo(t, l.Addr().String())
	io.WriteString(c, invoke("hang", "x"))
	for d.count() == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if o := <-d.done; o.Failure != Stopped {
		t.Errorf("outcome %v", o.Failure)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the client got something")
	}
}

// count is how many requests were routed.
func (d *desk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.routed
}

// Nothing is left of connections that have ended.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	s := startFront(t, newDesk(), nil)
	box := newContainer(t, scripts())
	for name := range scripts() {
		s.desk.set(name[1:], endpoint{addr: box.addr(), limit: 20 * time.Millisecond})
	}
	for name := range scripts() {
		for range 3 {
			c := dialTo(t, s.addr)
			io.WriteString(c, invoke(name[1:], "x", "Connection: close"))
			io.Copy(io.Discard, c)
			c.Close()
		}
	}
	for s.loop.clients.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	s.loop.Drain(box.addr())
	on(s.loop, func(l *loop) {
		open := 0
		for _, at := range l.slots {
			if at.conn != nil {
				open++
			}
		}
		if open > 0 || l.clients > 0 || len(l.backends) > 0 {
			t.Errorf("%d connections, %d clients, %d backends are left", open, l.clients, len(l.backends))
		}
	})
}
