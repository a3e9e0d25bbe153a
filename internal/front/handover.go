package front

import (
	"io"
	"net"
	"sync"
)

// handed is the listener of the connections that front leaves to net/http.
type handed struct {
	addr net.Addr

	mu     sync.Mutex
	queue  []net.Conn
	closed bool
	more   chan struct{} // holds one value when queue may not be empty
	end    chan struct{}
}

func newHanded(addr net.Addr) *handed {
	return &handed{addr: addr, more: make(chan struct{}, 1), end: make(chan struct{})}
}

// give hands a connection over, or closes it where nobody accepts any more. It
// does not wait.
func (h *handed) give(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		c.Close()
		return
	}
	h.queue = append(h.queue, c)
	h.wake()
}

func (h *handed) wake() {
	select {
	case h.more <- struct{}{}:
	default:
	}
}

// Accept implements net.Listener.
func (h *handed) Accept() (net.Conn, error) {
	for {
		select {
		case <-h.more:
		case <-h.end:
			return nil, net.ErrClosed
		}
		h.mu.Lock()
		if len(h.queue) > 0 {
			c := h.queue[0]
			h.queue = h.queue[1:]
			if len(h.queue) > 0 {
				h.wake()
			}
			h.mu.Unlock()
			return c, nil
		}
		h.mu.Unlock()
	}
}

// Close implements net.Listener. It may be called twice.
func (h *handed) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	close(h.end)
	for _, c := range h.queue {
		c.Close()
	}
	h.queue = nil
	return nil
}

// Addr implements net.Listener.
func (h *handed) Addr() net.Addr { return h.addr }

// begun is a connection of which something has been read already.
type begun struct {
	*net.TCPConn
	prefix []byte
}

// Read implements io.Reader: first what was read before.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.prefix) == 0 || len(p) == 0 {
		return b.TCPConn.Read(p)
	}
	n := copy(p, b.prefix)
	if b.prefix = b.prefix[n:]; len(b.prefix) == 0 {
		b.prefix = nil
	}
	return n, nil
}

// WriteTo implements io.WriterTo in place of TCPConn's, which knows of no prefix.
func (b *begun) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.prefix)
	b.prefix = b.prefix[n:]
	if err != nil {
		return int64(n), err
	}
	m, err := b.TCPConn.WriteTo(w)
	return int64(n) + m, err
}
