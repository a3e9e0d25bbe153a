package control

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// tokens makes and reads NextToken: opaque, tamper-evident, and bound to the
// filters of the list that gave it (CP-23).
type tokens struct{ secret []byte }

// position is what a token holds.
type position struct {
	Filter []byte       // a digest of the query without its position
	After  state.Cursor // the last row of the page before
}

// seal makes the token for the page after a cursor, "" for none.
func (t tokens) seal(q state.Query, next *state.Cursor) string {
	if next == nil {
		return ""
	}
	body, err := json.Marshal(position{Filter: digest(q), After: *next})
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(t.mac(body), body...))
}

// open reads a token that was made for the same query.
func (t tokens) open(q state.Query, token string) (*state.Cursor, error) {
	if token == "" {
		return nil, nil
	}
	bad := fault.New(fault.Invalid, "The NextToken is not one that this list gave. Begin again without it.")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < sha256.Size || strings.ContainsAny(token, "\r\n") { // which decoding skips
		return nil, bad
	}
	mac, body := raw[:sha256.Size], raw[sha256.Size:]
	if !hmac.Equal(mac, t.mac(body)) {
		return nil, bad
	}
	var p position
	if json.Unmarshal(body, &p) != nil {
		return nil, bad
	}
	if !bytes.Equal(p.Filter, digest(q)) {
		return nil, fault.New(fault.Invalid, "The NextToken belongs to a list with other filters or another order. Repeat them unchanged, or begin again without it.")
	}
	return &p.After, nil
}

func (t tokens) mac(body []byte) []byte {
	h := hmac.New(sha256.New, t.secret)
	h.Write(body)
	return h.Sum(nil)
}

// digest is of everything in a query but its position and page size.
func digest(q state.Query) []byte {
	q.After, q.Limit = nil, 0
	sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%s|%v|%s", q.Region, q.NameContains, q.Status, q.SortBy, q.Descending, times(q)))
	return sum[:16]
}
