package front

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Portable serves invocations over net/http as the loops do, and leaves everything
// else to another handler. It keeps connections to containers of its own.
type Portable struct {
	handler   Handler
	next      http.Handler
	transport *http.Transport
	patience  time.Duration // Options.BodyTimeout
}

// NewPortable makes a Portable over the same Handler as o's Front. next serves what
// the Handler does not take, or sends Elsewhere.
func NewPortable(o Options, next http.Handler) *Portable {
	o = o.withDefaults()
	dialer := &net.Dialer{Timeout: connectTime}
	return &Portable{handler: o.Handler, next: next, patience: o.BodyTimeout, transport: &http.Transport{
		DialContext:            dialer.DialContext,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    o.MaxIdle,
		MaxConnsPerHost:        o.MaxConnections,
		MaxResponseHeaderBytes: maxHead,
		IdleConnTimeout:        idleTime,
	}}
}

// How long a container may take to accept a connection (CC-24), and how long one
// that is not used is kept.
const (
	connectTime = 250 * time.Millisecond
	idleTime    = time.Minute
)

// Close closes the connections that are not in use.
func (p *Portable) Close() { p.transport.CloseIdleConnections() }

// ServeHTTP implements http.Handler.
func (p *Portable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head, ok := headOf(r)
	if !ok {
		p.next.ServeHTTP(w, r)
		return
	}
	intake := p.handler.Takes(&head)
	if !intake.Taken {
		p.next.ServeHTTP(w, r)
		return
	}
	x := &exchange{Portable: p, w: w, r: r, request: Request{Head: head}}
	if head.ContentLength > intake.MaxBody {
		x.refuse(tooLarge(intake.MaxBody))
		return
	}
	if intake.Whole || head.ContentLength <= inline {
		if !x.gather() {
			return
		}
	}
	x.serve()
}

// headOf gives the head of an invocation; ok is false for any other request, and
// for one whose body is chunked.
func headOf(r *http.Request) (h Head, ok bool) {
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if r.Method != http.MethodPost || !strings.HasPrefix(path, "/endpoints/") || !strings.HasSuffix(path, "/invocations") || r.ContentLength < 0 {
		return h, false
	}
	h = Head{Method: []byte(r.Method), Path: []byte(path), Query: []byte(query), Host: []byte(r.Host), ContentLength: r.ContentLength}
	h.Fields = append(h.Fields, Field{[]byte("Host"), h.Host})
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range r.Header[name] {
			h.Fields = append(h.Fields, Field{[]byte(name), []byte(v)})
		}
	}
	if r.Header["Content-Length"] == nil {
		h.Fields = append(h.Fields, Field{[]byte("Content-Length"), strconv.AppendInt(nil, r.ContentLength, 10)})
	}
	return h, true
}

// exchange is one request of Portable.
type exchange struct {
	*Portable
	w       http.ResponseWriter
	r       *http.Request
	request Request
	target  Target
	answer  Answer
	outcome Outcome
	begun   time.Time
	sent    *counted
}

// gather reads the whole body. It returns false where that failed and is answered.
func (x *exchange) gather() bool {
	n := x.request.ContentLength
	control := http.NewResponseController(x.w)
	control.SetReadDeadline(time.Now().Add(x.patience + time.Duration(n/slowest)*time.Second)) // a connection without deadlines is the server's choice
	defer control.SetReadDeadline(time.Time{})
	var body bytes.Buffer
	if _, err := io.CopyN(&body, x.r.Body, n); err != nil {
		var slow net.Error
		if errors.As(err, &slow) && slow.Timeout() {
			x.refuse(&refusal{408, "RequestTimeout", "The request did not come within its time."})
		}
		return false
	}
	x.request.Body, x.request.Whole = body.Bytes(), true
	return true
}

// refuse answers a request that is none of the Handler's, and ends the connection.
func (x *exchange) refuse(r *refusal) {
	x.answer.Error(r.status, r.code, r.message)
	x.reply()
}

// reply sends the answer.
func (x *exchange) reply() {
	h := x.w.Header()
	addLines(h, x.answer.Fields)
	addLines(h, x.target.Extra)
	x.unfinished()
	h.Set("Content-Length", strconv.Itoa(len(x.answer.Body)))
	x.w.WriteHeader(x.answer.Status)
	x.w.Write(x.answer.Body) // a client that is gone needs no answer
}

// unfinished has the connection end behind the answer when the request has not been
// read to its end; net/http would wait for it before it answers.
func (x *exchange) unfinished() {
	if x.request.Whole || x.sent != nil && x.sent.n.Load() == x.request.ContentLength {
		return
	}
	http.NewResponseController(x.w).EnableFullDuplex() // HTTP/2 is so anyway
	x.w.Header().Set("Connection", "close")
}

// addLines adds field lines to a header, with their names as they are.
func addLines(h http.Header, lines Fields) {
	for line := range strings.SplitSeq(string(lines), "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			h[name] = append(h[name], value)
		}
	}
}

func (x *exchange) serve() {
	switch x.handler.Route(&x.request, &x.target, &x.answer) {
	case Reply:
		x.reply()
	case Elsewhere:
		if x.request.Whole {
			x.r.Body = io.NopCloser(bytes.NewReader(x.request.Body))
		}
		x.next.ServeHTTP(x.w, x.r)
	default:
		for tries := 0; x.forward() && tries < maxTries; tries++ {
		}
	}
}

// forward makes one call. It returns true where Done wants another.
func (x *exchange) forward() (again bool) {
	x.begun = time.Now()
	x.answer.reset()
	x.outcome.reset()
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	var body io.Reader = x.r.Body
	if x.request.Whole {
		body = bytes.NewReader(x.request.Body)
	}
	x.sent = &counted{Reader: body}
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+x.target.Addr.String()+x.target.path(), x.sent)
	if err != nil {
		return x.failed(Malformed)
	}
	out.ContentLength = x.request.ContentLength
	if out.ContentLength == 0 {
		out.Body = http.NoBody
	}
	out.Host = modelHost
	out.Header = http.Header{"User-Agent": nil}
	addLines(out.Header, x.target.Fields)
	if x.target.Limit > 0 {
		timer := time.AfterFunc(x.target.Limit, func() { cancel(errLimit) })
		defer timer.Stop()
	}
	resp, err := x.transport.RoundTrip(out)
	if err != nil {
		return x.failed(x.reason(ctx, err))
	}
	defer resp.Body.Close()
	x.outcome.Status = resp.StatusCode
	x.outcome.FirstByte = time.Since(x.begun)
	if resp.StatusCode > 299 {
		return x.replace(ctx, resp)
	}
	x.pass(ctx, resp)
	return false
}

var errLimit = errors.New("the container's time is over")

// reason tells what a failed call failed of.
func (x *exchange) reason(ctx context.Context, err error) Failure {
	var op *net.OpError
	switch {
	case context.Cause(ctx) == errLimit:
		return TimedOut
	case x.r.Context().Err() != nil:
		return ClientGone
	case errors.As(err, &op) && op.Op == "dial", errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case strings.Contains(err.Error(), "malformed"), strings.Contains(err.Error(), "Content-Length"),
		strings.Contains(err.Error(), "invalid"), strings.Contains(err.Error(), "unsupported transfer encoding"),
		strings.Contains(err.Error(), "response headers exceeded"):
		return Malformed // net/http has no errors of a type for these
	}
	return Reset
}

// done tells the Handler how a call ended.
func (x *exchange) done(why Failure, a *Answer) (again bool) {
	o := &x.outcome
	o.Failure, o.Sent, o.Total = why, x.sent.n.Load(), time.Since(x.begun)
	return x.handler.Done(&x.target, o, a)
}

// failed ends a call without an answer of the container.
func (x *exchange) failed(why Failure) (again bool) {
	o := &x.outcome
	o.Again = (why == Refused || why == Reset) && x.request.Whole
	if why == ClientGone {
		x.done(why, nil)
		return false
	}
	x.answer.reset()
	if x.done(why, &x.answer) && o.Again {
		return true
	}
	o.defaultAnswer(&x.answer)
	x.reply()
	return false
}

// replace keeps an answer that is not 2xx, and sends what Done makes of it.
func (x *exchange) replace(ctx context.Context, resp *http.Response) bool {
	o := &x.outcome
	var err error
	o.Body, err = io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	o.Received = int64(len(o.Body))
	if err != nil {
		return x.failed(x.reason(ctx, err))
	}
	x.answer.reset()
	x.done(None, &x.answer)
	o.defaultAnswer(&x.answer)
	x.reply()
	return false
}

// pass passes an answer on while it comes.
func (x *exchange) pass(ctx context.Context, resp *http.Response) {
	limit := x.target.MaxAnswer
	if limit > 0 && resp.ContentLength > limit {
		x.failed(TooLarge)
		return
	}
	h := x.w.Header()
	for _, f := range passed {
		for _, v := range resp.Header.Values(f.lower) {
			if len(v) <= maxPassed {
				h[f.name] = append(h[f.name], v)
			}
		}
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // net/http does not guess one
	}
	addLines(h, x.target.Extra)
	if resp.ContentLength >= 0 {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	x.unfinished()
	x.w.WriteHeader(http.StatusOK) // RT-3
	why := x.copy(ctx, resp.Body, limit)
	x.done(why, nil)
	if why != None {
		panic(http.ErrAbortHandler) // the only way to end the connection in mid-answer
	}
}

// copy passes the body on, piece by piece.
func (x *exchange) copy(ctx context.Context, body io.Reader, limit int64) Failure {
	buf := make([]byte, inline)
	control := http.NewResponseController(x.w)
	for {
		n, err := body.Read(buf)
		x.outcome.Received += int64(n)
		if limit > 0 && x.outcome.Received > limit {
			return TooLarge
		}
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return ClientGone
			}
			control.Flush() // a failure comes with the next Write
		}
		if err == io.EOF {
			return None
		}
		if err != nil {
			return x.reason(ctx, err)
		}
	}
}

// counted counts what is read of it.
type counted struct {
	io.Reader
	n atomic.Int64 // the transport may read on when the answer is there
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// Drain closes connections that are not in use. net/http tells them not apart, so it
// is those of all addresses.
func (p *Portable) Drain(netip.AddrPort) { p.transport.CloseIdleConnections() }
