package docker

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// front is a socket before the engine's own. Taken down, it is an engine that has
// stopped, for one driver only.
type front struct {
	path, engine string
	t            testing.TB

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	mute     bool
}

func newFront(t testing.TB, e testEngine) *front {
	t.Helper()
	engine, ok := strings.CutPrefix(e.host, "unix://")
	if !ok {
		t.Skipf("the engine's address %s is no socket", e.host)
	}
	f := &front{path: filepath.Join(shortDir(t), "s"), engine: engine, t: t, conns: map[net.Conn]bool{}}
	f.up()
	t.Cleanup(f.down)
	return f
}

func (f *front) host(c *Config) { c.Host = "unix://" + f.path }

func (f *front) up() {
	l, err := net.Listen("unix", f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.listener = l
	f.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.pass(c)
		}
	}()
}

// pass connects a client with the engine.
func (f *front) pass(c net.Conn) {
	f.mu.Lock()
	mute := f.mute
	f.conns[c] = true
	f.mu.Unlock()
	if mute {
		return
	}
	e, err := net.Dial("unix", f.engine)
	if err != nil {
		c.Close()
		return
	}
	go func() { _, _ = io.Copy(e, c); e.Close() }()
	_, _ = io.Copy(c, e)
	c.Close()
	e.Close()
}

// down refuses connections and ends those there are.
func (f *front) down() {
	f.mu.Lock()
	if f.listener != nil {
		f.listener.Close()
	}
	f.listener = nil
	f.mu.Unlock()
	f.cut()
}

// cut ends the connections there are.
func (f *front) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
	clear(f.conns)
}

// hang answers nobody any more.
func (f *front) hang(yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mute = yes
}

// TestBrokenConnection has connections break while the engine and the instance
// live on: nothing is lost, and nothing comes twice.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	f := newFront(t, e)
	d := newDriver(t, f.host)
	s := spec(e.loadProgram(t), "broken", map[string]string{drivertest.EnvPrint: "1000"})
	i := start(t, d, s)
	out := s.Output.(*printed)
	for n := range 5 {
		f.cut()
		post(t, i, "/print", nil)
		say(t, i, "after cut "+string(rune('0'+n)))
	}
	out.await(t, "after cut 4\n")
	f.cut()
	stop(t, i)
	if exit := i.Exit(); exit.Signal != "killed" || exit.Lost {
		t.Errorf("exit %+v", exit)
	}
	if n := strings.Count(out.String(), "\n"); n != 1005 {
		t.Errorf("%d lines, want 1005", n)
	}
}

// TestEngineAway has the engine refuse: the instance is lost, stopping it does not
// hang, and what survived of it is gone before the next start.
func TestEngineAway(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	f := newFront(t, e)
	d := newDriver(t, f.host)
	image := e.loadProgram(t)
	i := start(t, d, spec(image, "lost", nil))
	post(t, i, "/print", nil)
	f.down()
	if exit := ended(t, i); !exit.Lost {
		t.Errorf("exit %+v", exit)
	}
	stop(t, i)
	for what, err := range map[string]error{
		"start":   second(d.Start(t.Context(), spec(image, "next", nil))),
		"attach":  second(d.Attach(t.Context(), driver.Spec{ID: "lost"})),
		"prepare": second(d.Prepare(t.Context(), image, nil)),
	} {
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.TextOf(err), f.path) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := d.Sweep(t.Context(), nil); err != nil {
		t.Errorf("sweep: %v", err)
	}
	survivor := inspect(t, e, i)
	if !survivor.State.Running {
		t.Fatal("the container did not survive, so this test proves nothing")
	}
	f.up()
	next := start(t, d, spec(image, "lost", nil))
	left, err := d.list(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(left.containers) != 1 || left.containers[0].ID != next.container || len(left.networks) != 1 {
		t.Errorf("on the engine: %+v", left)
	}
}

func second[T any](_ T, err error) error { return err }

// TestSweepLater proves that a sweep that found no engine is done before anything
// else is asked of it.
func TestSweepLater(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	f := newFront(t, e)
	image := e.loadProgram(t)
	first := newDriver(t, f.host)
	start(t, first, spec(image, "orphan", nil))
	start(t, first, spec(image, "kept", nil))
	first.Close()
	f.down()
	second := again(t, first)
	if err := second.Sweep(t.Context(), []string{"kept"}); err != nil {
		t.Fatal(err)
	}
	f.up()
	h, err := second.Attach(t.Context(), driver.Spec{ID: "kept"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Stop(context.Background(), 0)
	left, err := second.list(t.Context(), "")
	if err != nil || len(left.containers) != 1 || len(left.networks) != 1 {
		t.Errorf("on the engine: %+v, %v", left, err)
	}
}

// TestEngineHangs proves that Stop has an end although the engine answers nothing.
func TestEngineHangs(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	f := newFront(t, e)
	d := newDriver(t, f.host)
	d.limits.force, d.limits.order = time.Second, time.Second
	i := start(t, d, spec(e.loadProgram(t), "hangs", nil))
	f.hang(true)
	if err := i.Stop(t.Context(), time.Second); !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.TextOf(err), f.path) {
		t.Errorf("error %v", err)
	}
	f.hang(false)
	f.cut()
	d.limits.force = patience
}
