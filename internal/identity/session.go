package identity

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/policy"
)

// Session is temporary credentials: of somebody who assumed a role, or of a user.
type Session struct {
	AccessKeyID string
	Secret      keyring.Secret
	Token       string
	Expires     time.Time
	Principal   *Principal
}

// The bounds of sessions, as in STS.
const (
	MinSession     = 15 * time.Minute
	MaxSession     = 12 * time.Hour
	DefaultSession = time.Hour
	// ChainedSession is the longest session of a role that was assumed in a session.
	ChainedSession = time.Hour
	// MaxUserSession and DefaultUserSession are those of a user's own sessions.
	MaxUserSession     = 36 * time.Hour
	DefaultUserSession = 12 * time.Hour
	maxPolicyText      = 2048
	maxToken           = 16 << 10
	maxSessions        = 1024 // kept in a view
)

// sessionNames are the names that sessions may have, as in STS.
var sessionNames = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// claims are what a token says. The token is sealed under the master key, so that
// it needs no row in the database and its bearer cannot read or change it.
type claims struct {
	KeyID   string
	Secret  []byte
	User    string `json:",omitempty"` // a user's session: the access key that it stands for
	Role    string `json:",omitempty"` // by name: its policies are those at the time of each request
	Name    string `json:",omitempty"` // of the session
	Policy  string `json:",omitempty"` // of the session
	Issued  int64  // epoch nanoseconds
	Expires int64  // epoch seconds
}

// tokenPurpose is what a token is sealed for.
const tokenPurpose = "session-token"

// session is a token that has been opened.
type session struct {
	credential Credential
	keyID      string
	expires    time.Time
}

// AssumeRole begins a session of a role. Whether the caller may is decided before,
// by the action sts:AssumeRole on the role's ARN. document narrows what the role
// may do; "" does not.
func (s *Store) AssumeRole(roleARN, name, document string, duration time.Duration) (Session, error) {
	r, err := s.Role(roleARN)
	if err != nil {
		return Session{}, err
	}
	switch {
	case !sessionNames.MatchString(name):
		return Session{}, fault.New(fault.Invalid, "The name of the session, %q, must have 2 to 64 letters, digits and characters of _+=,.@-.", printable(name))
	case duration < MinSession || duration > MaxSession:
		return Session{}, fault.New(fault.Invalid, "The session would last %s, and may last from %s to %s.", duration, MinSession, MaxSession)
	case len(document) > maxPolicyText:
		return Session{}, fault.New(fault.Invalid, "The policy of the session has %d bytes, and may have %d.", len(document), maxPolicyText)
	}
	return s.begin(claims{Role: r.UserID, Name: name, Policy: document}, duration)
}

// UserSession begins a session of the user of an access key, which may do what the
// user may and ends with the key.
func (s *Store) UserSession(accessKeyID string, duration time.Duration) (Session, error) {
	if duration < MinSession || duration > MaxUserSession {
		return Session{}, fault.New(fault.Invalid, "The session would last %s, and may last from %s to %s.", duration, MinSession, MaxUserSession)
	}
	return s.begin(claims{User: accessKeyID}, duration)
}

// begin makes the credentials of a session.
func (s *Store) begin(c claims, duration time.Duration) (Session, error) {
	now := s.Now()
	c.KeyID, c.Secret = newKeyID("ASIA"), newSecret()
	c.Issued, c.Expires = now.UnixNano(), now.Add(duration).Unix()
	opened, err := s.open(s.current.Load(), &c)
	if err != nil {
		return Session{}, err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return Session{}, fault.Wrap(fault.Internal, err, "The session cannot be written.")
	}
	token := base64.StdEncoding.EncodeToString(s.Master.Seal(body, tokenPurpose))
	clear(body)
	return Session{
		AccessKeyID: c.KeyID, Secret: c.Secret, Token: token, Expires: opened.expires, Principal: opened.credential.Principal,
	}, nil
}

// session finds the credential of a token.
func (s *Store) session(v *view, accessKeyID, token string) (Credential, error) {
	v.mu.RLock()
	found := v.sessions[token]
	v.mu.RUnlock()
	if found == nil {
		var err error
		if found, err = s.read(v, token); err != nil {
			return Credential{}, err
		}
		v.remember(token, found)
	}
	if subtle.ConstantTimeCompare([]byte(found.keyID), []byte(accessKeyID)) != 1 {
		return Credential{}, ErrUnknown
	}
	if !s.Now().Before(found.expires) {
		return Credential{}, ErrExpired
	}
	return found.credential, nil
}

// remember keeps a session for the next request, within the bound: when it is
// reached all are forgotten, and those in use come back by themselves.
func (v *view) remember(token string, found *session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sessions == nil || len(v.sessions) >= maxSessions {
		v.sessions = map[string]*session{}
	}
	v.sessions[strings.Clone(token)] = found
}

// read opens a token. All that is wrong with one looks the same from outside.
func (s *Store) read(v *view, token string) (*session, error) {
	if len(token) > maxToken {
		return nil, ErrUnknown
	}
	sealed, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil {
		return nil, ErrUnknown
	}
	body, err := s.Master.Open(sealed, tokenPurpose)
	if err != nil {
		return nil, ErrUnknown
	}
	defer clear(body)
	var c claims
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, ErrUnknown
	}
	opened, err := s.open(v, &c)
	if err != nil {
		return nil, ErrUnknown
	}
	return opened, nil
}

// open makes a session of what a token says and what its role or user is now.
func (s *Store) open(v *view, c *claims) (*session, error) {
	if c.User != "" {
		return s.openUser(v, c)
	}
	r := v.roles[c.Role]
	if r == nil || !time.Unix(0, c.Issued).After(r.sessionsFrom) {
		return nil, ErrUnknown
	}
	p := &Principal{
		ARN:         "arn:aws:sts::" + s.Account + ":assumed-role/" + c.Role + "/" + c.Name,
		UserID:      c.Role + ":" + c.Name,
		AccessKeyID: c.KeyID,
		Base:        s.ARN(Role, c.Role),
		policies:    r.policies,
	}
	p.Attributes = attributes(s.Account, "AssumedRole", p.ARN, p.UserID, "")
	if c.Policy != "" {
		own, err := policy.Parse("session", c.Policy, s.Conditions)
		if err != nil {
			return nil, err
		}
		p.session = policy.Set{own}
	}
	return &session{
		credential: Credential{Secret: c.Secret, Principal: p},
		keyID:      c.KeyID, expires: time.Unix(c.Expires, 0),
	}, nil
}

// openUser makes the session of a user. Its key must be good still.
func (s *Store) openUser(v *view, c *claims) (*session, error) {
	k := v.keys[c.User]
	if k == nil {
		return nil, ErrUnknown
	}
	p := *k.credential.Principal
	p.AccessKeyID = c.KeyID
	ends := time.Unix(c.Expires, 0)
	if !k.expires.IsZero() && k.expires.Before(ends) {
		ends = k.expires
	}
	return &session{credential: Credential{Secret: c.Secret, Principal: &p}, keyID: c.KeyID, expires: ends}, nil
}
