package api

import (
	"encoding/xml"
	"errors"
	"net/http"

	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// authenticate checks a request whose whole body is in memory. A key that the
// server knows must have signed correctly even where any other key is accepted.
func (s *Server) authenticate(r *http.Request, body []byte) error {
	sig, secret, err := s.identify(r)
	if err != nil || secret == "" {
		return err
	}
	if err := s.verifier.Verify(r, &sig, secret, sigv4.BodyHash(body), sigv4.JSONRules()); err != nil {
		return refused(err)
	}
	return nil
}

// identify finds the signature and the secret of its key. An empty secret with a
// nil error is a caller that the open mode lets pass unverified.
func (s *Server) identify(r *http.Request) (sig sigv4.Signature, secret string, err error) {
	sig, err = sigv4.Parse(r)
	if errors.Is(err, sigv4.ErrUnsigned) && s.Open {
		return sig, "", nil
	}
	if err != nil {
		return sig, "", refused(err)
	}
	secret, known := s.Keys(sig.AccessKeyID)
	switch {
	case known:
		return sig, secret, nil
	case s.Open:
		return sig, "", nil
	}
	return sig, "", wire.Errorf(wire.UnrecognizedClientException, "The security token included in the request is invalid.")
}

// refused gives a signature error the code that AWS answers.
func refused(err error) error {
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

// serveS3 authenticates a request by S3's rules and hands it to the embedded S3.
// The body is streamed, so its hash is checked as it is read.
func (s *Server) serveS3(w http.ResponseWriter, r *http.Request) {
	if s.S3 == nil {
		s3Error(w, http.StatusNotImplemented, "NotImplemented", "This server's jobs use another S3; there is no embedded one.")
		return
	}
	sig, secret, err := s.identify(r)
	if err != nil {
		s.s3Refused(w, err)
		return
	}
	if secret != "" {
		hash, err := sigv4.DeclaredPayloadHash(r, &sig)
		if err == nil {
			err = s.verifier.Verify(r, &sig, secret, hash, sigv4.S3Rules())
		}
		if err != nil {
			s.s3Refused(w, err)
			return
		}
		r.Body = sigv4.VerifyBody(r.Body, hash)
	}
	s.S3.ServeHTTP(w, r)
}

// s3Refused answers in S3's own codes.
func (s *Server) s3Refused(w http.ResponseWriter, err error) {
	var e *sigv4.Error
	if !errors.As(err, &e) {
		var known *wire.Error
		if errors.As(err, &known) && known.Code == wire.UnrecognizedClientException {
			s3Error(w, http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
			return
		}
		s3Error(w, http.StatusForbidden, "AccessDenied", "Access Denied")
		return
	}
	code := map[sigv4.Reason]string{
		sigv4.Incomplete: "AuthorizationHeaderMalformed",
		sigv4.Mismatch:   "SignatureDoesNotMatch",
		sigv4.Skewed:     "RequestTimeTooSkewed",
	}[e.Reason]
	if code == "" {
		code = "AccessDenied"
	}
	s3Error(w, http.StatusForbidden, code, e.Error())
}

// s3Error answers an error in S3's XML.
func s3Error(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	w.Write([]byte(xml.Header))
	xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
}
