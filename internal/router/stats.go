package router

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// endpointRecord is what the router knows of an endpoint beyond one table. It lives
// as long as the tables hold the endpoint.
type endpointRecord struct {
	waiting atomic.Int64               // requests in all lines
	async   atomic.Pointer[asyncQueue] // nil but for asynchronous endpoints

	mu       sync.Mutex
	variants map[string]*variantRecord // shadows have names of their own
}

func (e *endpointRecord) variant(name string) *variantRecord {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := e.variants[name]
	if v == nil {
		v = &variantRecord{containers: map[string]*histogram{}}
		e.variants[name] = v
	}
	return v
}

// variantRecord is what the router knows of all fleets of a variant.
type variantRecord struct {
	line  line
	bound atomic.Int64 // Concurrency in the last table, 0 for none

	inFlight, throttled, repeated                    atomic.Int64
	invocations, errors4XX, errors5XX, modelErrors   atomic.Int64
	modelLatency, overheadLatency, setup             histogram
	modelHits, modelMisses                           atomic.Int64
	modelWait, modelDownload, modelLoad, modelUnload histogram
	captureDropped, shadowDropped                    atomic.Int64

	mu         sync.Mutex
	containers map[string]*histogram // ContainerLatency, where there are several
}

// withinBound reports whether an instance has no more requests than one may have.
func (v *variantRecord) withinBound(in *Instance) bool {
	bound := v.bound.Load()
	return bound == 0 || in.Outstanding() <= bound
}

// count counts a request (OB-1 to OB-6).
func (v *variantRecord) count(o Outcome) {
	v.invocations.Add(1)
	v.modelLatency.observe(o.Model)
	v.overheadLatency.observe(max(0, o.Total-o.Model))
	if o.Cancelled {
		return
	}
	switch {
	case o.Status >= 200 && o.Status < 300:
		return
	case o.Status >= 400 && o.Status < 500:
		v.errors4XX.Add(1)
	default:
		v.errors5XX.Add(1)
	}
	if !o.Platform {
		v.modelErrors.Add(1)
	}
}

// count is the instance's part.
func (i *Instance) count(o Outcome) {
	i.invocations.Add(1)
	if !o.Cancelled && !o.Platform && (o.Status < 200 || o.Status > 299) {
		i.modelErrors.Add(1)
	}
}

// container gives the latency of a container (OB-7).
func (v *variantRecord) container(name string) *histogram {
	v.mu.Lock()
	defer v.mu.Unlock()
	h := v.containers[name]
	if h == nil {
		h = &histogram{}
		v.containers[name] = h
	}
	return h
}

// buckets are the upper bounds of a histogram's buckets, in seconds.
var buckets = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// histogram counts durations. The zero value is ready.
type histogram struct {
	n     atomic.Int64
	sum   atomic.Int64 // nanoseconds
	below [len(buckets)]atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	h.n.Add(1)
	h.sum.Add(int64(d))
	s := d.Seconds()
	for i, most := range buckets {
		if s <= most {
			h.below[i].Add(1)
			return
		}
	}
}

// Histogram is a histogram at one moment, as Prometheus counts: Buckets gives how
// many durations were at most so many seconds long.
type Histogram struct {
	Count   int64
	Sum     time.Duration
	Buckets map[float64]uint64
}

func (h *histogram) read() Histogram {
	out := Histogram{Buckets: make(map[float64]uint64, len(buckets))}
	total := int64(0)
	for i, most := range buckets {
		total += h.below[i].Load()
		out.Buckets[most] = uint64(total)
	}
	// observe counts in the other order: the count is never less than the buckets.
	out.Count, out.Sum = h.n.Load(), time.Duration(h.sum.Load())
	return out
}

// Stats are the sums of a variant since the router knows it: they only grow, but for
// InFlight, Waiting and Instances.
type Stats struct {
	Region, Endpoint, Variant string
	Shadow                    bool

	Invocations          int64 // OB-1
	Errors4XX, Errors5XX int64 // OB-3, by the container's status
	ModelErrors          int64 // OB-4
	Throttled            int64 // refused because there was no place
	Repeated             int64 // sent to another instance because the first one ended
	InFlight, Waiting    int64
	Instances            int

	ModelLatency, OverheadLatency, ModelSetupTime Histogram            // OB-5, OB-6, OB-8
	ContainerLatency                              map[string]Histogram // OB-7

	// Of multi-model variants (OB-9).
	ModelCacheHits, ModelCacheMisses         int64
	LoadedModels                             int
	ModelLoadingWait, ModelDownloading       Histogram
	ModelLoading, ModelUnloading             Histogram
	CaptureDropped, ShadowDropped            int64
	Async                                    bool
	AsyncBacklog                             int64 // OB-10, the endpoint's
	AsyncOldest                              time.Time
	AsyncExpired, AsyncFailed, AsyncFinished int64
	AsyncInputFailures, AsyncOutputFailures  int64
	AsyncInBacklog, AsyncProcessing          Histogram
}

// Stats gives the sums of a variant; false when no table holds it.
func (r *Router) Stats(region, endpoint, variant string) (Stats, bool) {
	e := r.table.Load().Find(region, endpoint)
	if e == nil {
		return Stats{}, false
	}
	for _, s := range r.statsOf(e) {
		if s.Variant == variant {
			return s, true
		}
	}
	return Stats{}, false
}

// AllStats gives the sums of all variants, sorted.
func (r *Router) AllStats() []Stats {
	var all []Stats
	for _, e := range r.table.Load().endpoints {
		all = append(all, r.statsOf(e)...)
	}
	slices.SortFunc(all, func(a, b Stats) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Variant, b.Variant))
	})
	return all
}

// statsOf reads the records of an endpoint's variants, the fleets of one name
// together.
func (r *Router) statsOf(e *Endpoint) []Stats {
	var all []Stats
	for _, group := range []struct {
		variants []*Variant
		shadow   bool
	}{{e.Variants, false}, {e.Shadows, true}} {
		for _, v := range group.variants {
			at := slices.IndexFunc(all, func(s Stats) bool { return s.Variant == v.Name && s.Shadow == group.shadow })
			if at < 0 {
				at = len(all)
				s := v.rec.read()
				s.Region, s.Endpoint, s.Variant, s.Shadow = e.Region, e.Name, v.Name, group.shadow
				s.readQueue(e.rec.async.Load())
				all = append(all, s)
			}
			all[at].Instances += len(v.Instances)
			for _, in := range v.Instances {
				all[at].LoadedModels += in.models.count()
			}
		}
	}
	return all
}

// readQueue fills in what is the endpoint's.
func (s *Stats) readQueue(q *asyncQueue) {
	if q == nil {
		return
	}
	s.Async = true
	s.AsyncBacklog, s.AsyncExpired, s.AsyncFailed, s.AsyncFinished = q.count.Load(), q.expired.Load(), q.failed.Load(), q.finished.Load()
	s.AsyncInputFailures, s.AsyncOutputFailures = q.inputFailures.Load(), q.outputFailed.Load()
	s.AsyncInBacklog, s.AsyncProcessing = q.inBacklog.read(), q.processing.read()
	q.mu.Lock()
	defer q.mu.Unlock()
	s.AsyncOldest = q.oldest
}

func (v *variantRecord) read() Stats {
	s := Stats{
		Invocations: v.invocations.Load(), Errors4XX: v.errors4XX.Load(), Errors5XX: v.errors5XX.Load(),
		ModelErrors: v.modelErrors.Load(), Throttled: v.throttled.Load(), Repeated: v.repeated.Load(),
		InFlight: v.inFlight.Load(), Waiting: v.line.n.Load(),
		ModelLatency: v.modelLatency.read(), OverheadLatency: v.overheadLatency.read(), ModelSetupTime: v.setup.read(),
		ContainerLatency: map[string]Histogram{},
		ModelCacheHits:   v.modelHits.Load(), ModelCacheMisses: v.modelMisses.Load(),
		ModelLoadingWait: v.modelWait.read(), ModelDownloading: v.modelDownload.read(),
		ModelLoading: v.modelLoad.read(), ModelUnloading: v.modelUnload.read(),
		CaptureDropped: v.captureDropped.Load(), ShadowDropped: v.shadowDropped.Load(),
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, h := range v.containers {
		s.ContainerLatency[name] = h.read()
	}
	return s
}
