package front

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a Handler for tests: endpoints by name.
type desk struct {
	mu        sync.Mutex
	endpoints map[string]endpoint
	routed    int
	outcomes  []Outcome // with copies of their bodies
	done      chan Outcome
}

// endpoint is where the requests for a name go.
type endpoint struct {
	addr      netip.AddrPort
	second    netip.AddrPort // where Done sends a request that may go again
	limit     time.Duration
	maxBody   int64
	maxAnswer int64
	stream    bool // Route is asked at the head
	elsewhere bool
	refused   string
}

func newDesk() *desk {
	return &desk{endpoints: map[string]endpoint{}, done: make(chan Outcome, 100000)}
}

func (d *desk) find(h *Head) (string, endpoint, bool) {
	name := strings.Split(string(h.Path), "/")[2]
	d.mu.Lock()
	defer d.mu.Unlock()
	e, ok := d.endpoints[name]
	return name, e, ok
}

func (d *desk) Takes(h *Head) Intake {
	name, e, ok := d.find(h)
	if name == "untaken" {
		return Intake{}
	}
	if !ok || e.maxBody == 0 {
		e.maxBody = 6 << 20
	}
	return Intake{Taken: true, Whole: !e.stream, MaxBody: e.maxBody}
}

func (d *desk) Route(r *Request, t *Target, a *Answer) Verdict {
	name, e, ok := d.find(&r.Head)
	d.mu.Lock()
	d.routed++
	d.mu.Unlock()
	switch {
	case !ok:
		a.Error(400, "ValidationError", "Endpoint "+name+" of account 000000000000 not found.") // RT-5
		return Reply
	case e.refused != "":
		a.Error(503, "ServiceUnavailable", e.refused)
		return Reply
	case e.elsewhere:
		return Elsewhere
	}
	t.Addr, t.Limit, t.MaxAnswer = e.addr, e.limit, e.maxAnswer
	t.Path = "/" + name
	for _, pass := range []string{"content-type", "accept", "x-amzn-sagemaker-custom-attributes"} {
		if v := r.Get(pass); v != nil {
			t.Fields.Add(pass, v)
		}
	}
	t.Extra.AddString("x-Amzn-Invoked-Production-Variant", "blue") // EP-35
	t.Extra.AddString("x-amzn-RequestId", "id")
	t.Ref = e
	return Forward
}

func (d *desk) Done(t *Target, o *Outcome, a *Answer) bool {
	e := t.Ref.(endpoint)
	copied := *o
	copied.Body = bytes.Clone(o.Body)
	d.mu.Lock()
	d.outcomes = append(d.outcomes, copied)
	d.mu.Unlock()
	d.done <- copied
	if o.Again && e.second.IsValid() && t.Addr != e.second {
		t.Addr = e.second
		return true
	}
	if a == nil {
		return false
	}
	kind := "client"
	if o.Failure != None || o.Status >= 500 {
		kind = "server"
	}
	message := string(o.Body)
	if o.Failure != None {
		message = o.Failure.String()
	}
	a.Error(424, "ModelError", fmt.Sprintf("Received %s error (%d) from primary with message \"%s\".", kind, o.Status, message), // RT-6
		`"OriginalStatusCode":`+strconv.Itoa(o.Status))
	return false
}

// set names an endpoint.
func (d *desk) set(name string, e endpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endpoints[name] = e
}

// container is a server that answers as its script for the path says, with the raw
// connection in its hands.
type container struct {
	net.Listener
	scripts map[string]script
	mu      sync.Mutex
	opened  int
	conns   map[net.Conn]bool
	serving sync.WaitGroup
}

// script answers one request; false ends the connection.
type script func(w net.Conn, r *http.Request, body []byte) bool

// plain answers 200 with a body.
func plain(body string) script {
	return raw("HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

func raw(answer string) script {
	return func(w net.Conn, r *http.Request, body []byte) bool {
		_, err := io.WriteString(w, answer)
		return err == nil
	}
}

// rawEnd ends the connection behind the answer.
func rawEnd(answer string) script {
	return func(w net.Conn, r *http.Request, body []byte) bool {
		io.WriteString(w, answer)
		return false
	}
}

func newContainer(t testing.TB, scripts map[string]script) *container {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &container{Listener: l, scripts: scripts, conns: map[net.Conn]bool{}}
	c.serving.Add(1)
	go c.run()
	t.Cleanup(c.stop)
	return c
}

func (c *container) addr() netip.AddrPort { return c.Addr().(*net.TCPAddr).AddrPort() }

func (c *container) run() {
	defer c.serving.Done()
	for {
		conn, err := c.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.opened++
		c.conns[conn] = true
		c.mu.Unlock()
		c.serving.Add(1)
		go c.serve(conn)
	}
}

func (c *container) serve(conn net.Conn) {
	defer c.serving.Done()
	defer func() {
		c.mu.Lock()
		delete(c.conns, conn)
		c.mu.Unlock()
		conn.Close()
	}()
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		var body []byte
		run := c.scripts[r.URL.Path]
		if !strings.HasPrefix(r.URL.Path, "/unread") {
			if body, err = io.ReadAll(r.Body); err != nil {
				return
			}
		}
		if run == nil || !run(conn, r, body) {
			return
		}
	}
}

// connections is how many were opened so far.
func (c *container) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// closeIdle closes all connections.
func (c *container) closeConns() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		conn.Close()
	}
}

func (c *container) stop() {
	c.Close()
	c.closeConns()
	c.serving.Wait()
}

// side is one of the implementations of the seam.
type side struct {
	name string
	addr string
	desk *desk
	loop *Front // nil for net/http alone
}

// next is the handler of everything that is not taken.
func next(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "next %s %s %d", r.Method, r.URL.Path, len(body))
}

// startFront starts loops with net/http behind them.
func startFront(t testing.TB, d *desk, change func(*Options)) side {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Listener: l, Handler: d, Loops: 2}
	if change != nil {
		change(&o)
	}
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPortable(o, http.HandlerFunc(next))
	server := &http.Server{Handler: p}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(f.Rest())
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		server.Close()
		<-served
		p.Close()
	})
	return side{"loop", l.Addr().String(), d, f}
}

// startPortable starts net/http alone.
func startPortable(t testing.TB, d *desk, change func(*Options)) side {
	t.Helper()
	o := Options{Handler: d}
	if change != nil {
		change(&o)
	}
	p := NewPortable(o, http.HandlerFunc(next))
	server := httptest.NewServer(p)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		p.Close()
	})
	return side{"portable", server.Listener.Addr().String(), d, nil}
}

// onBoth runs a test on both sides, each with a desk of its own.
func onBoth(t *testing.T, change func(*Options), test func(t *testing.T, s side)) {
	t.Run("loop", func(t *testing.T) {
		t.Parallel()
		test(t, startFront(t, newDesk(), change))
	})
	t.Run("portable", func(t *testing.T) {
		t.Parallel()
		test(t, startPortable(t, newDesk(), change))
	})
}

// dialTo opens a connection that gives up when the test takes too long.
func dialTo(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// invoke is a request for an endpoint.
func invoke(name, body string, fields ...string) string {
	lines := ""
	for _, f := range fields {
		lines += f + "\r\n"
	}
	return "POST /endpoints/" + name + "/invocations HTTP/1.1\r\nHost: localhost\r\n" + lines +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// answerOf reads one answer.
func answerOf(t testing.TB, in *bufio.Reader) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(in, &http.Request{Method: "POST"})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("answer %d ends in %q with: %v", resp.StatusCode, body, err)
	}
	return resp, string(body)
}

// exchangeOn sends a request on a new connection and reads its answer.
func exchangeOn(t testing.TB, addr, request string) (*http.Response, string) {
	t.Helper()
	c := dialTo(t, addr)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return answerOf(t, bufio.NewReader(c))
}
