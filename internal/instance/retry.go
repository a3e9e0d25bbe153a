package instance

import (
	"context"
	"math/rand/v2"
	"time"
)

// RetryPolicy says how patient invocations are (BT-88, BT-89).
type RetryPolicy struct {
	// Timeout bounds one attempt, from the dial to the end of the answer; 600 s
	// by default. It may be exceeded by an eighth, at most by a second. For a
	// streamed request it bounds the time in which nothing moves.
	Timeout time.Duration
	// MaxRetries is how many attempts may follow the first. 0 is none: the
	// default of the API is the caller's to apply.
	MaxRetries int
	// Backoff gives the wait after the n-th attempt, n from 1. The default is
	// 1 s, 2 s, 4 s and so on up to 30 s, each up to a quarter less or more.
	Backoff func(attempt int) time.Duration
}

func (p *RetryPolicy) setDefaults() {
	setDefault(&p.Timeout, 600*time.Second)
	p.MaxRetries = max(0, p.MaxRetries)
	if p.Backoff == nil {
		p.Backoff = exponential
	}
}

func exponential(attempt int) time.Duration {
	d := min(time.Second<<min(attempt-1, 10), 30*time.Second)
	return d - d/4 + rand.N(d/2)
}

// again decides what follows a failed attempt. It answers nil, after the wait,
// for another attempt, and otherwise the error of the whole invocation.
func (c *Conn) again(ctx context.Context, attempt int, cause error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if attempt > c.in.opts.Retry.MaxRetries || !retryable(cause) {
		return c.giveUp(ctx, attempt, cause)
	}
	if c.in.exited() {
		return c.giveUp(ctx, attempt, cause)
	}
	wait := time.NewTimer(c.in.opts.Retry.Backoff(attempt))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.in.handle.Done():
		return c.giveUp(ctx, attempt, cause)
	}
}

// exitNews is how long a connection that broke for good waits for the news that
// its container has ended: it explains more, and comes a little later.
const exitNews = 3 * time.Second

// exitsWithin waits for the container's end.
func (in *Instance) exitsWithin(ctx context.Context, d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-in.handle.Done():
		return true
	case <-ctx.Done():
	case <-wait.C:
	}
	return false
}

// giveUp makes the error of an invocation of its last attempt's. A container
// that has ended is the better explanation of anything that may be retried.
func (c *Conn) giveUp(ctx context.Context, attempts int, cause error) error {
	exited := c.in.exited() || isBroken(cause) && c.in.exitsWithin(ctx, exitNews)
	if status, ok := cause.(*StatusError); ok && (!exited || status.Status < 500) {
		status.Attempts = attempts
		return status
	}
	e := &NoAnswerError{Cause: cause, Attempts: attempts, Exited: exited}
	if cause == errEnded {
		e.Cause = nil
	}
	if exited {
		e.Exit = c.in.handle.Exit()
	}
	return e
}
