package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

// invoker is one connection to an instance as the engine sees it. It implements
// transform.Invoker.
type invoker struct {
	conn *instance.Conn
	req  instance.Request
}

// newInvoker opens a connection with the job's content types (CC-50, CC-51).
func (x *execution) newInvoker(in *instance.Instance) *invoker {
	v := &invoker{conn: in.NewConn()}
	if t := x.job.Spec.Input.ContentType; t != nil {
		v.req.ContentType = *t
	}
	if t := x.job.Spec.Output.Accept; t != nil {
		v.req.Accept = *t
	}
	return v
}

func (v *invoker) close() { v.conn.Close() }

// Invoke implements transform.Invoker.
func (v *invoker) Invoke(ctx context.Context, payload transform.Payload, dst []byte) (transform.Answer, error) {
	v.req.Body, v.req.Sent = payload.Body, payload.Sent
	r, err := v.conn.Invoke(ctx, &v.req, dst)
	if err != nil {
		a := transform.Answer{Body: dst}
		err = requestError(ctx, err)
		var failed *transform.RequestError
		if errors.As(err, &failed) {
			a.Retries = max(0, failed.Attempts-1)
		}
		return a, err
	}
	return transform.Answer{Body: r.Body, ContentType: r.ContentType, Retries: r.Attempts - 1}, nil
}

// InvokeStream implements transform.Invoker.
func (v *invoker) InvokeStream(ctx context.Context, body io.Reader, begin func(contentType string) (io.Writer, error)) error {
	_, err := v.conn.Stream(ctx, &instance.StreamRequest{ContentType: v.req.ContentType, Accept: v.req.Accept, Body: body}, begin)
	return requestError(ctx, err)
}

// requestError gives the engine's error for an instance's.
func requestError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	var status *instance.StatusError
	if errors.As(err, &status) {
		return &transform.RequestError{Status: status.Status, Body: status.Body, Attempts: status.Attempts, Err: err}
	}
	var none *instance.NoAnswerError
	if errors.As(err, &none) {
		return &transform.RequestError{Attempts: none.Attempts, Err: err}
	}
	return &transform.RequestError{Attempts: 1, Err: err}
}

// startFailure is the failure of a job whose instance never served.
func startFailure(err error) *transform.Failure {
	var ready *instance.ReadyError
	if errors.As(err, &ready) {
		return &transform.Failure{Class: transform.AlgorithmError, Text: ready.Error(), Whole: ready.FailureReason(), Err: err}
	}
	return transform.AsFailure(err)
}

// runFailure is the failure of a job whose instance ended too early, or whose run
// failed for another reason.
func runFailure(in *instance.Instance, err error) *transform.Failure {
	if !errors.Is(err, transform.ErrInstanceGone) {
		return transform.AsFailure(err)
	}
	return &transform.Failure{Class: transform.AlgorithmError, Text: fmt.Sprintf("the model container %s while the job ran.%s", in.Exit(), lastLines(in.Tail())), Err: err}
}

// lastLines quotes what a container printed last.
func lastLines(tail string) string {
	if tail == "" {
		return " It printed nothing."
	}
	return " It last printed: " + strings.ReplaceAll(strings.TrimSpace(tail), "\n", " | ")
}
