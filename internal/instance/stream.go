package instance

import (
	"context"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	streamBuffer = 64 << 10
	chunkLead    = 10 // room for a size line before a chunk's data
)

// StreamRequest is one POST /invocations whose body is sent chunked, as it
// comes (CC-54, BT-78).
type StreamRequest struct {
	// ContentType and Accept are as in Request.
	ContentType, Accept string
	// Body is read until io.EOF. Its Read must return soon after ctx has ended,
	// because Stream waits for it.
	Body io.Reader
}

// Stream sends a request chunked while it reads the answer, which may begin
// before the request has ended. When an answer of 2xx begins, begin is called
// with its Content-Type and gives the place for its body. The Response has
// neither Body nor a bounded answer.
//
// Opening the connection is tried again as the RetryPolicy says; from the first
// byte of Body on there is no second attempt, and the errors say so. An answer
// that is whole before the request is ends the sending: for 2xx that is a
// success. An error of Body, of begin or of the writer is returned wrapped, and
// the connection is dropped; other errors are those of Invoke.
func (c *Conn) Stream(ctx context.Context, req *StreamRequest, begin func(contentType string) (io.Writer, error)) (Response, error) {
	fields, err := invocationFields(req.ContentType, req.Accept)
	if err != nil {
		return Response{}, err
	}
	head := []byte(startOf("POST", "/invocations") + "Transfer-Encoding: chunked\r\n" + fields + "\r\n")
	c.watchContext(ctx)
	c.drop() // a connection that may be stale cannot be risked on a body that is read once
	timeout := c.in.opts.Retry.Timeout
	for attempt := 1; ; attempt++ {
		l, err := c.ready(ctx, timeout)
		if err == nil {
			out := upload{head: head, body: req.Body, chunked: true, timeout: timeout}
			err = c.stream(ctx, l, &out, func(h Head) (io.Writer, error) { return begin(h.ContentType) })
			if err != nil {
				return Response{}, c.streamFailure(ctx, attempt, err)
			}
			return Response{Status: c.ans.status, ContentType: c.ans.contentType, Attempts: attempt}, nil
		}
		if err := c.again(ctx, attempt, err); err != nil {
			return Response{}, err
		}
	}
}

// sourceError and sinkError tell the caller's faults from the container's.
type (
	sourceError struct{ err error }
	sinkError   struct{ err error }
)

func (e *sourceError) Error() string { return "reading the request's body: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }
func (e *sinkError) Error() string   { return "writing the answer: " + e.err.Error() }
func (e *sinkError) Unwrap() error   { return e.err }

// upload is a request whose body is read while it is sent.
type upload struct {
	head    []byte
	body    io.Reader
	chunked bool // else the head has its length
	// timeout bounds the time in which nothing moves.
	timeout time.Duration
}

// stream sends an upload on a fresh link and streams a 2xx answer to what begin
// gives. Its error is ctx's cause, a *sourceError or *sinkError, a *StatusError, or
// what the connection gave.
func (c *Conn) stream(ctx context.Context, l *link, up *upload, begin func(Head) (io.Writer, error)) error {
	sender := &chunkSender{conn: &movingConn{Conn: l.conn, c: c, l: l, timeout: up.timeout}, plain: !up.chunked}
	l.writer = true
	go func() {
		err := sender.send(up.head, up.body)
		if sender.sourceErr != nil {
			// The container cannot know otherwise that the body is not whole.
			_ = l.conn.Close()
		}
		l.writing <- err
	}()
	l.rd.src = sender.conn
	err := c.receiveStream(l, begin)
	complete := l.settle()
	if !complete || err != nil || !c.ans.keepAlive || l.rd.r != l.rd.w {
		c.drop()
	}
	l.rd.src = l.conn
	l.used = true
	switch _, answered := err.(*StatusError); {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case sender.sourceErr != nil && !answered:
		return sender.sourceErr
	}
	return err
}

// receiveStream reads the answer of a streamed request.
func (c *Conn) receiveStream(l *link, begin func(Head) (io.Writer, error)) error {
	if err := c.ans.read(&l.rd); err != nil {
		return err
	}
	c.body.reset(&l.rd, &c.ans)
	if c.ans.status > 299 {
		kept, err := io.ReadAll(io.LimitReader(&c.body, keptBody))
		if err != nil && len(kept) == 0 {
			return err
		}
		return c.statusError(kept)
	}
	return c.pass(l, 0, begin)
}

// pass gives the body of a 2xx answer to what begin gives, piece by piece as it
// comes: a piece never holds more than one chunk of the container's. Each puts the
// deadline off by extend; 0 leaves that to others.
func (c *Conn) pass(l *link, extend time.Duration, begin func(Head) (io.Writer, error)) error {
	w, err := begin(c.ans.public())
	if err != nil {
		return &sinkError{err}
	}
	buf := make([]byte, streamBuffer)
	for {
		n, err := c.body.Read(buf)
		if n > 0 {
			if extend > 0 {
				c.extend(l, time.Now().Add(extend), extend)
			}
			if _, err := w.Write(buf[:n]); err != nil {
				return &sinkError{err}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *Conn) streamFailure(ctx context.Context, attempt int, err error) error {
	switch err.(type) {
	case *sinkError, *sourceError:
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err = c.giveUp(ctx, attempt, err)
	switch e := err.(type) {
	case *StatusError:
		e.Streamed = true
	case *NoAnswerError:
		e.Streamed = true
	}
	return err
}

// chunkSender sends a request in chunks, or plain where the head has the length.
type chunkSender struct {
	conn      net.Conn
	plain     bool
	sourceErr error // valid once send has returned
}

// send sends the head at once, then each piece that src gives as a chunk.
func (s *chunkSender) send(head []byte, src io.Reader) error {
	if _, err := s.conn.Write(head); err != nil {
		return err
	}
	buf := make([]byte, chunkLead+streamBuffer+len("\r\n"))
	for empty := 0; ; {
		n, err := src.Read(buf[chunkLead : chunkLead+streamBuffer])
		if n > 0 {
			empty = 0
			piece := buf[chunkLead : chunkLead+n]
			if !s.plain {
				piece = frameChunk(buf, n)
			}
			if _, err := s.conn.Write(piece); err != nil {
				return err
			}
		} else if empty++; err == nil && empty > 100 {
			err = io.ErrNoProgress
		}
		if err == io.EOF && s.plain {
			return nil
		}
		if err == io.EOF {
			_, err = s.conn.Write([]byte("0\r\n\r\n"))
			return err
		}
		if err != nil {
			s.sourceErr = &sourceError{err}
			return err
		}
	}
}

// frameChunk puts the size before and the end behind n bytes at chunkLead.
func frameChunk(buf []byte, n int) []byte {
	var size [chunkLead]byte
	line := append(strconv.AppendInt(size[:0], int64(n), 16), '\r', '\n')
	start := chunkLead - len(line)
	copy(buf[start:], line)
	end := chunkLead + n
	return append(buf[start:end:len(buf)], '\r', '\n')
}

// movingConn puts the deadline off whenever something moves. Its two sides may
// be used by two goroutines.
type movingConn struct {
	net.Conn
	c       *Conn
	l       *link
	timeout time.Duration
}

func (m *movingConn) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.moved(n)
	return n, err
}

func (m *movingConn) Write(p []byte) (int, error) {
	n, err := m.Conn.Write(p)
	m.moved(n)
	return n, err
}

func (m *movingConn) moved(n int) {
	if n > 0 {
		m.c.extend(m.l, time.Now().Add(m.timeout), m.timeout)
	}
}
