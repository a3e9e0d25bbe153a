package sigv4

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// presignQuery is the signature part of a query, decoded.
type presignQuery struct {
	algorithm, credential, date, expires, signedHeaders, signature, token string
}

// field gives the place of a parameter, nil when it is not of the signature.
func (q *presignQuery) field(name string) *string {
	switch name {
	case "X-Amz-Algorithm":
		return &q.algorithm
	case "X-Amz-Credential":
		return &q.credential
	case amzDate:
		return &q.date
	case "X-Amz-Expires":
		return &q.expires
	case "X-Amz-SignedHeaders":
		return &q.signedHeaders
	case "X-Amz-Signature":
		return &q.signature
	case amzToken:
		return &q.token
	}
	return nil
}

func (q *presignQuery) read(raw string) error {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(pair, "=")
		field := q.field(name)
		if field == nil {
			continue
		}
		if *field != "" {
			return incomplete("The query names %s more than once.", name)
		}
		text, err := url.QueryUnescape(value)
		if err != nil {
			return incomplete("The query parameter %s is not correctly encoded.", name)
		}
		*field = text
	}
	return nil
}

func (q *presignQuery) parse() (Signature, error) {
	if q.algorithm != Algorithm {
		return Signature{}, incomplete("The query parameter X-Amz-Algorithm must be %s, the only algorithm supported.", Algorithm)
	}
	s := Signature{Presigned: true, SignedHeaders: q.signedHeaders, SessionToken: q.token}
	if err := s.fill("query", q.credential, q.signature); err != nil {
		return Signature{}, err
	}
	if q.expires != "" {
		n, err := strconv.Atoi(q.expires)
		if err != nil || n < 1 || n > maxExpires {
			return Signature{}, incomplete("X-Amz-Expires must be a number of seconds from 1 to %d.", maxExpires)
		}
		s.Expires = time.Duration(n) * time.Second
	}
	if err := s.setTime(q.date); err != nil {
		return Signature{}, err
	}
	return s, nil
}

// ScopeOf finds out cheaply for which service and region a request claims to be
// signed, so that it can be routed before its key is looked up. ok is false when
// the request carries no credential of the right form. It proves nothing.
func ScopeOf(r *http.Request) (scope Scope, ok bool) {
	if auth := r.Header["Authorization"]; len(auth) > 0 {
		return scopeOfHeader(auth[0])
	}
	for raw := r.URL.RawQuery; raw != ""; {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		value, found := strings.CutPrefix(pair, "X-Amz-Credential=")
		if !found {
			continue
		}
		text, err := url.QueryUnescape(value)
		if err != nil {
			return Scope{}, false
		}
		_, scope, ok = splitCredential(text)
		return scope, ok
	}
	return Scope{}, false
}

// scopeOfHeader is that of an Authorization header's credential.
func scopeOfHeader(auth string) (scope Scope, ok bool) {
	_, rest, _ := strings.Cut(strings.TrimSpace(auth), " ")
	for rest != "" {
		var name, value string
		if name, value, rest = nextPart(rest); name == "Credential" {
			_, scope, ok = splitCredential(value)
			return scope, ok
		}
	}
	return Scope{}, false
}
