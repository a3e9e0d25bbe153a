package front

import (
	"bytes"
	"encoding/binary"
)

// Bounds of heads, of requests and of answers.
const (
	maxHead   = 32 << 10
	maxFields = 100
)

// refusal is why a request is refused at its head.
type refusal struct {
	status  int
	code    string
	message string
}

// progress is how far the head of a message has been read.
type progress int

const (
	partial   progress = iota // more bytes are needed
	whole                     // it is complete and strict
	elsewhere                 // it is well-formed so far, and for net/http
	refused                   // it is neither
)

// invocation is how a request that front may take begins.
const invocation = "POST /endpoints/"

// lineReader finds the end of a head that comes in pieces, looking at each byte once.
type lineReader struct {
	line int // where the current line begins
	seen int // how far has been looked
}

// find gives the length of the head, with its empty line, once that is there. A
// line that ends without a carriage return is refused: readers differ in them.
func (l *lineReader) find(data []byte) (n int, state progress) {
	for {
		i := bytes.IndexByte(data[l.seen:], '\n')
		if i < 0 {
			l.seen = len(data)
			return 0, partial
		}
		end := l.seen + i
		if end == l.line || data[end-1] != '\r' {
			return 0, refused
		}
		if end-1 == l.line {
			return end + 1, whole
		}
		l.line, l.seen = end+1, end+1
	}
}

// begins reports whether data, the beginning of a request, can become an invocation.
func begins(data []byte) bool {
	n := min(len(data), len(invocation))
	return string(data[:n]) == invocation[:n]
}

// headReader reads heads of requests. It is strict where readers of HTTP differ:
// what it takes, net/http reads in the same way, and what may be taken for two
// things is refused.
type headReader struct {
	Head
	fault  *refusal
	length int  // how many Content-Length there are
	host   int  // how many Host
	coded  bool // there is a Transfer-Encoding
	leave  bool // it has a field that is for net/http
}

// read reads the head at the beginning of data, of n bytes with state whole. lines
// is where it was left when data was shorter.
func (r *headReader) read(data []byte, lines *lineReader) (n int, state progress) {
	if !begins(data) {
		return 0, elsewhere
	}
	n, state = lines.find(data)
	switch {
	case state == refused:
		return 0, r.refuse("A line of the request's head does not end with CR LF.")
	case n > maxHead, state == partial && len(data) > maxHead:
		r.fault = &refusal{431, "RequestHeaderSectionTooLarge", "The request's head is longer than 32 KiB."}
		return 0, refused
	case state == partial:
		return 0, partial
	}
	return n, r.parse(data[:n])
}

// parse takes a head apart.
func (r *headReader) parse(data []byte) progress {
	r.Head = Head{Fields: r.Fields[:0]}
	r.length, r.host, r.coded, r.leave = 0, 0, false, false
	end := bytes.IndexByte(data, '\r')
	if data[end+1] != '\n' {
		return r.refuse("The request line has a carriage return in it.")
	}
	if !r.requestLine(data[:end]) {
		return elsewhere
	}
	for data = data[end+2:]; len(data) > 2; {
		line := data[:bytes.IndexByte(data, '\n')-1]
		data = data[len(line)+2:]
		f, ok := cutField(line)
		if !ok {
			return r.refuse("A field line of the request's head is not of the form NAME: VALUE.")
		}
		if len(r.Fields) == maxFields {
			r.fault = &refusal{431, "RequestHeaderSectionTooLarge", "The request's head has more than 100 fields."}
			return refused
		}
		r.Fields = append(r.Fields, f)
		if !r.note(f) {
			return refused
		}
	}
	switch {
	case r.host != 1:
		return r.refuse("The request must have one Host field.")
	case r.coded && r.length > 0:
		return r.refuse("The request has both a Content-Length and a Transfer-Encoding.")
	case r.coded, r.leave:
		return elsewhere
	}
	return whole
}

// requestLine reads "POST /endpoints/NAME/invocations?QUERY HTTP/1.1"; anything
// else is for net/http.
func (r *headReader) requestLine(line []byte) bool {
	line, ok := bytes.CutSuffix(line, []byte(" HTTP/1.1"))
	if !ok {
		return false
	}
	target := line[len("POST "):]
	for _, ch := range target {
		if ch <= ' ' || ch >= 0x7f || ch == '%' || ch == '#' {
			return false
		}
	}
	r.Method = line[:len("POST")]
	r.Path, r.Query, _ = bytes.Cut(target, []byte{'?'})
	name, ok := bytes.CutSuffix(r.Path[len("/endpoints/"):], []byte("/invocations"))
	if !ok || len(name) == 0 || len(name) > 63 || name[0] == '-' {
		return false
	}
	for _, ch := range name { // RT-1
		if !alphanumeric(ch) && ch != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(ch byte) bool {
	return '0' <= ch && ch <= '9' || 'a' <= ch && ch <= 'z' || 'A' <= ch && ch <= 'Z'
}

// note draws what a field says about the message itself.
func (r *headReader) note(f Field) bool {
	switch len(f.Name) {
	case len("Host"):
		if fold(f.Name, "host") {
			r.host++
			r.Host = f.Value
			if !plainHost(f.Value) {
				r.refuse("The Host field is not a host name with a port.")
				return false
			}
		}
	case len("Expect"):
		r.leave = r.leave || fold(f.Name, "expect")
	case len("Upgrade"):
		r.leave = r.leave || fold(f.Name, "upgrade") || fold(f.Name, "trailer")
	case len("Connection"):
		if fold(f.Name, "connection") {
			r.close = r.close || hasToken(f.Value, "close")
			r.leave = r.leave || hasToken(f.Value, "upgrade")
		}
	case len("Content-Length"):
		if !fold(f.Name, "content-length") {
			return true
		}
		var ok bool
		if r.ContentLength, ok = parseLength(f.Value); !ok || r.length > 0 {
			r.refuse("The request must have one Content-Length, and that a decimal number.")
			return false
		}
		r.length++
	case len("Transfer-Encoding"):
		r.coded = r.coded || fold(f.Name, "transfer-encoding")
	}
	return true
}

func (r *headReader) refuse(message string) progress {
	r.fault = &refusal{400, "ValidationError", message}
	return refused
}

// plainHost is stricter than net/http: it leaves out what no client of ours sends.
func plainHost(host []byte) bool {
	for _, ch := range host {
		if !alphanumeric(ch) && ch != '.' && ch != '-' && ch != ':' && ch != '_' && ch != '[' && ch != ']' {
			return false
		}
	}
	return len(host) > 0
}

// cutField takes a line apart. A line that begins with a blank would continue the
// one before it; its name is then no token.
func cutField(line []byte) (f Field, ok bool) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return f, false
	}
	f.Name = line[:colon]
	for _, ch := range f.Name {
		if !tokens[ch] {
			return f, false
		}
	}
	value := line[colon+1:]
	for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for n := len(value); n > 0 && (value[n-1] == ' ' || value[n-1] == '\t'); n-- {
		value = value[:n-1]
	}
	f.Value = value
	return f, plainText(value)
}

// plainText reports whether value has no control characters but tabs. It looks at
// eight bytes at a time: signatures and tokens are long.
func plainText(value []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(value); i += 8 {
		x := binary.LittleEndian.Uint64(value[i:])
		y := x ^ 0x7f*ones
		if ((x-' '*ones)&^x|(y-ones)&^y)&tops != 0 {
			break // a control character, or one of these bits stands too near to one
		}
	}
	for ; i < len(value); i++ {
		if ch := value[i]; ch < ' ' && ch != '\t' || ch == 0x7f {
			return false
		}
	}
	return true
}

// parseLength reads a Content-Length: digits alone, at most 18 of them.
func parseLength(value []byte) (n int64, ok bool) {
	if len(value) == 0 || len(value) > 18 {
		return 0, false
	}
	for _, ch := range value {
		if ch < '0' || ch > '9' {
			return 0, false
		}
		n = n*10 + int64(ch-'0')
	}
	return n, true
}

// hasToken looks for a token in a list with commas.
func hasToken(list []byte, lower string) bool {
	for len(list) > 0 {
		var one []byte
		one, list, _ = bytes.Cut(list, []byte{','})
		if fold(bytes.Trim(one, " \t"), lower) {
			return true
		}
	}
	return false
}

// tokens tells which bytes a name may have.
var tokens = func() (t [256]bool) {
	for ch := range 256 {
		t[ch] = alphanumeric(byte(ch)) || ch != 0 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(ch)) >= 0
	}
	return t
}()
