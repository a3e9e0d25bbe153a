// Package api is the one port of a server: it tells requests for SageMaker, S3,
// STS and IAM apart, authenticates them, decodes them with wire, hands them to
// control or to the embedded S3, and encodes what comes back. Everything of
// Sagebrush's own is under /-/.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/control"
	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// Options are what a Server works with.
type Options struct {
	Control *control.Control
	// S3 serves the embedded S3, without authentication; nil where jobs use another.
	S3   http.Handler
	Logs *joblog.Dir
	// Keys gives the secret of an access key that the server knows.
	Keys func(accessKeyID string) (secret string, ok bool)
	// Open accepts any key that the server does not know, and requests without one.
	Open bool
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
	verifier   *sigv4.Verifier
	operations map[string]operation
	own        http.Handler
}

// New makes a Server.
func New(o Options) *Server {
	s := &Server{Options: o, verifier: sigv4.NewVerifier(o.Now)}
	s.operations = s.sageMaker()
	s.own = s.ownPaths()
	return s
}

// The bounds of requests other than S3's.
const maxBody = 2 << 20

// Where a request goes.
type target int

const (
	toOwn target = iota
	toSageMaker
	toQuery // STS and IAM
	toS3
	toUnknown
)

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	w.Header().Set("X-Amzn-Requestid", id)
	if foreignPage(r) {
		s.fail(w, r, wire.Errorf(wire.AccessDeniedException, "A web page of another site may not call this server."))
		return
	}
	scope, _ := sigv4.ScopeOf(r)
	switch route(r, scope) {
	case toOwn:
		s.own.ServeHTTP(w, r)
	case toSageMaker:
		s.serveSageMaker(w, r, scope)
	case toQuery:
		s.serveQuery(w, r, scope, id)
	case toS3:
		s.serveS3(w, r)
	default:
		s.fail(w, r, wire.Errorf(wire.UnknownOperationException, "Sagebrush does not serve %s.", wanted(r, scope)))
	}
}

// foreignPage reports a request that a browser sends for a page of another site.
// Browsers ask nobody before a simple POST, and an open server would obey it.
func foreignPage(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return true
	}
	origin := r.Header.Get("Origin")
	return origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host
}

// route decides by path, target and credential scope, in this order. What nobody
// else claims is S3's, whose paths can be anything.
func route(r *http.Request, scope sigv4.Scope) target {
	header := r.Header.Get("X-Amz-Target")
	switch {
	case strings.HasPrefix(r.URL.Path, "/-/"):
		return toOwn
	case strings.HasPrefix(header, "SageMaker."):
		return toSageMaker
	case header != "":
		return toUnknown
	}
	switch scope.Service {
	case "sagemaker":
		return toSageMaker
	case "sts", "iam":
		return toQuery
	case "s3", "s3express":
		return toS3
	case "":
		return routeUnsigned(r)
	}
	return toUnknown
}

// routeUnsigned tells requests without a signature apart: path style by the name
// of an operation, the query protocol by its form.
func routeUnsigned(r *http.Request) target {
	if r.Method == http.MethodPost {
		if wire.Known(strings.Trim(r.URL.Path, "/")) {
			return toSageMaker
		}
		if r.URL.Path == "/" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			return toQuery
		}
	}
	return toS3
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

// operation serves one operation; a nil answer is an empty body (CP-3).
type operation func(ctx context.Context, region string, body []byte) (wire.Message, error)

// serveSageMaker serves an operation by its target header, or by its path.
func (s *Server) serveSageMaker(w http.ResponseWriter, r *http.Request, scope sigv4.Scope) {
	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "SageMaker.")
	if name == "" {
		name = strings.Trim(r.URL.Path, "/")
	}
	body, err := readBody(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.authenticate(r, body); err != nil {
		s.fail(w, r, err)
		return
	}
	do, ok := s.operations[name]
	if !ok {
		s.fail(w, r, unknown(name))
		return
	}
	out, err := do(r.Context(), s.region(scope), body)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	if out != nil {
		w.Write(wire.Encode(out))
	}
}

// unknown is the refusal of an operation; the runtime's paths have no target.
func unknown(name string) error {
	if strings.HasPrefix(name, "endpoints/") {
		return wire.Errorf(wire.UnknownOperationException, "Invocations of endpoints are not supported by this version of Sagebrush.")
	}
	return wire.UnknownOperation(name)
}

const jsonType = "application/x-amz-json-1.1"

// readBody reads a request's body within the bound.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		e := wire.Errorf(wire.ValidationException, "The request has more than %d bytes.", maxBody)
		e.Status = http.StatusRequestEntityTooLarge
		return nil, e
	}
	if err != nil {
		return nil, wire.Errorf(wire.SerializationException, "The request ended before its body did.")
	}
	return body, nil
}

// regions are the names that a region may have; others would end up in ARNs and
// folder names.
var regions = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// region is the region that a request was signed for (CP-84).
func (s *Server) region(scope sigv4.Scope) string {
	if regions.MatchString(scope.Region) {
		return scope.Region
	}
	return s.Region
}

// fail answers with an error. Faults of the server are logged with their cause.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := wire.FromFault(err)
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
