package front

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a connection on a loop, of a client or to a container. It is watched
// edge by edge: an event is remembered in readable and writable until a call says
// otherwise, or a read gives less than was asked for.
type socket struct {
	l        *loop
	fd       int
	slot     int
	timer    timer
	readable bool
	writable bool
	hup      bool // the other side has ended, at least its sending
	closed   bool
	queued   bool // for loop.later
	out      outbox
	sent     int64 // bytes that the kernel has taken, in all
}

// outbox is what the kernel has not taken yet.
type outbox struct {
	own  []byte // copied, in a buffer of the loop's
	off  int    // how much of own is gone
	refs [2][]byte
}

func (o *outbox) pending() bool {
	return o.off < len(o.own) || len(o.refs[0]) > 0 || len(o.refs[1]) > 0
}

// seen notes what epoll says.
func (s *socket) seen(events uint32) {
	if events&unix.EPOLLOUT != 0 {
		s.writable = true
	}
	if events&unix.EPOLLIN != 0 {
		s.readable = true
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.readable, s.hup = true, true
	}
}

// read reads once into p. n is 0 with wait true where nothing is there yet, and
// with wait false where the connection has ended.
func (s *socket) read(p []byte) (n int, wait bool) {
	n, errno := sysRecv(s.fd, p)
	if errno == syscall.EAGAIN {
		s.readable = false
		return 0, true
	}
	if errno != 0 {
		return 0, false
	}
	if n < len(p) && !s.hup {
		s.readable = false // the rest will be an edge of its own
	}
	return n, false
}

// send writes the parts in their order; what the kernel does not take is kept. The
// parts stay as they are until then if they are stable, and are copied otherwise.
// It reports false where the connection takes nothing any more.
func (s *socket) send(stable bool, parts ...[]byte) bool {
	if !s.out.pending() && s.writable {
		n, ok := s.write(parts)
		if !ok {
			return false
		}
		for len(parts) > 0 && n >= len(parts[0]) {
			n -= len(parts[0])
			parts = parts[1:]
		}
		if len(parts) == 0 {
			return true
		}
		parts[0] = parts[0][n:]
	}
	if stable && !s.out.pending() {
		copy(s.out.refs[:], parts) // stable sends are of two parts
		return true
	}
	for _, p := range parts {
		s.out.own = append(s.l.pool.grow(s.out.own, len(s.out.own)+len(p)), p...)
	}
	return true
}

// write writes parts once.
func (s *socket) write(parts [][]byte) (n int, ok bool) {
	var errno syscall.Errno
	if len(parts) == 1 {
		n, errno = sysSend(s.fd, parts[0])
	} else {
		iov := s.l.iov[:0]
		for _, p := range parts {
			if len(p) > 0 {
				v := unix.Iovec{Base: unsafe.SliceData(p)}
				v.SetLen(len(p))
				iov = append(iov, v)
			}
		}
		n, errno = sysWritev(s.fd, iov)
	}
	switch errno {
	case 0:
		s.sent += int64(n)
		return n, true
	case syscall.EAGAIN:
		s.writable = false
		return 0, true
	}
	return 0, false
}

// flush writes what is pending, and reports false where the connection takes
// nothing any more.
func (s *socket) flush() bool {
	for s.writable && s.out.pending() {
		parts := append(s.l.parts[:0], s.out.own[s.out.off:], s.out.refs[0], s.out.refs[1])
		n, ok := s.write(parts)
		if !ok {
			return false
		}
		k := min(n, len(parts[0]))
		s.out.off += k
		for i := range s.out.refs {
			n -= k
			k = min(n, len(s.out.refs[i]))
			s.out.refs[i] = s.out.refs[i][k:]
		}
	}
	if !s.out.pending() {
		s.drop()
	}
	return true
}

// drop forgets what is pending.
func (s *socket) drop() {
	s.l.pool.put(s.out.own)
	s.out = outbox{}
}

// end closes the connection and takes it off its loop. It may be called twice.
func (s *socket) end() {
	if s.closed {
		return
	}
	s.closed = true
	s.leave()
	unix.Close(s.fd)
}

// leave takes the connection off its loop, without closing it.
func (s *socket) leave() {
	s.l.wheel.remove(&s.timer)
	s.l.slots[s.slot].conn = nil
	s.l.vacant = append(s.l.vacant, s.slot)
	s.drop()
}
