package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fleet"
	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

// invoker is one connection to each container of an instance as the engine sees
// them: what one answers is what the next is sent (CC-70). It implements
// transform.Invoker.
type invoker struct {
	in    *fleet.Instance
	conns []*instance.Conn
	req   instance.Request // to the first, with the job's ContentType
	// accept is what the last container is asked for; those before it choose (CC-74).
	accept string
	spare  [2][]byte // answers on their way to the next container
}

// newInvoker opens the connections with the job's content types (CC-50, CC-51).
func (x *execution) newInvoker(in *fleet.Instance) *invoker {
	v := &invoker{in: in}
	for _, c := range in.Containers() {
		v.conns = append(v.conns, c.NewConn())
	}
	if t := x.job.Spec.Input.ContentType; t != nil {
		v.req.ContentType = *t
	}
	if t := x.job.Spec.Output.Accept; t != nil {
		v.accept = *t
	}
	return v
}

func (v *invoker) close() {
	for _, c := range v.conns {
		c.Close()
	}
}

// Invoke implements transform.Invoker.
func (v *invoker) Invoke(ctx context.Context, payload transform.Payload, dst []byte) (transform.Answer, error) {
	req, retries := v.req, 0
	req.Body, req.Sent = payload.Body, payload.Sent
	last := len(v.conns) - 1
	for i, conn := range v.conns[:last] {
		r, err := conn.Invoke(ctx, &req, v.spare[i%2][:0])
		if err != nil {
			return failedAnswer(dst, retries, v.requestError(ctx, i, err))
		}
		v.spare[i%2] = r.Body
		retries += r.Attempts - 1
		if err := v.passable(i, len(r.Body)); err != nil {
			return failedAnswer(dst, retries, err)
		}
		req = instance.Request{ContentType: r.ContentType, Body: r.Body}
	}
	req.Accept = v.accept
	r, err := v.conns[last].Invoke(ctx, &req, dst)
	if err != nil {
		return failedAnswer(dst, retries, v.requestError(ctx, last, err))
	}
	return transform.Answer{Body: r.Body, ContentType: r.ContentType, Retries: retries + r.Attempts - 1}, nil
}

// failedAnswer counts the attempts of a request that was given up.
func failedAnswer(dst []byte, retries int, err error) (transform.Answer, error) {
	var failed *transform.RequestError
	if errors.As(err, &failed) {
		retries += max(0, failed.Attempts-1)
	}
	return transform.Answer{Body: dst, Retries: retries}, err
}

// maxBetween bounds a body on its way from one container to the next (CC-72).
const maxBetween = 5 << 20

// passable refuses a body that is too large for the next container.
func (v *invoker) passable(i, size int) error {
	if size <= maxBetween {
		return nil
	}
	return &transform.RequestError{Attempts: 1, Err: &tooLargeError{from: v.in.Name(i), to: v.in.Name(i + 1), size: size}}
}

// tooLargeError is a body that may not pass from one container to the next.
type tooLargeError struct {
	from, to string
	size     int
}

// Error is the real service's sentence (CC-72).
func (e *tooLargeError) Error() string {
	return fmt.Sprintf("Received response from %s with status code 200. However, the request payload from %s to %s is %d bytes, which has exceeded the maximum limit of 5 MB.",
		e.from, e.from, e.to, e.size)
}

// InvokeStream implements transform.Invoker: through a pipeline the bytes stream
// as well, from each container to the next.
func (v *invoker) InvokeStream(ctx context.Context, body io.Reader, begin func(contentType string) (io.Writer, error)) error {
	return v.stream(ctx, 0, v.req.ContentType, body, begin)
}

// stream streams a body through the containers from i on.
func (v *invoker) stream(ctx context.Context, i int, contentType string, body io.Reader, begin func(string) (io.Writer, error)) error {
	req := &instance.StreamRequest{ContentType: contentType, Body: body}
	if i == len(v.conns)-1 {
		req.Accept = v.accept
		_, err := v.conns[i].Stream(ctx, req, begin)
		return v.requestError(ctx, i, err)
	}
	var pipe *io.PipeWriter
	rest := make(chan error, 1)
	_, err := v.conns[i].Stream(ctx, req, func(contentType string) (io.Writer, error) {
		var from *io.PipeReader
		from, pipe = io.Pipe()
		go func() {
			err := v.stream(ctx, i+1, contentType, from, begin)
			from.CloseWithError(errors.Join(err, io.ErrClosedPipe))
			rest <- err
		}()
		return &between{w: pipe, v: v, i: i}, nil
	})
	if pipe == nil {
		return v.requestError(ctx, i, err)
	}
	pipe.CloseWithError(err) // nil is the end of the body
	next := <-rest
	var here *transform.RequestError
	if err != nil && (next == nil || !errors.As(next, &here)) {
		return v.requestError(ctx, i, err)
	}
	return next
}

// between counts what goes from container i to the next.
type between struct {
	w    io.Writer
	v    *invoker
	i    int
	size int
}

func (b *between) Write(p []byte) (int, error) {
	b.size += len(p)
	if err := b.v.passable(b.i, b.size); err != nil {
		return 0, err
	}
	return b.w.Write(p)
}

// requestError gives the engine's error for container i's.
func (v *invoker) requestError(ctx context.Context, i int, err error) error {
	err = requestError(ctx, err)
	var failed *transform.RequestError
	if len(v.conns) > 1 && errors.As(err, &failed) {
		failed.Container = v.in.Name(i)
	}
	return err
}

// requestError gives the engine's error for an instance's.
func requestError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	var already *transform.RequestError
	if errors.As(err, &already) {
		return already
	}
	var status *instance.StatusError
	if errors.As(err, &status) {
		return &transform.RequestError{Status: status.Status, Body: status.Body, Attempts: status.Attempts, Err: err}
	}
	var none *instance.NoAnswerError
	if errors.As(err, &none) {
		if none.Exited && none.Exit.Lost {
			err = errors.Join(transform.ErrInstanceLost, err)
		}
		return &transform.RequestError{Attempts: none.Attempts, Err: err}
	}
	return &transform.RequestError{Attempts: 1, Err: err}
}

// startFailure is the failure of a job whose instance never served.
func startFailure(err error) *transform.Failure {
	var several *fleet.NotReadyError
	if errors.As(err, &several) { // CC-73
		return &transform.Failure{Class: transform.ClientError, Text: several.Error(), Err: err}
	}
	var ready *instance.ReadyError
	if errors.As(err, &ready) {
		return &transform.Failure{Class: transform.AlgorithmError, Text: ready.Error(), Whole: ready.FailureReason(), Err: err}
	}
	return transform.AsFailure(err)
}

// runFailure is the failure of a job whose instance ended too early, or whose run
// failed for another reason.
func runFailure(in *fleet.Instance, err error) *transform.Failure {
	if !errors.Is(err, transform.ErrInstanceGone) {
		return transform.AsFailure(err)
	}
	name, exit, tail := in.Ended()
	which := "the model container"
	if len(in.Containers()) > 1 {
		which += " " + name
	}
	return &transform.Failure{Class: transform.AlgorithmError, Text: fmt.Sprintf("%s %s while the job ran.%s", which, exit, lastLines(tail)), Err: err}
}

// lost reports a failure that is the runtime's and not the container's.
func lost(in *fleet.Instance, err error) bool {
	var ready *instance.ReadyError
	if errors.As(err, &ready) && ready.Exited && ready.Exit.Lost {
		return true
	}
	if in == nil || !errors.Is(err, transform.ErrInstanceGone) && !errors.Is(err, transform.ErrInstanceLost) {
		return false
	}
	_, exit, _ := in.Ended()
	return exit.Lost
}

// lastLines quotes what a container printed last.
func lastLines(tail string) string {
	if tail == "" {
		return " It printed nothing."
	}
	return " It last printed: " + strings.ReplaceAll(strings.TrimSpace(tail), "\n", " | ")
}
