package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/router"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// runtimeCall is one operation of SageMaker Runtime, which is told by its path.
type runtimeCall struct {
	suffix  string
	name    string
	members []member
	limit   int64 // of the body in bytes, 0 for the endpoint's
	serve   func(s *Server, w http.ResponseWriter, r *http.Request, q *runtimeRequest)
}

// runtimeCalls is the table of the operations (RT-1, RT-20, RT-30).
var runtimeCalls = []runtimeCall{
	{"invocations", "InvokeEndpoint", invokeMembers, 0, (*Server).invokeEndpoint},
	{"invocations-response-stream", "InvokeEndpointWithResponseStream", streamMembers, 0, (*Server).invokeEndpointStream},
	{"async-invocations", "InvokeEndpointAsync", asyncMembers, 128_000, (*Server).invokeEndpointAsync},
}

// runtimeRequest is a request of the runtime API that has been authenticated and
// whose members have been validated.
type runtimeRequest struct {
	region, endpoint string
	members          members
	body             []byte
	arrived          time.Time
}

// runtimePath finds the operation and the endpoint's name in a path
// /endpoints/NAME/OPERATION; nil where it is none.
func runtimePath(r *http.Request) (*runtimeCall, string) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/endpoints/")
	if !ok || r.Method != http.MethodPost {
		return nil, ""
	}
	name, suffix, _ := strings.Cut(rest, "/")
	for i := range runtimeCalls {
		if runtimeCalls[i].suffix == suffix {
			return &runtimeCalls[i], name
		}
	}
	return nil, ""
}

// isRuntime reports whether a request is for the runtime API: by its path, and
// signed for SageMaker or not at all.
func isRuntime(r *http.Request, scope sigv4.Scope) bool {
	if scope.Service != "" && scope.Service != wire.SageMaker.Signing || r.Header.Get("X-Amz-Target") != "" {
		return false
	}
	call, _ := runtimePath(r)
	return call != nil
}

// serveRuntime serves an operation of the runtime API.
func (s *Server) serveRuntime(w http.ResponseWriter, r *http.Request) {
	call, name := runtimePath(r)
	c := callOf(r.Context())
	c.names(wire.SageMaker.Signing, call.name, false)
	if s.Router == nil {
		s.failRuntime(w, r, wire.Errorf(wire.UnknownOperationException, "Invocations of endpoints are not supported by this version of Sagebrush."))
		return
	}
	region := c.region
	limit := router.DefaultBody
	if e := s.Router.Find(region, name); e != nil {
		limit = e.Limits.Bounded().Body
	}
	if call.limit > 0 {
		limit = call.limit
	}
	body, release, err := s.bodies.read(w, r, limit)
	defer release()
	if err != nil {
		s.failRuntime(w, r, err)
		return
	}
	arrived := time.Now()
	if err := s.authenticateRuntime(r, body); err != nil {
		s.failRuntime(w, r, err)
		return
	}
	q := &runtimeRequest{region: region, endpoint: name, members: members{r.Header, call.members}, body: body, arrived: arrived}
	err = q.validate()
	if err == nil {
		k := resource.Key{Region: region, Kind: resource.KindEndpoint, Name: name}
		err = s.authorizeAll(r.Context(), wire.SageMaker.Signing+":"+call.name, []need{{resource: k.ARN(s.Account), tagged: &k}})
	}
	if err != nil {
		s.failRuntime(w, r, err)
		return
	}
	call.serve(s, w, r, q)
}

// authenticateRuntime is authenticate for a client that may have left its body
// unsigned.
func (s *Server) authenticateRuntime(r *http.Request, body []byte) error {
	_, err := s.prove(r, sigv4.JSONRules(), func(*sigv4.Signature) (string, error) {
		if r.Header.Get("X-Amz-Content-Sha256") == sigv4.UnsignedPayload {
			return sigv4.UnsignedPayload, nil
		}
		return sigv4.BodyHash(body), nil
	})
	return err
}

// ask gives what all operations say about where the request goes.
func (q *runtimeRequest) ask(op router.Operation) router.Ask {
	return router.Ask{
		Region: q.region, Endpoint: q.endpoint, Operation: op,
		Variant: q.members.get("TargetVariant"), Model: q.members.get("TargetModel"),
		Container: q.members.get("TargetContainerHostname"), Session: q.members.get("SessionId"),
	}
}

// request makes the router's request.
func (q *runtimeRequest) request(op router.Operation) *router.Request {
	return &router.Request{
		Ask: q.ask(op), Body: q.body, Arrived: q.arrived,
		ContentType: q.members.get("ContentType"), Accept: q.members.get("Accept"),
		CustomAttributes: q.members.get("CustomAttributes"), InferenceID: q.members.get("InferenceId"),
		InferenceComponent: q.members.get("InferenceComponentName"), Explanations: q.members.get("EnableExplanations"),
	}
}

// answerTime bounds the sending of an answer to a client that reads slowly.
const answerTime = 2 * time.Minute

// invokeEndpoint serves InvokeEndpoint (RT-1 to RT-10).
func (s *Server) invokeEndpoint(w http.ResponseWriter, r *http.Request, q *runtimeRequest) {
	answer, err := s.Router.Invoke(r.Context(), q.request(router.Sync))
	if err != nil {
		s.failRuntime(w, r, err)
		return
	}
	h := w.Header()
	set(h, "Content-Type", answer.ContentType)
	if answer.ContentType == "" {
		h["Content-Type"] = nil // nothing is guessed (CC-51)
	}
	set(h, "X-Amzn-Invoked-Production-Variant", answer.Variant)
	set(h, "X-Amzn-Sagemaker-Custom-Attributes", answer.CustomAttributes)
	set(h, "X-Amzn-Sagemaker-New-Session-Id", answer.NewSession)
	set(h, "X-Amzn-Sagemaker-Closed-Session-Id", answer.ClosedSession)
	h.Set("Content-Length", strconv.Itoa(len(answer.Body)))
	// A deadline outlives the request on its connection, so it is taken back.
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(answerTime))
	w.Write(answer.Body)
	_ = control.Flush()
	_ = control.SetWriteDeadline(time.Time{})
}

func set(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// failRuntime answers with an error as the runtime API does (RT-4).
func (s *Server) failRuntime(w http.ResponseWriter, r *http.Request, err error) {
	c := callOf(r.Context())
	var large *tooLarge
	if errors.As(err, &large) { // it has no code of its own (RT-8)
		c.failed(http.StatusRequestEntityTooLarge, "")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		w.Write((&router.Error{Message: large.Error()}).Body())
		return
	}
	e := runtimeError(err)
	c.failed(e.Status, string(e.Code))
	switch {
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return // nobody is there to read it
	case e.Code == router.InternalFailure:
		s.Log.Error("invocation failed", "path", r.URL.Path, "error", err, "cause", errors.Unwrap(e))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", string(e.Code))
	w.WriteHeader(e.Status)
	w.Write(e.Body())
}

// runtimeError makes the runtime API's error of any.
func runtimeError(err error) *router.Error {
	var own *router.Error
	if errors.As(err, &own) {
		return own
	}
	e := wire.FromFault(refused(err))
	switch e.Code {
	case wire.AccessDeniedException:
		e.Status = http.StatusForbidden
	case wire.ValidationException:
		return router.Errorf(router.ValidationError, "%s", e.Message)
	case wire.InternalFailure:
		return router.Errorf(router.InternalFailure, "%s", e.Message)
	}
	return &router.Error{Code: router.Code(e.Code), Status: e.Status, Message: e.Message}
}
