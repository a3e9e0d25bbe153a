package api

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"net/http"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/s3api"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// proof is what a caller proved itself with. One without a Principal is of somebody
// unknown, whom an open server lets pass.
type proof struct {
	identity.Credential
	signature sigv4.Signature
	hash      string // of the body, as the signature covers it
}

// authenticate finds out who sent a request whose whole body is in memory. A caller
// whom the server knows must have signed correctly even where any other is let pass.
func (s *Server) authenticate(r *http.Request, body []byte) error {
	_, err := s.prove(r, sigv4.JSONRules(), func(*sigv4.Signature) (string, error) { return sigv4.BodyHash(body), nil })
	return err
}

// prove is authenticate by any rules. hash gives the hash of the body that the
// signature must cover.
func (s *Server) prove(r *http.Request, rules sigv4.Rules, hash func(*sigv4.Signature) (string, error)) (p proof, err error) {
	c := callOf(r.Context())
	p.signature, err = sigv4.Parse(r)
	if errors.Is(err, sigv4.ErrUnsigned) && s.Open {
		return p, s.limits.take(nil)
	}
	if err == nil {
		c.entry.AccessKeyID = p.signature.AccessKeyID
		p.Credential, err = s.credential(p.signature.AccessKeyID, p.signature.SessionToken)
	}
	if err == nil && p.Principal != nil {
		if p.hash, err = hash(&p.signature); err == nil {
			err = s.verifier.Verify(r, &p.signature, string(p.Secret), p.hash, rules)
		}
	}
	if err != nil {
		c.refused = true
		return p, err
	}
	if p.Principal != nil {
		c.proves(p.Principal)
	}
	return p, s.limits.take(p.Principal)
}

// credential finds what an access key's signatures are verified with. One without a
// Principal is that of somebody unknown whom an open server lets pass. Nothing is
// proved by it.
func (s *Server) credential(id, token string) (identity.Credential, error) {
	if s.Identities != nil {
		found, err := s.Identities.Lookup(id, token)
		if err == nil || errors.Is(err, identity.ErrExpired) {
			return found, err
		}
		if token != "" {
			if _, err := s.Identities.Lookup(id, ""); err == nil { // a token does not make one unknown
				return identity.Credential{}, identity.ErrUnknown
			}
		}
	}
	if s.Open {
		return identity.Credential{}, nil
	}
	return identity.Credential{}, identity.ErrUnknown
}

// refused gives an error of authentication the code that AWS's JSON services answer;
// other errors come back as they are.
func refused(err error) error {
	switch {
	case errors.Is(err, identity.ErrUnknown):
		return wire.Errorf(wire.UnrecognizedClientException, "%s", identity.ErrUnknown.Text)
	case errors.Is(err, identity.ErrExpired):
		return wire.Errorf(wire.ExpiredTokenException, "%s", identity.ErrExpired.Text)
	}
	var e *sigv4.Error
	if !errors.As(err, &e) {
		return err
	}
	code := wire.InvalidSignatureException
	switch e.Reason {
	case sigv4.Unsigned:
		code = wire.MissingAuthenticationTokenException
	case sigv4.Incomplete:
		code = wire.IncompleteSignatureException
	}
	out := wire.Errorf(code, "%s", e.Error())
	out.Status = http.StatusForbidden
	return out
}

// serveS3 authenticates a request by S3's rules and hands it to the embedded S3,
// which asks Allow. The body is streamed, so its hash, or the signatures of its
// chunks, are checked as it is read.
func (s *Server) serveS3(w http.ResponseWriter, r *http.Request, c *call) {
	c.names("s3", "", r.Method != http.MethodGet && r.Method != http.MethodHead)
	if c.mutates {
		w = &recorder{ResponseWriter: w, call: c}
	}
	if s.S3 == nil {
		s3Error(w, c, http.StatusNotImplemented, "NotImplemented", "This server's jobs use another S3; there is no embedded one.")
		return
	}
	p, err := s.prove(r, sigv4.S3Rules(), func(sig *sigv4.Signature) (string, error) { return sigv4.DeclaredPayloadHash(r, sig) })
	if err != nil {
		s3Refused(w, c, p.signature.SessionToken, err)
		return
	}
	r.Body = &patientBody{ReadCloser: r.Body, control: http.NewResponseController(w), step: s.slow.step}
	if p.Principal != nil {
		chunks := s.verifier.Chunks(&p.signature, string(p.Secret), p.hash)
		r = r.WithContext(s3api.WithChunks(r.Context(), chunks))
		r.Body = sigv4.VerifyBody(r.Body, p.hash)
	}
	s.S3.ServeHTTP(w, r)
}

// s3Codes are S3's own codes for signatures that do not hold.
var s3Codes = map[sigv4.Reason]string{
	sigv4.Incomplete: "AuthorizationHeaderMalformed",
	sigv4.Mismatch:   "SignatureDoesNotMatch",
	sigv4.Skewed:     "RequestTimeTooSkewed",
}

// s3Refused answers in S3's own codes.
func s3Refused(w http.ResponseWriter, c *call, token string, err error) {
	var e *sigv4.Error
	switch {
	case errors.As(err, &e):
		s3Error(w, c, http.StatusForbidden, cmp.Or(s3Codes[e.Reason], "AccessDenied"), e.Error())
	case errors.Is(err, identity.ErrExpired):
		s3Error(w, c, http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
	case errors.Is(err, identity.ErrUnknown) && token != "":
		s3Error(w, c, http.StatusBadRequest, "InvalidToken", "The provided token is malformed or otherwise not valid.")
	case errors.Is(err, identity.ErrUnknown):
		s3Error(w, c, http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
	case fault.Is(err, fault.Throttled):
		s3Error(w, c, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
	default:
		s3Error(w, c, http.StatusForbidden, "AccessDenied", "Access Denied")
	}
}

// s3Error answers an error in S3's XML.
func s3Error(w http.ResponseWriter, c *call, status int, code, message string) {
	c.failed(status, code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	w.Write([]byte(xml.Header))
	xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
}

// recorder notes in the call how an answer ended that others write.
type recorder struct {
	http.ResponseWriter
	call *call
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.call.entry.Status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter. The code of an error is in its XML.
func (w *recorder) Write(p []byte) (int, error) {
	if e := &w.call.entry; e.Status >= http.StatusBadRequest && e.Code == "" {
		if _, rest, ok := bytes.Cut(p, []byte("<Code>")); ok {
			code, _, _ := bytes.Cut(rest, []byte("</Code>"))
			e.Code = string(code)
		}
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
