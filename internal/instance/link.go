package instance

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// link is one TCP connection to the container: it sends a request, and its
// reader has the answer. A link that failed is closed and never used again.
type link struct {
	conn net.Conn
	rd   reader
	raw  *rawSocket // nil where the connection is no plain socket
	// used tells that an answer has come over this link before: the container may
	// have closed it since, which says nothing about the next request.
	used     bool
	usedAt   time.Time // when the last request began
	deadline time.Time

	// writing receives the result of the goroutine that sends what the socket
	// would not take at once; writer tells that there is one.
	writing chan error
	writer  bool
	// unreadable tells that the body's memory could not be read. It is valid once
	// settle has returned.
	unreadable error
}

func newLink(conn net.Conn) *link {
	l := &link{conn: conn, writing: make(chan error, 1)}
	l.rd.src = conn
	l.raw = newRawSocket(conn)
	return l
}

// send sends a request and returns when the first bytes of the answer are in the
// reader. What does not fit into the socket is sent by a goroutine, so that an
// answer is read even while the request is still going out; settle must follow.
func (l *link) send(m message) error {
	if l.raw != nil {
		return l.raw.exchange(l, m)
	}
	l.write(m)
	return l.rd.fill()
}

// idleTime is how long after the beginning of the last request a link is looked at
// before it is trusted with another. In a busy link this would be a system call for
// nothing.
const idleTime = 5 * time.Millisecond

// gone reports whether the container has closed a link that was idle, or has
// sent something that nobody asked for. A link that is closed just now is only
// found out by send.
func (l *link) gone(now time.Time) bool {
	return l.used && l.raw != nil && now.Sub(l.usedAt) > idleTime && !l.raw.quiet()
}

// write starts the goroutine that sends the rest of a request.
func (l *link) write(m message) {
	l.writer = true
	go func() {
		err := l.writeParts(m)
		if errors.Is(err, syscall.EFAULT) {
			l.unreadable = fault.Wrap(fault.Invalid, err, "the request's body cannot be read any more")
			_ = l.conn.Close() // the container cannot know otherwise that the body is not whole
		}
		l.writing <- err
	}()
}

// partSize is how much of a body is sent before its sender is told: little enough
// to be still in the processor's cache.
const partSize = 512 << 10

// writeParts writes in one piece if nobody is to be told of parts.
func (l *link) writeParts(m message) error {
	size := len(m.body)
	if m.sent != nil {
		size = min(size, partSize)
	}
	first := net.Buffers{m.head, m.body[:size]}
	_, err := first.WriteTo(l.conn)
	for sent := 0; err == nil && m.sent != nil; {
		m.sent(m.body[sent : sent+size])
		sent += size
		if size = min(partSize, len(m.body)-sent); size == 0 {
			break
		}
		_, err = l.conn.Write(m.body[sent : sent+size])
	}
	return err
}

// settleTime is how long the sending may go on after the answer is whole. Only
// an answer to a part of a request takes so long.
const settleTime = 10 * time.Millisecond

// settle ends the sending and reports whether the whole request went out. If
// it did not, the rest is not sent and the connection is closed.
func (l *link) settle() bool {
	if !l.writer {
		return true
	}
	l.writer = false
	wait := time.NewTimer(settleTime)
	defer wait.Stop()
	select {
	case err := <-l.writing:
		return err == nil
	case <-wait.C:
	}
	_ = l.conn.Close()
	<-l.writing
	return false
}
