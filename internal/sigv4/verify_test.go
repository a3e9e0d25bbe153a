package sigv4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

var (
	testCreds = aws.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "not/a+real=secret"}
	testTime  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func testVerifier() *Verifier { return NewVerifier(func() time.Time { return testTime }) }

// sign makes a request with the SDK and gives it back as a server sees it.
type signCase struct {
	method, url, body string
	header            http.Header
	token             string
	s3, presign       bool
	at                time.Time
	payloadHash       string
}

func (c signCase) request(t testing.TB) (*http.Request, string) {
	t.Helper()
	out, err := http.NewRequest(c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range c.header {
		out.Header[name] = values
	}
	hash := c.payloadHash
	if hash == "" {
		hash = BodyHash([]byte(c.body))
	}
	service := "sagemaker"
	if c.s3 {
		service = "s3"
		if !c.presign {
			out.Header.Set("X-Amz-Content-Sha256", hash)
		}
	}
	if c.at.IsZero() {
		c.at = testTime
	}
	creds := testCreds
	creds.SessionToken = c.token
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.s3 })
	if !c.presign {
		if err := signer.SignHTTP(context.Background(), creds, out, hash, service, "eu-west-1", c.at); err != nil {
			t.Fatal(err)
		}
		return asServer(t, out), hash
	}
	signed, header, err := signer.PresignHTTP(context.Background(), creds, out, hash, service, "eu-west-1", c.at)
	if err != nil {
		t.Fatal(err)
	}
	again, err := http.NewRequest(c.method, signed, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	again.Header = header
	return asServer(t, again), hash
}

// asServer sends a request over the wire form.
func asServer(t testing.TB, out *http.Request) *http.Request {
	t.Helper()
	var wire bytes.Buffer
	if err := out.Write(&wire); err != nil {
		t.Fatal(err)
	}
	head, body, _ := bytes.Cut(wire.Bytes(), []byte("\r\n\r\n"))
	line, rest, _ := strings.Cut(string(head), "\r\n")
	in := httptest.NewRequest(out.Method, strings.Fields(line)[1], bytes.NewReader(body))
	for field := range strings.SplitSeq(rest, "\r\n") {
		name, value, _ := strings.Cut(field, ": ")
		if name == "Host" {
			in.Host = value
			continue
		}
		in.Header.Add(name, value)
	}
	in.Header.Del("Content-Length") // as HTTP/2 and some middlewares leave it
	return in
}

func verify(r *http.Request, hash string, s3 bool) error {
	s, err := Parse(r)
	if err != nil {
		return err
	}
	rules := JSONRules()
	if s3 {
		rules = S3Rules()
	}
	return testVerifier().Verify(r, &s, testCreds.SecretAccessKey, hash, rules)
}

var signCases = map[string]signCase{
	"json call":         {method: "POST", url: "http://127.0.0.1:8900/", body: `{"a":1}`, header: http.Header{"X-Amz-Target": {"SageMaker.ListModels"}, "Content-Type": {"application/x-amz-json-1.1"}}},
	"session token":     {method: "POST", url: "http://localhost/", body: "{}", token: "AQoDYXdz//+=="},
	"blanks in headers": {method: "POST", url: "http://localhost/", header: http.Header{"X-Odd": {"  a   b  c ", "d"}}},
	"runtime path":      {method: "POST", url: "http://localhost/endpoints/my-endpoint/invocations", body: "1,2"},
	"odd path":          {method: "GET", url: "http://localhost/a%20b/%E1%88%B4/x+y(z)!/%25/'*"},
	"dots and slashes":  {method: "GET", url: "http://localhost/a//b/./c/../d/"},
	"query order":       {method: "GET", url: "http://localhost/?b=2&a-b=3&a=1&a=0&A=x&%C3%A4=%2F&empty&e2="},
	"s3 object":         {method: "PUT", url: "http://localhost/bucket/my-object//example//photo.user", body: "x", s3: true},
	"s3 odd key":        {method: "GET", url: "http://localhost/bucket/a%20b/%E1%88%B4/x%2By%28z%29/../%2E%2E/%25", s3: true},
	"s3 loosely coded":  {method: "GET", url: "http://localhost/bucket/x+y(z)=1,2@3", s3: true},
	"s3 list":           {method: "GET", url: "http://localhost/bucket?list-type=2&prefix=a%2Fb%20c&delimiter=%2F", s3: true},
	"s3 unsigned body":  {method: "PUT", url: "http://localhost/bucket/k", s3: true, payloadHash: UnsignedPayload},
	"s3 presigned":      {method: "GET", url: "http://localhost/bucket/k%20k?X-Amz-Expires=900&x=%2B", s3: true, presign: true, payloadHash: UnsignedPayload},
	"s3 presigned put":  {method: "PUT", url: "http://localhost/bucket/k?X-Amz-Expires=900", body: "abc", s3: true, presign: true, payloadHash: UnsignedPayload, token: "tok/en+="},
	"presigned":         {method: "GET", url: "http://localhost/?Action=GetCallerIdentity", presign: true},
}

func TestSignedBySDK(t *testing.T) {
	t.Parallel()
	for name, c := range signCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, hash := c.request(t)
			if err := verify(r, hash, c.s3); err != nil {
				t.Errorf("%v\n%s %s\n%v", err, r.Method, r.RequestURI, r.Header)
			}
			scope, ok := ScopeOf(r)
			s, _ := Parse(r)
			if !ok || scope != s.Scope || scope.Region != "eu-west-1" {
				t.Errorf("ScopeOf = %+v, %v; Parse found %+v", scope, ok, s.Scope)
			}
			if s.AccessKeyID != testCreds.AccessKeyID || s.SessionToken != c.token || s.Presigned != c.presign || !s.Time.Equal(testTime) {
				t.Errorf("parsed %+v", s)
			}
		})
	}
}

func TestMutatedRequestsFail(t *testing.T) {
	t.Parallel()
	mutations := map[string]func(*http.Request){
		"method":       func(r *http.Request) { r.Method = "DELETE" },
		"host":         func(r *http.Request) { r.Host += ":1" },
		"path":         func(r *http.Request) { r.RequestURI = "/other" },
		"query":        func(r *http.Request) { r.URL.RawQuery += "&added=1" },
		"query blank":  func(r *http.Request) { r.URL.RawQuery += "&%20" },
		"date":         func(r *http.Request) { shiftDate(r) },
		"length":       func(r *http.Request) { r.ContentLength++ },
		"token":        func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "other") },
		"signed value": func(r *http.Request) { r.Header.Add("X-Odd", "more") },
	}
	c := signCase{method: "POST", url: "http://localhost/p?q=1", body: "hello", token: "t",
		header: http.Header{"X-Odd": {"one"}}}
	for name, mutate := range mutations {
		r, hash := c.request(t)
		mutate(r)
		if err := verify(r, hash, false); reasonOf(err) != Mismatch {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, _ := c.request(t)
	if err := verify(r, BodyHash([]byte("hellO")), false); reasonOf(err) != Mismatch {
		t.Errorf("body: %v", err)
	}
	r, hash := c.request(t)
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	err = testVerifier().Verify(r, &s, "wrong-secret", hash, JSONRules())
	if reasonOf(err) != Mismatch || !fault.Is(err, fault.Denied) {
		t.Errorf("secret: %v", err)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "wrong-secret") {
		t.Error("the error shows the secret")
	}
}

func shiftDate(r *http.Request) {
	r.Header.Set("X-Amz-Date", testTime.Add(time.Second).Format(timeLayout))
}

func TestClock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		off  time.Duration
		s3   bool
		want Reason
	}{
		{0, false, 0}, {5 * time.Minute, false, 0}, {-5 * time.Minute, false, 0},
		{5*time.Minute + time.Second, false, Skewed}, {-5*time.Minute - time.Second, false, Skewed},
		{15 * time.Minute, true, 0}, {-15 * time.Minute, true, 0},
		{15*time.Minute + time.Second, true, Skewed}, {-15*time.Minute - time.Second, true, Skewed},
	} {
		r, hash := signCase{method: "GET", url: "http://localhost/k", s3: c.s3, at: testTime.Add(c.off)}.request(t)
		if err := verify(r, hash, c.s3); reasonOf(err) != c.want {
			t.Errorf("off by %s, S3 %v: %v", c.off, c.s3, err)
		}
	}
	r, hash := signCase{method: "GET", url: "http://localhost/", presign: true, at: testTime.Add(-6 * time.Minute)}.request(t)
	if err := verify(r, hash, false); reasonOf(err) != Skewed {
		t.Errorf("presigned without X-Amz-Expires: %v", err)
	}
	r, hash = signCase{method: "GET", url: "http://localhost/", s3: true, presign: true}.request(t)
	if err := verify(r, hash, true); reasonOf(err) != Incomplete {
		t.Errorf("S3 presigned without X-Amz-Expires: %v", err)
	}
}

func TestUnsignedHeadersRefused(t *testing.T) {
	t.Parallel()
	r, hash := signCase{method: "PUT", url: "http://localhost/b/k", s3: true}.request(t)
	r.Header.Set("X-Amz-Acl", "public-read")
	if err := verify(r, hash, true); reasonOf(err) != Mismatch || !strings.Contains(err.Error(), "x-amz-acl") {
		t.Errorf("S3: %v", err)
	}
	r, hash = signCase{method: "POST", url: "http://localhost/"}.request(t)
	r.Header.Set("X-Amz-Target", "SageMaker.DeleteModel")
	if err := verify(r, hash, false); reasonOf(err) != Incomplete || !strings.Contains(err.Error(), "x-amz-target") {
		t.Errorf("JSON: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const (
		cred = "Credential=K/20260301/r/s/aws4_request"
		good = Algorithm + " " + cred + ", SignedHeaders=host;x-amz-date, Signature="
		sum  = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	)
	header := func(auth string) *http.Request {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", auth)
		r.Header.Set("X-Amz-Date", "20260301T120000Z")
		return r
	}
	if _, err := Parse(header(good + sum)); err != nil {
		t.Fatal(err)
	}
	if s, err := Parse(header(strings.Replace(good, "=K/", "=K/L/M/", 1) + sum)); err != nil || s.AccessKeyID != "K/L/M" {
		t.Errorf("key with slashes: %q, %v", s.AccessKeyID, err)
	}
	date := header(good + sum)
	date.Header.Del("X-Amz-Date")
	date.Header.Set("Date", "Sun, 01 Mar 2026 12:00:00 GMT")
	if s, err := Parse(date); err != nil || !s.Time.Equal(testTime) {
		t.Errorf("Date header: %v, %v", s.Time, err)
	}
	if _, err := Parse(httptest.NewRequest("GET", "/?X-Amz-Foo=1", nil)); !errors.Is(err, ErrUnsigned) || reasonOf(err) != Unsigned {
		t.Errorf("unsigned: %v", err)
	}
	bad := map[string]string{
		"basic":              "Basic Zm9vOmJhcg==",
		"version 2":          "AWS key:signature",
		"asymmetric":         strings.Replace(good, "HMAC-SHA256", "ECDSA-P256-SHA256", 1) + sum,
		"empty":              Algorithm,
		"no credential":      Algorithm + " SignedHeaders=host, Signature=" + sum,
		"no signed headers":  Algorithm + " " + cred + ", Signature=" + sum,
		"no signature":       Algorithm + " " + cred + ", SignedHeaders=host",
		"unknown part":       good + sum + ", More=1",
		"twice":              good + sum + ", Signature=" + sum,
		"short signature":    good + sum[1:],
		"not hexadecimal":    good + "z" + sum[1:],
		"host not signed":    strings.Replace(good, "host;", "", 1) + sum,
		"unsorted":           strings.Replace(good, "host;x-amz-date", "x-amz-date;host", 1) + sum,
		"repeated":           strings.Replace(good, "host;", "host;host;", 1) + sum,
		"upper case":         strings.Replace(good, "host;", "Host;", 1) + sum,
		"four scope parts":   strings.Replace(good, "/r/", "/", 1) + sum,
		"no terminator":      strings.Replace(good, "aws4_request", "aws4", 1) + sum,
		"scope of other day": strings.Replace(good, "20260301", "20260302", 1) + sum,
		"empty region":       strings.Replace(good, "/r/", "//", 1) + sum,
	}
	for name, auth := range bad {
		if _, err := Parse(header(auth)); reasonOf(err) != Incomplete || !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, stamp := range []string{"", "2026-03-01T12:00:00Z", "20260301T120000.5Z", "20260301T126000Z"} {
		r := header(good + sum)
		r.Header.Set("X-Amz-Date", stamp)
		if _, err := Parse(r); reasonOf(err) != Incomplete {
			t.Errorf("date %q: %v", stamp, err)
		}
	}
}

func TestParsePresignedRefuses(t *testing.T) {
	t.Parallel()
	good, _ := signCase{method: "GET", url: "http://localhost/?X-Amz-Expires=604800", s3: true, presign: true}.request(t)
	if s, err := Parse(good); err != nil || s.Expires != 7*24*time.Hour {
		t.Fatalf("%v, %v", s.Expires, err)
	}
	for name, change := range map[string]func(*http.Request){
		"expires 0":      replaceQuery("Expires=604800", "Expires=0"),
		"expires 604801": replaceQuery("Expires=604800", "Expires=604801"),
		"expires -1":     replaceQuery("Expires=604800", "Expires=-1"),
		"expires word":   replaceQuery("Expires=604800", "Expires=soon"),
		"no algorithm":   replaceQuery("X-Amz-Algorithm=", "Y="),
		"no credential":  replaceQuery("X-Amz-Credential=", "Y="),
		"no date":        replaceQuery("X-Amz-Date=", "Y="),
		"no signature":   replaceQuery("X-Amz-Signature=", "Y="),
		"twice":          func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Date=20260301T120000Z" },
		"bad encoding":   replaceQuery("X-Amz-Date=2026", "X-Amz-Date=%zz"),
		"both places":    func(r *http.Request) { r.Header.Set("Authorization", Algorithm+" x") },
	} {
		r := good.Clone(context.Background())
		change(r)
		if _, err := Parse(r); reasonOf(err) != Incomplete {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func replaceQuery(from, to string) func(*http.Request) {
	return func(r *http.Request) { r.URL.RawQuery = strings.Replace(r.URL.RawQuery, from, to, 1) }
}

func TestSigningKeysAreBounded(t *testing.T) {
	t.Parallel()
	r, hash := signCase{method: "POST", url: "http://localhost/"}.request(t)
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	v := testVerifier()
	if err := v.Verify(r, &s, "wrong", hash, JSONRules()); err == nil || len(v.keys) != 0 {
		t.Errorf("a failed check left %d keys (%v)", len(v.keys), err)
	}
	for range 2 {
		if err := v.Verify(r, &s, testCreds.SecretAccessKey, hash, JSONRules()); err != nil || len(v.keys) != 1 {
			t.Errorf("%d keys (%v)", len(v.keys), err)
		}
	}
	for i := range 2 * maxSigningKeys {
		v.remember(keyName{secret: fmt.Sprint(i)}, nil)
	}
	if len(v.keys) > maxSigningKeys {
		t.Errorf("%d keys remembered", len(v.keys))
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	hash := BodyHash([]byte("hello"))
	read := func(body, declared string) error {
		got, err := io.ReadAll(VerifyBody(io.NopCloser(strings.NewReader(body)), declared))
		if string(got) != body {
			t.Errorf("read %q of %q", got, body)
		}
		return err
	}
	for _, declared := range []string{hash, UnsignedPayload, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"} {
		if err := read("hello", declared); err != nil {
			t.Error(err)
		}
	}
	if err := read("hellO", hash); reasonOf(err) != PayloadMismatch {
		t.Error(err)
	}
	if err := read("", hash); reasonOf(err) != PayloadMismatch {
		t.Error(err)
	}
	for declared, want := range map[string]Reason{
		hash: 0, UnsignedPayload: 0, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": 0, "": Incomplete, "abc": Incomplete, hash + "0": Incomplete,
	} {
		r := httptest.NewRequest("PUT", "/b/k", nil)
		r.Header.Set("X-Amz-Content-Sha256", declared)
		if _, err := DeclaredPayloadHash(r, &Signature{}); reasonOf(err) != want {
			t.Errorf("%q: %v", declared, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	r, _ := signCases["json call"].request(f)
	f.Add(r.Header.Get("Authorization"), r.Header.Get("X-Amz-Date"), "")
	r, _ = signCases["s3 presigned"].request(f)
	f.Add("", "", r.URL.RawQuery)
	f.Fuzz(func(t *testing.T, auth, date, query string) {
		r := httptest.NewRequest("GET", "/a//b/..%2f", nil)
		r.URL.RawQuery = query
		if auth != "" {
			r.Header["Authorization"] = []string{auth}
		}
		r.Header["X-Amz-Date"] = []string{date}
		scope, ok := ScopeOf(r)
		s, err := Parse(r)
		if err != nil {
			if reasonOf(err) != Unsigned && reasonOf(err) != Incomplete {
				t.Fatalf("error %v", err)
			}
			return
		}
		if !ok && !s.Presigned || ok && scope != s.Scope {
			t.Errorf("ScopeOf says %+v (%v), Parse %+v", scope, ok, s.Scope)
		}
		if !s.Signs("host") || s.Time.Format(dayLayout) != s.Scope.Date {
			t.Errorf("accepted %+v", s)
		}
		at := s.Time
		v := NewVerifier(func() time.Time { return at })
		if v.Verify(r, &s, "another secret", UnsignedPayload, S3Rules()) == nil {
			t.Error("a request that nobody signed passed")
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	c := signCases["json call"]
	c.body = strings.Repeat("x", 1024)
	r, _ := c.request(b)
	body := []byte(c.body)
	v := testVerifier()
	b.ReportAllocs()
	for b.Loop() {
		s, err := Parse(r)
		if err != nil {
			b.Fatal(err)
		}
		if err := v.Verify(r, &s, testCreds.SecretAccessKey, BodyHash(body), JSONRules()); err != nil {
			b.Fatal(err)
		}
	}
}

// parseStamp reads what time.Parse reads, and refuses what that refuses.
func TestStamp(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"20150830T123600Z", "20160229T235959Z", "00010101T000000Z", "99991231T000000Z",
		"20150229T123600Z", "20151301T123600Z", "20150001T123600Z", "20150100T123600Z", "20150132T123600Z",
		"20150830T243600Z", "20150830T126000Z", "20150830T123660Z", "2015083OT123600Z", "20150830 123600Z",
		"20150830T123600z", "20150830T123600", "20150830T1236000Z", "+0150830T123600Z", "20150830T12360/Z", "",
	} {
		want, err := time.Parse(timeLayout, s)
		got, ok := parseStamp(s)
		if ok != (err == nil) || ok && !got.Equal(want) {
			t.Errorf("%q: %v, %v; time.Parse gives %v, %v", s, got, ok, want, err)
		}
	}
}
