package instance

import (
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// The real batch agent is a Go program that calls the container under this
// address (CC-26).
const (
	agentHost = "169.254.255.131:8080"
	agentName = "Go-http-client/1.1"
)

// Request is one POST /invocations.
type Request struct {
	// ContentType is sent when it is not "" (CC-50, CC-51).
	ContentType string
	// Accept is sent as it is, and as */* when it is "" (CC-51).
	Accept string
	// Body is sent with its length. It is only read, and not after the return.
	Body []byte
}

// copiedBody is the largest body that is copied behind its head to be sent in
// one piece; larger ones are gathered by the kernel.
const copiedBody = 16 << 10

// invocationHead builds the heads of invocations. Between requests that differ
// in their bodies only, nothing but the length is written anew.
type invocationHead struct {
	contentType, accept string
	before, after       []byte // the parts around the value of Content-Length
	out                 []byte
}

// build gives the head of a request, with the body behind it when it is small;
// then rest is nil. Both are valid until the next call.
func (h *invocationHead) build(req *Request) (out, rest []byte, err error) {
	if h.before == nil || h.contentType != req.ContentType || h.accept != req.Accept {
		if err := h.prepare(req.ContentType, req.Accept); err != nil {
			return nil, nil, err
		}
	}
	h.out = append(h.out[:0], h.before...)
	h.out = strconv.AppendInt(h.out, int64(len(req.Body)), 10)
	h.out = append(h.out, h.after...)
	if len(req.Body) > copiedBody {
		return h.out, req.Body, nil
	}
	h.out = append(h.out, req.Body...)
	return h.out, nil, nil
}

func (h *invocationHead) prepare(contentType, accept string) error {
	fields, err := invocationFields(contentType, accept)
	if err != nil {
		return err
	}
	h.before = []byte(startOf("POST", "/invocations") + "Content-Length: ")
	h.after = []byte("\r\n" + fields + "\r\n")
	h.contentType, h.accept = contentType, accept
	return nil
}

// startOf gives the lines that every request starts with.
func startOf(method, path string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: " + agentHost + "\r\nUser-Agent: " + agentName + "\r\n"
}

func invocationFields(contentType, accept string) (string, error) {
	if accept == "" {
		accept = "*/*"
	}
	fields := "Accept: " + accept + "\r\n"
	if contentType != "" {
		fields += "Content-Type: " + contentType + "\r\n"
	}
	for _, value := range [...]string{contentType, accept} {
		if !sendable(value) {
			return "", fault.New(fault.Invalid, "%q cannot be sent as the value of an HTTP header", value)
		}
	}
	return fields, nil
}

// sendable reports whether a text can be the value of a header field.
func sendable(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
