package router

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// Options are what a Router works with.
type Options struct {
	// Account is the account number of messages and ARNs.
	Account string
	// Objects is where the models of multi-model endpoints come from, captured data
	// goes to, and asynchronous requests have both.
	Objects objstore.Store
	// As makes a context in which Objects are read and written with a role's rights; nil
	// has no roles.
	As func(ctx context.Context, role string) (context.Context, error)
	// Queue keeps asynchronous requests; nil has none served.
	Queue Queue
	Log   *slog.Logger
	Now   func() time.Time
}

// Router carries requests to instances. It is safe for concurrent use.
type Router struct {
	Options
	table    atomic.Pointer[Table]
	sessions *sessions
	shadows  shadows
	capture  *capture
	seed     maphash.Seed // of fraction

	mu      sync.Mutex // held by Publish
	records map[name]*endpointRecord

	life       context.Context // of what goes on beside requests
	end        context.CancelFunc
	background sync.WaitGroup
}

// New makes a Router with an empty table. Close ends what it does in the
// background.
func New(o Options) *Router {
	r := &Router{Options: o, sessions: newSessions(), seed: maphash.MakeSeed(), records: map[name]*endpointRecord{}}
	r.life, r.end = context.WithCancel(context.Background())
	r.table.Store(NewTable(nil))
	r.capture = &capture{r: r, batches: map[batchKey]*batch{}, more: make(chan struct{}, 1)}
	r.background.Go(r.capture.run)
	return r
}

// Close ends what the router does beside requests and waits for it. Requests must
// have ended. It may be called twice.
func (r *Router) Close() {
	r.end()
	r.background.Wait()
}

// Publish makes a table the one that requests read. What is kept of an endpoint
// beyond one table, such as its waiting requests and its figures, goes on in the new
// one; that of an endpoint which is no longer there is forgotten.
func (r *Router) Publish(t *Table) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, e := range t.endpoints {
		r.adopt(key, e)
	}
	r.table.Store(t)
	for key, rec := range r.records {
		rec.wake()
		if t.endpoints[key] == nil {
			delete(r.records, key)
			r.sessions.endAll(rec)
			if q := rec.async.Load(); q != nil {
				q.stop()
			}
		}
	}
}

// adopt ties an endpoint to its record. One that an earlier table held is tied
// already, and requests may be reading it.
func (r *Router) adopt(key name, e *Endpoint) {
	if e.rec == nil {
		e.plain = e.isPlain()
		if e.rec = r.records[key]; e.rec == nil {
			e.rec = &endpointRecord{variants: map[string]*variantRecord{}}
		}
	}
	r.records[key] = e.rec
	for _, group := range [][]*Variant{e.Variants, e.Shadows} {
		for _, v := range group {
			if v.rec == nil {
				v.rec, v.limit = e.rec.variant(v.Name), v.Concurrency
				if e.Async != nil {
					v.limit = asyncBound(e.Async, v.Concurrency)
				}
			}
			v.rec.bound.Store(int64(v.limit))
		}
	}
	if e.Async != nil {
		r.startAsync(e)
	}
}

// wake has all requests that wait look again.
func (e *endpointRecord) wake() {
	if e.waiting.Load() == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, v := range e.variants {
		v.line.wake()
	}
}

// Find gives an endpoint of the current table, or nil.
func (r *Router) Find(region, endpoint string) *Endpoint {
	return r.table.Load().Find(region, endpoint)
}

// as makes a context with the rights of a model's role. A model without one, which is
// "", has the server's own.
func (r *Router) as(ctx context.Context, arn string) (context.Context, error) {
	if r.As == nil || arn == "" {
		return ctx, nil
	}
	return r.As(ctx, arn)
}

// Drain waits until nothing is under way on an instance that the current table does
// not hold any more. Requests that read an older table are among what it waits for.
// It returns ctx's cause when that ends first. It may be called again.
func (r *Router) Drain(ctx context.Context, in *Instance) error { return in.drain(ctx) }
