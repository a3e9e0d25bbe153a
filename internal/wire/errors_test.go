package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// CP-5, CP-90: the body of an error; the modelled ones say their text twice.
func TestErrorBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    *Error
		status int
		body   string
	}{
		{Errorf(ValidationException, "Could not find model %q.", "arn:x"), 400,
			`{"__type":"ValidationException","message":"Could not find model \"arn:x\"."}`},
		{Errorf(ResourceInUse, "taken"), 400, `{"__type":"ResourceInUse","Message":"taken","message":"taken"}`},
		{Errorf(ResourceLimitExceeded, "<much>"), 400, `{"__type":"ResourceLimitExceeded","Message":"<much>","message":"<much>"}`},
		{Errorf(ResourceNotFound, "gone"), 400, `{"__type":"ResourceNotFound","Message":"gone","message":"gone"}`},
		{Errorf(ConflictException, "stale"), 400, `{"__type":"ConflictException","Message":"stale","message":"stale"}`},
		{Errorf(ThrottlingException, "Rate exceeded"), 400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`},
		{Errorf(InternalFailure, "x"), 500, `{"__type":"InternalFailure","message":"x"}`},
		{Errorf(ServiceUnavailable, "x"), 503, `{"__type":"ServiceUnavailable","message":"x"}`},
	} {
		if got := string(tt.err.Body()); got != tt.body || tt.err.Status != tt.status {
			t.Errorf("%d %s, want %d %s", tt.err.Status, got, tt.status, tt.body)
		}
	}
	if e := Errorf(ResourceInUse, "%s", strings.Repeat("é", 5000)); len([]rune(e.Message)) != maxMessage {
		t.Errorf("a modelled message has %d characters (CP-6)", len([]rune(e.Message)))
	}
}

// CP-7, CP-32: what each kind of fault becomes; what is private stays private.
func TestFromFault(t *testing.T) {
	t.Parallel()
	const secret = "/var/lib/secret.db"
	for kind, want := range map[fault.Kind]Code{
		fault.Invalid: ValidationException, fault.NotFound: ValidationException, fault.Exists: ValidationException,
		fault.Unsupported: ValidationException, fault.InUse: ResourceInUse, fault.Limit: ResourceLimitExceeded,
		fault.Denied: AccessDeniedException, fault.Throttled: ThrottlingException, fault.Conflict: ConflictException,
		fault.Internal: InternalFailure, fault.Unavailable: InternalFailure, fault.Kind(99): InternalFailure,
	} {
		err := fmt.Errorf("op: %w", fault.Wrap(kind, errors.New(secret), "text of %s", kind))
		e := FromFault(err)
		shown := want != InternalFailure
		if e.Code != want || (e.Message == "text of "+kind.String()) != shown || strings.Contains(string(e.Body())+e.Error(), secret) {
			t.Errorf("%s: %v", kind, e)
		}
		if !errors.Is(e, err) {
			t.Errorf("%s: the cause is lost", kind)
		}
	}
	if e := FromFault(io.ErrUnexpectedEOF); e.Code != InternalFailure || strings.Contains(e.Message, "EOF") || e.Status != 500 {
		t.Errorf("%v", e)
	}
	if e := FromFault(&fault.Error{Kind: fault.Denied}); e.Code != AccessDeniedException || e.Message == "" {
		t.Errorf("%v", e)
	}
	own := Errorf(SerializationException, "x")
	if e := FromFault(fmt.Errorf("op: %w", own)); e != own {
		t.Errorf("%v", e)
	}
	if FromFault(nil) != nil {
		t.Error("nil is no error")
	}
}

// Operations that are not served are refused by name, with a client's error.
func TestUnknownOperation(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"CreateTrainingJob":         "The SageMaker operation CreateTrainingJob is not supported by Sagebrush.",
		"Drop\nTables":              `SageMaker has no operation 'Drop\nTables'.`,
		"":                          "The request names no operation. Send the header X-Amz-Target: SageMaker.<operation>.",
		strings.Repeat("x", 10_000): "SageMaker has no operation '" + strings.Repeat("x", maxPrinted) + "...'.",
	} {
		if e := SageMaker.UnknownOperation(name); e.Code != UnknownOperationException || e.Status != 400 || e.Message != want {
			t.Errorf("%v", e)
		}
	}
}
