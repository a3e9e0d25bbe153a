// Package api is the one port of a server: it tells requests for SageMaker, S3,
// STS and IAM apart, authenticates them, decodes them with wire, hands them to
// control or to the embedded S3, and encodes what comes back. Everything of
// Sagebrush's own is under /-/.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/audit"
	"github.com/sagebrush-ml/sagebrush/internal/control"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/kms"
	"github.com/sagebrush-ml/sagebrush/internal/router"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
	"github.com/sagebrush-ml/sagebrush/internal/wire/cwlogs"
	"github.com/sagebrush-ml/sagebrush/internal/wire/kmsapi"
)

// Options are what a Server works with.
type Options struct {
	Control *control.Control
	// S3 serves the embedded S3, without authentication; nil where jobs use another.
	S3 http.Handler
	// KMS serves the embedded keystore; nil where there is none.
	KMS  *kms.Service
	Logs *joblog.Dir
	// Router serves the runtime API; nil refuses it.
	Router *router.Router
	// LogSecret seals the tokens of CloudWatch Logs. WholeLogPages lets its
	// DescribeLogStreams ignore a limit under 50 (OB-30).
	LogSecret     []byte
	WholeLogPages bool
	// InvokeBytes is the largest request to an endpoint (RT-1).
	InvokeBytes int64
	// Identities are the callers that the server knows, with what they may do.
	Identities *identity.Store
	// Rotated is told of each access key that has replaced another; nil is nobody. It may
	// not keep the secret's memory.
	Rotated func(old, id string, secret keyring.Secret)
	// Open accepts any key that the server does not know, and requests without one:
	// they may do everything.
	Open bool
	// RatePerSecond is how many requests a second each caller may make, and twice as
	// many at once; 0 is without limit.
	RatePerSecond int
	// Audit keeps a line of every call that may change something or was refused; nil
	// keeps none.
	Audit *audit.Log
	// Account and Region are what requests without a region are about.
	Account string
	Region  string
	Version string
	Log     *slog.Logger
	Now     func() time.Time
}

// Server is the handler of the one port.
type Server struct {
	Options
	verifier *sigv4.Verifier
	services []service
	own      http.Handler
	bodies   bodies
	limits   limits
	slow     patience

	logTokens logTokens
	draining  chan struct{} // closed when answers without end must end
	drain     sync.Once
}

// New makes a Server.
func New(o Options) *Server {
	s := &Server{
		Options: o, verifier: sigv4.NewVerifier(o.Now), logTokens: logTokens{o.LogSecret}, draining: make(chan struct{}),
		limits: limits{perSecond: o.RatePerSecond}, slow: patience{bodyTime, stepTime},
		bodies: bodies{budget: bodyBudget, time: bodyTime},
	}
	s.services = []service{
		{wire.SageMaker, s.sageMaker(), s.sageMakerNeeds}, // first: unsigned path style is for it alone
		{cwlogs.Service, s.cloudWatchLogs(), s.logNeeds},
		{autoscaling.Service, s.autoScaling(), nil},
	}
	if s.KMS != nil {
		s.services = append(s.services, service{kmsapi.Service, keyService(s.KMS), s.keyNeeds})
	}
	s.own = s.ownPaths()
	return s
}

// Drain ends the answers that would go on for as long as a job does, so that a
// server that stops need not wait for them. It may be called twice.
func (s *Server) Drain() { s.drain.Do(func() { close(s.draining) }) }

// Where a request goes.
type target int

const (
	toOwn target = iota
	toService
	toRuntime
	toQuery // STS and IAM
	toS3
	toUnknown
)

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, r := s.begin(r)
	defer s.end(c)
	w.Header().Set("X-Amzn-Requestid", c.entry.RequestID)
	if s.foreignPage(r) {
		c.refused = true
		s.fail(w, r, wire.Errorf(wire.AccessDeniedException, "A web page of another site may not call this server."))
		return
	}
	scope, _ := sigv4.ScopeOf(r)
	to, service := s.route(r, scope)
	switch to {
	case toOwn:
		s.own.ServeHTTP(w, r)
	case toService:
		s.serveOperation(w, r, service)
	case toRuntime:
		s.serveRuntime(w, r)
	case toQuery:
		s.serveQuery(w, r, scope)
	case toS3:
		s.serveS3(w, r, c)
	default:
		s.fail(w, r, wire.Errorf(wire.UnknownOperationException, "Sagebrush does not serve %s.", wanted(r, scope)))
	}
}

// foreignPage reports a request that a browser sends for a page of another site.
// Browsers ask nobody before a simple POST, and an open server would obey it. A page
// whose own name was made to point at this server is another's too (DNS rebinding):
// pages of ours are at an address or at localhost, or behind a key.
func (s *Server) foreignPage(r *http.Request) bool {
	if s.Open && fromBrowser(r) && !plainHost(r.Host) {
		return true
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return true
	}
	origin := r.Header.Get("Origin")
	return origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host
}

// fromBrowser reports a request that has what browsers add to it. To a server without
// TLS some are all that a GET has.
func fromBrowser(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "" || strings.HasPrefix(r.UserAgent(), "Mozilla/")
}

// plainHost reports whether a Host header is an address or localhost.
func plainHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "localhost"
}

// route decides by path, target and credential scope, in this order. What nobody
// else claims is S3's, whose paths can be anything. The service is set for
// toService.
func (s *Server) route(r *http.Request, scope sigv4.Scope) (target, *service) {
	if strings.HasPrefix(r.URL.Path, "/-/") {
		return toOwn, nil
	}
	if isRuntime(r, scope) {
		return toRuntime, nil
	}
	header := r.Header.Get("X-Amz-Target")
	prefix, _, named := strings.Cut(header, ".")
	for i := range s.services {
		if v := &s.services[i]; named && prefix == v.Target || header == "" && scope.Service == v.Signing {
			return toService, v
		}
	}
	switch {
	case header != "":
		return toUnknown, nil
	case scope.Service == "sts", scope.Service == "iam":
		return toQuery, nil
	case scope.Service == "s3", scope.Service == "s3express":
		return toS3, nil
	case scope.Service == "":
		return s.routeUnsigned(r)
	}
	return toUnknown, nil
}

// routeUnsigned tells requests without a signature apart: path style by the name
// of an operation of SageMaker, the query protocol by its form.
func (s *Server) routeUnsigned(r *http.Request) (target, *service) {
	if r.Method == http.MethodPost {
		if wire.SageMaker.Known(strings.Trim(r.URL.Path, "/")) {
			return toService, &s.services[0]
		}
		if r.URL.Path == "/" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			return toQuery, nil
		}
	}
	return toS3, nil
}

// wanted names what a request asked for that is not served.
func wanted(r *http.Request, scope sigv4.Scope) string {
	if t := r.Header.Get("X-Amz-Target"); t != "" {
		return "the operation " + clip(t)
	}
	return "the service " + clip(scope.Service)
}

// clip bounds what a stranger wrote before it is repeated.
func clip(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	return strings.ToValidUTF8(s, "?")
}

// operation is one operation of a service: what decodes and validates its request,
// and what serves it then. A nil answer is an empty body (CP-3).
type operation struct {
	decode func(body []byte) (wire.Message, error)
	serve  func(ctx context.Context, region string, in wire.Message) (wire.Message, error)
}

// service is a service of AWS with what serves its operations, by name.
type service struct {
	*wire.Service
	operations map[string]operation
	needs      needs // nil: every operation needs its own action on "*"
}

// serveOperation serves an operation by its target header, or by its path.
func (s *Server) serveOperation(w http.ResponseWriter, r *http.Request, v *service) {
	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), v.Target+".")
	if name == "" {
		name = strings.Trim(r.URL.Path, "/")
	}
	body, err := s.readBody(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	callOf(r.Context()).names(v.Signing, clip(name), false)
	if err := s.authenticate(r, body); err != nil {
		s.fail(w, r, err)
		return
	}
	do, ok := v.operations[name]
	if !ok {
		s.fail(w, r, unknown(v, name))
		return
	}
	out, err := s.operate(r.Context(), v, name, do, body)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	if out != nil {
		w.Write(wire.Encode(out))
	}
}

// operate does an operation for a caller who has been authenticated.
func (s *Server) operate(ctx context.Context, v *service, name string, do operation, body []byte) (wire.Message, error) {
	c := callOf(ctx)
	c.mutates = mutating(name)
	in, err := do.decode(body)
	if err == nil {
		err = s.authorize(ctx, v, name, in)
	}
	if err != nil {
		return nil, err
	}
	return do.serve(ctx, c.region, in)
}

// unknown is the refusal of an operation; the runtime's paths have no target.
func unknown(v *service, name string) error {
	if strings.HasPrefix(name, "endpoints/") {
		return wire.Errorf(wire.UnknownOperationException, "Invocations of endpoints are not supported by this version of Sagebrush.")
	}
	return v.UnknownOperation(name)
}

const jsonType = "application/x-amz-json-1.1"

// isRegion reports whether a region may have a name: up to 32 lower-case letters, digits
// and dashes, with no dash in front. Others would end up in ARNs and folder names.
func isRegion(name string) bool {
	if name == "" || len(name) > 32 || name[0] == '-' {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// region is the region that a request was signed for (CP-84).
func (s *Server) region(scope sigv4.Scope) string {
	if isRegion(scope.Region) {
		return scope.Region
	}
	return s.Region
}

// fail answers with an error. Faults of the server are logged with their cause.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := wire.FromFault(refused(err))
	callOf(r.Context()).failed(e.Status, string(e.Code))
	if e.Status >= 500 {
		s.Log.Error("request failed", "target", r.Header.Get("X-Amz-Target"), "path", r.URL.Path, "error", err, "cause", errors.Unwrap(e))
	}
	w.Header().Set("Content-Type", jsonType)
	w.Header().Set("X-Amzn-Errortype", string(e.Code))
	w.WriteHeader(e.Status)
	w.Write(e.Body())
}

// writeJSON answers with a value of our own paths.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	enc.Encode(v)
}
