// Package fault is the one error type that crosses rooms: a kind that decides
// the wire code and the exit code, a text that the caller may read, and a
// private cause that only the log may show.
//
// It imports nothing but the standard library, and every room may import it.
// Wrap with %w as usual; KindOf and TextOf look through wrapping.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an Error is. The set is closed: surfaces map
// each kind to a wire code (api) and to an exit code (cli).
type Kind int

const (
	// Internal is a failure of Sagebrush itself or of the machine under it.
	Internal Kind = iota
	// Invalid is a request that cannot be right, whatever the state of the world.
	Invalid
	// NotFound is a reference to something that does not exist.
	NotFound
	// Exists is the creation of something that exists already.
	Exists
	// InUse is a name that is taken for ever (SageMaker's ResourceInUse).
	InUse
	// Limit is a quota that a request would exceed.
	Limit
	// Denied is a caller who may not do this.
	Denied
	// Throttled is a request that may succeed when it is repeated later.
	Throttled
	// Unsupported is a feature of SageMaker that Sagebrush refuses by name.
	Unsupported
	// Unavailable is a dependency (a store, a runtime) that does not answer.
	Unavailable
	// Conflict is a change that what is there now does not allow: a stale revision,
	// since somebody else wrote first, or something that others depend on.
	Conflict
	// Unusable is something that exists and cannot be used in its present state, such
	// as a disabled key.
	Unusable
)

// String names the kind for logs.
func (k Kind) String() string {
	names := [...]string{
		"internal", "invalid", "not found", "exists", "in use", "limit", "denied",
		"throttled", "unsupported", "unavailable", "conflict", "unusable",
	}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind(%d)", int(k))
	}
	return names[k]
}

// Error is an error whose Text was written for the caller. Err, the cause, may
// hold paths and other private detail and is never sent to a client.
type Error struct {
	Kind Kind
	Text string
	Err  error
}

// Error gives the text and the cause: it is for logs.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	if e.Text == "" {
		return e.Err.Error()
	}
	return e.Text + ": " + e.Err.Error()
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind with a text for the caller.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// Wrap makes an error of a kind with a text for the caller and a private cause.
func Wrap(kind Kind, err error, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...), Err: err}
}

// KindOf finds the kind of the outermost Error in err's chain, Internal when
// there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err carries an Error of this kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}

// TextOf gives what the caller may read of err: the text of the outermost Error
// in its chain, or "" when there is none and nothing may be shown.
func TextOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Text
	}
	return ""
}
