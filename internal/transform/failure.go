package transform

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/record"
)

// ErrInstanceGone ends a run whose instance can serve no more.
var ErrInstanceGone = errors.New("the instance is gone")

// ErrInstanceLost is in the error of an Invoker whose instance went away with its
// runtime. It is nobody's fault: the object is not reported and is to be done again.
var ErrInstanceLost = errors.New("the instance was lost with its runtime")

// Class says whose fault a failure is; it begins the FailureReason (BT-91).
type Class string

// The classes, from the mildest to the gravest (BT-92).
const (
	ClientError    Class = "ClientError"
	AlgorithmError Class = "AlgorithmError"
	InternalError  Class = "InternalServerError"
)

// Reason is AWS's sentence for the class (BT-91), to the letter, two blanks
// included.
func (c Class) Reason() string {
	if c == InternalError {
		return "InternalServerError: We encountered an internal error.  Please try again."
	}
	return string(c) + ": See job logs for more information"
}

// Graver reports whether c outranks o (BT-92).
func (c Class) Graver(o Class) bool { return c.rank() > o.rank() }

func (c Class) rank() int {
	switch c {
	case ClientError:
		return 1
	case AlgorithmError:
		return 2
	case InternalError:
		return 3
	}
	return 0
}

// RequestError is what an Invoker answers when it gave a request up.
type RequestError struct {
	// Status and Body are the container's last answer; Status is 0 when there was
	// none. Body holds its first bytes only.
	Status int
	Body   []byte
	// Attempts counts the first one too.
	Attempts int
	// Container names the container, where an instance has several.
	Container string
	// Err says why there was no answer.
	Err error
}

// Error says what the container did.
func (e *RequestError) Error() string {
	name := "the container"
	if e.Container != "" {
		name += " " + e.Container
	}
	if e.Status != 0 {
		return fmt.Sprintf("%s answered %d after %s: %s", name, e.Status, attempts(e.Attempts), Quote(e.Body))
	}
	if e.Container != "" {
		return fmt.Sprintf("%s: %v", name, e.Err)
	}
	return fmt.Sprint(e.Err)
}

// Unwrap returns why there was no answer.
func (e *RequestError) Unwrap() error { return e.Err }

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

// Failure is why an object, or a whole job, failed. It is what users read.
type Failure struct {
	Class Class
	// Ref is the object, empty for a failure of the whole job.
	Ref objstore.Ref
	// First and Last are the records of the request that failed, Offset where the
	// first begins; First is 0 where no record is to blame.
	First, Last, Offset int64
	// Status and Body are the container's answer, where there was one.
	Status int
	Body   []byte
	// Text says what happened.
	Text string
	// Whole is the whole FailureReason where it does not begin with the class's
	// sentence; "" is the rule.
	Whole string
	// Err is the private cause, for the log.
	Err error
}

// Error is the detail.
func (f *Failure) Error() string { return f.Detail() }

// Unwrap returns the private cause.
func (f *Failure) Unwrap() error { return f.Err }

// Detail says which object and records, and what happened.
func (f *Failure) Detail() string {
	if f.Ref.Key == "" {
		return f.what()
	}
	return f.Ref.String() + ": " + f.what()
}

// what is the detail without the object.
func (f *Failure) what() string {
	var b strings.Builder
	if f.First > 0 {
		if f.Last > f.First {
			fmt.Fprintf(&b, "records %d to %d", f.First, f.Last)
		} else {
			fmt.Fprintf(&b, "record %d", f.First)
		}
		fmt.Fprintf(&b, " (from byte %d): ", f.Offset)
	}
	b.WriteString(f.Text)
	return b.String()
}

// LogLines are the failure's lines in the data-log: AWS's own (BT-81 to BT-85),
// then one with all that is known.
func (f *Failure) LogLines() []string {
	if f.Ref.Key == "" {
		return []string{f.Detail()}
	}
	where := f.Ref.Bucket + "/" + f.Ref.Key + ": "
	var lines []string
	switch {
	case f.Class == InternalError:
	case f.Status >= 500:
		lines = append(lines, fmt.Sprintf("%sBad HTTP status received from algorithm: %d", where, f.Status))
	case f.Status != 0:
		lines = append(lines, fmt.Sprintf("%sClientError: %d", where, f.Status), where, where+"Message:")
		for line := range strings.Lines(printable(f.Body)) {
			lines = append(lines, where+strings.TrimRight(line, "\r\n"))
		}
	case f.Class == AlgorithmError:
		lines = append(lines, where+"Unable to get response from algorithm")
	}
	return append(lines, where+f.what())
}

// requestFailure is the failure of a slot's request.
func (p *passage) requestFailure(s *slot) error {
	if f := (*Failure)(nil); errors.As(s.err, &f) {
		return f // the request's body was at fault
	}
	f := &Failure{Class: AlgorithmError, Ref: p.o.Ref, Text: s.err.Error(), Err: s.err}
	if s.stream == nil {
		f.First, f.Last, f.Offset = s.First, s.First+s.Records-1, s.Offset
		if p.Settings.batching(0).Single {
			f.First += int64(s.at)
			f.Last, f.Offset = f.First, s.OffsetOf(s.at)
		}
	}
	var r *RequestError
	if errors.As(s.err, &r) {
		f.Status, f.Body = r.Status, r.Body
		if r.Status != 0 && r.Status < 500 {
			f.Class = ClientError
		}
	}
	return f
}

// inputFailure is the failure of reading or cutting an object.
func inputFailure(o Object, err error) error {
	if f := (*Failure)(nil); errors.As(err, &f) {
		return f
	}
	f := &Failure{Class: ClientError, Ref: o.Ref, Err: err}
	var (
		large  *record.TooLargeError
		format *record.FormatError
		zipped *gzipError
	)
	switch {
	case errors.As(err, &large), errors.As(err, &format), errors.As(err, &zipped):
		f.Text = err.Error()
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Denied), fault.Is(err, fault.Conflict), fault.Is(err, fault.Invalid):
		f.Text = fault.TextOf(err)
	default:
		f.Class = InternalError
		f.Text = "reading the input failed: " + shown(err)
	}
	return f
}

// outputFailure is the failure of writing an object's output.
func outputFailure(o Object, err error) error {
	if f := (*Failure)(nil); errors.As(err, &f) {
		return f
	}
	f := &Failure{Class: InternalError, Ref: o.Ref, Err: err, Text: "writing the output failed: " + shown(err)}
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		f.Class = ClientError
	}
	return f
}

// AsFailure gives the failure of a whole job or object for any error.
func AsFailure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	class := InternalError
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Denied, fault.Invalid, fault.Unsupported, fault.Conflict, fault.Unusable, fault.Limit:
		class = ClientError
	}
	return &Failure{Class: class, Text: shown(err), Err: err}
}

// shown is what a user may read of an error: the texts written for callers, and
// otherwise the innermost message, without paths that wrapping added.
func shown(err error) string {
	if text := fault.TextOf(err); text != "" {
		return text
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// maxQuoted bounds what is quoted of a container's answer, in bytes.
const maxQuoted = 400

// Quote shows the first bytes of an answer on one line.
func Quote(b []byte) string {
	if len(b) == 0 {
		return "(no body)"
	}
	cut := len(b) > maxQuoted
	if cut {
		b = b[:maxQuoted]
	}
	s := fmt.Sprintf("%q", strings.TrimRight(printable(b), "\r\n"))
	if cut {
		s += "..."
	}
	return s
}

// printable replaces what is not valid UTF-8, a rune cut in half included.
func printable(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
