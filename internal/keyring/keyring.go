// Package keyring is the seam of key services: named keys that never leave their
// service, and data keys wrapped by them. Adapters are the embedded keystore
// (local) and AWS KMS (awskms); keyringtest is the suite of all.
//
// Data is encrypted with a data key, and only the data key's wrapped form is
// stored: whoever wants to read needs the key service to unwrap it.
package keyring

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Keyring is a key service. Errors are of type *Error where the service refuses.
// It is safe for concurrent use.
type Keyring interface {
	// Describe finds a key, usable or not.
	Describe(ctx context.Context, id ID) (Key, error)
	// GenerateDataKey makes a data key and wraps it with a key, which must be usable.
	GenerateDataKey(ctx context.Context, id ID, c Context) (DataKey, error)
	// Decrypt unwraps a data key. id must name the key that wrapped it, in whatever
	// form, and c be equal to what it was wrapped with. The caller owns the result.
	Decrypt(ctx context.Context, id ID, wrapped []byte, c Context) (Secret, error)
}

// ID names a key as a user does.
type ID struct {
	// Region is the region of the request, in which the key must be.
	Region string
	// Name is a key id, a key's ARN, an alias or an alias' ARN.
	Name string
}

// Key is a key of a service as far as others see it.
type Key struct {
	ID    string // such as 1234abcd-12ab-34cd-56ef-1234567890ab
	ARN   string
	State State
}

// State is the state of a key, spelt as KMS does.
type State string

// The states of keys. A service may have more; only Enabled keys are usable.
const (
	Enabled         State = "Enabled"
	Disabled        State = "Disabled"
	PendingDeletion State = "PendingDeletion"
)

// Usable gives the error that using the key would give now, or nil.
func (k Key) Usable() error {
	switch k.State {
	case Enabled:
		return nil
	case Disabled:
		return Errorf(DisabledException, "%s is disabled.", k.ARN)
	case PendingDeletion:
		return Errorf(InvalidStateException, "%s is pending deletion.", k.ARN)
	}
	return Errorf(InvalidStateException, "%s is in the state %s, in which it cannot be used.", k.ARN, k.State)
}

// DataKeySize is the length of a data key in bytes: an AES-256 key.
const DataKeySize = 32

// DataKey is a key to encrypt data with.
type DataKey struct {
	KeyARN    string // of the key that wrapped it
	Plaintext Secret // DataKeySize bytes; never stored
	Wrapped   []byte // what is stored beside the data
}

// Context says what is encrypted, such as the ARN of an object. It is no secret; a
// data key is unwrapped with an equal context only.
type Context map[string]string

// maxContext is KMS's bound of a context, in bytes.
const maxContext = 8192

// Bytes writes a context so that two contexts give the same bytes only if they are
// equal. It fails when the context is too long.
func (c Context) Bytes() ([]byte, error) {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(c)) {
		for _, text := range []string{name, c[name]} {
			b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
			b = append(b, text...)
		}
	}
	if len(b)-8*len(c) > maxContext {
		return nil, Errorf(ValidationException, "The encryption context has %d bytes, and may have %d.", len(b)-8*len(c), maxContext)
	}
	return b, nil
}

// Code is the error code of KMS.
type Code string

// The codes by which a key service refuses.
const (
	NotFoundException          Code = "NotFoundException"
	DisabledException          Code = "DisabledException"
	InvalidStateException      Code = "KMSInvalidStateException"
	AccessDeniedException      Code = "AccessDeniedException"
	InvalidCiphertextException Code = "InvalidCiphertextException"
	IncorrectKeyException      Code = "IncorrectKeyException"
	InvalidKeyUsageException   Code = "InvalidKeyUsageException"
	AlreadyExistsException     Code = "AlreadyExistsException"
	LimitExceededException     Code = "LimitExceededException"
	UnsupportedException       Code = "UnsupportedOperationException"
	TagException               Code = "TagException"
	ValidationException        Code = "ValidationException"
	ThrottlingException        Code = "ThrottlingException"
	UnavailableException       Code = "KeyUnavailableException"
	InternalException          Code = "KMSInternalException"
)

// kind gives the kind of fault that a code is.
func (c Code) kind() fault.Kind {
	switch c {
	case NotFoundException:
		return fault.NotFound
	case DisabledException, InvalidStateException:
		return fault.Unusable
	case AccessDeniedException:
		return fault.Denied
	case AlreadyExistsException:
		return fault.Exists
	case LimitExceededException:
		return fault.Limit
	case UnsupportedException:
		return fault.Unsupported
	case ThrottlingException:
		return fault.Throttled
	case UnavailableException, InternalException:
		return fault.Unavailable
	}
	return fault.Invalid
}

// Error is the refusal of a key service. For those who know faults only, a fault
// is in its chain whose text begins with the code.
type Error struct {
	Code Code
	Text string // in the wording of KMS

	fault *fault.Error
}

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error { return Wrap(code, nil, format, args...) }

// Wrap makes an Error with a private cause.
func Wrap(code Code, cause error, format string, args ...any) *Error {
	f := fault.Wrap(code.kind(), cause, format, args...)
	text := f.Text
	f.Text = string(code) + ": " + text
	return &Error{Code: code, Text: text, fault: f}
}

// Error is for logs.
func (e *Error) Error() string { return e.fault.Error() }

// Unwrap gives the fault.
func (e *Error) Unwrap() error { return e.fault }
