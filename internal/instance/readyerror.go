package instance

import (
	"fmt"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// ReadyError is an instance that did not become ready: it ended, or its time
// was up. It unwraps to a *fault.Error whose text is the FailureReason.
type ReadyError struct {
	// Progress is what the pings met.
	Progress Progress
	// Elapsed is the time since the start.
	Elapsed time.Duration
	// Exited tells that the container has ended, and Exit how.
	Exited bool
	Exit   driver.Exit
	// Tail are the last lines that it printed. They may hold secrets.
	Tail string

	fault *fault.Error
}

// Error tells the whole story on several lines.
func (e *ReadyError) Error() string {
	text := pingFailure + ". " + e.story()
	if e.Tail != "" {
		text += " The last that it printed:\n" + e.Tail
	}
	return text
}

// Unwrap gives the *fault.Error.
func (e *ReadyError) Unwrap() error { return e.fault }

// notReady makes the error of an instance that will not be ready.
func (in *Instance) notReady(cause error) *ReadyError {
	e := &ReadyError{
		Progress: in.Progress(),
		Elapsed:  time.Since(in.started),
		Exited:   in.exited(),
		Tail:     in.Tail(),
	}
	if e.Exited {
		e.Exit = in.handle.Exit()
	}
	e.fault = fault.Wrap(fault.Unavailable, cause, "%s", e.FailureReason())
	return e
}

// pingFailure is AWS's sentence for an instance that never became healthy (BT-91).
const pingFailure = "AlgorithmError: Model container failed to respond to ping. " +
	"Please ensure /ping endpoint is implemented and responds with an HTTP 200 status code"

// maxReason bounds a FailureReason.
const maxReason = 1024

// FailureReason tells the story in at most 1024 characters: AWS's own sentence
// first, and of the container's last lines as many as fit. It may hold secrets
// that the container printed.
func (e *ReadyError) FailureReason() string {
	text := pingFailure + ". " + e.story()
	if e.Tail == "" {
		return cutEnd(text, maxReason)
	}
	const intro = " The last that it printed: "
	room := maxReason - len(text) - len(intro)
	if room < 40 {
		return cutEnd(text, maxReason)
	}
	printed := strings.ReplaceAll(e.Tail, "\n", " | ")
	if len(printed) > room {
		printed = "..." + strings.ToValidUTF8(printed[len(printed)-room+3:], "")
	}
	return text + intro + printed
}

func cutEnd(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most-3], "") + "..."
	}
	return s
}

// Story tells what happened and what the container printed last, without AWS's
// sentence. It may hold secrets that the container printed.
func (e *ReadyError) Story() string {
	if e.Tail == "" {
		return e.story()
	}
	return e.story() + " The last that it printed: " + strings.ReplaceAll(e.Tail, "\n", " | ")
}

// story tells what happened, without what the container printed.
func (e *ReadyError) story() string {
	var b strings.Builder
	if e.Exited {
		fmt.Fprintf(&b, "The container %s after %s", e.Exit, round(e.Elapsed))
	} else {
		fmt.Fprintf(&b, "The container was given %s", round(e.Elapsed))
	}
	switch p := e.Progress; {
	case p.Pings == 0:
		b.WriteString(", before the first ping.")
	case p.Pings == 1:
		fmt.Fprintf(&b, "; one ping was sent and met: %s.", p.Answers)
	default:
		fmt.Fprintf(&b, "; %d pings were sent and met: %s.", p.Pings, p.Answers)
	}
	if !e.Progress.PortOpen {
		b.WriteString(" Its port was never open.")
	}
	if e.Tail == "" {
		b.WriteString(" It printed nothing.")
	}
	return b.String()
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}
