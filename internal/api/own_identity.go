package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
)

// Identity is a user or a role, as the answers at /-/api/v1/users and
// /-/api/v1/roles have it.
type Identity struct {
	Name    string    `json:"name"`
	ARN     string    `json:"arn"`
	Created time.Time `json:"created"`
	// Policies have no documents where identities are listed.
	Policies []Policy `json:"policies"`
	// SessionsFrom is when the sessions of a role were last ended.
	SessionsFrom *time.Time `json:"sessionsFrom,omitempty"`
}

// Policy is a policy of a user or a role.
type Policy struct {
	Name     string          `json:"name"`
	Document json.RawMessage `json:"document,omitempty"`
}

// Policies is the body of a request that makes a user or a role, or replaces all its
// policies.
type Policies struct {
	Policies []Policy `json:"policies"`
}

// identityPaths routes what manages users and roles. Each needs the action of IAM that
// does the same there, on the ARN of the user or role.
func (s *Server) identityPaths(mux *http.ServeMux) {
	if s.Identities == nil {
		return
	}
	for kind, word := range map[identity.Kind]string{identity.User: "User", identity.Role: "Role"} {
		all := "/-/api/v1/" + string(kind) + "s"
		one := all + "/{name}"
		mux.Handle("GET "+all, s.iam("List"+word+"s", s.onAny, s.listIdentities(kind)))
		mux.Handle("GET "+one, s.iam("Get"+word, s.on(kind, "Get"+word, "Get"+word+"Policy"), s.getIdentity(kind)))
		mux.Handle("POST "+one, s.iam("Create"+word, s.on(kind, "Create"+word), s.createIdentity(kind, word)))
		mux.Handle("DELETE "+one, s.iam("Delete"+word, s.on(kind, "Delete"+word), s.deleteIdentity(kind)))
		mux.Handle("PUT "+one+"/policies", s.iam("Put"+word+"Policy", s.on(kind, "Put"+word+"Policy", "Delete"+word+"Policy"), s.putPolicies(kind)))
	}
	// The console of IAM ends sessions by a policy.
	mux.Handle("POST /-/api/v1/roles/{name}/end-sessions", s.iam("EndRoleSessions", s.on(identity.Role, "PutRolePolicy"), s.endSessions))
	s.accessKeyPaths(mux)
}

// iam is gate for what manages identities. Its callers must have proved who they are
// also on an open server: what they make outlives that it is open.
func (s *Server) iam(operation string, needs func(r *http.Request) ([]need, error), next http.HandlerFunc) http.Handler {
	return s.gate("iam", operation, func(r *http.Request) ([]need, error) {
		if c := callOf(r.Context()); c.who == nil {
			c.refused = true
			return nil, fault.New(fault.Denied, "Users, access keys and roles are managed with an access key that the server knows, also where it is open to every other.")
		}
		return needs(r)
	}, next)
}

// onAny is what an operation needs that is about no one identity.
func (s *Server) onAny(*http.Request) ([]need, error) { return everywhere(), nil }

// on is what an operation needs on the identity that its path names.
func (s *Server) on(kind identity.Kind, actions ...string) func(r *http.Request) ([]need, error) {
	return func(r *http.Request) ([]need, error) {
		return iamNeeds(s.Identities.ARN(kind, r.PathValue("name")), actions...), nil
	}
}

// iamNeeds are actions of IAM on one resource.
func iamNeeds(arn string, actions ...string) (all []need) {
	for _, a := range actions {
		all = append(all, need{action: "iam:" + a, resource: arn})
	}
	return all
}

func (s *Server) listIdentities(kind identity.Kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		all, err := s.Identities.List(r.Context())
		if err != nil {
			s.iamFail(w, r, err)
			return
		}
		out := []Identity{}
		for _, i := range all {
			if i.Kind == kind {
				out = append(out, shown(i, false))
			}
		}
		writeJSON(w, map[string][]Identity{string(kind) + "s": out})
	}
}

func (s *Server) getIdentity(kind identity.Kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.answerIdentity(w, r, kind) }
}

// answerIdentity answers with the identity that the path names, as it is now.
func (s *Server) answerIdentity(w http.ResponseWriter, r *http.Request, kind identity.Kind) {
	i, err := s.Identities.Find(r.Context(), kind, r.PathValue("name"))
	if err != nil {
		s.iamFail(w, r, err)
		return
	}
	writeJSON(w, shown(i, true))
}

// shown is how answers show an identity.
func shown(i identity.Identity, documents bool) Identity {
	out := Identity{Name: i.Name, ARN: i.ARN, Created: i.Created.UTC(), Policies: []Policy{}, SessionsFrom: moment(i.SessionsFrom)}
	for _, d := range i.Policies {
		p := Policy{Name: d.Name}
		if documents {
			p.Document = json.RawMessage(d.Text)
		}
		out.Policies = append(out.Policies, p)
	}
	return out
}

func (s *Server) createIdentity(kind identity.Kind, word string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		docs, err := policiesOf(r)
		if err == nil && len(docs) > 0 {
			err = s.authorizeAll(r.Context(), "", iamNeeds(s.Identities.ARN(kind, name), "Put"+word+"Policy"))
		}
		if err == nil {
			err = s.Identities.Create(r.Context(), kind, name, docs)
		}
		if err != nil {
			s.iamFail(w, r, err)
			return
		}
		s.answerIdentity(w, r, kind)
	}
}

func (s *Server) deleteIdentity(kind identity.Kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.Identities.Delete(r.Context(), kind, r.PathValue("name")); err != nil {
			s.iamFail(w, r, err)
			return
		}
		writeJSON(w, map[string]string{"name": r.PathValue("name"), "status": "Deleted"})
	}
}

func (s *Server) putPolicies(kind identity.Kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		docs, err := policiesOf(r)
		if err == nil {
			err = s.Identities.SetPolicies(r.Context(), kind, r.PathValue("name"), docs)
		}
		if err != nil {
			s.iamFail(w, r, err)
			return
		}
		s.answerIdentity(w, r, kind)
	}
}

func (s *Server) endSessions(w http.ResponseWriter, r *http.Request) {
	if err := s.Identities.EndSessions(r.Context(), r.PathValue("name")); err != nil {
		s.iamFail(w, r, err)
		return
	}
	s.answerIdentity(w, r, identity.Role)
}

// policiesOf reads the policies in a request.
func policiesOf(r *http.Request) (docs []identity.Document, err error) {
	var in Policies
	err = ownBody(r, &in)
	for _, p := range in.Policies {
		docs = append(docs, identity.Document{Name: p.Name, Text: string(p.Document)})
	}
	return docs, err
}

// ownBody reads the JSON in the body of a request on our own paths; none says
// nothing. What is not known is refused (I9).
func ownBody(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == io.EOF {
		return nil
	}
	if err == nil {
		if _, after := d.Token(); after != io.EOF {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		return fault.New(fault.Invalid, "The request's body is not what is read here: %s.", clip(err.Error()))
	}
	return nil
}

// iamErrors are IAM's statuses and codes.
var iamErrors = map[fault.Kind]struct {
	status int
	code   string
}{
	fault.Invalid:  {http.StatusBadRequest, "ValidationError"},
	fault.NotFound: {http.StatusNotFound, "NoSuchEntity"},
	fault.Exists:   {http.StatusConflict, "EntityAlreadyExists"},
	fault.Conflict: {http.StatusConflict, "DeleteConflict"},
	fault.Limit:    {http.StatusConflict, "LimitExceeded"},
	fault.Denied:   {http.StatusForbidden, "AccessDenied"},
}

// iamFail answers an error of what manages identities.
func (s *Server) iamFail(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := iamErrors[fault.KindOf(err)]
	if !ok {
		s.ownFail(w, err)
		return
	}
	callOf(r.Context()).failed(e.status, e.code)
	ownError(w, e.status, fault.TextOf(err))
}
