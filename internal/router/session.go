package router

import (
	"container/list"
	"strings"
	"sync"
	"time"
)

// NewSession asks the container for a session (CC-91).
const NewSession = "NEW_SESSION"

// maxSessions bounds the sessions that are remembered. The one that was not used
// for longest is forgotten first; its requests then go where an unknown session's do.
const maxSessions = 1 << 16

// sessions knows on which instance each session lives.
type sessions struct {
	mu    sync.Mutex
	known map[sessionKey]*list.Element
	used  list.List // of *session, the last used first
}

type sessionKey struct {
	endpoint *endpointRecord
	id       string
}

type session struct {
	sessionKey
	in      *Instance
	expires time.Time // zero is never
}

func newSessions() *sessions { return &sessions{known: map[sessionKey]*list.Element{}} }

// find gives the instance of a session, nil when it is not known. One that has
// expired is forgotten.
func (s *sessions) find(e *endpointRecord, id string, now time.Time) *Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	el := s.known[sessionKey{e, id}]
	if el == nil {
		return nil
	}
	one := el.Value.(*session)
	if !one.expires.IsZero() && now.After(one.expires) {
		s.drop(el)
		return nil
	}
	s.used.MoveToFront(el)
	return one.in
}

// begin notes a session that a container has made.
func (s *sessions) begin(e *endpointRecord, id string, in *Instance, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := sessionKey{e, id}
	if el := s.known[k]; el != nil {
		s.drop(el)
	}
	for len(s.known) >= maxSessions {
		s.drop(s.used.Back())
	}
	s.known[k] = s.used.PushFront(&session{k, in, expires})
}

// end forgets a session.
func (s *sessions) end(e *endpointRecord, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if el := s.known[sessionKey{e, id}]; el != nil {
		s.drop(el)
	}
}

// endAll forgets an endpoint's sessions.
func (s *sessions) endAll(e *endpointRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, el := range s.known {
		if k.endpoint == e {
			s.drop(el)
		}
	}
}

func (s *sessions) drop(el *list.Element) {
	delete(s.known, el.Value.(*session).sessionKey)
	s.used.Remove(el)
}

// tied ties a request of a session to the instance where the session lives
// (CC-91). One that is not known, as after a restart of the server, goes to an
// instance that only its ID decides. It reports false where nothing can be tied.
func (r *Router) tied(e *Endpoint, w *wants) (bool, error) {
	in := r.sessions.find(e.rec, w.Session, r.Now())
	if in == nil {
		return r.tiedByName(e, w)
	}
	for _, v := range e.Variants {
		for _, other := range v.Instances {
			if other != in {
				continue
			}
			if w.Variant != "" && w.Variant != v.Name {
				return false, Errorf(ValidationError, "The session %s lives in variant %s of endpoint %s, and TargetVariant is %s.", w.Session, v.Name, e.Name, clip(w.Variant, 63))
			}
			if in.alive() {
				w.variant, w.pinned = v, in
				return true, nil
			}
		}
	}
	r.sessions.end(e.rec, w.Session)
	return false, Errorf(ValidationError, "The session %s of endpoint %s has ended, because the instance where it lived is gone. Begin another with SessionId NEW_SESSION.", w.Session, e.Name)
}

// tiedByName ties a request to the instance that its session's ID leads to: the
// same one as long as the instances are the same.
func (r *Router) tiedByName(e *Endpoint, w *wants) (bool, error) {
	v, err := e.draw(w.Variant, r.fraction(w.Session))
	if err != nil {
		return false, err
	}
	most := -1.0
	for _, in := range v.Instances {
		if at := r.fraction(w.Session + "\x00" + in.ID); in.alive() && at > most {
			most, w.pinned = at, in
		}
	}
	w.variant = v
	return w.pinned != nil, nil
}

// noteSession keeps what the container's answer says of sessions, and gives what
// the caller is told: the new session with its expiry, and the closed one. What the
// API could not carry is left out.
func (r *Router) noteSession(t *Ticket, q *Request, made, closed string) (newSession, closedSession string) {
	if id, expires, ok := parseNewSession(made); ok && q.Session == NewSession {
		r.sessions.begin(t.Endpoint.rec, id, t.Instance, expires)
		newSession = made
	}
	if closed != "" && validSession(closed) {
		r.sessions.end(t.Endpoint.rec, closed)
		closedSession = closed
	}
	return newSession, closedSession
}

const sessionTime = "2006-01-02T15:04:05Z"

// parseNewSession reads "<id>; Expires=yyyy-mm-ddThh:mm:ssZ" (CC-91).
func parseNewSession(s string) (id string, expires time.Time, ok bool) {
	id, when, found := strings.Cut(s, "; Expires=")
	if !found || len(s) > 256 || !validSession(id) {
		return "", time.Time{}, false
	}
	expires, err := time.Parse(sessionTime, when)
	return id, expires, err == nil && len(when) == len(sessionTime) // Parse takes an hour of one digit, too
}

// validSession reports whether a text is a session's ID.
func validSession(id string) bool {
	if id == "" || len(id) > 256 || id[0] == '-' || id[len(id)-1] == '-' {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
