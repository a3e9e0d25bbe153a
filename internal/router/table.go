// Package router is the data plane of hosted endpoints: it finds an endpoint in an
// immutable table, chooses a variant and an instance, lets a bounded number of
// requests through, and carries a request to a container and its answer back.
//
// The controller publishes a new table whenever something changes; a request
// reads one pointer, takes no lock and asks no database. What the table holds is
// decided elsewhere: the router neither starts nor stops anything.
package router

import (
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Table is every endpoint that may be invoked, at one moment. It is not changed
// once it is published.
type Table struct {
	endpoints map[name]*Endpoint
}

// name is how requests name an endpoint; case does not matter (CP-9).
type name struct{ region, folded string }

// NewTable makes a table of endpoints, whose names differ.
func NewTable(endpoints []*Endpoint) *Table {
	t := &Table{endpoints: make(map[name]*Endpoint, len(endpoints))}
	for _, e := range endpoints {
		t.endpoints[name{e.Region, strings.ToLower(e.Name)}] = e
	}
	return t
}

// Find gives an endpoint, or nil.
func (t *Table) Find(region, endpoint string) *Endpoint {
	if e := t.endpoints[name{region, endpoint}]; e != nil {
		return e
	}
	return t.endpoints[name{region, strings.ToLower(endpoint)}]
}

// Endpoint is one endpoint as requests see it.
type Endpoint struct {
	Region string
	Name   string
	// Serves says that its status lets requests through (RT-5); one that does not
	// is there so that the error can say why.
	Serves bool
	Status resource.EndpointStatus
	// Variants take the requests. Two may have one name while an update moves
	// traffic from an old to a new fleet; each has its share.
	Variants []*Variant
	// Shadows get copies of requests (EP-36).
	Shadows []*Variant
	// Capture is what is kept of requests and answers, nil for nothing (EP-50).
	Capture *resource.DataCapture
	// Async is set on an endpoint that takes asynchronous requests only (RT-22).
	Async  *resource.AsyncInference
	Limits Limits

	// Set when it is published first: isPlain, and the endpoint's record.
	plain bool
	rec   *endpointRecord
}

// Limits bound what requests may take. A Timeout or Body of 0 is the default.
type Limits struct {
	// Timeout is how long a container may take for an answer (RT-7), and how long a
	// stream may stand still.
	Timeout time.Duration
	// Body is the largest request, in bytes (RT-1).
	Body int64
	// Waiting is how many requests may wait for a free instance, or for the first
	// one; more are refused at once.
	Waiting int
}

// The defaults of Limits (RT-1, RT-7).
const (
	DefaultTimeout       = time.Minute
	DefaultBody    int64 = 6 << 20
)

// Bounded gives the limits with the defaults for what is 0.
func (l Limits) Bounded() Limits {
	if l.Timeout <= 0 {
		l.Timeout = DefaultTimeout
	}
	if l.Body <= 0 {
		l.Body = DefaultBody
	}
	return l
}

// Variant is the instances of a variant in one fleet.
type Variant struct {
	Name string
	// Share is its part of the requests that name no variant: its weight times its
	// fleet's part. 0 takes none of them, but can be named (EP-30).
	Share float64
	// LeastOutstanding chooses the instance with the fewest requests, not at random
	// (EP-33).
	LeastOutstanding bool
	Model            resource.ModelSpec
	// Instances are ready. The slice may be empty.
	Instances []*Instance
	// Concurrency bounds the requests that one instance has at once; 0 is no bound.
	Concurrency int
	// Wake asks for an instance where there is none, and returns at once; nil where
	// none will come. A request then waits up to WakeWait. It may be called often and
	// by several goroutines.
	Wake     func()
	WakeWait time.Duration

	// Set when it is published first: its record, and Concurrency or what an
	// asynchronous endpoint has instead.
	rec   *variantRecord
	limit int
}
