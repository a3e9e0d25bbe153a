package instance

import (
	"bytes"
	"fmt"
	"strings"
)

// malformed is an answer that is not HTTP/1.x, or not in a way that leaves no
// doubt where it ends. The connection cannot be used after it.
type malformed string

func (m malformed) Error() string { return "the container's answer is not valid HTTP: " + string(m) }

// answerHead is the head of an answer, as far as anyone asks. It is used again
// for the next answer; contentType keeps its string while it does not change.
type answerHead struct {
	status      int
	whole       bool  // the head was read to its end
	length      int64 // Content-Length, or -1
	chunked     bool
	keepAlive   bool // the container will take another request
	http10      bool
	closing     bool
	hasType     bool
	contentType string
	kept        kept
}

// kept are the fields that go back to the caller of a hosted endpoint (CC-53,
// CC-91); "" where the answer has none.
type kept struct{ customAttributes, session, closedSession string }

// read reads the head of the final answer and skips 1xx answers before it.
func (h *answerHead) read(rd *reader) error {
	budget := maxHead
	for {
		if err := h.readOne(rd, &budget); err != nil {
			return err
		}
		if h.status == 101 {
			return malformed("it switches protocols (101) without being asked to")
		}
		if h.status >= 200 {
			return nil
		}
	}
}

func (h *answerHead) readOne(rd *reader, budget *int) error {
	*h = answerHead{length: -1, contentType: h.contentType}
	line, err := rd.line(budget)
	if err != nil {
		return err
	}
	if err := h.parseStatus(line); err != nil {
		return err
	}
	for {
		if line, err = rd.line(budget); err != nil {
			return afterStart(err)
		}
		if len(line) == 0 {
			return h.conclude()
		}
		if err := h.parseField(line); err != nil {
			return err
		}
	}
}

// parseStatus reads "HTTP/1.x NNN reason"; the reason may be missing.
func (h *answerHead) parseStatus(line []byte) error {
	const form = "HTTP/1.x NNN"
	if len(line) < len(form) || string(line[:7]) != "HTTP/1." || line[8] != ' ' ||
		line[7] != '0' && line[7] != '1' || len(line) > len(form) && line[len(form)] != ' ' {
		return malformed(fmt.Sprintf("it begins with %s instead of a status line of HTTP/1.x", quote(line)))
	}
	h.http10 = line[7] == '0'
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return malformed(fmt.Sprintf("it has the status line %s", quote(line)))
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 {
		return malformed(fmt.Sprintf("it has the status line %s", quote(line)))
	}
	return nil
}

func (h *answerHead) parseField(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return malformed(fmt.Sprintf("it has the header line %s", quote(line)))
	}
	name := line[:colon]
	for _, c := range name {
		if !tokenByte(c) {
			return malformed(fmt.Sprintf("it has the header line %s", quote(line)))
		}
	}
	value := trimBlanks(line[colon+1:])
	switch len(name) {
	case len("Connection"):
		if equalFold(name, "connection") {
			h.parseConnection(value)
		}
	case len("Content-Type"):
		if equalFold(name, "content-type") && !h.hasType {
			h.hasType = true
			if string(value) != h.contentType {
				h.contentType = string(value)
			}
		}
	case len("Content-Length"):
		if equalFold(name, "content-length") {
			return h.parseLength(value)
		}
	case len("X-Amzn-SageMaker-Session-Id"):
		if equalFold(name, "x-amzn-sagemaker-session-id") {
			h.kept.session = string(value)
		}
	case len("X-Amzn-SageMaker-Custom-Attributes"): // X-Amzn-SageMaker-Closed-Session-Id is as long
		if equalFold(name, "x-amzn-sagemaker-custom-attributes") {
			h.kept.customAttributes = string(value)
		} else if equalFold(name, "x-amzn-sagemaker-closed-session-id") {
			h.kept.closedSession = string(value)
		}
	case len("Transfer-Encoding"):
		if equalFold(name, "transfer-encoding") {
			return h.parseEncoding(value)
		}
	}
	return nil
}

func (h *answerHead) parseConnection(value []byte) {
	for more := true; more; {
		var token []byte
		token, value, more = bytes.Cut(value, []byte{','})
		token = trimBlanks(token)
		switch {
		case equalFold(token, "close"):
			h.closing = true
		case equalFold(token, "keep-alive"):
			h.keepAlive = true
		}
	}
}

func (h *answerHead) parseLength(value []byte) error {
	var n int64
	if len(value) == 0 || len(value) > 18 {
		return malformed(fmt.Sprintf("its Content-Length is %s", quote(value)))
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return malformed(fmt.Sprintf("its Content-Length is %s", quote(value)))
		}
		n = n*10 + int64(c-'0')
	}
	if h.length >= 0 && h.length != n {
		return malformed("it has two different values of Content-Length")
	}
	h.length = n
	return nil
}

func (h *answerHead) parseEncoding(value []byte) error {
	if h.chunked || !equalFold(value, "chunked") {
		return malformed(fmt.Sprintf("its Transfer-Encoding is %s; only chunked is understood", quote(value)))
	}
	h.chunked = true
	return nil
}

// conclude checks what the fields say together.
func (h *answerHead) conclude() error {
	if h.chunked && h.length >= 0 {
		return malformed("it has both Content-Length and Transfer-Encoding")
	}
	if h.chunked && h.http10 {
		return malformed("it is HTTP/1.0 and has Transfer-Encoding")
	}
	if !h.hasType {
		h.contentType = ""
	}
	if h.bodiless() {
		h.length, h.chunked = 0, false
	}
	framed := h.chunked || h.length >= 0
	h.keepAlive = framed && !h.closing && (h.keepAlive || !h.http10)
	h.whole = true
	return nil
}

// bodiless reports a status whose answers never have a body.
func (h *answerHead) bodiless() bool {
	return h.status < 200 || h.status == 204 || h.status == 304
}

func tokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// equalFold compares with a lower-case ASCII name.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// quote shows the first bytes of something foreign on one line.
func quote(b []byte) string {
	const most = 64
	if len(b) > most {
		return fmt.Sprintf("%q...", b[:most])
	}
	return fmt.Sprintf("%q", b)
}
