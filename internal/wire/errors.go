package wire

import (
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Code is an error code of a service: what a client finds in "__type". Those of
// SageMaker are here, those of other services are generated beside their structs.
type Code string

// The codes that the API model declares (CP-6).
const (
	ConflictException     Code = "ConflictException"
	ResourceInUse         Code = "ResourceInUse"
	ResourceLimitExceeded Code = "ResourceLimitExceeded"
	ResourceNotFound      Code = "ResourceNotFound"
)

// The codes that every AWS service has and no model declares (CP-6).
const (
	ValidationException                 Code = "ValidationException"
	SerializationException              Code = "SerializationException"
	UnknownOperationException           Code = "UnknownOperationException"
	AccessDeniedException               Code = "AccessDeniedException"
	ThrottlingException                 Code = "ThrottlingException"
	UnrecognizedClientException         Code = "UnrecognizedClientException"
	ExpiredTokenException               Code = "ExpiredTokenException"
	InvalidSignatureException           Code = "InvalidSignatureException"
	IncompleteSignatureException        Code = "IncompleteSignatureException"
	MissingAuthenticationTokenException Code = "MissingAuthenticationTokenException"
	InternalFailure                     Code = "InternalFailure"
	ServiceUnavailable                  Code = "ServiceUnavailable"
)

// maxMessage bounds the message of a modelled error, in characters (CP-6).
const maxMessage = 1024

// modelled says whether SageMaker's model declares the code.
func (c Code) modelled() bool {
	switch c {
	case ConflictException, ResourceInUse, ResourceLimitExceeded, ResourceNotFound:
		return true
	}
	return false
}

// status gives the HTTP status of a code: 400 for the client's errors (CP-5).
func (c Code) status() int {
	switch c {
	case InternalFailure:
		return http.StatusInternalServerError
	case ServiceUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// Error is an error as a client of the API sees it.
type Error struct {
	Code    Code
	Message string
	Status  int // the HTTP status
	// Declared says that the model of a service beside SageMaker declares the code,
	// with a member Message (CP-90).
	Declared bool

	cause error
}

// Errorf makes an error of a code. The message goes to the client.
func Errorf(code Code, format string, args ...any) *Error {
	e := &Error{Code: code, Message: fmt.Sprintf(format, args...), Status: code.status()}
	if code.modelled() {
		e.Message = clip(e.Message, maxMessage)
	}
	return e
}

// Error is for logs. It does not show the cause; use errors.Unwrap for that.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns the private cause, which no client may see; nil when there is
// none.
func (e *Error) Unwrap() error { return e.cause }

// Body is the JSON body of the error (CP-5). The errors that the model declares
// carry their text twice, because their member is called Message (CP-90).
func (e *Error) Body() []byte {
	b := append([]byte(nil), `{"__type":`...)
	b = appendString(b, string(e.Code))
	if e.Code.modelled() || e.Declared {
		b = append(b, `,"Message":`...)
		b = appendString(b, e.Message)
	}
	b = append(b, `,"message":`...)
	b = appendString(b, e.Message)
	return append(b, '}')
}

// FromFault makes the client's view of any error. An *Error in err's chain is
// returned as it is. A fault keeps its text under the code of its kind (CP-7,
// CP-32): what was not found or exists already is a ValidationException. All
// else, and every internal fault, is an InternalFailure that says nothing of its
// cause. A nil error gives nil.
func FromFault(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	code := codeOf(fault.KindOf(err))
	text := fault.TextOf(err)
	if code == InternalFailure || text == "" {
		text = silent(code)
	}
	e = Errorf(code, "%s", text)
	e.cause = err
	return e
}

func codeOf(k fault.Kind) Code {
	switch k {
	case fault.Invalid, fault.NotFound, fault.Exists, fault.Unsupported, fault.Unusable:
		return ValidationException
	case fault.InUse:
		return ResourceInUse
	case fault.Limit:
		return ResourceLimitExceeded
	case fault.Denied:
		return AccessDeniedException
	case fault.Throttled:
		return ThrottlingException
	case fault.Conflict:
		return ConflictException
	}
	return InternalFailure
}

// silent is the message of an error whose text may not be shown or is missing.
func silent(code Code) string {
	if code == InternalFailure {
		return "The request failed because of an error inside the service. The server's log has the reason under the id of this request."
	}
	return "The request was refused; no reason was given."
}

// clip shortens a text to n characters, with an ellipsis where it cut.
func clip(text string, n int) string {
	if len(text) <= n || utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}
