package identity

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/policy"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// view is all identities at one moment.
type view struct {
	keys  map[string]*accessKey // by id, active ones
	roles map[string]*role      // by name

	// sessions are those that were looked up lately, by their tokens. They go with the
	// view.
	mu       sync.RWMutex
	sessions map[string]*session
}

// accessKey is a user's key in a view.
type accessKey struct {
	credential Credential
	expires    time.Time
}

// role is a role in a view.
type role struct {
	policies     policy.Set
	sessionsFrom time.Time
}

// Credential is what a request is verified with, and whose it is.
type Credential struct {
	Secret    keyring.Secret
	Principal *Principal
}

// The two ways in which credentials are not good, in the words of AWS. They are
// faults of the kind Denied.
var (
	ErrUnknown = fault.New(fault.Denied, "The security token included in the request is invalid.")
	ErrExpired = fault.New(fault.Denied, "The security token included in the request is expired")
)

// Lookup finds the secret of an access key and whom it belongs to. A session's key
// is good with its token only, and a user's without one. Nothing is proven before
// the signature has been verified with the secret, which is not to be changed.
func (s *Store) Lookup(accessKeyID, sessionToken string) (Credential, error) {
	v := s.current.Load()
	if sessionToken != "" {
		return s.session(v, accessKeyID, sessionToken)
	}
	k := v.keys[accessKeyID]
	if k == nil || !k.expires.IsZero() && !s.Now().Before(k.expires) {
		return Credential{}, ErrUnknown
	}
	return k.credential, nil
}

// Role gives a role as a principal that nobody assumed, such as for what a job may
// do, or fault.NotFound. Its ARN is the one that policies are to be asked with,
// whatever path the given one has.
func (s *Store) Role(arn string) (*Principal, error) {
	name, ok := strings.CutPrefix(arn, "arn:aws:iam::"+s.Account+":role/")
	// A role's ARN may have a path before its name.
	name = name[strings.LastIndexByte(name, '/')+1:]
	r := s.current.Load().roles[name]
	if !ok || r == nil {
		return nil, fault.New(fault.NotFound, "There is no role %s.", printable(arn))
	}
	arn = s.ARN(Role, name)
	return &Principal{ARN: arn, UserID: name, Base: arn, Attributes: attributes(s.Account, "AssumedRole", arn, name, ""), policies: r.policies}, nil
}

// reload makes a view of what is in the database. When that fails nobody is let in,
// because what was revoked must not be.
func (s *Store) reload(ctx context.Context) error {
	v := &view{keys: map[string]*accessKey{}, roles: map[string]*role{}, sessions: map[string]*session{}}
	err := s.State.View(ctx, func(tx *state.Tx) error {
		return s.each(tx, func(kind Kind, name string, r *record) error { return s.include(v, kind, name, r) })
	})
	if err != nil {
		s.Log.Error("the identities cannot be read; nobody is let in until they can", "error", err)
		v = &view{}
	}
	s.current.Store(v)
	return err
}

// include adds an identity to a view.
func (s *Store) include(v *view, kind Kind, name string, r *record) error {
	set, err := s.parse(kind, name, r)
	if err != nil {
		return err
	}
	if kind == Role {
		v.roles[name] = &role{policies: set, sessionsFrom: r.SessionsFrom}
		return nil
	}
	arn, userName, userType, userID := s.ARN(User, name), name, "User", name
	if name == Root {
		userName, userType, userID = "", "Account", s.Account
	}
	for _, k := range r.Keys {
		secret, err := s.Master.Open(k.Sealed, purpose(k.ID))
		if err != nil {
			return err
		}
		if !k.Active {
			clear(secret)
			continue
		}
		v.keys[k.ID] = &accessKey{expires: k.Expires, credential: Credential{Secret: secret, Principal: &Principal{
			ARN: arn, UserID: userID, AccessKeyID: k.ID, Base: k.ID, policies: set,
			Attributes: attributes(s.Account, userType, arn, userID, userName),
		}}}
	}
	return nil
}

// parse reads the policies of an identity.
func (s *Store) parse(kind Kind, name string, r *record) (set policy.Set, err error) {
	for _, d := range r.Policies {
		p, err := policy.Parse(d.Name, d.Text, s.Conditions)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "The %s %s cannot be used as it is stored. %s", kind, name, fault.TextOf(err))
		}
		set = append(set, p)
	}
	return set, nil
}

// attributes are the condition keys of a principal.
func attributes(account, kind, arn, userID, userName string) []policy.Attribute {
	all := []policy.Attribute{
		{Key: "aws:PrincipalArn", Value: arn}, {Key: "aws:PrincipalAccount", Value: account},
		{Key: "aws:PrincipalType", Value: kind}, {Key: "aws:userid", Value: userID},
	}
	if userName != "" {
		all = append(all, policy.Attribute{Key: "aws:username", Value: userName})
	}
	return all
}
