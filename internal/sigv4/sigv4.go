// Package sigv4 verifies AWS Signature Version 4 on requests that a server has
// received. It finds the signature (Parse), says for which service it was made
// (ScopeOf) and proves that the owner of a secret key made it (Verifier).
//
// Which secret belongs to an access key, what its owner may do, and which wire
// code an error becomes are left to others. Who reads a body in S3's STREAMING form
// shows its chunks to Chunks.
package sigv4

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Algorithm is the only signing algorithm that this package verifies.
const Algorithm = "AWS4-HMAC-SHA256"

const (
	timeLayout  = "20060102T150405Z"
	dayLayout   = "20060102"
	terminator  = "aws4_request"
	maxExpires  = 7 * 24 * 60 * 60
	hexSumLen   = 64
	amzDate     = "X-Amz-Date"
	amzToken    = "X-Amz-Security-Token"
	amzBodyHash = "X-Amz-Content-Sha256"

	// Names of fields in lower case.
	authorization = "authorization"
	amzDateField  = "x-amz-date"
	amzTokenField = "x-amz-security-token"
)

// Scope is what a signing key is good for: one day, region and service.
type Scope struct {
	// Date is the UTC day as yyyymmdd.
	Date    string
	Region  string
	Service string
}

// Signature is a signature as a request carries it, well-formed but not yet
// verified: nothing in it may be trusted before Verify has returned nil.
type Signature struct {
	AccessKeyID string
	Scope       Scope
	// Time is when the client says that it signed.
	Time time.Time
	// SignedHeaders are the lower-case names in ascending order, joined by ";".
	SignedHeaders string
	// Presigned tells that the signature came in the query, not in the header.
	Presigned bool
	// Expires is how long a presigned request stays good after Time; 0 when the
	// query does not say.
	Expires time.Duration
	// SessionToken is the token of temporary credentials, or "".
	SessionToken string

	timestamp string // Time as the string to sign has it
	mac       [32]byte
}

// Signs reports whether the header of this lower-case name is signed.
func (s *Signature) Signs(name string) bool {
	for rest := s.SignedHeaders; rest != ""; {
		var head string
		head, rest, _ = strings.Cut(rest, ";")
		if head == name {
			return true
		}
	}
	return false
}

func parseHeader(m Message, auth string) (Signature, error) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(auth), " ")
	if scheme != Algorithm {
		return Signature{}, incomplete("The Authorization header uses a scheme other than %s, the only one supported.", Algorithm)
	}
	var s Signature
	var credential, mac string
	for rest != "" {
		var name, value string
		name, value, rest = nextPart(rest)
		field := &mac
		switch name {
		case "Credential":
			field = &credential
		case "SignedHeaders":
			field = &s.SignedHeaders
		case "Signature":
		default:
			return Signature{}, incomplete("The Authorization header has a part that is none of Credential, SignedHeaders and Signature.")
		}
		if *field != "" {
			return Signature{}, incomplete("The Authorization header names %s more than once.", name)
		}
		*field = value
	}
	s.SessionToken = first(m, amzTokenField)
	if err := s.fill("Authorization header", credential, mac); err != nil {
		return Signature{}, err
	}
	return s, s.dateFromHeader(m)
}

// nextPart takes the first part off what comes after the scheme of an Authorization
// header. Whoever looks for the credential reads parts by it: two ways to read them would
// route a request by one credential and check it by another.
func nextPart(parts string) (name, value, rest string) {
	part, rest, _ := strings.Cut(parts, ",")
	name, value, _ = strings.Cut(strings.TrimSpace(part), "=")
	return name, value, rest
}

// fill checks and stores what both places of a signature have in common.
func (s *Signature) fill(place, credential, mac string) error {
	if credential == "" {
		return incomplete("The %s requires the parameter Credential.", place)
	}
	if s.SignedHeaders == "" {
		return incomplete("The %s requires the parameter SignedHeaders.", place)
	}
	if mac == "" {
		return incomplete("The %s requires the parameter Signature.", place)
	}
	var ok bool
	if s.AccessKeyID, s.Scope, ok = splitCredential(credential); !ok {
		return incomplete("The Credential in the %s must have the form key/yyyymmdd/region/service/%s.", place, terminator)
	}
	if err := checkSignedHeaders(s.SignedHeaders); err != nil {
		return err
	}
	if !decodeMAC(&s.mac, mac) {
		return incomplete("The Signature in the %s is not %d hexadecimal digits.", place, hexSumLen)
	}
	return nil
}

// checkSignedHeaders demands the canonical form: lower-case names, strictly
// ascending. That each name comes once also bounds the canonical request by the
// size of the request.
func checkSignedHeaders(list string) error {
	last, host := "", false
	for rest, more := list, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, ";")
		if name <= last {
			return incomplete("SignedHeaders must list each header once, in ascending order.")
		}
		for i := range len(name) {
			if c := name[i]; c <= ' ' || c >= 0x7f || c == ':' || 'A' <= c && c <= 'Z' {
				return incomplete("SignedHeaders must be lower-case header names.")
			}
		}
		host = host || name == "host"
		last = name
	}
	if !host {
		return incomplete("The header host must be signed.")
	}
	return nil
}

func (s *Signature) dateFromHeader(m Message) error {
	stamp := first(m, amzDateField)
	if stamp == "" {
		date := first(m, "date")
		if date == "" {
			return incomplete("A signed request must have the header X-Amz-Date or Date.")
		}
		if t, err := http.ParseTime(date); err == nil {
			stamp = t.UTC().Format(timeLayout)
		} else {
			stamp = date
		}
	}
	return s.setTime(stamp)
}

func (s *Signature) setTime(stamp string) error {
	t, ok := parseStamp(stamp)
	if !ok {
		return incomplete("The date of the request must have the form yyyymmddThhmmssZ.")
	}
	if stamp[:len(dayLayout)] != s.Scope.Date {
		return incomplete("The date in the Credential, %s, is not the day of the request, %s.", s.Scope.Date, stamp[:len(dayLayout)])
	}
	s.Time, s.timestamp = t, stamp
	return nil
}

// parseStamp reads a time of timeLayout, as time.Parse does, which is slow enough to
// be seen in the cost of an invocation.
func parseStamp(s string) (t time.Time, ok bool) {
	if len(s) != len(timeLayout) || s[8] != 'T' || s[15] != 'Z' {
		return t, false
	}
	var part [6]int // year, month, day, hour, minute, second
	at := 0
	for i := range part {
		digits := 2
		switch i {
		case 0:
			digits = 4
		case 3:
			at++ // the T
		}
		for range digits {
			d := s[at] - '0'
			if d > 9 {
				return t, false
			}
			part[i] = part[i]*10 + int(d)
			at++
		}
	}
	t = time.Date(part[0], time.Month(part[1]), part[2], part[3], part[4], part[5], 0, time.UTC)
	// Date carries over what is out of range; time.Parse refuses it.
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	return t, part == [6]int{year, int(month), day, hour, minute, second}
}

// splitCredential takes key/date/region/service/aws4_request apart from the
// right, because an access key may contain slashes. Blanks and commas, at which some
// would end it and others not, are in none.
func splitCredential(c string) (key string, scope Scope, ok bool) {
	if strings.IndexByte(c, ' ') >= 0 || strings.IndexByte(c, ',') >= 0 {
		return "", Scope{}, false
	}
	c, ok = strings.CutSuffix(c, "/"+terminator)
	if !ok {
		return "", Scope{}, false
	}
	for _, part := range [...]*string{&scope.Service, &scope.Region, &scope.Date} {
		i := strings.LastIndexByte(c, '/')
		if i < 0 {
			return "", Scope{}, false
		}
		*part = c[i+1:]
		c = c[:i]
	}
	ok = c != "" && scope.Service != "" && scope.Region != "" && isDay(scope.Date)
	return c, scope, ok
}

func isDay(s string) bool {
	if len(s) != len(dayLayout) {
		return false
	}
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

func decodeMAC(dst *[32]byte, s string) bool {
	if len(s) != hexSumLen {
		return false
	}
	bad := byte(0)
	for i := range dst {
		hi, lo := hexDigits[s[2*i]], hexDigits[s[2*i+1]]
		bad |= hi | lo
		dst[i] = hi<<4 | lo&15
	}
	return bad < 16
}

// hexDigits gives the value of each hexadecimal digit, and 255 for other bytes.
var hexDigits = func() (t [256]byte) {
	for ch := range t {
		t[ch] = unhex(byte(ch))
	}
	return t
}()

// unhex gives the value of a hexadecimal digit, or more than 15.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
