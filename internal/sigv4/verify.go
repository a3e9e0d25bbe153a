package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxSigningKeys bounds the signing keys that a Verifier remembers.
const maxSigningKeys = 256

// Rules are what services differ in. Use JSONRules or S3Rules.
type Rules struct {
	// Skew is how far the client's clock may be from ours, and how long a
	// presigned request without X-Amz-Expires stays good.
	Skew time.Duration
	// S3 takes the path as the key it names, neither encoded twice nor
	// normalised, wants every x-amz-* header signed and X-Amz-Expires given.
	S3 bool
}

// JSONRules are the rules of the JSON services, such as SageMaker.
func JSONRules() Rules { return Rules{Skew: 5 * time.Minute} }

// S3Rules are the rules of S3.
func S3Rules() Rules { return Rules{Skew: 15 * time.Minute, S3: true} }

// Verifier verifies signatures. It remembers a bounded number of signing keys,
// only such as a valid request has used. It is safe for concurrent use.
type Verifier struct {
	now     func() time.Time
	scratch sync.Pool // of *scratch

	mu   sync.RWMutex
	keys map[keyName]*signingKey
}

// keyName names a signing key by what it is derived from.
type keyName struct {
	secret string
	scope  Scope
}

// signingKey holds HMAC states that are keyed and ready.
type signingKey struct{ macs sync.Pool } // of hash.Hash

type scratch struct {
	canonical canonical
	text      []byte // the string to sign
	sum       []byte
}

// NewVerifier makes a Verifier that reads the time from now; nil is time.Now.
func NewVerifier(now func() time.Time) *Verifier {
	if now == nil {
		now = time.Now
	}
	v := &Verifier{now: now, keys: make(map[keyName]*signingKey)}
	v.scratch.New = func() any { return new(scratch) }
	return v
}

// Verify proves that s, which Parse found in r, was made with secret over this
// request and a body with this payload hash (BodyHash, or DeclaredPayloadHash
// for S3), and that it is of our time. It answers nil or an *Error. It does not
// read the body and keeps nothing of r.
func (v *Verifier) Verify(r *http.Request, s *Signature, secret, payloadHash string, rules Rules) error {
	if rules.S3 {
		if err := s.checkTime(v.now(), rules); err != nil {
			return err
		}
		if err := s.checkS3Coverage(r.Header); err != nil {
			return err
		}
	}
	return v.verify((*httpMessage)(r), s, secret, payloadHash, rules)
}

// VerifyMessage is Verify by JSONRules for a Message with its whole body.
func (v *Verifier) VerifyMessage(m Message, s *Signature, secret string, body []byte) error {
	return v.verify(m, s, secret, BodyHash(body), JSONRules())
}

func (v *Verifier) verify(m Message, s *Signature, secret, payloadHash string, rules Rules) error {
	if err := s.checkTime(v.now(), rules); err != nil {
		return err
	}
	if _, there := m.Value("x-amz-target", 0); there && !rules.S3 && !s.Signs("x-amz-target") {
		return incomplete("The header x-amz-target must be signed.")
	}
	name := keyName{secret: secret, scope: s.Scope}
	v.mu.RLock()
	key := v.keys[name]
	v.mu.RUnlock()
	known := key != nil
	if !known {
		key = deriveKey(secret, s.Scope)
	}
	if !v.matches(m, s, key, payloadHash, rules.S3) {
		return newError(Mismatch, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if !known {
		v.remember(name, key)
	}
	return nil
}

func (v *Verifier) matches(m Message, s *Signature, key *signingKey, payloadHash string, s3 bool) bool {
	w := v.scratch.Get().(*scratch)
	defer v.scratch.Put(w)
	mac := key.macs.Get().(hash.Hash)
	defer key.macs.Put(mac)
	first, second := canonicalPaths(m.SentPath(), s3)
	for _, path := range [...]string{first, second} {
		if path == "" {
			break
		}
		digest := sha256.Sum256(w.canonical.build(m, s, path, payloadHash))
		w.text = s.appendStringToSign(w.text[:0], digest)
		mac.Reset()
		mac.Write(w.text)
		w.sum = mac.Sum(w.sum[:0])
		if subtle.ConstantTimeCompare(w.sum, s.mac[:]) == 1 {
			return true
		}
	}
	return false
}

func (s *Signature) appendStringToSign(b []byte, digest [32]byte) []byte {
	b = append(b, Algorithm+"\n"...)
	b = append(b, s.timestamp...)
	b = append(b, '\n')
	for _, part := range [...]string{s.Scope.Date, s.Scope.Region, s.Scope.Service} {
		b = append(b, part...)
		b = append(b, '/')
	}
	b = append(b, terminator+"\n"...)
	return hex.AppendEncode(b, digest[:])
}

// checkTime applies the window of the clock, and for presigned requests the
// time that they are good for.
func (s *Signature) checkTime(now time.Time, rules Rules) error {
	late := now.Add(rules.Skew)
	if s.Time.After(late) {
		return newError(Skewed, "Signature not yet current: %s is still later than %s (%s + %d min.)",
			s.timestamp, stamp(late), stamp(now), int(rules.Skew.Minutes()))
	}
	if s.Presigned && s.Expires > 0 {
		if now.After(s.Time.Add(s.Expires)) {
			return newError(Expired, "Request has expired: it was signed at %s for %d seconds, and it is %s.",
				s.timestamp, int(s.Expires.Seconds()), stamp(now))
		}
		return nil
	}
	if s.Presigned && rules.S3 {
		return incomplete("A presigned request must have the query parameter X-Amz-Expires.")
	}
	if early := now.Add(-rules.Skew); s.Time.Before(early) {
		return newError(Skewed, "Signature expired: %s is now earlier than %s (%s - %d min.)",
			s.timestamp, stamp(early), stamp(now), int(rules.Skew.Minutes()))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(timeLayout) }

// checkS3Coverage refuses x-amz-* headers that the signature leaves open to others.
func (s *Signature) checkS3Coverage(h http.Header) error {
	for name := range h {
		if !strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		if lower := strings.ToLower(name); !s.Signs(lower) {
			return newError(Mismatch, "The header %s is present in the request but not signed.", lower)
		}
	}
	return nil
}

func (v *Verifier) remember(name keyName, key *signingKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.keys) >= maxSigningKeys {
		clear(v.keys)
	}
	name.scope = Scope{
		Date:    strings.Clone(name.scope.Date),
		Region:  strings.Clone(name.scope.Region),
		Service: strings.Clone(name.scope.Service),
	}
	v.keys[name] = key
}

func deriveKey(secret string, scope Scope) *signingKey {
	key := []byte("AWS4" + secret)
	for _, part := range [...]string{scope.Date, scope.Region, scope.Service, terminator} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	k := new(signingKey)
	k.macs.New = func() any { return hmac.New(sha256.New, key) }
	return k
}
