package api

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// Whatever a form of the query protocol says, the answer is XML and none of a broken
// server, and no session comes of it without a key.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"Action=GetCallerIdentity&Version=2011-06-15", "Action=AssumeRole&RoleArn=arn:aws:iam::000000000000:role/r&RoleSessionName=run&DurationSeconds=900",
		"Action=AssumeRole&Policy=%7B%7D&RoleSessionName=a", "Action=GetSessionToken&DurationSeconds=-1", "Action=GetRole&RoleName=r", "Action=%00&Action=GetRole", "%zz", "Action=GetRole;RoleName=x",
		"Action=AssumeRole&Tags.member.1.Key=k&RoleArn=x",
	} {
		f.Add(s, true)
	}
	s := known(f)
	s.Open = true
	if err := s.Identities.Create(context.Background(), identity.Role, "r", nil); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, form string, inBody bool) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form))
		if !inBody {
			r = httptest.NewRequest(http.MethodPost, "/", nil)
			r.URL.RawQuery = form
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented || w.Header().Get("X-Amzn-Requestid") == "" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		d := xml.NewDecoder(strings.NewReader(w.Body.String()))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %q", err, w.Body)
			}
		}
		if strings.Contains(w.Body.String(), "GetSessionTokenResponse") {
			t.Error("who is not known has a session")
		}
	})
}

// A token of CloudWatch Logs is taken only as it was given, and for what it was given for.
func FuzzLogToken(f *testing.F) {
	tokens := logTokens{secret: []byte("a secret of the server")}
	given := *tokens.seal(logPlace{Name: "stream", Time: 7}, "streams", "group")
	for _, s := range []string{given, given[1:], given + "=", "", "f/" + given, strings.Repeat("A", 200)} {
		f.Add(s, "group")
	}
	f.Fuzz(func(t *testing.T, token, group string) {
		at, err := tokens.open(&token, "streams", group)
		if (err == nil) != (token == given && group == "group") {
			t.Errorf("%q for %q: %+v %v", token, group, at, err)
		}
		if e := (*wire.Error)(nil); err != nil && (!errors.As(err, &e) || e.Status != 400) {
			t.Errorf("%v", err)
		}
	})
}

// The members of a request to the runtime API are judged, whatever they are, without
// being repeated: they may be secret.
func FuzzRuntimeMembers(f *testing.F) {
	for _, s := range []string{"", "NEW_SESSION", "a.b", "https://bucket/key", "-", "\x00", strings.Repeat("a-", 5000), "60", "６０"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, endpoint, value string) {
		for i := range runtimeCalls {
			call := &runtimeCalls[i]
			head := http.Header{}
			for _, m := range call.members {
				head[http.CanonicalHeaderKey(m.header)] = []string{value}
			}
			q := &runtimeRequest{region: region, endpoint: endpoint, members: members{head, call.members}, arrived: time.Time{}}
			if err := q.validate(); err != nil && len(value) > 30 && strings.Contains(err.Error(), value) && !strings.Contains(strings.Join(patterns(call), "\n"), value) {
				t.Errorf("%q is in %v", value, err)
			}
		}
	})
}

// patterns are those of a call's members, which refusals do repeat.
func patterns(call *runtimeCall) (all []string) {
	for _, m := range call.members {
		all = append(all, m.pattern)
	}
	return all
}
