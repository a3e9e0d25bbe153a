package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Request is one request to an endpoint. Its body must not be changed before the
// router is closed: shadows and captured data refer to it.
type Request struct {
	Ask
	ContentType, Accept, CustomAttributes, InferenceID string
	// InferenceComponent and Explanations are what Sagebrush does not have, and
	// refuses by name.
	InferenceComponent, Explanations string

	Body []byte
	// Arrived is when the request was whole (OB-6).
	Arrived time.Time
}

// Answer is a container's answer to a request.
type Answer struct {
	// Variant is the one that answered (EP-35).
	Variant                       string
	ContentType, CustomAttributes string
	NewSession, ClosedSession     string
	Body                          []byte
}

// maxInstances bounds the instances that one request is sent to, one after the
// other, where they end. A request that kills whoever reads it must not go through a
// whole fleet.
const maxInstances = 3

// Invoke carries a request to a container and gives its answer (RT-1 to RT-10). A
// request whose instance has ended, or could not be reached, goes to another one.
// When ctx ends, the call to the container is cut. Errors are *Error or ctx's cause.
func (r *Router) Invoke(ctx context.Context, q *Request) (*Answer, error) {
	if err := q.refuse(); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		t, err := r.Admit(ctx, &q.Ask)
		if err != nil {
			return nil, err
		}
		x := exchange{r: r, t: &t, q: q, began: time.Now()}
		answer, err := x.run(ctx)
		if attempt < maxInstances && x.elsewhere(ctx, err) {
			t.Variant.rec.repeated.Add(1)
			q.avoid = t.Instance
			t.Release()
			continue
		}
		r.keep(&t, q, answer, t.Endpoint.sampled())
		t.Done(x.outcome(ctx, err))
		return answer, err
	}
}

// keep has a request captured and sends copies of it to the shadows, once it has been
// answered. answer is nil where it failed.
func (r *Router) keep(t *Ticket, q *Request, answer *Answer, sampled bool) {
	if sampled && answer != nil {
		r.captureAnswer(t, q, answer)
	}
	r.shadow(t.Endpoint, q, sampled)
}

// refuse refuses what Sagebrush does not have.
func (q *Request) refuse() error {
	switch {
	case q.InferenceComponent != "":
		return Errorf(ValidationError, "InferenceComponentName is not supported by this version of Sagebrush: endpoints have no inference components.")
	case q.Explanations != "":
		return Errorf(ValidationError, "EnableExplanations is not supported by this version of Sagebrush: endpoints have no ExplainerConfig.")
	}
	return nil
}

// exchange is one attempt of a request at one instance.
type exchange struct {
	r     *Router
	t     *Ticket
	q     *Request
	began time.Time

	model  time.Duration // in the containers
	status int           // the container's, 0 for none
	at     string        // the container that was asked last
}

// leg is one container of those that a request passes through.
type leg struct {
	i    int
	name string
	of   resource.Container
}

// run passes the request through the containers, and gives the answer of the last.
func (x *exchange) run(ctx context.Context) (*Answer, error) {
	legs, err := x.legs()
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(x.t.Endpoint.Limits.Bounded().Timeout)
	h := hop{contentType: x.q.ContentType, body: x.q.Body}
	last := len(legs) - 1
	for n, l := range legs[:last] {
		if h, err = x.pass(ctx, legs, n, l, h, deadline); err != nil {
			return nil, err
		}
	}
	h.accept = x.q.Accept
	head, body, err := x.call(ctx, legs[last], h, deadline)
	if err != nil {
		return nil, err
	}
	return x.answer(head, body), nil
}

// pass sends a hop to a container that is not the last, and gives the next hop.
func (x *exchange) pass(ctx context.Context, legs []leg, n int, l leg, h hop, deadline time.Time) (hop, error) {
	head, body, err := x.call(ctx, l, h, deadline)
	if err == nil {
		err = x.between(l.name, legs[n+1].name, len(body))
	}
	return hop{contentType: head.ContentType, body: body}, err // CC-74
}

// answer makes the caller's answer (RT-3, CC-53).
func (x *exchange) answer(head instance.Head, body []byte) *Answer {
	a := &Answer{Variant: x.t.Variant.Name, Body: body, ContentType: headerValue(head.ContentType), CustomAttributes: headerValue(head.CustomAttributes)}
	a.NewSession, a.ClosedSession = x.r.noteSession(x.t, x.q, head.SessionID, head.ClosedSession)
	return a
}

// maxHeader bounds a header of the API; it holds ASCII (RT-2, CC-53).
const maxHeader = 1024

// headerValue is a container's header as the API can carry it, "" where it cannot.
func headerValue(s string) string {
	if len(s) > maxHeader {
		return ""
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c >= 0x7f {
			return ""
		}
	}
	return s
}

// legs gives the containers that the request passes through: all (CC-70), or the
// one that it names (CC-75).
func (x *exchange) legs() ([]leg, error) {
	m, e := x.t.Instance.Model(), x.t.Endpoint
	switch multi := m.MultiModel(); {
	case multi && x.q.Operation == Stream:
		return nil, Errorf(ValidationError, "Multi-model endpoints such as %s do not stream. Call InvokeEndpoint.", e.Name) // RT-32
	case multi && x.q.Model == "" && !m.Direct:
		return nil, Errorf(ValidationError, "Endpoint %s serves many models: name one in TargetModel.", e.Name) // EP-37
	case !multi && x.q.Model != "":
		return nil, Errorf(ValidationError, "Endpoint %s serves one model: TargetModel is for multi-model endpoints.", e.Name)
	case !m.Direct && x.q.Container != "":
		return nil, Errorf(ValidationError, "TargetContainerHostname is for endpoints whose model has InferenceExecutionConfig.Mode Direct, and that of endpoint %s does not.", e.Name)
	case m.Direct && x.q.Container == "":
		return nil, Errorf(ValidationError, "The model of endpoint %s has InferenceExecutionConfig.Mode Direct: name a container in TargetContainerHostname.", e.Name)
	}
	var legs []leg
	for i, c := range m.All() {
		if !m.Direct || c.Hostname == x.q.Container {
			legs = append(legs, leg{i, m.ContainerName(i), c})
		}
	}
	switch {
	case len(legs) == 0:
		return nil, Errorf(ValidationError, "The model of endpoint %s has no container with the hostname %s.", e.Name, clip(x.q.Container, 63))
	case m.Direct && legs[0].of.MultiModel != (x.q.Model != ""):
		return nil, Errorf(ValidationError, "TargetModel must be given for a multi-model container and for no other, and %s of endpoint %s is named.", legs[0].name, e.Name)
	}
	return legs, nil
}

// hop is what a container is sent.
type hop struct {
	contentType, accept string
	body                []byte
}

// fields are the headers that a container gets; all others of the client are
// stripped (CC-25, CC-52).
func (x *exchange) fields(l leg, h hop) []instance.Field {
	accept := h.accept
	if accept == "" {
		accept = "*/*" // CC-51
	}
	fields := []instance.Field{
		{Name: "Accept", Value: accept},
		{Name: "Content-Type", Value: h.contentType},
		{Name: "X-Amzn-SageMaker-Custom-Attributes", Value: x.q.CustomAttributes},
		{Name: "X-Amzn-SageMaker-Inference-Id", Value: x.q.InferenceID},
		{Name: "X-Amzn-SageMaker-Session-Id", Value: x.q.Session},
	}
	if l.of.MultiModel {
		fields = append(fields, instance.Field{Name: "X-Amzn-SageMaker-Target-Model", Value: x.q.Model})
	}
	return fields
}

// call sends a hop to a container and gives its answer of 2xx (CC-28).
func (x *exchange) call(ctx context.Context, l leg, h hop, deadline time.Time) (instance.Head, []byte, error) {
	call := instance.Call{Fields: x.fields(l, h), Body: h.body}
	container := x.t.Instance.Containers()[l.i]
	limit := x.t.Endpoint.Limits.Bounded().Body
	send := func() (head instance.Head, body []byte, err error) {
		call.Timeout = max(time.Until(deadline), time.Millisecond)
		conn := container.Borrow()
		defer container.Return(conn)
		began := time.Now()
		defer func() { x.took(l, time.Since(began)) }()
		head, body, err = conn.Call(ctx, &call, limit, nil)
		return head, body, err
	}
	var head instance.Head
	var body []byte
	var err error
	if l.of.MultiModel {
		head, body, err = x.callModel(ctx, &call, deadline, send)
	} else {
		head, body, err = send()
	}
	return head, body, x.judge(ctx, l, head, body, err)
}

// took adds up the time in a container.
func (x *exchange) took(l leg, d time.Duration) {
	x.at = l.name
	x.model += d
	if len(x.t.Instance.Containers()) > 1 {
		x.t.Variant.rec.container(l.name).observe(d)
	}
}

// judge makes the caller's error of what a container did; nil for an answer of 2xx.
func (x *exchange) judge(ctx context.Context, l leg, head instance.Head, body []byte, err error) error {
	var none *instance.NoAnswerError
	var own *Error
	x.status = 0
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &own):
		return own
	case errors.As(err, &none):
		if fault.Is(err, fault.Limit) {
			return x.r.modelError(x.t.Endpoint, l.name, 0, fault.TextOf(err))
		}
		return x.r.unanswered(x.t.Endpoint, l.name, none)
	case fault.Is(err, fault.Invalid):
		return Errorf(ValidationError, "%s", fault.TextOf(err))
	case err != nil:
		e := Errorf(InternalFailure, "The request failed because of an error inside the service. The server's log has the reason under the id of this request.")
		e.cause = err
		return e
	}
	x.status = head.Status
	if head.Status < 200 || head.Status > 299 {
		return x.r.modelError(x.t.Endpoint, l.name, head.Status, string(body))
	}
	return nil
}

// maxBetween bounds a body on its way from one container to the next (CC-72).
const maxBetween = 5 << 20

// between refuses a body that is too large for the next container.
func (x *exchange) between(from, to string, size int) error {
	if size <= maxBetween {
		return nil
	}
	x.status = 0
	return x.r.modelError(x.t.Endpoint, to, 0, fmt.Sprintf("Received response from %s with status code 200. However, the request payload from %s to %s is %d bytes, which has exceeded the maximum limit of 5 MB.", from, from, to, size))
}

// elsewhere reports whether the request may go to another instance: this one has
// ended, or nothing of the request reached it.
func (x *exchange) elsewhere(ctx context.Context, err error) bool {
	var none *instance.NoAnswerError
	return ctx.Err() == nil && errors.As(err, &none) && (none.Exited || none.Unsent) && (x.q.Session == "" || x.q.Session == NewSession)
}

// outcome is how the exchange ended.
func (x *exchange) outcome(ctx context.Context, err error) Outcome {
	o := Outcome{Status: x.status, Model: x.model, Total: time.Since(x.q.arrived(x.began))}
	var own *Error
	var broke *StreamError
	switch {
	case err == nil, errors.As(err, &own) && own.Code == ModelError, errors.As(err, &broke) && broke.Code != "":
	case own != nil:
		o.Platform, o.Status = true, own.Status
	default:
		o.Platform, o.Status = true, InternalFailure.Status()
	}
	o.Cancelled = err != nil && (ctx.Err() != nil || instance.Broke(err))
	return o
}

func (q *Request) arrived(otherwise time.Time) time.Time {
	if q.Arrived.IsZero() {
		return otherwise
	}
	return q.Arrived
}
