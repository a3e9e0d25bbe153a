package front

import (
	"bytes"
)

// answerHead is the head of a container's answer.
type answerHead struct {
	status int
	// length is the length of the body, or one of the two below.
	length int64
	// kept are the field lines that are passed on (RT-3), ready to be sent.
	kept Fields
	// close tells that the connection carries no further answer.
	close bool

	old   bool // HTTP/1.0
	coded bool // chunked
	sized bool // there was a Content-Length
}

// Bodies whose length is not in the head.
const (
	chunked = -1 // in chunks
	toEnd   = -2 // until the connection ends
)

// passed are the fields of a container's answer that the caller gets (RT-3, CC-53).
var passed = [...]struct{ lower, name string }{
	{"content-type", "Content-Type"},
	{"x-amzn-sagemaker-custom-attributes", "X-Amzn-SageMaker-Custom-Attributes"},
	{"x-amzn-sagemaker-new-session-id", "X-Amzn-SageMaker-New-Session-Id"},
	{"x-amzn-sagemaker-closed-session-id", "X-Amzn-SageMaker-Closed-Session-Id"},
}

// maxPassed bounds the value of a field that is passed on (CC-53).
const maxPassed = 1024

// parse reads a whole head; false is a malformed one.
func (h *answerHead) parse(data []byte) bool {
	*h = answerHead{kept: h.kept[:0], length: toEnd}
	end := bytes.IndexByte(data, '\n') - 1
	if !h.statusLine(data[:end]) {
		return false
	}
	fields := 0
	for data = data[end+2:]; len(data) > 2; {
		line := data[:bytes.IndexByte(data, '\n')-1]
		data = data[len(line)+2:]
		f, ok := cutField(line)
		if fields++; !ok || fields > maxFields || !h.note(f) {
			return false
		}
	}
	switch {
	case h.status < 200, h.status == 204, h.status == 304:
		h.close = h.close || h.coded || h.length > 0
		h.length = 0
	case h.coded && (h.sized || h.old):
		return false // two lengths
	case h.coded:
		h.length = chunked
	}
	h.close = h.close || h.length == toEnd
	return true
}

// statusLine reads "HTTP/1.1 200 OK"; the reason may be missing.
func (h *answerHead) statusLine(line []byte) bool {
	if len(line) < len("HTTP/1.1 200") || string(line[:7]) != "HTTP/1." || line[8] != ' ' {
		return false
	}
	h.old = line[7] == '0'
	if !h.old && line[7] != '1' || len(line) > 12 && line[12] != ' ' {
		return false
	}
	for _, ch := range line[9:12] {
		if ch < '0' || ch > '9' {
			return false
		}
		h.status = h.status*10 + int(ch-'0')
	}
	h.close = h.old
	return h.status >= 100 && h.status != 101
}

// note draws what a field says about the message, and keeps it if it is passed on.
func (h *answerHead) note(f Field) bool {
	switch len(f.Name) {
	case len("Connection"):
		if fold(f.Name, "connection") {
			if h.old && hasToken(f.Value, "keep-alive") {
				h.close = false
			}
			h.close = h.close || hasToken(f.Value, "close")
		}
		return true
	case len("Content-Length"):
		if !fold(f.Name, "content-length") {
			return true
		}
		n, ok := parseLength(f.Value)
		if !ok || h.sized && n != h.length {
			return false
		}
		h.length, h.sized = n, true
		return true
	case len("Transfer-Encoding"):
		if !fold(f.Name, "transfer-encoding") {
			return true
		}
		if h.coded || !fold(f.Value, "chunked") {
			return false
		}
		h.coded = true
		return true
	}
	for i := range passed {
		if fold(f.Name, passed[i].lower) && len(f.Value) <= maxPassed {
			h.kept.Add(passed[i].name, f.Value)
			break
		}
	}
	return true
}
