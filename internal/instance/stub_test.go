package instance

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(benchServerEnv); addr != "" {
		serveBench(addr)
		return
	}
	goleak.VerifyTestMain(m)
}

// stub is a driver of one instance that is a server of the test's own: it gives
// out an address and ends when told to.
type stub struct {
	addr  string
	spec  driver.Spec
	done  chan struct{}
	exit  driver.Exit
	once  sync.Once
	stops int
	grace time.Duration
}

func newStub(addr string) *stub { return &stub{addr: addr, done: make(chan struct{})} }

func (s *stub) Start(_ context.Context, spec driver.Spec) (driver.Handle, error) {
	s.spec = spec
	return s, nil
}

func (s *stub) Prepare(_ context.Context, image string, _ func(driver.Pull)) (driver.Image, error) {
	return driver.Image{Specified: image, Resolved: image}, nil
}

func (s *stub) Attach(context.Context, driver.Spec) (driver.Handle, error) {
	return nil, driver.ErrNoInstance
}
func (s *stub) Inside(path string) string             { return path }
func (s *stub) Leaving() <-chan struct{}              { return nil }
func (s *stub) Sweep(context.Context, []string) error { return nil }
func (s *stub) ID() string                            { return s.spec.ID }
func (s *stub) Addr() string                          { return s.addr }
func (s *stub) Done() <-chan struct{}                 { return s.done }
func (s *stub) Exit() driver.Exit                     { return s.exit }

func (s *stub) end(exit driver.Exit) {
	s.once.Do(func() {
		s.exit = exit
		close(s.done)
	})
}

func (s *stub) Stop(_ context.Context, grace time.Duration) error {
	s.stops++
	s.grace = grace
	s.end(driver.Exit{Code: -1, Signal: "terminated"})
	return nil
}

// launch gives an instance over a stub that is stopped with the test.
func launch(t testing.TB, addr string, o Options) (*Instance, *stub) {
	t.Helper()
	s := newStub(addr)
	o.Driver = s
	in, err := Launch(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Stop(context.Background()) })
	return in, s
}

// newConn gives a Conn that is closed with the test.
func newConn(t testing.TB, in *Instance) *Conn {
	t.Helper()
	c := in.NewConn()
	t.Cleanup(c.Close)
	return c
}

// serveTCP serves each connection with handle, which gets its number from 0.
// The connections are closed with the test.
func serveTCP(t testing.TB, handle func(n int, conn net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	var all sync.WaitGroup
	all.Go(func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			all.Go(func() {
				defer conn.Close()
				handle(n, conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// readRequest reads one request with Content-Length in full, and gives its text.
func readRequest(conn io.Reader) (string, error) {
	rd := &reader{src: conn}
	text, length := "", 0
	for budget := maxHead; ; {
		line, err := rd.line(&budget)
		if err != nil {
			return text, err
		}
		text += string(line) + "\n"
		if len(line) == 0 {
			break
		}
		var h answerHead
		h.length = -1
		if h.parseField(line) == nil && h.length >= 0 {
			length = int(h.length)
		}
	}
	body := make([]byte, length)
	_, err := io.ReadFull(rd, body)
	return text + string(body), err
}
