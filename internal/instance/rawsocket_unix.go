//go:build linux || darwin

package instance

import (
	"fmt"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawSocket sends a request and reads the first bytes of its answer with two
// system calls. The usual Write and Read need a third: Read tries at once, in
// vain, before it waits. Here the write is made between arming the poller and
// waiting for it, so no readiness is missed and none is asked for too early.
type rawSocket struct {
	conn syscall.RawConn
	step func(fd uintptr) bool // (*rawSocket).poll, bound once
	look func(fd uintptr)      // (*rawSocket).peek, bound once
	one  [1]byte

	// The exchange that is under way.
	link *link
	message
	begun bool
	err   error
}

// newRawSocket gives nil for anything that is not a TCP socket.
func newRawSocket(conn net.Conn) *rawSocket {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	s := &rawSocket{conn: raw}
	s.step, s.look = s.poll, s.peek
	return s
}

// exchange is link.send.
func (s *rawSocket) exchange(l *link, m message) error {
	s.link, s.message, s.begun, s.err = l, m, false, nil
	err := s.conn.Read(s.step)
	s.message = message{}
	if s.err != nil {
		return s.err
	}
	return err
}

// quiet reports whether the connection is open and nothing waits to be read.
// After it has answered false the connection is spoilt.
func (s *rawSocket) quiet() bool {
	s.err = nil
	if err := s.conn.Control(s.look); err != nil {
		return false
	}
	return s.err == unix.EAGAIN
}

func (s *rawSocket) peek(fd uintptr) {
	_, s.err = unix.Read(int(fd), s.one[:])
}

// poll is called by the poller: first when it is armed, then whenever there may
// be something to read. It returns false to wait.
func (s *rawSocket) poll(fd uintptr) bool {
	if !s.begun {
		s.begun = true
		s.err = s.write(int(fd))
		return s.err != nil
	}
	into := s.link.rd.room()
	for {
		n, err := rawRead(int(fd), into)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false
		case err != nil:
			s.err = fmt.Errorf("read: %w", err)
		case n == 0:
			s.err = io.EOF
		default:
			s.link.rd.w += n
		}
		return true
	}
}

// write hands the request to the socket, and the rest to the link's writer when
// the socket does not take all of it. One that goes in parts is all the writer's.
func (s *rawSocket) write(fd int) error {
	if s.sent != nil {
		s.link.write(s.message)
		return nil
	}
	for {
		var n int
		var err error
		if len(s.body) == 0 {
			n, err = rawWrite(fd, s.head) // at most a head and copiedBody bytes
		} else {
			n, err = unix.Writev(fd, [][]byte{s.head, s.body})
		}
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			n = 0
		case err != nil:
			return fmt.Errorf("write: %w", err)
		}
		if n < len(s.head)+len(s.body) {
			k := min(n, len(s.head))
			s.link.write(message{head: s.head[k:], body: s.body[n-k:]})
		}
		return nil
	}
}
