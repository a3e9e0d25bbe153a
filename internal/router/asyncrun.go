package router

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// The bounds of one asynchronous request.
const (
	asyncMax = 1 << 30 // bytes of the payload and of the answer (RT-22)
	// asyncHeld is the largest payload that is held in memory, so that it can be
	// passed through a pipeline. A larger one streams to a single container.
	asyncHeld = 64 << 20
	// asyncTries bounds how often it is begun again after the store failed.
	asyncTries = 5
)

// asyncRun carries out one asynchronous invocation. Its output is visible when all of
// it is there; when the server ends before the queue knows, it is carried out again,
// with the same name for its output.
type asyncRun struct {
	r     *Router
	a     *state.AsyncInvocation
	q     *asyncQueue
	avoid *Instance
	tries int
}

func (x *asyncRun) ask() *Ask {
	return &Ask{Region: x.a.Region, Endpoint: x.a.Endpoint, Operation: Async, avoid: x.avoid, queue: true}
}

// errTooLong is the end of an invocation that took too long (RT-20).
var errTooLong = errors.New("the invocation took longer than InvocationTimeoutSeconds")

// carry invokes and begins again where that may help, within the time that the
// invocation may take.
func (x *asyncRun) carry(life context.Context, t Ticket) {
	x.q.inBacklog.observe(x.r.Now().Sub(x.a.Created))
	ctx, cancel := context.WithTimeoutCause(life, x.a.Timeout, errTooLong)
	defer cancel()
	began := time.Now()
	ctx, err := x.r.as(ctx, t.Variant.Model.ExecutionRoleArn)
	if err != nil {
		t.Release()
		x.end(life, err)
		return
	}
	for {
		e := &exchange{r: x.r, t: &t, q: x.request(), began: time.Now()}
		x.tries++
		err := x.invoke(ctx, e)
		if life.Err() != nil { // the server stops: the next one begins again
			t.Release()
			return
		}
		again := err != nil && ctx.Err() == nil && x.tries < asyncTries &&
			(fault.Is(err, fault.Unavailable) || x.tries < maxInstances && e.elsewhere(ctx, err))
		if !again {
			if err != nil && ctx.Err() != nil {
				err = x.r.modelError(t.Endpoint, e.at, 0, timedOut(e.at))
			}
			t.Done(e.outcome(life, err))
			x.q.processing.observe(time.Since(began))
			x.end(life, err)
			return
		}
		x.avoid = t.Instance
		t.Release()
		pauseFor(ctx, time.Second<<min(x.tries-1, 4), fault.Is(err, fault.Unavailable))
		if t, err = x.r.Admit(ctx, x.ask()); err != nil {
			if life.Err() == nil {
				x.end(life, err)
			}
			return
		}
	}
}

// pauseFor waits, if at all.
func pauseFor(ctx context.Context, d time.Duration, wait bool) {
	if !wait {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (x *asyncRun) request() *Request {
	return &Request{
		Ask: *x.ask(), ContentType: x.a.ContentType, Accept: x.a.Accept, CustomAttributes: x.a.CustomAttributes,
		InferenceID: x.a.InferenceID, Body: x.a.Payload,
	}
}

// end removes the invocation from the queue, after its failure was written.
func (x *asyncRun) end(ctx context.Context, err error) {
	if err != nil {
		x.fail(ctx, err)
		return
	}
	x.q.finished.Add(1)
	x.remove(ctx)
}

// fail writes what went wrong to the failure path, as the error that InvokeEndpoint
// would have answered, and removes the invocation.
func (x *asyncRun) fail(ctx context.Context, err error) {
	x.q.failed.Add(1)
	x.r.Log.Warn("asynchronous invocation failed", "endpoint", x.a.Endpoint, "inferenceId", x.a.InferenceID, "error", err)
	var own *Error
	if !errors.As(err, &own) {
		own = Errorf(InternalFailure, "The request failed because of an error inside the service.")
		if text := fault.TextOf(err); text != "" {
			own = Errorf(ValidationError, "%s", text)
		}
	}
	if x.a.Failure != "" {
		if err := x.write(ctx, x.a.Failure, own.Body()); err != nil {
			x.q.outputFailed.Add(1)
			x.r.Log.Error("writing the failure of an asynchronous invocation failed", "endpoint", x.a.Endpoint, "inferenceId", x.a.InferenceID, "error", err)
		}
	}
	x.remove(ctx)
}

func (x *asyncRun) write(ctx context.Context, uri string, body []byte) error {
	ref, err := objstore.ParseURI(uri)
	if err != nil {
		return err
	}
	if e := x.r.Find(x.a.Region, x.a.Endpoint); e != nil && len(e.Variants) > 0 {
		if ctx, err = x.r.as(ctx, e.Variants[0].Model.ExecutionRoleArn); err != nil {
			return err
		}
	}
	w, err := x.r.Objects.Create(ctx, ref, objstore.Meta{ContentType: "application/json", SSEKMSKeyID: x.a.KmsKeyID})
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err = w.Write(body); err == nil {
		_, err = w.Commit()
	}
	return err
}

// remove takes the invocation out of the queue. One that cannot be removed is still a
// part of the backlog, and is carried out again by the next server.
func (x *asyncRun) remove(ctx context.Context) {
	if err := x.r.Queue.Remove(ctx, x.a.Seq); err != nil {
		if ctx.Err() == nil {
			x.r.Log.Error("an asynchronous invocation that has ended could not be removed from the queue", "endpoint", x.a.Endpoint, "inferenceId", x.a.InferenceID, "error", err)
		}
		return
	}
	x.q.forget(int64(len(x.a.Payload)))
}

// invoke passes the payload through the containers and writes the last one's answer.
func (x *asyncRun) invoke(ctx context.Context, e *exchange) error {
	legs, err := e.legs()
	if err != nil {
		return err
	}
	in, err := x.open(ctx)
	if err != nil {
		x.q.inputFailures.Add(1)
		return err
	}
	defer in.Close()
	h := hop{contentType: x.a.ContentType, body: x.a.Payload}
	last := len(legs) - 1
	if in.reader != nil && last > 0 {
		if h.body, err = in.whole(asyncHeld); err != nil {
			x.q.inputFailures.Add(1)
			return err
		}
	}
	deadline, _ := ctx.Deadline()
	for n, l := range legs[:last] {
		if h, err = e.pass(ctx, legs, n, l, h, deadline); err != nil {
			return err
		}
	}
	h.accept = x.a.Accept
	return x.last(ctx, e, legs[last], h, in)
}

// last streams the answer of the last container to the output.
func (x *asyncRun) last(ctx context.Context, e *exchange, l leg, h hop, in *input) error {
	ref, err := objstore.ParseURI(x.a.Output)
	if err != nil {
		return err
	}
	var out objstore.Writer
	defer func() {
		if out != nil {
			_ = out.Abort()
		}
	}()
	begin := func(head instance.Head) (_ io.Writer, err error) {
		if out, err = x.r.Objects.Create(ctx, ref, objstore.Meta{ContentType: headerValue(head.ContentType), SSEKMSKeyID: x.a.KmsKeyID}); err != nil {
			return nil, err
		}
		return &limited{w: out, left: asyncMax}, nil
	}
	container := e.t.Instance.Containers()[l.i]
	conn := container.Borrow()
	defer container.Return(conn)
	call := instance.Call{Fields: e.fields(l, h), Body: h.body, Timeout: x.a.Timeout}
	began := time.Now()
	var head instance.Head
	var body []byte
	if in.reader != nil && h.body == nil {
		head, err = conn.Upload(ctx, &call, in.reader, in.size, begin)
		var status *instance.StatusError
		if errors.As(err, &status) {
			head, body, err = instance.Head{Status: status.Status}, status.Body, nil
		}
	} else {
		head, body, err = conn.CallStream(ctx, &call, maxMessage*4, begin)
	}
	e.took(l, time.Since(began))
	if err != nil && instance.Broke(err) {
		x.blame(err)
		return unwrapBroken(err)
	}
	if err := e.judge(ctx, l, head, body, err); err != nil {
		return err
	}
	if _, err := out.Commit(); err != nil {
		x.q.outputFailed.Add(1)
		return err
	}
	return nil
}

// blame counts a failure of the store.
func (x *asyncRun) blame(err error) {
	switch {
	case errors.Is(err, errAnswerTooLarge):
	case instance.BrokeReading(err):
		x.q.inputFailures.Add(1)
	default:
		x.q.outputFailed.Add(1)
	}
}

// unwrapBroken gives the error of the store without saying whose reader or writer it
// was.
func unwrapBroken(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// errAnswerTooLarge is an answer over asyncMax.
var errAnswerTooLarge = fault.New(fault.Limit, "The container's answer is larger than the limit of %d bytes.", asyncMax)

// limited bounds what goes into a writer.
type limited struct {
	w    io.Writer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, errAnswerTooLarge
	}
	return l.w.Write(p)
}

// input is the payload of an invocation; reader is nil where it came with the request.
type input struct {
	reader io.ReadCloser
	size   int64
}

func (in *input) Close() {
	if in.reader != nil {
		in.reader.Close()
	}
}

// open finds the payload.
func (x *asyncRun) open(ctx context.Context) (*input, error) {
	if x.a.InputLocation == "" {
		return &input{}, nil
	}
	ref, err := objstore.ParseURI(x.a.InputLocation)
	if err != nil {
		return nil, err
	}
	info, err := x.r.Objects.Stat(ctx, ref)
	if err != nil {
		return nil, err
	}
	if info.Size > asyncMax {
		return nil, fault.New(fault.Limit, "The payload at %s has %d bytes, and asynchronous requests may have %d.", x.a.InputLocation, info.Size, asyncMax)
	}
	return &input{objstore.NewReader(ctx, x.r.Objects, info, objstore.ReaderOptions{}), info.Size}, nil
}

// whole reads the payload into memory.
func (in *input) whole(limit int64) ([]byte, error) {
	if in.size > limit {
		return nil, fault.New(fault.Limit, "The payload has %d bytes, and what passes through several containers may have %d.", in.size, limit)
	}
	body := make([]byte, in.size)
	_, err := io.ReadFull(in.reader, body)
	return body, err
}
