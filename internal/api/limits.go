package api

import (
	"sync"

	"golang.org/x/time/rate"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
)

// errRate is the answer to who asks too often.
var errRate = fault.New(fault.Throttled, "Rate exceeded")

// maxBuckets bounds the callers that limits remember.
const maxBuckets = 4096

// limits bound how many requests a second each caller may make. Sessions share the
// limit of the key or the role that they come from, so that nobody gets more by
// beginning sessions, and all whom the server does not know share one.
type limits struct {
	perSecond int // 0 is without limit

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

// take counts a request of a caller who has proved itself, or of somebody unknown.
// errRate refuses it.
func (l *limits) take(who *identity.Principal) error {
	if l.perSecond == 0 || l.of(who).Allow() {
		return nil
	}
	return errRate
}

// of gives a caller's limiter.
func (l *limits) of(who *identity.Principal) *rate.Limiter {
	name := ""
	if who != nil {
		name = who.Base
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[name]
	if b == nil {
		l.forget()
		b = rate.NewLimiter(rate.Limit(l.perSecond), 2*l.perSecond)
		l.buckets[name] = b
	}
	return b
}

// forget makes room for a limiter. Those that are full have nothing to remember; if
// there are none, all begin anew.
func (l *limits) forget() {
	if len(l.buckets) < maxBuckets && l.buckets != nil {
		return
	}
	for name, b := range l.buckets {
		if b.Tokens() >= float64(b.Burst()) {
			delete(l.buckets, name)
		}
	}
	if len(l.buckets) >= maxBuckets || l.buckets == nil {
		l.buckets = map[string]*rate.Limiter{}
	}
}
