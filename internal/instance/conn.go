package instance

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// dialTimeout bounds the opening of a connection, which else could take all the
// time of an attempt.
const dialTimeout = 10 * time.Second

// Response is a successful answer (2xx, CC-28).
type Response struct {
	Status int
	// ContentType is the answer's, or "" (BT-113).
	ContentType string
	// Body is the dst given to Invoke with the answer appended.
	Body []byte
	// Attempts counts all attempts, the first one included.
	Attempts int
}

// Conn sends one invocation at a time over one keep-alive connection, which it
// opens when it is first needed and again whenever it must. It is not safe for
// concurrent use: each slot of a caller has its own, and closes it.
type Conn struct {
	in   *Instance
	head invocationHead
	ans  answerHead
	body body

	sent bool // the last request, or a part of it, may have reached the container

	done   <-chan struct{} // of the context that is watched
	unwait func() bool

	mu     sync.Mutex // guards what follows, and the link's deadline
	link   *link
	watch  int // counts the contexts watched; an old one's end changes nothing
	ended  bool
	dialed bool // a connection has been opened, ever
}

// NewConn makes a Conn for one slot of the caller. It opens nothing yet.
func (in *Instance) NewConn() *Conn {
	c := &Conn{in: in}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.conns[c] = struct{}{}
	c.ended = in.exited()
	return c
}

// Close gives the connection up. The Conn may not be used after it; it may be
// closed twice.
func (c *Conn) Close() {
	c.in.mu.Lock()
	delete(c.in.conns, c)
	c.in.mu.Unlock()
	c.watchContext(context.Background())
	c.drop()
}

// Invoke sends an invocation and appends the answer to dst. It retries as the
// RetryPolicy says; a request that met a connection which the container had
// closed meanwhile is sent once more without that counting. When ctx ends it
// answers ctx's cause at once; a container that ends fails the request without
// any further wait. Other errors are *StatusError or *NoAnswerError.
//
// Answers reuse the memory of dst where it suffices; nothing refers to dst or
// to req.Body after the return. With an error dst's content beyond its length
// is undefined.
func (c *Conn) Invoke(ctx context.Context, req *Request, dst []byte) (Response, error) {
	m, err := c.head.build(req)
	if err != nil {
		return Response{}, err
	}
	for attempt := 1; ; attempt++ {
		whole, err := c.attempt(ctx, m, dst)
		if err == nil {
			return Response{Status: c.ans.status, ContentType: c.ans.contentType, Body: whole, Attempts: attempt}, nil
		}
		if err := c.again(ctx, attempt, err); err != nil {
			return Response{}, err
		}
	}
}

// attempt sends an invocation and makes a StatusError of any answer but 2xx.
func (c *Conn) attempt(ctx context.Context, m message, dst []byte) ([]byte, error) {
	whole, err := c.roundTrip(ctx, m, dst, c.in.opts.Retry.Timeout, c.in.opts.MaxResponseBytes)
	if err != nil {
		return nil, err
	}
	if c.ans.status < 200 || c.ans.status > 299 {
		return nil, c.statusError(whole[len(dst):])
	}
	return whole, nil
}

func (c *Conn) statusError(body []byte) *StatusError {
	body = body[:min(len(body), keptBody)]
	return &StatusError{Status: c.ans.status, ContentType: c.ans.contentType, Body: append([]byte(nil), body...), Attempts: 1}
}

// errEnded is the cause of a request that was not sent.
var errEnded = errors.New("the container has ended")

// roundTrip sends a request and appends the body of the answer to dst; the head
// is in c.ans. A link that was used before and fails before the answer begins
// is replaced, once. On errors the link is dropped.
func (c *Conn) roundTrip(ctx context.Context, m message, dst []byte, timeout time.Duration, limit int64) ([]byte, error) {
	c.watchContext(ctx)
	for {
		c.sent = false
		l, err := c.ready(ctx, timeout)
		if err != nil {
			return dst, err
		}
		reused := l.used
		c.sent = true
		if err = l.send(m); err == nil {
			dst, err = c.receive(l, dst, limit)
		} else if reused && isStale(err) && ctx.Err() == nil {
			c.drop()
			continue
		}
		if err != nil {
			c.drop()
			switch {
			case ctx.Err() != nil: // its end closed the link
				err = context.Cause(ctx)
			case l.unreadable != nil:
				err = l.unreadable
			}
		}
		return dst, err
	}
}

// receive reads an answer whose first bytes are there, and keeps the link only
// if nothing of this exchange is left on it.
func (c *Conn) receive(l *link, dst []byte, limit int64) ([]byte, error) {
	if err := c.ans.read(&l.rd); err != nil {
		return dst, err
	}
	c.body.reset(&l.rd, &c.ans)
	dst, err := c.body.appendTo(dst, limit)
	if err != nil {
		if fault.Is(err, fault.Limit) && c.ans.status > 299 {
			c.drop()
			return dst, nil // the status matters, and the first bytes are there
		}
		return dst, err
	}
	l.used = true
	if !l.settle() || !c.ans.keepAlive || l.rd.r != l.rd.w {
		c.drop()
	}
	return dst, nil
}

// ready gives a link that is open and whose deadline is at least timeout away.
func (c *Conn) ready(ctx context.Context, timeout time.Duration) (*link, error) {
	if c.in.exited() {
		return nil, errEnded
	}
	l, now := c.link, time.Now() // the one look at the clock that a request costs
	if l != nil && l.gone(now) {
		c.drop()
		l = nil
	}
	if l == nil {
		var err error
		if l, err = c.dial(ctx, timeout); err != nil {
			return nil, err
		}
		now = time.Now()
	}
	l.usedAt = now
	c.extend(l, now.Add(timeout), timeout)
	// The context's end closes the link, or it came before the link was there.
	if ctx.Err() != nil {
		c.drop()
		return nil, context.Cause(ctx)
	}
	return l, nil
}

func (c *Conn) dial(ctx context.Context, timeout time.Duration) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, min(timeout, dialTimeout))
	defer cancel()
	conn, err := c.in.opts.Dial(ctx, "tcp", c.in.handle.Addr())
	if err != nil {
		return nil, err
	}
	l := newLink(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link, c.dialed = l, true
	if c.ended {
		_ = conn.SetDeadline(time.Now().Add(exitGrace))
	}
	return l, nil
}

// extend moves the deadline of a link to want, which is timeout from now. It sets it
// further than it must, so that a busy link does not set it for each request.
func (c *Conn) extend(l *link, want time.Time, timeout time.Duration) {
	slack := min(time.Second, timeout/8)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended { // instanceEnded has set a nearer one
		return
	}
	if l.deadline.Before(want) || l.deadline.After(want.Add(slack)) {
		l.deadline = want.Add(slack)
		_ = l.conn.SetDeadline(l.deadline)
	}
}

// instanceEnded leaves a request that is under way just the time to read an
// answer that has arrived.
func (c *Conn) instanceEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.link != nil {
		_ = c.link.conn.SetDeadline(time.Now().Add(exitGrace))
	}
}

// watchContext closes the link when ctx ends. It costs nothing while the caller
// keeps to one context.
func (c *Conn) watchContext(ctx context.Context) {
	if ctx.Done() == c.done {
		return
	}
	if c.unwait != nil {
		c.unwait()
		c.unwait = nil
	}
	c.mu.Lock()
	c.watch++
	watch := c.watch
	c.mu.Unlock()
	if c.done = ctx.Done(); c.done == nil {
		return
	}
	c.unwait = context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.watch == watch && c.link != nil {
			_ = c.link.conn.Close()
		}
	})
}

// drop closes the link, if there is one, and waits for the end of its writer.
func (c *Conn) drop() {
	c.mu.Lock()
	l := c.link
	c.link = nil
	c.mu.Unlock()
	if l != nil {
		_ = l.conn.Close()
		l.settle()
	}
}
