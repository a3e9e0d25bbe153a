package sigv4

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
)

// canonical builds canonical requests in buffers that are used again.
type canonical struct {
	buf   []byte // the canonical request
	query []byte // the encoded pairs of the query, in the order of the request
	pairs []pair
}

// pair is a parameter of the query, as places in canonical.query.
type pair struct{ start, equals, end int }

// build writes the canonical request of m with path as its canonical path.
func (c *canonical) build(m Message, s *Signature, path, payloadHash string) []byte {
	b := append(c.buf[:0], m.SentMethod()...)
	b = append(b, '\n')
	b = append(b, path...)
	b = append(b, '\n')
	b = c.appendQuery(b, m.SentQuery(), s.Presigned)
	b = append(b, '\n')
	for rest := s.SignedHeaders; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, ";")
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeader(b, m, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, s.SignedHeaders...)
	b = append(b, '\n')
	b = append(b, payloadHash...)
	c.buf = b
	return b
}

// appendHeader writes the values of a header, trimmed, with runs of blanks made
// one, repeated headers joined by commas in their order.
func appendHeader(b []byte, m Message, name string) []byte {
	for i := 0; ; i++ {
		value, ok := m.Value(name, i)
		if !ok {
			return b
		}
		if i > 0 {
			b = append(b, ',')
		}
		if name == "host" {
			b = append(b, value...)
			continue
		}
		b = appendTrimmed(b, value)
	}
}

// appendCanonicalName spells a lower-case header name as net/http's map does.
func appendCanonicalName(b []byte, name string) []byte {
	upper := true
	for i := range len(name) {
		ch := name[i]
		if upper && 'a' <= ch && ch <= 'z' {
			ch -= 'a' - 'A'
		}
		upper = ch == '-'
		b = append(b, ch)
	}
	return b
}

func appendTrimmed(b []byte, value string) []byte {
	if n := len(value); n > 0 && (value[0] <= ' ' || value[n-1] <= ' ') {
		value = strings.Trim(value, " \t\r\n")
	}
	if !strings.Contains(value, "  ") {
		return append(b, value...)
	}
	for i := range len(value) {
		if value[i] != ' ' || value[i-1] != ' ' {
			b = append(b, value[i])
		}
	}
	return b
}

// appendQuery writes the query with its pairs encoded and then sorted by name
// and value. A presigned query goes without its signature.
func (c *canonical) appendQuery(b []byte, raw string, presigned bool) []byte {
	if raw == "" {
		return b
	}
	c.query, c.pairs = c.query[:0], c.pairs[:0]
	for more := true; more; {
		var part string
		part, raw, more = strings.Cut(raw, "&")
		if part == "" || presigned && strings.HasPrefix(part, "X-Amz-Signature=") {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		p := pair{start: len(c.query)}
		c.query = appendRecoded(c.query, name, true)
		p.equals = len(c.query)
		c.query = append(c.query, '=')
		c.query = appendRecoded(c.query, value, true)
		p.end = len(c.query)
		c.pairs = append(c.pairs, p)
	}
	slices.SortStableFunc(c.pairs, func(x, y pair) int {
		q := c.query
		if d := bytes.Compare(q[x.start:x.equals], q[y.start:y.equals]); d != 0 {
			return d
		}
		return bytes.Compare(q[x.equals:x.end], q[y.equals:y.end])
	})
	for i, p := range c.pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, c.query[p.start:p.end]...)
	}
	return b
}

// appendRecoded writes text, which may be percent-encoded already, in the one
// encoding that AWS signs: unreserved characters as they are, all others as
// %XX. In a query a plus is a blank. A slash stays only outside of queries.
func appendRecoded(b []byte, text string, query bool) []byte {
	for i := 0; i < len(text); i++ {
		ch := text[i]
		switch {
		case ch == '%' && i+2 < len(text) && unhex(text[i+1]) < 16 && unhex(text[i+2]) < 16:
			ch = unhex(text[i+1])<<4 | unhex(text[i+2])
			i += 2
		case ch == '+' && query:
			ch = ' '
		case ch == '/' && !query:
			b = append(b, '/')
			continue
		}
		b = appendEncoded(b, ch)
	}
	return b
}

func appendEncoded(b []byte, ch byte) []byte {
	if unreserved(ch) {
		return append(b, ch)
	}
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[ch>>4], digits[ch&15])
}

func unreserved(ch byte) bool {
	return 'a' <= ch && ch <= 'z' || 'A' <= ch && ch <= 'Z' || '0' <= ch && ch <= '9' ||
		ch == '-' || ch == '.' || ch == '_' || ch == '~'
}

// wirePath is the path as the client sent it, still encoded. The request line
// is preferred: it stays what it was when a router rewrites r.URL.
func wirePath(r *http.Request) string {
	path := r.RequestURI
	if !strings.HasPrefix(path, "/") {
		path = r.URL.RawPath
		if path == "" {
			path = r.URL.EscapedPath()
		}
	}
	path, _, _ = strings.Cut(path, "?")
	if path == "" {
		return "/"
	}
	return path
}

// canonicalPaths gives the one or two canonical forms of a path that clients
// sign. For S3 these are the object's key in the strict encoding and the path
// just as sent. For other services the sent path is encoded once more; the
// rules want its dot segments and double slashes removed, which botocore does
// and the Go SDK does not. second is "" when the forms are the same.
func canonicalPaths(path string, s3 bool) (first, second string) {
	if plainPath(path) {
		return path, ""
	}
	if s3 {
		first, second = string(appendRecoded(nil, path, false)), path
	} else {
		first, second = encodePath(normalizePath(path)), encodePath(path)
	}
	if first == second {
		second = ""
	}
	return first, second
}

// plainPath reports whether every canonical form of path is path itself.
func plainPath(path string) bool {
	for i := range len(path) {
		if ch := path[i]; ch == '/' {
			if i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.') {
				return false
			}
		} else if !unreserved(ch) {
			return false
		}
	}
	return true
}

func encodePath(path string) string {
	b := make([]byte, 0, len(path)+16)
	for i := range len(path) {
		if path[i] == '/' {
			b = append(b, '/')
		} else {
			b = appendEncoded(b, path[i])
		}
	}
	return string(b)
}

// normalizePath removes dot segments and empty segments and keeps a final slash.
func normalizePath(path string) string {
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, segment)
		}
	}
	clean := "/" + strings.Join(kept, "/")
	if clean != "/" && strings.HasSuffix(path, "/") {
		clean += "/"
	}
	return clean
}
