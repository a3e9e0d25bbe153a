package router

import (
	"context"
	"errors"
	"path"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// AsyncRequest is one request of InvokeEndpointAsync (RT-20).
type AsyncRequest struct {
	Region, Endpoint                                   string
	ContentType, Accept, CustomAttributes, InferenceID string
	// InputLocation is an S3 URI; "" takes Body.
	InputLocation string
	Body          []byte
	// Extension and Filename change where the output goes; "" is nothing.
	Extension, Filename string
	TTL, Timeout        time.Duration
}

// AsyncAnswer is what the caller is told at once (RT-21).
type AsyncAnswer struct{ InferenceID, OutputLocation, FailureLocation string }

// The bounds of an endpoint's backlog.
const (
	maxBacklog      = 100_000
	maxBacklogBytes = 1 << 30
	// asyncDefault is how many requests an instance is sent at once where the
	// configuration does not say.
	asyncDefault = 4
)

// InvokeAsync puts a request into the endpoint's queue. It is durable when
// InvokeAsync returns. Errors are *Error or ctx's cause.
func (r *Router) InvokeAsync(ctx context.Context, q *AsyncRequest) (AsyncAnswer, error) {
	e, err := r.endpoint(r.table.Load(), &Ask{Region: q.Region, Endpoint: q.Endpoint, Operation: Async})
	if err != nil {
		return AsyncAnswer{}, err
	}
	queue := e.rec.async.Load()
	if queue == nil {
		return AsyncAnswer{}, Errorf(ServiceUnavailable, "This server keeps no queue, and endpoint %s takes asynchronous requests only.", e.Name)
	}
	if err := q.check(); err != nil {
		return AsyncAnswer{}, err
	}
	a := q.invocation(e, r.Now())
	if !queue.admit(int64(len(a.Payload))) {
		return AsyncAnswer{}, Errorf(ServiceUnavailable, "The queue of endpoint %s is full: it holds %d requests. Repeat the request later, or raise the number of instances.", e.Name, queue.count.Load())
	}
	if err := r.Queue.Put(ctx, a); err != nil {
		queue.forget(int64(len(a.Payload)))
		if ctx.Err() != nil {
			return AsyncAnswer{}, context.Cause(ctx)
		}
		failed := Errorf(ServiceUnavailable, "The request could not be stored. Repeat it later.")
		failed.cause = err
		return AsyncAnswer{}, failed
	}
	queue.nudge()
	return AsyncAnswer{a.InferenceID, a.Output, a.Failure}, nil
}

// check refuses what cannot be carried out.
func (q *AsyncRequest) check() error {
	switch {
	case q.InputLocation == "" && len(q.Body) == 0:
		return Errorf(ValidationError, "Give the payload either in InputLocation or as the body of the request; it has neither.")
	case q.InputLocation != "" && len(q.Body) > 0:
		return Errorf(ValidationError, "Give the payload either in InputLocation or as the body of the request, not both.")
	}
	if q.InputLocation != "" {
		if ref, err := objstore.ParseURI(q.InputLocation); err != nil || ref.Key == "" {
			return Errorf(ValidationError, "InputLocation %s is not the URI of an S3 object.", q.InputLocation)
		}
	}
	for part := range strings.SplitSeq(strings.Trim(q.Extension, "/"), "/") {
		if part == "." || part == ".." {
			return Errorf(ValidationError, "S3OutputPathExtension may not have the part %q.", part)
		}
	}
	return nil
}

// safeID is an inference ID that can be a part of an object's name.
var safeID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// invocation makes what is kept of the request. Objects are named after the inference
// ID (RT-22); one that is no name for an object gets another.
func (q *AsyncRequest) invocation(e *Endpoint, now time.Time) state.AsyncInvocation {
	id := q.InferenceID
	if id == "" {
		id = uuid.NewString()
	}
	name := id
	if !safeID.MatchString(name) {
		name = uuid.NewString()
	}
	a := state.AsyncInvocation{
		Region: e.Region, Endpoint: e.Name, InferenceID: id, InputLocation: q.InputLocation, Payload: q.Body,
		ContentType: q.ContentType, Accept: q.Accept, CustomAttributes: q.CustomAttributes,
		KmsKeyID: e.Async.KmsKeyID, Created: now, Expires: now.Add(q.TTL), Timeout: q.Timeout,
	}
	file := q.Filename
	if file == "" {
		file = name + ".out"
	}
	a.Output = under(e.Async.OutputPath, strings.Trim(q.Extension, "/"), file)
	if e.Async.FailurePath != "" {
		a.Failure = under(e.Async.FailurePath, name+"-error.out")
	}
	return a
}

// under names something below an S3 URI.
func under(uri string, parts ...string) string {
	return strings.TrimRight(uri, "/") + "/" + path.Join(parts...)
}

// asyncQueue is an endpoint's queue as its dispatcher sees it.
type asyncQueue struct {
	stop context.CancelFunc
	more chan struct{} // has a value when there may be something new

	count, bytes                atomic.Int64
	expired, failed, finished   atomic.Int64 // OB-10
	inputFailures, outputFailed atomic.Int64
	inBacklog, processing       histogram

	mu     sync.Mutex
	oldest time.Time // of the last that was taken, for the age of the backlog
}

// admit counts a request in, unless the backlog is full.
func (q *asyncQueue) admit(bytes int64) bool {
	if q.count.Add(1) > maxBacklog || q.bytes.Add(bytes) > maxBacklogBytes {
		q.count.Add(-1)
		q.bytes.Add(-bytes)
		return false
	}
	return true
}

func (q *asyncQueue) forget(bytes int64) {
	q.count.Add(-1)
	q.bytes.Add(-bytes)
}

func (q *asyncQueue) nudge() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// asyncBound is how many requests an instance of an asynchronous endpoint has at once.
func asyncBound(c *resource.AsyncInference, concurrency int) int {
	switch {
	case c.MaxConcurrent > 0:
		return c.MaxConcurrent
	case concurrency > 0:
		return concurrency
	}
	return asyncDefault
}

// startAsync starts the dispatcher of an endpoint; r.mu is held.
func (r *Router) startAsync(e *Endpoint) {
	if r.Queue == nil || e.rec.async.Load() != nil || r.life.Err() != nil {
		return
	}
	ctx, stop := context.WithCancel(r.life)
	q := &asyncQueue{stop: stop, more: make(chan struct{}, 1)}
	b, err := r.Queue.Backlog(ctx, e.Region, e.Name)
	if err != nil {
		r.Log.Error("the backlog of an endpoint could not be counted", "endpoint", e.Name, "error", err)
	}
	q.count.Store(b.Count)
	q.bytes.Store(b.Bytes)
	e.rec.async.Store(q)
	r.background.Go(func() { r.dispatch(ctx, e.Region, e.Name, q) })
}

// asyncBatch is how many invocations are read from the queue at once.
const asyncBatch = 16

// dispatch takes an endpoint's invocations in their order, waits for a place on an
// instance for each, and has them carried out. It ends with ctx; what has not ended
// then is taken up by the next dispatcher.
func (r *Router) dispatch(ctx context.Context, region, endpoint string, q *asyncQueue) {
	var running sync.WaitGroup
	defer running.Wait()
	var after int64
	for ctx.Err() == nil {
		batch, err := r.Queue.Next(ctx, region, endpoint, after, asyncBatch)
		if err != nil {
			r.pauseAfter(ctx, "reading the queue failed", endpoint, err)
			continue
		}
		for i := range batch {
			after = batch[i].Seq
			r.take(ctx, &batch[i], q, &running)
		}
		if len(batch) == 0 {
			q.note(time.Time{})
			select {
			case <-q.more:
			case <-ctx.Done():
			}
		}
	}
}

func (q *asyncQueue) note(oldest time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.oldest = oldest
}

// pauseAfter logs what failed and waits a little.
func (r *Router) pauseAfter(ctx context.Context, what, endpoint string, err error) {
	if ctx.Err() != nil {
		return
	}
	r.Log.Error(what, "endpoint", endpoint, "error", err)
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// errExpired is the end of an invocation that waited too long (RT-20).
var errExpired = errors.New("the request expired before an instance was free for it")

// take waits for a place for an invocation, and has it carried out.
func (r *Router) take(ctx context.Context, a *state.AsyncInvocation, q *asyncQueue, running *sync.WaitGroup) {
	q.note(a.Created)
	x := &asyncRun{r: r, a: a, q: q}
	waiting, cancel := context.WithTimeoutCause(ctx, time.Until(a.Expires), errExpired)
	defer cancel()
	for {
		t, err := r.Admit(waiting, x.ask())
		if err == nil {
			running.Go(func() { x.carry(ctx, t) })
			return
		}
		if ctx.Err() != nil {
			return
		}
		if waiting.Err() != nil {
			q.expired.Add(1)
			running.Go(func() {
				x.fail(ctx, Errorf(ServiceUnavailable, "%s: it was put into the queue at %s and could wait until %s.", errExpired, a.Created.UTC().Format(time.RFC3339), a.Expires.UTC().Format(time.RFC3339)))
			})
			return
		}
		// The endpoint does not serve at the moment, or has no instance.
		wait := time.NewTimer(time.Second)
		select {
		case <-wait.C:
		case <-waiting.Done():
		}
		wait.Stop()
	}
}

// Forget forgets what is kept of an endpoint that was deleted: the invocations in its
// queue. Its table entry must be gone.
func (r *Router) Forget(ctx context.Context, region, endpoint string) error {
	if r.Queue == nil {
		return nil
	}
	if err := r.Queue.RemoveAll(ctx, region, endpoint); err != nil {
		return fault.Wrap(fault.Unavailable, err, "the queue of endpoint %s could not be removed", endpoint)
	}
	return nil
}
