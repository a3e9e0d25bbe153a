package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/cwlogs"
)

// logTokens makes and reads the tokens of CloudWatch Logs: opaque, tamper-evident,
// bound to what was asked, and good for ever, since a position in a stream stays
// true.
type logTokens struct{ secret []byte }

// logPlace is what a token holds. Field names are short: tokens go back and forth.
type logPlace struct {
	After  joblog.Position `json:"a,omitempty"` // of lines: the last one that is done
	Before joblog.Position `json:"b,omitempty"` // of lines, going backward
	Name   string          `json:"n,omitempty"` // of groups and streams: the last one that is done
	Time   int64           `json:"t,omitempty"` // of streams by time, in milliseconds
}

// logMAC is how many bytes of the digest a token carries.
const logMAC = 16

// seal makes a token; asked is what it is bound to, and the same for open.
func (t logTokens) seal(at logPlace, asked ...string) *string {
	body, err := json.Marshal(at)
	if err != nil {
		return nil // not with these types
	}
	token := base64.RawURLEncoding.EncodeToString(append(t.mac(body, asked)[:logMAC], body...))
	return &token
}

// open reads a token that was made for the same question; none is the beginning.
func (t logTokens) open(token *string, asked ...string) (at logPlace, err error) {
	if token == nil {
		return at, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(*token) // it skips ends of lines
	if strings.ContainsAny(*token, "\r\n") || err != nil || len(raw) < logMAC || !hmac.Equal(raw[:logMAC], t.mac(raw[logMAC:], asked)[:logMAC]) || json.Unmarshal(raw[logMAC:], &at) != nil {
		return at, wire.Errorf(cwlogs.InvalidParameterException, "The specified nextToken is invalid.")
	}
	return at, nil
}

func (t logTokens) mac(body []byte, asked []string) []byte {
	h := hmac.New(sha256.New, t.secret)
	h.Write([]byte(strings.Join(asked, "\x00") + "\x00\x00"))
	h.Write(body)
	return h.Sum(nil)
}
