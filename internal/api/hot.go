package api

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/front"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/router"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// Hot serves InvokeEndpoint for front where a request needs nothing but one
// container at once. Whatever else a request may be, it leaves to the Server, which
// says what is wrong with it: Hot itself refuses nothing.
type Hot struct {
	s     *Server
	calls sync.Pool // of *hotCall
}

// Hot gives the Server's hot path. The Server must have a Router.
func (s *Server) Hot() *Hot {
	return &Hot{s: s, calls: sync.Pool{New: func() any { return new(hotCall) }}}
}

// hotCall is a request under way.
type hotCall struct {
	ticket router.Ticket
	ask    router.Ask
	tries  int
}

const runtimePrefix = "/endpoints/"

// endpointOf gives the name in a path /endpoints/NAME/invocations.
func endpointOf(path []byte) (name []byte, ok bool) {
	rest, ok := bytes.CutPrefix(path, []byte(runtimePrefix))
	if !ok {
		return nil, false
	}
	return bytes.CutSuffix(rest, []byte("/invocations"))
}

// passed are the API's headers that a container gets (CC-25, CC-52), by their names
// in lower case and as they are sent. A request with another one of the API's goes
// to the Server.
var passed = [...][2]string{
	{"content-type", "Content-Type"},
	{"x-amzn-sagemaker-custom-attributes", "X-Amzn-SageMaker-Custom-Attributes"},
	{"x-amzn-sagemaker-inference-id", "X-Amzn-SageMaker-Inference-Id"},
}

// isSimple reports whether a request asks for nothing but an answer.
func isSimple(h *front.Head) bool {
	if len(h.Query) > 0 {
		return false
	}
	for i := range h.Fields {
		name := h.Fields[i].Name
		switch {
		case sameFold(name, passed[1][0]), sameFold(name, passed[2][0]):
		case prefixFold(name, "x-amzn-"), sameFold(name, "x-amz-target"), sameFold(name, "origin"), sameFold(name, "sec-fetch-site"):
			return false
		}
	}
	return true
}

func sameFold(name []byte, lower string) bool {
	return len(name) == len(lower) && prefixFold(name, lower)
}

func prefixFold(name []byte, lower string) bool {
	if len(name) < len(lower) {
		return false
	}
	for i := range len(lower) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// survive leaves a request that made us panic to the Server, as net/http would do: a
// loop must not end the process for one request.
func (hot *Hot) survive(leave func()) {
	if why := recover(); why != nil {
		hot.s.Log.Error("an invocation panicked in the hot path", "panic", why, "stack", string(debug.Stack()))
		leave()
	}
}

// Takes implements front.Handler.
func (hot *Hot) Takes(h *front.Head) (in front.Intake) {
	defer hot.survive(func() { in = front.Intake{} })
	name, ok := endpointOf(h.Path)
	if !ok || !isSimple(h) {
		return front.Intake{}
	}
	if len(name) == 0 || h.ContentLength > hot.s.InvokeBytes {
		return front.Intake{} // the Server says so
	}
	// A body that follows later could not go to the Server any more. Which endpoint it
	// is for, and whether it is plain, Route looks up: once.
	return front.Intake{Taken: true, Whole: true, MaxBody: hot.s.InvokeBytes}
}

// Route implements front.Handler.
func (hot *Hot) Route(r *front.Request, t *front.Target, _ *front.Answer) (verdict front.Verdict) {
	defer hot.survive(func() { verdict = front.Elsewhere })
	name, _ := endpointOf(r.Path)
	sig, err := sigv4.ParseMessage(&r.Head)
	ask := router.Ask{Region: hot.s.region(sig.Scope), Endpoint: string(name), Operation: router.Sync}
	if !hot.admits(r, &ask, &sig, err) || !validFields(&r.Head) {
		return front.Elsewhere
	}
	c := hot.calls.Get().(*hotCall)
	c.tries, c.ask = 1, ask
	ticket, waits, err := hot.s.Router.Try(&c.ask)
	if err != nil || waits {
		hot.calls.Put(c)
		return front.Elsewhere
	}
	addr, ok := ticket.Instance.Address()
	if !ok || !ticket.Endpoint.Plain() {
		ticket.Release()
		hot.calls.Put(c)
		return front.Elsewhere
	}
	c.ticket = ticket
	limits := ticket.Endpoint.Limits.Bounded()
	t.Addr, t.Ref, t.Limit, t.MaxAnswer = addr, c, limits.Timeout, limits.Body
	forwardFields(&r.Head, t)
	t.Extra.AddString("x-Amzn-Invoked-Production-Variant", ticket.Variant.Name)
	addRequestID(t)
	return front.Forward
}

// addRequestID gives the answer an id of the form of a UUID. It is no secret, so that
// it may come from the fast source of chance.
func addRequestID(t *front.Target) {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	const digits = "0123456789abcdef"
	var text [36]byte
	at := 0
	for i, b := range raw {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text[at] = '-'
			at++
		}
		text[at], text[at+1] = digits[b>>4], digits[b&15]
		at += 2
	}
	t.Extra.Add("x-amzn-RequestId", text[:])
}

// admits reports whether a request may be served without looking at more than its
// signature and its endpoint: the Server decides otherwise.
func (hot *Hot) admits(r *front.Request, ask *router.Ask, sig *sigv4.Signature, err error) bool {
	s := hot.s
	if err != nil {
		return s.Open && errors.Is(err, sigv4.ErrUnsigned) && s.limits.take(nil) == nil
	}
	if sig.Scope.Service != wire.SageMaker.Signing {
		return false
	}
	found, err := s.credential(sig.AccessKeyID, sig.SessionToken)
	who := found.Principal
	if err == nil && who != nil {
		err = s.verifier.VerifyMessage(&r.Head, sig, string(found.Secret), r.Body)
		if err == nil && !who.Always(invokeAction, s.endpointARN(ask)) {
			return false
		}
	}
	return err == nil && s.limits.take(who) == nil
}

const invokeAction = "sagemaker:InvokeEndpoint"

// endpointARN is the resource of an invocation.
func (s *Server) endpointARN(ask *router.Ask) string {
	return resource.Key{Region: ask.Region, Kind: resource.KindEndpoint, Name: ask.Endpoint}.ARN(s.Account)
}

// validFields reports whether the headers are as the API's model surely has them
// (RT-2): in doubt the Server looks.
func validFields(h *front.Head) bool {
	for i := range h.Fields {
		f := &h.Fields[i]
		most := 0
		switch {
		case sameFold(f.Name, "accept"), sameFold(f.Name, passed[0][0]), sameFold(f.Name, passed[1][0]):
			most = 1024
		case sameFold(f.Name, passed[2][0]):
			most = 64
		default:
			continue
		}
		if len(f.Value) == 0 || len(f.Value) > most || !isPrintable(f.Value) || f.Value[0] == ' ' {
			return false
		}
	}
	return true
}

func isPrintable(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// forwardFields gives the container what it gets of the request's headers.
func forwardFields(h *front.Head, t *front.Target) {
	if accept := h.Get("accept"); len(accept) > 0 {
		t.Fields.Add("Accept", accept)
	} else {
		t.Fields.AddString("Accept", "*/*") // CC-51
	}
	for _, name := range passed {
		if v := h.Get(name[0]); len(v) > 0 {
			t.Fields.Add(name[1], v)
		}
	}
}

// maxTries bounds the instances that one request is sent to, as the Router does.
const maxTries = 3

// Done implements front.Handler.
func (hot *Hot) Done(t *front.Target, o *front.Outcome, a *front.Answer) (again bool) {
	c := t.Ref.(*hotCall)
	if o.Again && c.tries < maxTries {
		if other, ok := hot.s.Router.Elsewhere(&c.ticket, &c.ask); ok {
			c.tries++
			if addr, ok := other.Instance.Address(); ok {
				c.ticket, t.Addr = other, addr
				return true
			}
			other.Release()
		}
	}
	if a != nil {
		hot.explain(&c.ticket, o, a)
	}
	c.ticket.Done(router.Outcome{
		Status: o.Status, Model: o.Total, Total: o.Total,
		Cancelled: o.Failure == front.ClientGone, Platform: o.Failure == front.Stopped || o.Failure == front.Saturated,
	})
	*c = hotCall{}
	hot.calls.Put(c)
	return false
}

// explain makes the answer of a request that the container did not answer with 2xx.
func (hot *Hot) explain(t *router.Ticket, o *front.Outcome, a *front.Answer) {
	var e *router.Error
	switch o.Failure {
	case front.None:
		e = hot.s.Router.Answered(t, o.Status, o.Body)
	case front.TimedOut:
		e = hot.s.Router.TimedOut(t)
	case front.Refused:
		e = hot.s.Router.Unanswered(t, "connection refused")
	case front.Reset:
		e = hot.s.Router.Unanswered(t, "the container closed the connection without an answer")
	case front.Malformed:
		e = hot.s.Router.Unanswered(t, "the container's answer is not HTTP")
	case front.TooLarge:
		e = hot.s.Router.Unanswered(t, "the container's answer is too large")
	default:
		e = router.Errorf(router.ServiceUnavailable, "The request could not be served: %s.", o.Failure)
	}
	a.Status = e.Status
	a.Fields.AddString("Content-Type", "application/json")
	a.Fields.AddString("x-amzn-ErrorType", string(e.Code))
	a.Body = append(a.Body[:0], e.Body()...)
}
