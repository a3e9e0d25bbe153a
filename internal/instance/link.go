package instance

import (
	"net"
	"time"
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
	usedAt   time.Time
	deadline time.Time

	// writing receives the result of the goroutine that sends what the socket
	// would not take at once; writer tells that there is one.
	writing chan error
	writer  bool
}

func newLink(conn net.Conn) *link {
	l := &link{conn: conn, writing: make(chan error, 1)}
	l.rd.src = conn
	l.raw = newRawSocket(conn)
	return l
}

// send sends a request, head and then body, and returns when the first bytes of
// the answer are in the reader. What does not fit into the socket is sent by a
// goroutine, so that an answer is read even while the request is still going
// out; settle must follow.
func (l *link) send(head, body []byte) error {
	if l.raw != nil {
		return l.raw.exchange(l, head, body)
	}
	l.write(head, body)
	return l.rd.fill()
}

// idleTime is after how much idleness a link is looked at before it is trusted
// with a request. In a busy link this would be a system call for nothing.
const idleTime = 5 * time.Millisecond

// gone reports whether the container has closed a link that was idle, or has
// sent something that nobody asked for. A link that is closed just now is only
// found out by send.
func (l *link) gone() bool {
	return l.used && l.raw != nil && time.Since(l.usedAt) > idleTime && !l.raw.quiet()
}

// write starts the goroutine that sends the rest of a request.
func (l *link) write(head, body []byte) {
	l.writer = true
	go func() {
		rest := net.Buffers{head, body}
		_, err := rest.WriteTo(l.conn)
		l.writing <- err
	}()
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
