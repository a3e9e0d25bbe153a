// Package identity knows who may call: users with their access keys and policies,
// roles with their policies, and sessions of roles. Secrets of access keys are
// sealed in the database under the master key.
//
// Everything is in memory too, in a view that is never changed but replaced, so
// that a lookup takes no lock and reads no disk. A change is in the database and
// in the view before it returns; nothing that was revoked is let in after that.
package identity

import (
	"context"
	"encoding/json"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/masterkey"
	"github.com/sagebrush-ml/sagebrush/internal/policy"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// Options are what a Store works with.
type Options struct {
	Account string // of ARNs
	State   *state.Store
	Master  *masterkey.Ring
	// Conditions are the condition keys that policies may use; see ConditionKeys.
	Conditions *policy.Keys
	Log        *slog.Logger
	Now        func() time.Time
}

// Store holds the identities of a server. It is safe for concurrent use.
type Store struct {
	Options
	changing sync.Mutex // one change at a time, with its new view
	current  atomic.Pointer[view]
}

// Kind is a family of identities, spelt as in ARNs.
type Kind string

// The kinds of identities.
const (
	User Kind = "user" // has access keys
	Role Kind = "role" // is assumed
)

// Root is the name of the user whose ARN is that of the account itself.
const Root = "root"

// Identity is a user or a role as an administrator sees it. It has no secrets.
type Identity struct {
	Kind     Kind
	Name     string
	ARN      string
	Created  time.Time
	Policies []Document
	Keys     []AccessKey
	// SessionsFrom is after which a role's session must have begun.
	SessionsFrom time.Time
}

// Document is a policy that is attached to an identity.
type Document struct{ Name, Text string }

// AccessKey is an access key without its secret.
type AccessKey struct {
	ID      string
	Created time.Time
	Active  bool
	// Expires is when a key that was rotated ends; zero is never.
	Expires time.Time
}

// The bounds of what an administrator can make grow.
const (
	maxIdentities = 1000
	maxPolicies   = 10
	maxKeys       = 2 // the one in use and the one that comes after it
)

// record is an identity as the database has it, under its kind and name.
type record struct {
	Created      time.Time
	Policies     []Document  `json:",omitempty"`
	Keys         []keyRecord `json:",omitempty"`
	SessionsFrom time.Time
}

type keyRecord struct {
	ID      string
	Created time.Time
	Active  bool
	Expires time.Time
	Sealed  []byte
}

// recordKind is the kind of an identity's records in the database.
func (k Kind) recordKind() string { return "identity-" + string(k) }

// purpose binds a sealed secret to its access key.
func purpose(keyID string) string { return "access-key/" + keyID }

// Open reads the identities of a database. Secrets that are sealed under a former
// master key are sealed under the current one; one that none of the ring's opens
// is an error.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{Options: o}
	err := s.State.Update(ctx, func(tx *state.Tx) error {
		return s.each(tx, func(kind Kind, name string, r *record) error {
			changed := false
			for i := range r.Keys {
				k := &r.Keys[i]
				secret, err := s.Master.Open(k.Sealed, purpose(k.ID))
				if err != nil {
					return err
				}
				if !s.Master.Current(k.Sealed) {
					k.Sealed, changed = s.Master.Seal(secret, purpose(k.ID)), true
				}
				clear(secret)
			}
			if !changed {
				return nil
			}
			return save(tx.SaveRecord, kind, name, r)
		})
	})
	if err == nil {
		err = s.reload(ctx)
	}
	return s, err
}

// each calls fn for every identity.
func (s *Store) each(tx *state.Tx, fn func(kind Kind, name string, r *record) error) error {
	for _, kind := range []Kind{User, Role} {
		records, err := tx.Records(state.RecordQuery{Kind: kind.recordKind()})
		if err != nil {
			return err
		}
		for _, rec := range records {
			r, err := decode(rec)
			if err == nil {
				err = fn(kind, rec.Name, r)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func decode(rec state.Record) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(rec.Body, r); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "The stored identity %s cannot be read. The state database is damaged, or a newer program wrote it.", rec.Name)
	}
	return r, nil
}

func save(write func(state.Record) error, kind Kind, name string, r *record) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return write(state.Record{Kind: kind.recordKind(), Name: name, Body: body})
}

// ARN gives the ARN of an identity, which need not exist.
func (s *Store) ARN(kind Kind, name string) string {
	if kind == User && name == Root {
		return "arn:aws:iam::" + s.Account + ":root"
	}
	return "arn:aws:iam::" + s.Account + ":" + string(kind) + "/" + name
}

// names are the names that identities may have, as in IAM.
var names = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)

// checkPolicies refuses documents that cannot be read.
func (s *Store) checkPolicies(docs []Document) error {
	if len(docs) > maxPolicies {
		return fault.New(fault.Limit, "There are %d policies, and may be %d.", len(docs), maxPolicies)
	}
	for i, d := range docs {
		if !names.MatchString(d.Name) {
			return fault.New(fault.Invalid, "The policy name %q must have 1 to 64 letters, digits and characters of _+=,.@-.", d.Name)
		}
		if slices.ContainsFunc(docs[:i], func(o Document) bool { return o.Name == d.Name }) {
			return fault.New(fault.Invalid, "Two policies have the name %q.", d.Name)
		}
		if _, err := policy.Parse(d.Name, d.Text, s.Conditions); err != nil {
			return err
		}
	}
	return nil
}

// Create makes a user without access keys, or a role.
func (s *Store) Create(ctx context.Context, kind Kind, name string, policies []Document) error {
	if !names.MatchString(name) {
		return fault.New(fault.Invalid, "The name %q must have 1 to 64 letters, digits and characters of _+=,.@-.", name)
	}
	if err := s.checkPolicies(policies); err != nil {
		return err
	}
	return s.change(ctx, func(tx *state.Tx) error {
		n, err := tx.CountRecords(state.RecordQuery{Kind: kind.recordKind()})
		if err == nil && n >= maxIdentities {
			err = fault.New(fault.Limit, "There are %d %ss, the most that there may be.", n, kind)
		}
		if err == nil {
			err = save(tx.PutRecord, kind, name, &record{Created: s.Now(), Policies: policies})
		}
		if fault.Is(err, fault.Exists) {
			err = fault.New(fault.Exists, "There is already a %s %s.", kind, name)
		}
		return err
	})
}

// Delete removes a user with its access keys, or a role with its sessions. The last
// administrator is not removed.
func (s *Store) Delete(ctx context.Context, kind Kind, name string) error {
	return s.remove(ctx, func(tx *state.Tx) error {
		err := tx.DeleteRecord(kind.recordKind(), "", name)
		return noSuch(err, kind, name)
	})
}

// SetPolicies replaces all policies of an identity. Those of the last administrator
// stay such that it is one.
func (s *Store) SetPolicies(ctx context.Context, kind Kind, name string, policies []Document) error {
	if err := s.checkPolicies(policies); err != nil {
		return err
	}
	return s.remove(ctx, func(tx *state.Tx) error {
		return s.editIn(tx, kind, name, func(r *record) error {
			r.Policies = policies
			return nil
		})
	})
}

// EndSessions makes every session of a role that has begun useless.
func (s *Store) EndSessions(ctx context.Context, role string) error {
	return s.edit(ctx, Role, role, func(r *record) error {
		r.SessionsFrom = s.Now()
		return nil
	})
}

// edit changes one identity.
func (s *Store) edit(ctx context.Context, kind Kind, name string, fn func(r *record) error) error {
	return s.change(ctx, func(tx *state.Tx) error { return s.editIn(tx, kind, name, fn) })
}

func (s *Store) editIn(tx *state.Tx, kind Kind, name string, fn func(r *record) error) error {
	rec, err := tx.Record(kind.recordKind(), "", name)
	if err != nil {
		return noSuch(err, kind, name)
	}
	r, err := decode(rec)
	if err == nil {
		err = fn(r)
	}
	if err == nil {
		err = save(tx.SaveRecord, kind, name, r)
	}
	return err
}

func noSuch(err error, kind Kind, name string) error {
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "There is no %s %s.", kind, name)
	}
	return err
}

// change writes to the database and makes a new view.
func (s *Store) change(ctx context.Context, fn func(tx *state.Tx) error) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := s.State.Update(ctx, fn); err != nil {
		return err
	}
	return s.reload(context.WithoutCancel(ctx))
}

// List gives all identities, users first, by name.
func (s *Store) List(ctx context.Context) (all []Identity, err error) {
	err = s.State.View(ctx, func(tx *state.Tx) error {
		return s.each(tx, func(kind Kind, name string, r *record) error {
			all = append(all, s.identity(kind, name, r))
			return nil
		})
	})
	return all, err
}

// Find gives one identity, or fault.NotFound.
func (s *Store) Find(ctx context.Context, kind Kind, name string) (i Identity, err error) {
	err = s.State.View(ctx, func(tx *state.Tx) error {
		rec, err := tx.Record(kind.recordKind(), "", name)
		if err != nil {
			return noSuch(err, kind, name)
		}
		r, err := decode(rec)
		if err == nil {
			i = s.identity(kind, name, r)
		}
		return err
	})
	return i, err
}

// identity shows a record without its secrets.
func (s *Store) identity(kind Kind, name string, r *record) Identity {
	i := Identity{Kind: kind, Name: name, ARN: s.ARN(kind, name), Created: r.Created, Policies: r.Policies, SessionsFrom: r.SessionsFrom}
	for _, k := range r.Keys {
		i.Keys = append(i.Keys, AccessKey{ID: k.ID, Created: k.Created, Active: k.Active, Expires: k.Expires})
	}
	return i
}
