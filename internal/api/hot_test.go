package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sagebrush-ml/sagebrush/internal/front"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/masterkey"
	"github.com/sagebrush-ml/sagebrush/internal/router"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// known is a Server that lets nobody in but the users of a store.
func known(t testing.TB) *Server {
	t.Helper()
	db, err := state.Open(t.Context(), "", state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	log := slog.New(slog.DiscardHandler)
	return New(Options{Identities: identities(t, db, "000000000000"), Account: "000000000000", Region: "us-east-1", Log: log, Now: time.Now})
}

// identities opens the callers that a database knows.
func identities(t testing.TB, db *state.Store, account string) *identity.Store {
	t.Helper()
	ring, err := masterkey.Open(masterkey.Source{Value: base64.StdEncoding.EncodeToString(make([]byte, masterkey.Size))})
	if err != nil {
		t.Fatal(err)
	}
	users, err := identity.Open(t.Context(), identity.Options{
		Account: account, State: db, Master: ring, Conditions: identity.ConditionKeys(), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return users
}

// invoker makes a user who may do what a statement says, and gives its key.
func invoker(t testing.TB, s *Server, name, statement string) aws.Credentials {
	t.Helper()
	docs := []identity.Document{{Name: "p", Text: `{"Version":"2012-10-17","Statement":[` + statement + `]}`}}
	if err := s.Identities.Create(t.Context(), identity.User, name, docs); err != nil {
		t.Fatal(err)
	}
	id, secret, err := s.Identities.CreateKey(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: string(secret)}
}

// invocation is a signed invocation as front hands it over.
func invocation(t testing.TB, endpoint string, keys aws.Credentials, body string) *front.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), "POST", "http://127.0.0.1:7243/endpoints/"+endpoint+"/invocations", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/csv")
	if err := v4.NewSigner().SignHTTP(context.Background(), keys, req, sigv4.BodyHash([]byte(body)), "sagemaker", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	r := &front.Request{Body: []byte(body), Whole: true}
	r.Method, r.Path, r.Host, r.ContentLength = []byte("POST"), []byte(req.URL.Path), []byte(req.URL.Host), int64(len(body))
	req.Header.Set("Host", req.URL.Host)
	req.Header.Set("Content-Length", strconv.Itoa(len(body)))
	for name, values := range req.Header {
		r.Fields = append(r.Fields, front.Field{Name: []byte(name), Value: []byte(values[0])})
	}
	return r
}

// admitted asks the hot path as Route does.
func admitted(hot *Hot, r *front.Request) bool {
	name, _ := endpointOf(r.Path)
	sig, err := sigv4.ParseMessage(&r.Head)
	return hot.admits(r, &router.Ask{Region: hot.s.region(sig.Scope), Endpoint: string(name)}, &sig, err)
}

// The event loops serve who is allowed for sure, and leave everybody else to the
// Server.
func TestHotAdmits(t *testing.T) {
	t.Parallel()
	s := known(t)
	hot := s.Hot()
	invoker(t, s, "admin", `{"Effect":"Allow","Action":"*","Resource":"*"}`) // who is left when the others' keys are off
	const here = `"Resource":"arn:aws:sagemaker:us-east-1:000000000000:endpoint/mine"`
	for name, c := range map[string]struct {
		statement string
		want      bool
	}{
		"allowed":   {`{"Effect":"Allow","Action":"sagemaker:InvokeEndpoint",` + here + `}`, true},
		"all":       {`{"Effect":"Allow","Action":"*","Resource":"*"}`, true},
		"elsewhere": {`{"Effect":"Allow","Action":"sagemaker:InvokeEndpoint","Resource":"arn:aws:sagemaker:us-east-1:000000000000:endpoint/yours"}`, false},
		"another":   {`{"Effect":"Allow","Action":"sagemaker:InvokeEndpointAsync",` + here + `}`, false},
		"denied":    {`{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"sagemaker:Invoke*",` + here + `}`, false},
		"perhaps":   {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}}`, false},
		"perhaps not": {`{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*",` +
			`"Condition":{"StringEquals":{"aws:ResourceTag/closed":"true"}}}`, false},
		"condition of another": {`{"Effect":"Allow","Action":"sagemaker:Invoke*","Resource":"*"},{"Effect":"Deny","Action":"s3:*","Resource":"*",` +
			`"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`, true},
		"variable": {`{"Effect":"Allow","Action":"*","Resource":"arn:aws:sagemaker:*:*:endpoint/${aws:username}"}`, false},
	} {
		user := strings.ReplaceAll(name, " ", "-")
		keys := invoker(t, s, user, c.statement)
		if got := admitted(hot, invocation(t, "mine", keys, "1,2")); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		forged := keys
		forged.SecretAccessKey = "another"
		if admitted(hot, invocation(t, "mine", forged, "1,2")) {
			t.Errorf("%s: a forged signature is let in", name)
		}
		changed := invocation(t, "mine", keys, "1,2")
		changed.Body = []byte("1,3")
		if admitted(hot, changed) {
			t.Errorf("%s: a changed body is let in", name)
		}
		if err := s.Identities.SetActive(t.Context(), keys.AccessKeyID, false); err != nil {
			t.Fatal(err)
		}
		if admitted(hot, invocation(t, "mine", keys, "1,2")) {
			t.Errorf("%s: a key that was switched off is let in", name)
		}
	}
	if admitted(hot, invocation(t, "mine", aws.Credentials{AccessKeyID: "AKIANOBODY0000000000", SecretAccessKey: "x"}, "")) {
		t.Error("a stranger is let in")
	}
}

// BenchmarkAuthorizeInvoke is the signature, over a key that is cached, and the policies
// of an invocation of 1 KiB by a user with a policy like those of the documentation; and
// the hash of its body alone, which is in it.
func BenchmarkAuthorizeInvoke(b *testing.B) {
	s := known(b)
	hot := s.Hot()
	keys := invoker(b, s, "caller", `{"Effect":"Allow","Action":["sagemaker:Describe*","sagemaker:List*"],"Resource":"*"},`+
		`{"Effect":"Allow","Action":"sagemaker:InvokeEndpoint","Resource":"arn:aws:sagemaker:*:000000000000:endpoint/team-a-*"},`+
		`{"Effect":"Deny","Action":"sagemaker:Delete*","Resource":"*"}`)
	r := invocation(b, "team-a-prices", keys, string(bytes.Repeat([]byte("1"), 1024)))
	for name, do := range map[string]func() bool{
		"whole": func() bool { return admitted(hot, r) },
		"hash":  func() bool { return sha256.Sum256(r.Body) != [sha256.Size]byte{} },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			begun := cpuTime(b)
			for b.Loop() {
				if !do() {
					b.Fatal("not admitted")
				}
			}
			b.ReportMetric(float64(cpuTime(b)-begun)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is what the process has used: on a busy machine it says more than the clock.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
