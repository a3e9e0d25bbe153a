package instance

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Hosting calls containers under this name and address (CC-26).
const (
	hostingHost  = "model.aws.local:8080"
	hostingAgent = "AHC/2.0"
)

// Call is one request of a hosted endpoint to a container. Unlike an invocation of
// a transform job it has any path and headers, it is not repeated, and every status
// is an answer.
type Call struct {
	Method string // "" is POST
	Path   string // "" is /invocations; it must be fit for a request line
	Fields []Field
	// Body is sent with its length. It is only read, and not after the return.
	Body []byte
	// Timeout bounds the call, from the dial to the end of the answer, as that of
	// RetryPolicy. In CallStream and Upload it bounds the time in which nothing moves.
	Timeout time.Duration
}

// Field is a header field. Fields whose Value is "" are not sent.
type Field struct{ Name, Value string }

// Head is what a container's answer says before its body.
type Head struct {
	Status                                                  int
	ContentType, CustomAttributes, SessionID, ClosedSession string
}

func (h *answerHead) public() Head {
	return Head{Status: h.status, ContentType: h.contentType, CustomAttributes: h.kept.customAttributes, SessionID: h.kept.session, ClosedSession: h.kept.closedSession}
}

// Call sends a call and appends the body of the answer, at most limit bytes, to
// dst; of an answer other than 2xx that is longer it gives the beginning. A call
// that met a connection which the container had closed meanwhile is sent once more.
// Its error is ctx's cause, a fault.Invalid for what cannot be sent, or a
// *NoAnswerError.
func (c *Conn) Call(ctx context.Context, call *Call, limit int64, dst []byte) (Head, []byte, error) {
	out, rest, err := c.head.buildCall(call)
	if err != nil {
		return Head{}, nil, err
	}
	whole, err := c.roundTrip(ctx, message{head: out, body: rest}, dst, call.Timeout, limit)
	if err != nil {
		return Head{}, nil, c.callFailure(ctx, err)
	}
	return c.ans.public(), whole, nil
}

// CallStream is Call, but the body of a 2xx answer goes to what begin gives, each
// piece as soon as it is there; a piece never holds more than one chunk of the
// container's. Of other answers it gives the body, at most limit bytes. An error of
// begin or of the writer is returned wrapped, and Broke tells it from the
// container's.
func (c *Conn) CallStream(ctx context.Context, call *Call, limit int64, begin func(Head) (io.Writer, error)) (Head, []byte, error) {
	out, rest, err := c.head.buildCall(call)
	if err != nil {
		return Head{}, nil, err
	}
	c.watchContext(ctx)
	l, err := c.open(ctx, message{head: out, body: rest}, call.Timeout)
	if err != nil {
		return Head{}, nil, c.callFailure(ctx, err)
	}
	if c.ans.status > 299 {
		c.body.reset(&l.rd, &c.ans)
		body, err := io.ReadAll(io.LimitReader(&c.body, limit))
		c.drop()
		if err != nil && len(body) == 0 {
			return Head{}, nil, c.callFailure(ctx, err)
		}
		return c.ans.public(), body, nil
	}
	c.body.reset(&l.rd, &c.ans)
	err = c.pass(l, call.Timeout, begin)
	l.used, l.usedAt = true, time.Now()
	if !l.settle() || err != nil || !c.ans.keepAlive || l.rd.r != l.rd.w {
		c.drop()
	}
	if err != nil {
		return c.ans.public(), nil, c.callFailure(ctx, err)
	}
	return c.ans.public(), nil, nil
}

// open sends a request and reads the head of its answer.
func (c *Conn) open(ctx context.Context, m message, timeout time.Duration) (*link, error) {
	for {
		c.sent = false
		l, err := c.ready(ctx, timeout)
		if err != nil {
			return nil, err
		}
		reused := l.used
		c.sent = true
		if err = l.send(m); err == nil {
			if err = c.ans.read(&l.rd); err == nil {
				return l, nil
			}
		} else if reused && isStale(err) && ctx.Err() == nil {
			c.drop()
			continue
		}
		c.drop()
		return nil, err
	}
}

// Upload is CallStream with a body of length bytes that is read while it is sent;
// the Call's Body is not looked at. It is sent on a connection of its own, because
// it cannot be sent again. An answer other than 2xx is a *StatusError, an error of
// body is returned wrapped.
func (c *Conn) Upload(ctx context.Context, call *Call, body io.Reader, length int64, begin func(Head) (io.Writer, error)) (Head, error) {
	head, err := c.head.callHead(call, length)
	if err != nil {
		return Head{}, err
	}
	c.watchContext(ctx)
	c.drop()
	c.sent = false
	l, err := c.ready(ctx, call.Timeout)
	if err == nil {
		c.sent = true
		err = c.stream(ctx, l, &upload{head: head, body: io.LimitReader(body, length), timeout: call.Timeout}, begin)
	}
	if err != nil {
		return Head{}, c.callFailure(ctx, err)
	}
	return c.ans.public(), nil
}

// Broke reports an error of a caller's own reader, writer or begin: the container
// is not to blame.
func Broke(err error) bool {
	var sink *sinkError
	var source *sourceError
	return errors.As(err, &sink) || errors.As(err, &source)
}

// BrokeReading reports an error of a caller's own reader.
func BrokeReading(err error) bool {
	var source *sourceError
	return errors.As(err, &source)
}

// callNews is how long a call that broke waits for the news that the container has
// ended. Somebody waits for the answer, so it is shorter than exitNews.
const callNews = 2 * time.Second

// callFailure makes the error of a call of what the connection gave.
func (c *Conn) callFailure(ctx context.Context, err error) error {
	var status *StatusError
	switch {
	case Broke(err), errors.As(err, &status):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	e := &NoAnswerError{Cause: err, Attempts: 1, Unsent: !c.sent}
	e.Exited = c.in.exited() || isBroken(err) && c.in.exitsWithin(ctx, callNews)
	if err == errEnded {
		e.Cause = nil
	}
	if e.Exited {
		e.Exit = c.in.handle.Exit()
	}
	return e
}

// buildCall gives the head of a call as build does.
func (h *invocationHead) buildCall(call *Call) (out, rest []byte, err error) {
	if out, err = h.callHead(call, int64(len(call.Body))); err != nil {
		return nil, nil, err
	}
	if len(call.Body) > copiedBody {
		return out, call.Body, nil
	}
	h.out = append(out, call.Body...)
	return h.out, nil, nil
}

// callHead writes the head of a call. It is valid until the next call.
func (h *invocationHead) callHead(call *Call, length int64) ([]byte, error) {
	b := h.out[:0]
	b = append(b, orElse(call.Method, http.MethodPost)...)
	b = append(b, ' ')
	b = append(b, orElse(call.Path, "/invocations")...)
	b = append(b, " HTTP/1.1\r\nHost: "+hostingHost+"\r\nUser-Agent: "+hostingAgent+"\r\nContent-Length: "...)
	b = strconv.AppendInt(b, length, 10)
	for _, f := range call.Fields {
		if f.Value == "" {
			continue
		}
		if !sendable(f.Value) {
			return nil, fault.New(fault.Invalid, "%q cannot be sent as the value of the HTTP header %s", f.Value, f.Name)
		}
		b = append(b, "\r\n"...)
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
	}
	h.out = append(b, "\r\n\r\n"...)
	return h.out, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// maxIdle bounds the connections that an instance keeps open for Borrow.
const maxIdle = 128

// Borrow gives a Conn that nobody uses, an open one if there is one. Return gives
// it back.
func (in *Instance) Borrow() *Conn {
	in.mu.Lock()
	if n := len(in.idle); n > 0 {
		c := in.idle[n-1]
		in.idle[n-1] = nil
		in.idle = in.idle[:n-1]
		in.mu.Unlock()
		return c
	}
	in.mu.Unlock()
	return in.NewConn()
}

// Return takes a borrowed Conn back, with its connection where that may be used
// again. The Conn may not be used after it.
func (in *Instance) Return(c *Conn) {
	c.watchContext(context.Background())
	in.mu.Lock()
	if c.link != nil && len(in.idle) < maxIdle && !in.exited() {
		in.idle = append(in.idle, c)
		in.mu.Unlock()
		return
	}
	in.mu.Unlock()
	c.Close()
}

// closeIdle closes what Return kept. The instance has ended.
func (in *Instance) closeIdle() {
	in.mu.Lock()
	idle := in.idle
	in.idle = nil
	in.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}
