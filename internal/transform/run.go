// Package transform is the engine of batch transform jobs: it lists the input,
// decides what a job needs next (Plan, pure), and moves the bytes of each object
// through a container and into its output (Runner).
//
// It knows stores by their seam, containers by the Invoker interface below, and
// nothing of HTTP, of the database or of the API.
package transform

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/record"
)

// Answer is what a container answered to one request.
type Answer struct {
	// Body is the dst that was passed in, with the answer appended.
	Body []byte
	// ContentType is the answer's, or "".
	ContentType string
	// Retries is how many further attempts it took (BT-88).
	Retries int
}

// Payload is the body of one request.
type Payload struct {
	Body []byte
	// Sent, if not nil, may be told of parts of Body just after they were sent, in
	// order and from no two goroutines at once. An attempt after the first begins
	// again. Body is then for system calls only, and may turn out to be unreadable.
	Sent func(part []byte)
}

// Invoker sends requests to one container over one connection. It retries by
// itself and is used by one goroutine at a time.
type Invoker interface {
	// Invoke sends a payload and appends the answer to dst.
	Invoke(ctx context.Context, p Payload, dst []byte) (Answer, error)
	// InvokeStream sends a body as it comes, chunked. begin is called once, with the
	// answer's Content-Type, when a good answer begins, and tells where it goes.
	InvokeStream(ctx context.Context, body io.Reader, begin func(contentType string) (io.Writer, error)) error
}

// Object is one input object and the place of its answers.
type Object struct {
	Seq int64
	objstore.Info
	// Rel is the output key below S3OutputPath, without ".out" (BT-103, BT-104).
	Rel string
}

// Feed gives out a job's objects, each once. The instances of a job share one:
// whoever is free takes the next, so none idles while there is work (BT-51).
type Feed interface {
	// Next gives the next object; ok is false when there are none left.
	Next(ctx context.Context) (o Object, ok bool, err error)
}

// Outcome is how one object went. Err is nil when its output is whole and
// visible; otherwise nothing of it is.
type Outcome struct {
	Object
	Counts
	Err error
}

// Options are what a Runner needs.
type Options struct {
	Settings Settings
	Store    objstore.Store
	// Output is S3OutputPath; its key may be empty.
	Output objstore.Ref
	// OutputKey is KmsKeyId, under which the output is encrypted; "" is what the
	// bucket says (BT-112).
	OutputKey string
	// Invokers are the connections to the instance, Settings.Concurrent of them.
	Invokers []Invoker
	// Dead is closed when the instance can serve no more.
	Dead <-chan struct{}
	// Scratch is a folder for answers that wait for their object to be whole.
	Scratch string
	// Report is called once for each object that was taken from the feed, by several
	// goroutines, unless the run was interrupted before the object was decided.
	Report func(Outcome)
	// Progress counts while objects are under way.
	Progress *Progress
}

// Runner moves objects through one instance.
type Runner struct {
	Options
	ring *ring      // what may be in memory
	work chan *slot // filled slots, for whichever connection is free
	pace pace
}

// How many lanes a Runner has: two for each connection within these bounds.
const (
	minLanes = 4
	maxLanes = 32
)

// NewRunner makes a Runner.
func NewRunner(o Options) *Runner {
	ring := newRing(len(o.Invokers))
	return &Runner{Options: o, ring: ring, work: make(chan *slot, ring.most)}
}

// Run takes objects from the feed until it is dry and returns when each has been
// reported. It returns early, with the reason, when ctx ends, when the feed
// fails, or with ErrInstanceGone when the instance dies; objects that were then
// under way and undecided are not reported, except those that the dead instance
// failed.
func (r *Runner) Run(ctx context.Context, feed Feed) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers, lanes sync.WaitGroup
	for _, inv := range r.Invokers {
		workers.Go(func() { r.invokeAll(inv) })
	}
	for range min(max(2*len(r.Invokers), minLanes), maxLanes) {
		lanes.Go(func() {
			if err := r.lane(ctx, feed); err != nil {
				cancel(err)
			}
		})
	}
	lanes.Wait()
	close(r.work)
	workers.Wait()
	return context.Cause(ctx)
}

// lane takes one object after the other. Lanes exist so that opening, closing
// and small objects overlap; the connections and the ring are shared by all.
func (r *Runner) lane(ctx context.Context, feed Feed) error {
	for {
		if r.gone() {
			return ErrInstanceGone
		}
		o, ok, err := feed.Next(ctx)
		if err != nil || !ok {
			return err
		}
		out := Outcome{Object: o}
		out.Err = r.object(ctx, o, &out.Counts)
		if ctx.Err() != nil && out.Err != nil {
			return context.Cause(ctx)
		}
		if errors.Is(out.Err, ErrInstanceLost) {
			return ErrInstanceGone
		}
		r.Report(out)
	}
}

// gone reports whether the instance has died.
func (r *Runner) gone() bool {
	select {
	case <-r.Dead:
		return true
	default:
		return false
	}
}

// slot is one place of the ring: a group of mini-batches on its way to the
// container, and its answers on their way to the output.
type slot struct {
	record.Group
	answers     []byte
	ends        []int // answer i ends at ends[i], assembly included
	contentType string
	err         error
	at          int // the mini-batch that err speaks of
	retries     int64
	read        int64 // how far the object was read, as stored, for this slot

	object *passage
	stream *streamed      // instead of a group: a whole object in one request
	view   *objstore.View // instead of the group's Body: what it shows
	done   chan struct{}  // receives once when the answers are there
}

func newSlot() *slot { return &slot{done: make(chan struct{}, 1)} }

// reset empties a slot for an object.
func (s *slot) reset(p *passage) {
	s.answers, s.ends = s.answers[:0], s.ends[:0]
	s.contentType, s.err, s.at, s.retries = "", nil, 0, 0
	s.object, s.stream, s.view = p, nil, nil
}

// invokeAll is one connection's work: filled slots until there are none.
func (r *Runner) invokeAll(inv Invoker) {
	for s := range r.work {
		switch {
		case s.object.ctx.Err() != nil:
			s.err = context.Cause(s.object.ctx)
		case s.stream != nil:
			s.err = s.stream.invoke(s.object.ctx, inv)
		case s.view != nil:
			r.invokeView(inv, s)
		default:
			r.invoke(inv, s)
		}
		s.done <- struct{}{}
	}
}

// invoke sends a slot's mini-batches one after the other and assembles their
// answers as they come, each next to the one before.
func (r *Runner) invoke(inv Invoker, s *slot) {
	start := time.Now()
	r.Progress.InFlight.Add(1)
	defer r.Progress.InFlight.Add(-1)
	for i := range s.Ends {
		if s.err = r.exchange(inv, s, Payload{Body: s.Batch(i)}); s.err != nil {
			s.at = i
			return
		}
	}
	r.pace.observe(time.Since(start), len(s.Ends))
}

// exchange sends one mini-batch of a slot and assembles its answer.
func (r *Runner) exchange(inv Invoker, s *slot, p Payload) error {
	mark := len(s.answers)
	answer, err := inv.Invoke(s.object.ctx, p, s.answers)
	s.retries += int64(answer.Retries)
	if err == nil {
		s.answers, err = r.Settings.Assembly.Finish(answer.Body, mark)
	}
	if err != nil {
		return err
	}
	if s.ends = append(s.ends, len(s.answers)); len(s.ends) == 1 {
		s.contentType = answer.ContentType
	}
	return nil
}
