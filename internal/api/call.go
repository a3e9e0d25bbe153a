package api

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/audit"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/policy"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
)

// call is one request on its way through the Server: who sent it, and what is to be
// told of it in the audit log. It belongs to the request's goroutine.
type call struct {
	r      *http.Request
	region string
	now    time.Time
	// who is the caller that has proved itself. Nil is anybody, whom an open server
	// lets do everything; before authentication nobody must be let do anything.
	who *identity.Principal
	// attributes are the condition keys that who and the request give, once made.
	attributes []policy.Attribute
	// more are those that the members of the request give, for who asks Allow.
	more []policy.Attribute

	entry audit.Entry
	// mutates says that the call may change something, and refused that it was not
	// let do so: either is worth a line in the audit log.
	mutates, refused bool
}

type callKey struct{}

// callOf gives the call of a request's context.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// begin makes the call of a request.
func (s *Server) begin(r *http.Request) (*call, *http.Request) {
	scope, _ := sigv4.ScopeOf(r)
	c := &call{region: s.region(scope), now: s.Now()}
	c.entry = audit.Entry{
		Time: c.now, RequestID: uuid.NewString(), SourceIP: sourceIP(r), UserAgent: r.UserAgent(), Status: http.StatusOK,
	}
	c.r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	return c, c.r
}

// sourceIP is the address that a request came from.
func sourceIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	host, _, _ = strings.Cut(host, "%") // an IPv6 zone
	return host
}

// end writes the call's line into the audit log, if it is worth one.
func (s *Server) end(c *call) {
	if s.Audit == nil || !c.mutates && !c.refused {
		return
	}
	c.entry.Operation = cmp.Or(c.entry.Operation, c.r.Method)
	c.entry.Resource = cmp.Or(c.entry.Resource, clip(c.r.URL.Path))
	s.Audit.Add(c.entry)
}

// names says which operation the call is.
func (c *call) names(service, operation string, mutates bool) {
	c.entry.Service, c.entry.Operation, c.mutates = service, operation, mutates
}

// failed notes how the call ended, when not well.
func (c *call) failed(status int, code string) { c.entry.Status, c.entry.Code = status, code }

// proves notes that the caller has proved who it is.
func (c *call) proves(p *identity.Principal) {
	c.who = p
	c.entry.Identity, c.entry.Verified = p.ARN, true
}

// Allow says whether the caller of a request may do an action on a resource: an ARN,
// or "*" where the action has none. It is for the rooms behind the Server that find
// out themselves what a request is about; ctx must be that of the request.
func Allow(ctx context.Context, action, resource string) error {
	c := callOf(ctx)
	if c == nil {
		return fault.New(fault.Denied, "Nobody is known to ask for %s.", action)
	}
	return c.allow(action, resource)
}

// allow is Allow with condition keys of the request beside those that every call has,
// whose places they take where they are the same.
func (c *call) allow(action, resource string, more ...policy.Attribute) error {
	if c.entry.Operation == "" { // S3's is known by its action alone
		_, c.entry.Operation, _ = strings.Cut(action, ":")
	}
	if c.entry.Resource == "" && resource != "*" {
		c.entry.Resource = resource
	}
	if c.who == nil {
		return nil
	}
	r := policy.Request{Action: action, Resource: resource}
	r.Context = append(append(more[:len(more):len(more)], c.more...), c.context()...) // the first of a name counts
	if _, err := c.who.Authorize(&r); err != nil {
		c.refused = true
		c.failed(http.StatusForbidden, "AccessDenied") // unless another answer is given
		return err
	}
	return nil
}

// context are the condition keys that the caller and the request itself give.
func (c *call) context() []policy.Attribute {
	if c.attributes == nil {
		now := c.now.UTC()
		c.attributes = append(c.who.Attributes[:len(c.who.Attributes):len(c.who.Attributes)],
			policy.Attribute{Key: "aws:SourceIp", Value: c.entry.SourceIP},
			policy.Attribute{Key: "aws:SecureTransport", Value: strconv.FormatBool(c.r.TLS != nil)},
			policy.Attribute{Key: "aws:CurrentTime", Value: now.Format(time.RFC3339)},
			policy.Attribute{Key: "aws:EpochTime", Value: strconv.FormatInt(now.Unix(), 10)},
			policy.Attribute{Key: requestedRegion, Value: c.region},
		)
		if agent := c.entry.UserAgent; agent != "" {
			c.attributes = append(c.attributes, policy.Attribute{Key: "aws:UserAgent", Value: agent})
		}
	}
	return c.attributes
}

// mutating reports whether an operation of a JSON service may change something, or
// uses a key.
func mutating(operation string) bool {
	for _, reading := range []string{"Describe", "List", "Get", "Filter"} {
		if strings.HasPrefix(operation, reading) {
			return false
		}
	}
	return true
}
