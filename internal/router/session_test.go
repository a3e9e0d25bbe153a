package router

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver/fake"
)

// stateful is a container with sessions (CC-91). It answers its own name.
func stateful(c *fake.Container) http.Handler {
	var made atomic.Int64
	return handler(func(w http.ResponseWriter, r *http.Request) {
		const header = "X-Amzn-SageMaker-Session-Id"
		switch id := r.Header.Get(header); {
		case id == NewSession:
			w.Header().Set(header, fmt.Sprintf("%s-%d; Expires=2999-01-02T03:04:05Z", c.Spec().ID, made.Add(1)))
		case r.URL.RawQuery == "":
			body := make([]byte, 5)
			if n, _ := r.Body.Read(body); string(body[:n]) == "close" {
				w.Header().Set("X-Amzn-SageMaker-Closed-Session-Id", id)
			}
		}
		fmt.Fprint(w, c.Spec().ID)
	})(c)
}

func (w *world) session(t *testing.T, id, body string) (*Answer, error) {
	t.Helper()
	q := request("e", body)
	q.Session = id
	return w.router.Invoke(t.Context(), q)
}

func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = stateful
	var all []*Instance
	for range 4 {
		all = append(all, w.launch(single("model")))
	}
	w.publish(endpoint("e", variant("v", 1, all...)))
	homes := map[string]string{}
	for range 12 {
		a, err := w.session(t, NewSession, "")
		if err != nil || !strings.HasSuffix(a.NewSession, "; Expires=2999-01-02T03:04:05Z") {
			t.Fatal(a, err)
		}
		id, _, _ := strings.Cut(a.NewSession, ";")
		homes[id] = string(a.Body)
	}
	check := func() {
		t.Helper()
		for id, home := range homes {
			for range 5 {
				if a, err := w.session(t, id, ""); err != nil || string(a.Body) != home || a.NewSession != "" {
					t.Fatalf("session %s: %+v %v, its home is %s", id, a, err, home)
				}
			}
		}
	}
	check()
	w.publish(endpoint("e", variant("new", 9, w.launch(single("model"))), variant("v", 1, all[2], all[3], all[0], all[1])))
	check() // sessions survive a new table
	var one string
	for one = range homes {
		break
	}
	a, err := w.session(t, one, "close")
	if err != nil || a.ClosedSession != one {
		t.Errorf("%+v %v", a, err)
	}
	delete(homes, one)
	check()
	// An instance that is gone takes its sessions along, and the others stay.
	w.publish(endpoint("e", variant("v", 1, all[1:]...)))
	for id, home := range homes {
		if home == all[0].ID {
			_, err := w.session(t, id, "")
			wantError(t, err, ValidationError, "The session "+id+" of endpoint e has ended, because the instance where it lived is gone. Begin another with SessionId NEW_SESSION.")
			delete(homes, id)
		}
	}
	check()
}

// A session that the router does not know goes to one instance, always the same.
func TestUnknownSessionSticks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.images["model"] = stateful
	w.publish(endpoint("e", variant("a", 1, w.launch(single("model")), w.launch(single("model"))), variant("b", 1, w.launch(single("model")))))
	homes := map[string]bool{}
	for n := range 200 {
		id := fmt.Sprintf("from-elsewhere-%d", n)
		home := ""
		for range 5 {
			a, err := w.session(t, id, "")
			if err != nil || home != "" && home != string(a.Body) {
				t.Fatalf("%+v %v, before it was %s", a, err, home)
			}
			home = string(a.Body)
		}
		homes[home] = true
	}
	if len(homes) != 3 {
		t.Errorf("200 sessions live in %v", homes)
	}
}

func TestSessionsAreBoundedAndExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, e, in := newSessions(), &endpointRecord{}, &Instance{}
		s.begin(e, "short", in, time.Now().Add(time.Minute))
		for i := range maxSessions {
			s.begin(e, fmt.Sprint(i), in, time.Time{})
			if s.find(e, "short", time.Now()) == nil {
				t.Fatal("the session that is used is forgotten first")
			}
		}
		if len(s.known) != maxSessions || s.used.Len() != maxSessions || s.find(e, "0", time.Now()) != nil {
			t.Errorf("%d sessions are kept", len(s.known))
		}
		time.Sleep(2 * time.Minute)
		if s.find(e, "short", time.Now()) != nil || s.find(&endpointRecord{}, "7", time.Now()) != nil {
			t.Error("a session is found that has expired, or that is another endpoint's")
		}
		s.endAll(e)
		if len(s.known) != 0 || s.used.Len() != 0 {
			t.Errorf("%d sessions are left", len(s.known))
		}
	})
}

func FuzzNewSession(f *testing.F) {
	for _, s := range []string{"a; Expires=2026-01-02T03:04:05Z", "a-b; Expires=2026-01-02T03:04:05Z", "-a; Expires=2026-01-02T03:04:05Z", "a", "; Expires=", "a; Expires=2026-13-02T03:04:05Z", "0; Expires=0000-01-01T0:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, expires, ok := parseNewSession(s)
		if !ok {
			return
		}
		if !validSession(id) || len(s) > 256 || headerValue(s) != s {
			t.Errorf("%q gives the session %q", s, id)
		}
		if again := id + "; Expires=" + expires.Format(sessionTime); again != s {
			t.Errorf("%q is %q again", s, again)
		}
	})
}
