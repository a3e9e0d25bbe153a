package router

import (
	"math/rand/v2"
	"net/netip"
)

// isPlain reports whether a request to the endpoint needs nothing but one container:
// no copies, no capture, no models to choose, no chain of containers.
func (e *Endpoint) isPlain() bool {
	if !e.Serves || e.Async != nil || e.Capture != nil || len(e.Shadows) > 0 {
		return false
	}
	for _, v := range e.Variants {
		if len(v.Model.All()) > 1 || v.Model.MultiModel() {
			return false
		}
	}
	return true
}

// Plain reports whether a request to the endpoint needs nothing but one container,
// so that whoever passes bytes on can carry it with a Ticket.
func (e *Endpoint) Plain() bool { return e.plain }

// Address is where the instance's first container serves; false when it has no
// address of the form IP:port.
func (i *Instance) Address() (netip.AddrPort, bool) { return i.address, i.address.IsValid() }

// Container is the name of the only container of a Ticket's instance.
func (t *Ticket) Container() string { return t.Instance.Name(0) }

// Elsewhere takes a place on another instance for a request whose instance has
// failed it, of another variant where its own has no other and the caller named
// none, and gives the old place back; false when there is none at once, and the old
// place is kept.
func (r *Router) Elsewhere(t *Ticket, a *Ask) (Ticket, bool) {
	a.avoid = t.Instance
	other, ok := r.tryOther(t, a)
	if !ok && a.Variant == "" {
		if o := t.Endpoint.standIn(t.Variant, rand.Float64()); o != nil {
			b := *a
			b.Variant = o.Name
			other, ok = r.tryOther(t, &b)
		}
	}
	if ok {
		t.Variant.rec.repeated.Add(1)
		t.Release()
	}
	return other, ok
}

// tryOther is Try that gives no place on the same instance.
func (r *Router) tryOther(t *Ticket, a *Ask) (Ticket, bool) {
	other, waits, err := r.Try(a)
	if err != nil || waits {
		return Ticket{}, false
	}
	if other.Instance == t.Instance {
		other.Release()
		return Ticket{}, false
	}
	return other, true
}

// Answered is the ModelError of a container's answer that is not 2xx (RT-6).
func (r *Router) Answered(t *Ticket, status int, body []byte) *Error {
	return r.modelError(t.Endpoint, t.Container(), status, string(body))
}

// Unanswered is the ModelError of a request that got no answer (RT-7).
func (r *Router) Unanswered(t *Ticket, why string) *Error {
	return r.modelError(t.Endpoint, t.Container(), 0, why)
}

// TimedOut is the ModelError of a container that took too long (RT-7).
func (r *Router) TimedOut(t *Ticket) *Error {
	return r.modelError(t.Endpoint, t.Container(), 0, timedOut(t.Container()))
}
