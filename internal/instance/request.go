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
	// Sent, if not nil, is told of each part of a large Body just after it was handed
	// to the connection, when the processor still has it at hand. The parts are in
	// order and from no two goroutines at once, but another attempt begins again,
	// and a part may be told of never. Such a Body may be memory that only the
	// kernel can read, as a mapped file that was cut short: the request then fails,
	// and is not repeated.
	Sent func(part []byte)
}

// message is a request as it goes to a link.
type message struct {
	head, body []byte
	sent       func(part []byte) // of the body, or nil
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

// build gives a request, all of it as the head when its body is small. It is valid
// until the next call.
func (h *invocationHead) build(req *Request) (message, error) {
	if h.before == nil || h.contentType != req.ContentType || h.accept != req.Accept {
		if err := h.prepare(req.ContentType, req.Accept); err != nil {
			return message{}, err
		}
	}
	h.out = append(h.out[:0], h.before...)
	h.out = strconv.AppendInt(h.out, int64(len(req.Body)), 10)
	h.out = append(h.out, h.after...)
	if len(req.Body) > copiedBody {
		return message{h.out, req.Body, req.Sent}, nil
	}
	h.out = append(h.out, req.Body...)
	return message{head: h.out}, nil
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
