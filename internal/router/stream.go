package router

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/instance"
)

// StreamError is a stream that broke after it had begun (RT-31).
type StreamError struct {
	// Code is ErrorCode of a ModelStreamError; "" makes it an InternalStreamFailure.
	Code    string
	Message string

	cause error
}

// The codes of a ModelStreamError.
const (
	ModelInvocationTimeExceeded = "ModelInvocationTimeExceeded"
	StreamBroken                = "StreamBroken"
)

// Error is for logs.
func (e *StreamError) Error() string { return e.Code + ": " + e.Message }

// Unwrap returns the private cause.
func (e *StreamError) Unwrap() error { return e.cause }

// InvokeStream is Invoke, but the answer goes to what begin gives, each of the
// container's chunks as soon as it is there (CC-90). The Answer given to begin has no
// Body. Until begin is called errors are those of Invoke (RT-32), then they are
// *StreamError, ctx's cause, or the writer's own.
func (r *Router) InvokeStream(ctx context.Context, q *Request, begin func(*Answer) (io.Writer, error)) error {
	if err := q.refuse(); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		t, err := r.Admit(ctx, &q.Ask)
		if err != nil {
			return err
		}
		x := exchange{r: r, t: &t, q: q, began: time.Now()}
		s := streaming{exchange: &x, begin: begin, sampled: t.Endpoint.sampled()}
		err = s.run(ctx)
		if attempt < maxInstances && !s.begun && x.elsewhere(ctx, err) {
			t.Variant.rec.repeated.Add(1)
			q.avoid = t.Instance
			t.Release()
			continue
		}
		r.keep(&t, q, s.kept(err), s.sampled)
		t.Done(x.outcome(ctx, err))
		return err
	}
}

// streaming is an exchange whose answer is passed on while it comes.
type streaming struct {
	*exchange
	begin func(*Answer) (io.Writer, error)
	begun bool

	// What is captured: the answer, as far as it may be held.
	sampled  bool
	answered *Answer
	body     []byte
	tooLong  bool
}

// kept is the whole answer, nil where there is none to be captured.
func (s *streaming) kept(err error) *Answer {
	if err != nil || s.answered == nil {
		return nil
	}
	if s.tooLong {
		s.t.Variant.rec.captureDropped.Add(1)
		return nil
	}
	a := *s.answered
	a.Body = s.body
	return &a
}

// keeping passes pieces on and keeps them for the capture.
type keeping struct {
	io.Writer
	s *streaming
}

func (k keeping) Write(p []byte) (int, error) {
	n, err := k.Writer.Write(p)
	if s := k.s; int64(len(s.body)+n) <= s.t.Endpoint.Limits.Bounded().Body {
		s.body = append(s.body, p[:n]...)
	} else {
		s.tooLong, s.body = true, nil
	}
	return n, err
}

// run passes the request through the containers; the answer of the last is streamed.
func (s *streaming) run(ctx context.Context) error {
	legs, err := s.legs()
	if err != nil {
		return err
	}
	last := legs[len(legs)-1]
	deadline := time.Now().Add(s.t.Endpoint.Limits.Bounded().Timeout)
	h := hop{contentType: s.q.ContentType, body: s.q.Body}
	for n, l := range legs[:len(legs)-1] {
		if h, err = s.pass(ctx, legs, n, l, h, deadline); err != nil {
			return err
		}
	}
	h.accept = s.q.Accept
	return s.last(ctx, last, h)
}

// last streams the answer of the last container. Its time limit is for the first
// byte and for each pause after it.
func (s *streaming) last(ctx context.Context, l leg, h hop) error {
	limits := s.t.Endpoint.Limits.Bounded()
	container := s.t.Instance.Containers()[l.i]
	conn := container.Borrow()
	defer container.Return(conn)
	began := time.Now()
	defer func() { s.took(l, time.Since(began)) }()
	call := instance.Call{Fields: s.fields(l, h), Body: h.body, Timeout: limits.Timeout}
	head, body, err := conn.CallStream(ctx, &call, maxMessage*4, func(head instance.Head) (io.Writer, error) {
		s.begun, s.answered = true, s.answer(head, nil)
		w, err := s.begin(s.answered)
		if err == nil && s.sampled {
			w = keeping{w, s}
		}
		return w, err
	})
	if !s.begun || err == nil {
		return s.judge(ctx, l, head, body, err)
	}
	s.status = 0
	return s.broken(ctx, l, err)
}

// broken makes the error of a stream that had begun.
func (s *streaming) broken(ctx context.Context, l leg, err error) error {
	var none *instance.NoAnswerError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case instance.Broke(err):
		return err
	case !errors.As(err, &none):
		return &StreamError{Message: "The stream failed because of an error inside the service.", cause: err}
	case none.Timeout() && !none.Exited:
		return &StreamError{Code: ModelInvocationTimeExceeded, Message: timedOut(l.name), cause: err}
	}
	return &StreamError{Code: StreamBroken, Message: "The stream of container " + l.name + " broke: " + none.Reason() + ".", cause: err}
}
