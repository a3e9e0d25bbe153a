package sigv4

import "github.com/sagebrush-ml/sagebrush/internal/fault"

// Reason says what is wrong with a signature. The set is closed; the comments
// name the codes that AWS answers.
type Reason int

const (
	// Unsigned: MissingAuthenticationToken (S3: AccessDenied).
	Unsigned Reason = iota + 1
	// Incomplete: IncompleteSignature (S3: AuthorizationHeaderMalformed or
	// AuthorizationQueryParametersError).
	Incomplete
	// Mismatch: InvalidSignatureException (S3: SignatureDoesNotMatch).
	Mismatch
	// Skewed, the client's clock is too far from ours: InvalidSignatureException
	// (S3: RequestTimeTooSkewed).
	Skewed
	// Expired, a presigned request after its time: RequestExpired (S3:
	// AccessDenied).
	Expired
	// PayloadMismatch, the body is not the one that was signed: only S3 has a code
	// of its own for it, XAmzContentSHA256Mismatch.
	PayloadMismatch
)

// String names the reason for logs.
func (r Reason) String() string {
	names := [...]string{"", "unsigned", "incomplete", "mismatch", "skewed", "expired", "payload mismatch"}
	if r < 1 || int(r) >= len(names) {
		return "unknown"
	}
	return names[r]
}

// Error is a signature that does not hold. Its text is for the client and names
// neither the secret nor the signature that would have been right. It unwraps
// to a *fault.Error: Invalid when the signature is not whole, Denied otherwise.
type Error struct {
	Reason Reason
	fault  *fault.Error
}

// Error gives the text for the client.
func (e *Error) Error() string { return e.fault.Text }

// Unwrap gives the *fault.Error.
func (e *Error) Unwrap() error { return e.fault }

// ErrUnsigned is what Parse answers for a request without any signature.
var ErrUnsigned error = newError(Unsigned, "Missing Authentication Token")

func newError(reason Reason, format string, args ...any) *Error {
	kind := fault.Denied
	if reason == Incomplete {
		kind = fault.Invalid
	}
	return &Error{Reason: reason, fault: fault.New(kind, format, args...)}
}

func incomplete(format string, args ...any) *Error {
	return newError(Incomplete, format, args...)
}
