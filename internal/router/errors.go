package router

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Code is an error code of the runtime API (RT-4). They are not those of the
// control plane.
type Code string

// The codes.
const (
	ValidationError             Code = "ValidationError"
	ModelError                  Code = "ModelError"
	ModelNotReadyException      Code = "ModelNotReadyException"
	InternalFailure             Code = "InternalFailure"
	ServiceUnavailable          Code = "ServiceUnavailable"
	InternalDependencyException Code = "InternalDependencyException"
)

// Status gives the HTTP status of a code.
func (c Code) Status() int {
	switch c {
	case ValidationError:
		return http.StatusBadRequest
	case ModelError:
		return http.StatusFailedDependency
	case ModelNotReadyException:
		return http.StatusTooManyRequests
	case ServiceUnavailable:
		return http.StatusServiceUnavailable
	case InternalDependencyException:
		return 530
	}
	return http.StatusInternalServerError
}

// Error is an error of the runtime API as a client sees it.
type Error struct {
	Code    Code
	Message string
	// Status is the HTTP status.
	Status int
	// Original is set for a ModelError.
	Original *Original

	cause error
}

// Original is what the container answered.
type Original struct {
	// StatusCode is 0 where there was no answer.
	StatusCode   int
	Message      string
	LogStreamArn string
}

// Errorf makes an error of a code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Status: code.Status(), Message: clip(fmt.Sprintf(format, args...), maxMessage)}
}

// Error is for logs.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns the private cause, which no client may see.
func (e *Error) Unwrap() error { return e.cause }

// maxMessage bounds the messages of the API, in characters.
const maxMessage = 2048

// Body is the JSON body of the error (RT-4).
func (e *Error) Body() []byte {
	out := struct {
		Message            string `json:"Message"`
		OriginalStatusCode *int   `json:"OriginalStatusCode,omitempty"`
		OriginalMessage    string `json:"OriginalMessage,omitempty"`
		LogStreamArn       string `json:"LogStreamArn,omitempty"`
	}{Message: e.Message}
	if o := e.Original; o != nil {
		out.OriginalStatusCode, out.OriginalMessage, out.LogStreamArn = &o.StatusCode, o.Message, o.LogStreamArn
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(out) // strings and a number: it cannot fail
	return bytes.TrimRight(b.Bytes(), "\n")
}

// clip shortens a text to n characters and makes it valid UTF-8.
func clip(text string, n int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= n || utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n])
}

// notFound is the error of an endpoint that is not there, or not yet (RT-5).
func (r *Router) notFound(endpoint string) *Error {
	return Errorf(ValidationError, "Endpoint %s of account %s not found.", clip(endpoint, 63), r.Account)
}

// notServing is the error of an endpoint whose status lets no requests through.
// One that is out of service heals by itself, so that repeating helps.
func (r *Router) notServing(e *Endpoint) *Error {
	if e.Status == resource.EndpointOutOfService {
		return Errorf(ServiceUnavailable, "Endpoint %s is OutOfService: it has no instance that can take requests at the moment.", e.Name)
	}
	return Errorf(ValidationError, "%s Its status is %s.", r.notFound(e.Name).Message, e.Status)
}

// modelError is the error of a request that the container did not answer with 2xx
// (RT-6, RT-7, RT-9). status is 0 where it did not answer at all. A redirect is no
// answer that helps anybody, and is the server's error (CC-28).
func (r *Router) modelError(e *Endpoint, container string, status int, text string) *Error {
	text = text[:min(len(text), 4*maxMessage)] // more is cut off anyway
	kind := "server"
	if status >= 400 && status < 500 {
		kind = "client"
	}
	before := fmt.Sprintf("Received %s error (%d) from %s with message \"", kind, status, container)
	after := fmt.Sprintf("\". See https://%s.console.aws.amazon.com/cloudwatch/home?region=%s#logEventViewer:group=/aws/sagemaker/Endpoints/%s in account %s for more information.",
		e.Region, e.Region, e.Name, r.Account)
	room := max(0, maxMessage-utf8.RuneCountInString(before)-utf8.RuneCountInString(after))
	return &Error{
		Code: ModelError, Status: ModelError.Status(), Message: before + clip(text, room) + after,
		Original: &Original{
			StatusCode: status, Message: clip(text, maxMessage),
			LogStreamArn: fmt.Sprintf("arn:aws:logs:%s:%s:log-group:/aws/sagemaker/Endpoints/%s", e.Region, r.Account, e.Name),
		},
	}
}

// timedOut is what a ModelError says of a container that took too long (RT-7).
func timedOut(container string) string {
	return fmt.Sprintf("Your invocation timed out while waiting for a response from container %s. Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again.", container)
}

// unanswered makes the error of a call that got no whole answer.
func (r *Router) unanswered(e *Endpoint, container string, none *instance.NoAnswerError) *Error {
	text := none.Reason()
	if none.Timeout() && !none.Exited {
		text = timedOut(container)
	}
	err := r.modelError(e, container, 0, text)
	err.cause = none
	return err
}
