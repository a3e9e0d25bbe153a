package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// keptBody is how much of an unsuccessful answer is kept.
const keptBody = 1 << 10

// StatusError is an answer other than 2xx, the last of all attempts. 4xx are
// the request's fault (BT-82), 5xx the container's (BT-83); redirects are not
// followed (CC-28).
type StatusError struct {
	Status      int
	ContentType string
	// Body holds the first KiB of the answer. It is a copy.
	Body []byte
	// Attempts counts all attempts, the first one included.
	Attempts int
	// Streamed tells that the request was not repeated because its body was
	// streamed and is used up.
	Streamed bool
}

// Error says what the container answered.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("the container answered %d to the invocation", e.Status)
	if len(e.Body) > 0 {
		text += ": " + quote(e.Body)
	}
	return text + attemptsText(e.Attempts, e.Streamed)
}

// NoAnswerError is an invocation without a whole answer: refused, reset, timed
// out, cut short, not HTTP, too large, or the container has ended (BT-84).
type NoAnswerError struct {
	// Cause is what went wrong in the last attempt, nil when the container had
	// ended before there was one. It may be a *StatusError that was to be retried.
	Cause error
	// Attempts counts all attempts, the first one included.
	Attempts int
	// Exited tells that the container has ended, and Exit how.
	Exited bool
	Exit   driver.Exit
	// Streamed is as in StatusError.
	Streamed bool
	// Unsent tells that nothing of the request reached the container, so that it may
	// go to another one. It is set by Call, CallStream and Upload only.
	Unsent bool
}

// Error says why there was no answer.
func (e *NoAnswerError) Error() string {
	text := "Unable to get response from algorithm"
	if e.Exited {
		text += ": the container " + e.Exit.String()
	}
	if e.Cause != nil {
		text += ": " + answerText(e.Cause)
	}
	return text + attemptsText(e.Attempts, e.Streamed)
}

// Unwrap returns the cause.
func (e *NoAnswerError) Unwrap() error { return e.Cause }

// Reason is what went wrong in few words, without the number of attempts.
func (e *NoAnswerError) Reason() string {
	switch {
	case e.Exited:
		return "the container " + e.Exit.String()
	case e.Cause == nil:
		return "the container has ended"
	}
	return answerText(e.Cause)
}

// Timeout reports whether the last attempt took too long.
func (e *NoAnswerError) Timeout() bool { return isTimeout(e.Cause) }

func attemptsText(n int, streamed bool) string {
	switch {
	case streamed:
		return " (not repeated, because the body was streamed and cannot be sent again)"
	case n > 1:
		return fmt.Sprintf(" (after %d attempts)", n)
	}
	return ""
}

// answerText names the usual errors of connections in few words.
func answerText(err error) string {
	var op *net.OpError
	switch {
	case isTimeout(err):
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the container closed the connection in the middle of its answer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
		return "the container closed the connection without an answer"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// isStale reports an error that a connection gives which the container closed
// between two requests.
func isStale(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed)
}

// isBroken reports an error as a container gives that has just ended.
func isBroken(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || isStale(err)
}

// retryable reports whether another attempt may help (BT-89).
func retryable(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Status >= 500
	}
	return !fault.Is(err, fault.Limit) && !fault.Is(err, fault.Invalid)
}
