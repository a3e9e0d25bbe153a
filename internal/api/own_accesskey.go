package api

import (
	"context"
	"net/http"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// AccessKey is an access key without its secret, as the answer at /-/api/v1/keys has
// it.
type AccessKey struct {
	ID      string    `json:"accessKeyId"`
	User    string    `json:"user"`
	Created time.Time `json:"created"`
	// Status is Active or Inactive, as in IAM, or Expired.
	Status string `json:"status"`
	// Expires is when a key ends that was rotated.
	Expires *time.Time `json:"expires,omitempty"`
}

// NewAccessKey is the answer to who makes an access key: the only place that its
// secret is ever in.
type NewAccessKey struct {
	ID     string `json:"accessKeyId"`
	Secret string `json:"secretAccessKey"`
	User   string `json:"user"`
	// Replaces is the key that was rotated, which ends at Until.
	Replaces string     `json:"replaces,omitempty"`
	Until    *time.Time `json:"until,omitempty"`
}

// MaxGrace bounds how long a key that was rotated may be good still.
const MaxGrace = 90 * 24 * time.Hour

// Rotation is the body of a request that rotates an access key.
type Rotation struct {
	GraceSeconds int64 `json:"graceSeconds"`
}

// accessKeyPaths routes what manages access keys. Who does may be told by the ARN of
// the key's user, as in IAM.
func (s *Server) accessKeyPaths(mux *http.ServeMux) {
	const (
		ofUser = "/-/api/v1/users/{name}/keys"
		all    = "/-/api/v1/keys"
		one    = all + "/{key}"
	)
	mux.Handle("GET "+all, s.iam("ListAccessKeys", s.onAny, s.listKeys))
	mux.Handle("GET "+ofUser, s.iam("ListAccessKeys", s.on(identity.User, "ListAccessKeys"), s.listKeys))
	mux.Handle("POST "+ofUser, s.iam("CreateAccessKey", s.on(identity.User, "CreateAccessKey"), s.createKey))
	mux.Handle("POST "+one+"/rotate", s.iam("RotateAccessKey", s.onKey("CreateAccessKey", "UpdateAccessKey"), s.rotateKey))
	mux.Handle("POST "+one+"/activate", s.iam("UpdateAccessKey", s.onKey("UpdateAccessKey"), s.switchKey(true)))
	mux.Handle("POST "+one+"/deactivate", s.iam("UpdateAccessKey", s.onKey("UpdateAccessKey"), s.switchKey(false)))
	mux.Handle("DELETE "+one, s.iam("DeleteAccessKey", s.onKey("DeleteAccessKey"), s.revokeKey))
}

// onKey is what an operation needs on the user of the key that its path names. Who
// may do it for every user learns that there is no such key, and nobody else.
func (s *Server) onKey(actions ...string) func(r *http.Request) ([]need, error) {
	return func(r *http.Request) ([]need, error) {
		user, err := s.Identities.OwnerOf(r.Context(), r.PathValue("key"))
		if fault.Is(err, fault.NotFound) {
			user, err = "*", nil
		}
		arn := s.Identities.ARN(identity.User, user)
		callOf(r.Context()).about(arn, r.PathValue("key"))
		return iamNeeds(arn, actions...), err
	}
}

// about names a user's access key for the audit log.
func (c *call) about(arn, key string) { c.entry.Resource = arn + " access-key/" + clip(key) }

// listKeys answers with all keys, or with those of the user that the path names.
func (s *Server) listKeys(w http.ResponseWriter, r *http.Request) {
	var all []identity.Identity
	var err error
	if name := r.PathValue("name"); name != "" {
		all = make([]identity.Identity, 1)
		all[0], err = s.Identities.Find(r.Context(), identity.User, name)
	} else {
		all, err = s.Identities.List(r.Context())
	}
	if err != nil {
		s.iamFail(w, r, err)
		return
	}
	out := []AccessKey{}
	for _, i := range all {
		for _, k := range i.Keys {
			out = append(out, AccessKey{ID: k.ID, User: i.Name, Created: k.Created.UTC(), Status: s.keyStatus(k), Expires: moment(k.Expires)})
		}
	}
	writeJSON(w, map[string][]AccessKey{"accessKeys": out})
}

func (s *Server) keyStatus(k identity.AccessKey) string {
	switch {
	case !k.Expires.IsZero() && !s.Now().Before(k.Expires):
		return "Expired"
	case !k.Active:
		return "Inactive"
	}
	return "Active"
}

func (s *Server) createKey(w http.ResponseWriter, r *http.Request) {
	user := r.PathValue("name")
	id, secret, err := s.Identities.CreateKey(r.Context(), user)
	if err != nil {
		s.iamFail(w, r, err)
		return
	}
	callOf(r.Context()).about(s.Identities.ARN(identity.User, user), id)
	tellKey(w, NewAccessKey{ID: id, User: user}, secret)
}

func (s *Server) rotateKey(w http.ResponseWriter, r *http.Request) {
	old := r.PathValue("key")
	var in Rotation
	err := ownBody(r, &in)
	if err == nil && (in.GraceSeconds < 0 || in.GraceSeconds > int64(MaxGrace/time.Second)) {
		err = fault.New(fault.Invalid, "The grace time must be from 0 to %d seconds.", int64(MaxGrace/time.Second))
	}
	var id string
	var secret keyring.Secret
	if err == nil {
		id, secret, err = s.Identities.Rotate(r.Context(), old, time.Duration(in.GraceSeconds)*time.Second)
	}
	if err != nil {
		s.iamFail(w, r, err)
		return
	}
	if s.Rotated != nil {
		s.Rotated(old, id, secret)
	}
	user, until := s.rotated(r.Context(), id, old)
	callOf(r.Context()).entry.Resource += " access-key/" + id
	tellKey(w, NewAccessKey{ID: id, User: user, Replaces: old, Until: until}, secret)
}

// rotated finds whose a key is that has just been made, and when the one ends that it
// replaces; both are unknown when somebody has removed them meanwhile.
func (s *Server) rotated(ctx context.Context, id, old string) (user string, until *time.Time) {
	user, err := s.Identities.OwnerOf(ctx, id)
	if err != nil {
		return "", nil
	}
	i, err := s.Identities.Find(ctx, identity.User, user)
	if err != nil {
		return user, nil
	}
	for _, k := range i.Keys {
		if k.ID == old {
			until = moment(k.Expires)
		}
	}
	return user, until
}

// tellKey answers with a new key. No cache on the way may keep it.
func tellKey(w http.ResponseWriter, k NewAccessKey, secret keyring.Secret) {
	k.Secret = string(secret)
	secret.Wipe()
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, k)
}

func (s *Server) switchKey(active bool) http.HandlerFunc {
	status := "Inactive"
	if active {
		status = "Active"
	}
	return func(w http.ResponseWriter, r *http.Request) {
		key := r.PathValue("key")
		callOf(r.Context()).entry.Resource += " " + status
		if err := s.Identities.SetActive(r.Context(), key, active); err != nil {
			s.iamFail(w, r, err)
			return
		}
		writeJSON(w, map[string]string{"accessKeyId": key, "status": status})
	}
}

func (s *Server) revokeKey(w http.ResponseWriter, r *http.Request) {
	if err := s.Identities.Revoke(r.Context(), r.PathValue("key")); err != nil {
		s.iamFail(w, r, err)
		return
	}
	writeJSON(w, map[string]string{"accessKeyId": r.PathValue("key"), "status": "Deleted"})
}
