package router

import (
	"context"
	"math/rand/v2"
	"time"
)

// Operation is which of the three calls a request is.
type Operation int

// The operations.
const (
	Sync Operation = iota
	Stream
	Async
)

// Ask is what a request says about where it wants to go.
type Ask struct {
	Region, Endpoint string
	Operation        Operation
	// Variant is TargetVariant, Model TargetModel, Container
	// TargetContainerHostname, Session SessionId; "" is none.
	Variant, Model, Container, Session string

	avoid *Instance // of an earlier attempt
	queue bool      // it is of a queue of its own: it may wait as long as its context lasts
}

// Ticket is a place on an instance. Exactly one of Done and Release gives it back.
type Ticket struct {
	Endpoint *Endpoint
	Variant  *Variant
	Instance *Instance
}

// Outcome is how a request ended.
type Outcome struct {
	// Status is the container's (OB-3), 0 where it gave no whole answer, and 200 for
	// any 2xx.
	Status int
	// Model is the time in the containers (OB-5), Total that of the whole request.
	Model, Total time.Duration
	// Cancelled tells that the caller went away; then Status says nothing.
	Cancelled bool
	// Platform tells that it failed before it reached a container.
	Platform bool
}

// Done counts a request and gives its place to the next.
func (t *Ticket) Done(o Outcome) {
	t.Instance.count(o)
	t.Variant.rec.count(o)
	t.Release()
}

// Release gives the place to the next without counting a request.
func (t *Ticket) Release() {
	t.Variant.rec.inFlight.Add(-1)
	release(t.Variant.rec, t.Instance)
}

func release(rec *variantRecord, in *Instance) {
	if rec.line.n.Load() > 0 && in.draining.Load() == 0 && in.alive() && rec.withinBound(in) && rec.line.handOver(in) {
		return
	}
	in.leave()
	rec.line.wake() // somebody may have come since
}

// wants are what an attempt to find a place found out.
type wants struct {
	*Ask
	drawn    string // the variant, once it was drawn
	endpoint *Endpoint
	variant  *Variant
	pinned   *Instance
	none     bool // no instance of the variant lives
}

// Try takes a place at once; waits tells that there is none and that Admit would
// wait for one. It takes no lock but for sessions and models.
//
// A place is counted before the table is looked at again: either the table is still
// the one that was read, and whoever drains the instance after the next Publish sees
// the count, or it is not, and the place is given back unused.
func (r *Router) Try(a *Ask) (t Ticket, waits bool, err error) {
	w := wants{Ask: a}
	in, err := r.try(&w)
	if err != nil || in == nil {
		return Ticket{}, err == nil, err
	}
	return w.ticket(in), false, nil
}

func (w *wants) ticket(in *Instance) Ticket {
	w.variant.rec.inFlight.Add(1)
	return Ticket{Endpoint: w.endpoint, Variant: w.variant, Instance: in}
}

// try is Try; it gives nil without an error when there is no place.
func (r *Router) try(w *wants) (*Instance, error) {
	for {
		t := r.table.Load()
		if err := r.locate(t, w); err != nil {
			return nil, err
		}
		var in *Instance
		if w.pinned != nil {
			if w.pinned.enter(w.variant.limit) {
				in = w.pinned
			}
		} else {
			in = w.variant.pick(w.Model, w.avoid)
		}
		if in == nil {
			w.none = !w.variant.anyAlive()
			return nil, nil
		}
		if r.table.Load() == t {
			return in, nil
		}
		in.leave() // not to the next in the line: the instance may be drained already
		w.variant.rec.line.wake()
	}
}

// locate finds the endpoint and the variant, and the instance where a session ties
// the request to one.
func (r *Router) locate(t *Table, w *wants) error {
	e, err := r.endpoint(t, w.Ask)
	if err != nil {
		return err
	}
	w.endpoint, w.pinned = e, nil
	if w.Session != "" && w.Session != NewSession {
		if tied, err := r.tied(e, w); tied || err != nil {
			return err
		}
	}
	v, verr := e.draw(w.target(e), rand.Float64())
	if verr != nil {
		return verr
	}
	if !v.anyAlive() {
		if o := e.sibling(v); o != nil {
			v = o
		} else if o := e.standIn(v, rand.Float64()); o != nil && w.Variant == "" && len(v.Instances) > 0 {
			v = o
		}
	}
	w.variant, w.drawn = v, v.Name
	return nil
}

// target is the name that the variant must have: that of the request, or that of an
// earlier draw, so that waiting does not change the split.
func (w *wants) target(e *Endpoint) string {
	if w.Variant != "" || w.drawn == "" {
		return w.Variant
	}
	for _, v := range e.Variants {
		if v.Name == w.drawn && v.Share > 0 {
			return w.drawn
		}
	}
	return ""
}

// endpoint finds an endpoint that takes the operation.
func (r *Router) endpoint(t *Table, a *Ask) (*Endpoint, error) {
	e := t.Find(a.Region, a.Endpoint)
	if e == nil {
		return nil, r.notFound(a.Endpoint)
	}
	if !e.Serves {
		return nil, r.notServing(e)
	}
	switch {
	case e.Async != nil && a.Operation != Async:
		return nil, Errorf(ValidationError, "Endpoint %s takes asynchronous requests only. Call InvokeEndpointAsync.", e.Name) // RT-22
	case e.Async == nil && a.Operation == Async:
		return nil, Errorf(ValidationError, "Endpoint %s has no AsyncInferenceConfig and takes no asynchronous requests. Call InvokeEndpoint.", e.Name)
	}
	return e, nil
}

// Admit takes a place on an instance for a request, and waits for one where the
// endpoint lets it: in a bounded line, up to the endpoint's time limit and the end
// of ctx. Where no instance runs it has one woken. Errors are *Error or ctx's cause.
func (r *Router) Admit(ctx context.Context, a *Ask) (Ticket, error) {
	w := wants{Ask: a}
	in, err := r.try(&w)
	if err != nil {
		return Ticket{}, err
	}
	if in == nil {
		if in, err = r.wait(ctx, &w); err != nil {
			return Ticket{}, err
		}
	}
	return w.ticket(in), nil
}

// wait waits for a place.
func (r *Router) wait(ctx context.Context, w *wants) (*Instance, error) {
	rec := w.endpoint.rec
	if n := rec.waiting.Add(1); !w.queue && n > int64(w.endpoint.Limits.Waiting) {
		rec.waiting.Add(-1)
		w.variant.rec.throttled.Add(1)
		return nil, w.noRoom()
	}
	defer rec.waiting.Add(-1)
	began := time.Now()
	for {
		line := &w.variant.rec.line
		me := line.join(w.pinned)
		in, err := r.try(w) // what was freed before the joining
		if in != nil || err != nil || &w.variant.rec.line != line {
			if handed := line.quit(me); handed != nil {
				release(w.variant.rec, handed)
			}
			if in != nil || err != nil {
				return in, err
			}
			continue
		}
		in, err = r.turn(ctx, w, me, began)
		if in != nil || err != nil {
			if w.none && in != nil {
				w.variant.rec.setup.observe(time.Since(began)) // OB-8
			}
			return in, err
		}
	}
}

// turn waits until it is the request's turn; it gives nil without an error when it
// has to look for itself.
func (r *Router) turn(ctx context.Context, w *wants, me *waiter, began time.Time) (*Instance, error) {
	patience := w.patience() - time.Since(began)
	if w.none && w.variant.Wake != nil {
		w.variant.Wake()
	}
	timer := time.NewTimer(max(0, patience))
	defer timer.Stop()
	line := &w.variant.rec.line
	select {
	case in := <-me.turn:
		if in == nil {
			in = line.quit(me)
		}
		if in == nil {
			return r.try(w)
		}
		return in, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	if in := line.quit(me); in != nil {
		return in, nil // it came at the last moment
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !w.queue {
		w.variant.rec.throttled.Add(1)
	}
	return nil, w.noRoom()
}

// patience is how long a request may wait.
func (w *wants) patience() time.Duration {
	switch {
	case w.queue:
		return time.Minute // then Wake is called again
	case !w.none:
		return w.endpoint.Limits.Bounded().Timeout
	case w.variant.Wake == nil:
		return 0
	}
	return w.variant.WakeWait
}

// noRoom is the error of a request for which there is no place.
func (w *wants) noRoom() *Error {
	switch {
	case w.none && w.variant.Wake != nil:
		return Errorf(ModelNotReadyException, "Variant %s of endpoint %s has no instance at the moment; one is being started. Repeat the request later.", w.variant.Name, w.endpoint.Name)
	case w.none:
		return Errorf(ServiceUnavailable, "Variant %s of endpoint %s has no instance that can take requests at the moment.", w.variant.Name, w.endpoint.Name)
	}
	return Errorf(ServiceUnavailable, "Variant %s of endpoint %s has as many requests as it takes. Repeat the request later, or raise the number of instances.", w.variant.Name, w.endpoint.Name)
}
