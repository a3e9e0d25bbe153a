package front

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Front serves a port. Its methods may be called at any time and by several.
type Front struct {
	options  Options
	begun    time.Time
	loops    []*loop
	rest     *handed
	running  sync.WaitGroup
	turn     int // whose turn it is to get a client; the first loop's
	clients  atomic.Int64
	reserved atomic.Int64
	stop     sync.Once
}

// New begins to serve. The listener must be TCP's.
func New(o Options) (*Front, error) {
	f := &Front{options: o.withDefaults(), begun: time.Now(), rest: newHanded(o.Listener.Addr())}
	for range f.options.Loops {
		l, err := newLoop(f)
		if err != nil {
			f.releaseLoops()
			return nil, fmt.Errorf("an event loop cannot be made: %w", err)
		}
		f.loops = append(f.loops, l)
	}
	if err := f.listen(); err != nil {
		f.releaseLoops()
		return nil, err
	}
	for _, l := range f.loops {
		f.running.Add(1)
		go func() {
			defer f.running.Done()
			l.run()
		}()
	}
	return f, nil
}

func (f *Front) releaseLoops() {
	for _, l := range f.loops {
		l.release()
	}
}

// listen has the first loop accept from a copy of the listener's descriptor.
func (f *Front) listen() error {
	tcp, ok := f.options.Listener.(*net.TCPListener)
	if !ok {
		return fmt.Errorf("the listener is a %T, not TCP's", f.options.Listener)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	l := f.loops[0]
	cerr := raw.Control(func(fd uintptr) {
		l.listener, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(cerr, err); err != nil {
		return fmt.Errorf("the listener cannot be used: %w", err)
	}
	return l.watch(l.listener, unix.EPOLLIN, listenerSlot, 0)
}

// Rest is the listener of the connections that are for net/http. Closing it leaves
// the loops as they are.
func (f *Front) Rest() net.Listener { return f.rest }

// deal gives a new client to a loop. Only the first loop calls it.
func (f *Front) deal(fd int) {
	l := f.loops[f.turn%len(f.loops)]
	f.turn++
	if int(f.clients.Add(1)) > f.options.MaxClients {
		f.clients.Add(-1)
		unix.Close(fd)
		return
	}
	if l == f.loops[0] {
		l.adopt(fd)
	} else if !l.post(func() { l.adopt(fd) }) {
		f.clients.Add(-1)
		unix.Close(fd)
	}
}

// handOver gives a connection to net/http.
func (f *Front) handOver(fd int, prefix []byte) {
	file := os.NewFile(uintptr(fd), "")
	defer file.Close() // FileConn has made a copy
	c, err := net.FileConn(file)
	if err != nil {
		return // there are no descriptors left; the client sees an end
	}
	f.rest.give(&begun{TCPConn: c.(*net.TCPConn), prefix: prefix})
}

// Drain closes the connections to an address that are not in use, and the others
// when their calls are over.
func (f *Front) Drain(addr netip.AddrPort) {
	for _, l := range f.loops {
		l.post(func() { l.drainBackend(addr) })
	}
}

// Close stops accepting, lets the requests in the loops end until ctx does, and
// ends the loops. Requests that ctx did not leave the time to end are cut off, which
// is its error. It may be called twice.
func (f *Front) Close(ctx context.Context) error {
	err := f.options.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	f.stop.Do(func() {
		for _, l := range f.loops {
			l.post(l.stop)
		}
	})
	done := make(chan struct{})
	go func() {
		f.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		for _, l := range f.loops {
			l.post(l.abort)
		}
		<-done
		err = errors.Join(err, ctx.Err())
	}
	return errors.Join(err, f.rest.Close())
}
