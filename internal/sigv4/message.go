package sigv4

import (
	"net/http"
	"strconv"
	"strings"
)

// Message is a signed request as this package looks at it. What it gives must stay
// as it is while it is being parsed and verified, and no longer: servers that do
// without net/http can show parts of their buffers.
type Message interface {
	// SentMethod, SentPath and SentQuery are parts of the request line as the client
	// sent them.
	SentMethod() string
	SentPath() string
	SentQuery() string
	// Value gives the i-th value of the field of this name, which is in lower case.
	// The fields Host and Content-Length are among them.
	Value(name string, i int) (value string, ok bool)
}

// httpMessage is a request of net/http, which keeps host, content-length and
// transfer-encoding outside of its header.
type httpMessage http.Request

func (m *httpMessage) SentMethod() string { return m.Method }
func (m *httpMessage) SentPath() string   { return wirePath((*http.Request)(m)) }
func (m *httpMessage) SentQuery() string  { return m.URL.RawQuery }

func (m *httpMessage) Value(name string, i int) (value string, ok bool) {
	if name == "host" {
		return m.Host, i == 0
	}
	var room [64]byte
	values := m.Header[string(appendCanonicalName(room[:0], name))]
	if values == nil {
		switch {
		case name == "content-length" && m.ContentLength >= 0:
			return strconv.FormatInt(m.ContentLength, 10), i == 0
		case name == "transfer-encoding":
			values = m.TransferEncoding
		}
	}
	if i < len(values) {
		return values[i], true
	}
	return "", false
}

// first gives the first value of a field, or "".
func first(m Message, name string) string {
	v, _ := m.Value(name, 0)
	return v
}

// Parse finds the signature of a request in its Authorization header or, for a
// presigned request, in its query. It answers ErrUnsigned when there is none
// and an *Error with the reason Incomplete when one is there but not whole. It
// reads neither the clock nor the body.
func Parse(r *http.Request) (Signature, error) { return ParseMessage((*httpMessage)(r)) }

// ParseMessage is Parse for a Message.
func ParseMessage(m Message) (Signature, error) {
	auth, signed := m.Value(authorization, 0)
	raw := m.SentQuery()
	query := presignQuery{}
	if strings.Contains(raw, "X-Amz-") {
		if err := query.read(raw); err != nil {
			return Signature{}, err
		}
	}
	presigned := query.algorithm != "" || query.signature != ""
	if !signed && !presigned {
		return Signature{}, ErrUnsigned
	}
	if _, more := m.Value(authorization, 1); more {
		return Signature{}, incomplete("The request has more than one Authorization header.")
	}
	switch {
	case signed && presigned:
		return Signature{}, incomplete("The request is signed both in the Authorization header and in the query; only one is allowed.")
	case presigned:
		return query.parse()
	}
	return parseHeader(m, auth)
}
