package api

import (
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
)

// credentials is STS's shape of a session's keys.
type credentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

func credentialsOf(s identity.Session) credentials {
	return credentials{
		AccessKeyID: s.AccessKeyID, SecretAccessKey: string(s.Secret), SessionToken: s.Token,
		Expiration: s.Expires.UTC().Format(time.RFC3339),
	}
}

// assumedRole is STS's shape of who a session of a role is.
type assumedRole struct {
	Arn           string
	AssumedRoleID string `xml:"AssumedRoleId"`
}

// assumeRole answers STS AssumeRole. Who may is said by the policies of the caller:
// roles have no policies of their own for it.
func (s *Server) assumeRole(c *call, form url.Values) (any, error) {
	c.mutates = true
	if err := refuseSTS(form, "RoleArn", "RoleSessionName", "Policy", "DurationSeconds"); err != nil {
		return nil, err
	}
	arn := form.Get("RoleArn")
	if err := c.allow("sts:AssumeRole", s.roleARN(arn)); err != nil {
		return nil, err
	}
	most := identity.MaxSession
	if c.who != nil && strings.HasPrefix(c.who.ARN, "arn:aws:sts:") {
		most = identity.ChainedSession
	}
	length, err := duration(form, identity.DefaultSession, most)
	if err != nil {
		return nil, err
	}
	if s.Identities == nil {
		return nil, noRole(c, arn)
	}
	session, err := s.Identities.AssumeRole(arn, form.Get("RoleSessionName"), form.Get("Policy"), length)
	if fault.Is(err, fault.NotFound) {
		c.refused = true
		return nil, noRole(c, arn)
	}
	if err != nil {
		return nil, err
	}
	return struct {
		XMLName  xml.Name    `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleResponse"`
		Keys     credentials `xml:"AssumeRoleResult>Credentials"`
		User     assumedRole `xml:"AssumeRoleResult>AssumedRoleUser"`
		Metadata metadata    `xml:"ResponseMetadata"`
	}{
		Keys: credentialsOf(session), User: assumedRole{session.Principal.ARN, session.Principal.UserID},
		Metadata: metadata{c.entry.RequestID},
	}, nil
}

// noRole is AWS's answer to who assumes a role that does not exist: it does not tell.
func noRole(c *call, arn string) error {
	who := "anonymous"
	if c.who != nil {
		who = c.who.ARN
	}
	return fault.New(fault.Denied, "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", who, clip(arn))
}

// sessionToken answers STS GetSessionToken, for which nobody needs a permission.
func (s *Server) sessionToken(c *call, form url.Values) (any, error) {
	c.mutates = true
	if err := refuseSTS(form, "DurationSeconds"); err != nil {
		return nil, err
	}
	if c.who == nil || c.who.AccessKeyID != c.who.Base {
		c.refused = true
		return nil, fault.New(fault.Denied, "Cannot call GetSessionToken with session credentials, nor with a key that the server does not know")
	}
	length, err := duration(form, identity.DefaultUserSession, identity.MaxUserSession)
	if err != nil {
		return nil, err
	}
	session, err := s.Identities.UserSession(c.who.AccessKeyID, length)
	if err != nil {
		return nil, err
	}
	return struct {
		XMLName  xml.Name    `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetSessionTokenResponse"`
		Keys     credentials `xml:"GetSessionTokenResult>Credentials"`
		Metadata metadata    `xml:"ResponseMetadata"`
	}{Keys: credentialsOf(session), Metadata: metadata{c.entry.RequestID}}, nil
}

// refuseSTS refuses by name what a request has beyond the members that are known.
func refuseSTS(form url.Values, known ...string) error {
	var r refusals
	for _, name := range slices.Sorted(maps.Keys(form)) {
		member, _, _ := strings.Cut(name, ".")
		signature := member == "Action" || member == "Version" || strings.HasPrefix(member, "X-Amz-")
		r.add(!signature && !slices.Contains(known, member), clip(member))
	}
	return r.err(clip(form.Get("Action")))
}

// duration reads how long a session is to last.
func duration(form url.Values, usual, most time.Duration) (time.Duration, error) {
	text := form.Get("DurationSeconds")
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	d := time.Duration(n) * time.Second
	if err != nil || n > int(identity.MaxUserSession/time.Second) || d < identity.MinSession || d > most {
		return 0, &queryError{http.StatusBadRequest, "ValidationError", "DurationSeconds is " + strconv.Quote(clip(text)) + ", and may be from " +
			strconv.Itoa(int(identity.MinSession/time.Second)) + " to " + strconv.Itoa(int(most/time.Second)) + " here."}
	}
	return d, nil
}
