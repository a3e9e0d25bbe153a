package daemon

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sagebrush-ml/sagebrush/internal/config"
)

// Who asks too often is told so in each service's words, and others are not kept
// waiting (CP-83).
func TestRateLimit(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), func(c *config.Config) { withKeys(c); c.RateLimit = 1 })
	id, secret := d.Credentials()
	admin := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	eager := user(t, d, "eager", allows(t, "p", "Allow sagemaker:*,s3:* *"))
	for name, c := range map[string]struct {
		try    attempt
		status int
		want   string
	}{
		"sagemaker": {target("sagemaker", "SageMaker.ListModels", "{}"), 400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`},
		"s3":        {plain("s3", "GET", "/", "", nil), 503, "<Code>SlowDown</Code>"},
		"runtime":   {plain("sagemaker", "POST", "/endpoints/e/invocations", "1", nil), 400, "Rate exceeded"},
		"ours":      {plain("sagemaker", "GET", "/-/api/v1/server", "", nil), 400, "Rate exceeded"},
		"sts":       {plain("sts", "POST", "/", "Action=GetCallerIdentity", nil), 400, "<Code>Throttling</Code>"},
	} {
		for n := 0; ; n++ { // the bucket holds two, and one more a second
			resp, text := c.try(t, d, eager)
			if resp.StatusCode == c.status && strings.Contains(text, c.want) {
				break
			}
			if n == 100 {
				t.Fatalf("%s: never throttled: %d %s", name, resp.StatusCode, text)
			}
		}
	}
	if resp, text := target("sagemaker", "SageMaker.ListModels", "{}")(t, d, admin); resp.StatusCode != 200 {
		t.Errorf("another caller: %d %s", resp.StatusCode, text)
	}
	if string(object(t, d, "GET", "/-/health", nil)) != "ok\n" {
		t.Error("health is limited")
	}
}

// A client that never ends the head of its request is cut off, by the event loops
// and by net/http behind them.
func TestSlowHeads(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the server's own 10 seconds")
	}
	t.Parallel()
	d := start(t, t.TempDir(), nil)
	for name, head := range map[string]string{
		"invocation": "POST /endpoints/e/invocations HTTP/1.1\r\nHost: x\r\nX-", "operation": "POST / HTTP/1.1\r\nHost: x\r\nX-", "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", strings.TrimPrefix(d.URL(), "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if name == "nothing" { // idle behind a first request
				fmt.Fprint(conn, "GET /-/health HTTP/1.1\r\nHost: x\r\n\r\n")
				in := bufio.NewReader(conn)
				if _, err := http.ReadResponse(in, nil); err != nil {
					t.Fatal(err)
				}
				head = "GET /-/he"
			}
			if _, err := io.WriteString(conn, head); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil { // until it is closed
				t.Log(err)
			}
		})
	}
}

// What is to be read or written for a user is an object of the store, whatever a URI
// says: no other service is asked and no file is read.
func TestURIsReachNothingElse(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var asked atomic.Int64
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			conn.Close()
		}
	}()
	data := t.TempDir()
	secret := filepath.Join(data, "secret")
	if err := os.WriteFile(secret, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, filepath.Join(data, "server"), withModel)
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/in/a", []byte("1\n"))
	must(t, d, "CreateModel", map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{"Image": "test/model"}})
	at := other.Addr().String()
	uris := []string{
		"https://" + at + "/bucket/x.tar.gz", "https://user@" + at + "/in/", "https://" + at + "/", "http://" + at + "/bucket/x", "https://169.254.169.254/latest/meta-data/",
		"https://bucket.s3.amazonaws.com.evil.example/../../secret", "https://localhost/..%2f..%2fsecret", "https://s3.amazonaws.com/%2e%2e/secret",
		"file://" + secret, "s3://" + secret, "s3://../secret", "s3://bucket/../../../secret", "s3:///" + secret, "s3://./secret", "s3://bucket/..", "gopher://" + at + "/x",
	}
	for i, uri := range uris {
		input := func(kind string) map[string]any {
			return job(fmt.Sprint(kind, i), "m", func(in map[string]any) {
				in["TransformInput"].(map[string]any)["DataSource"] = map[string]any{"S3DataSource": map[string]any{"S3DataType": kind, "S3Uri": uri}}
			})
		}
		for what, in := range map[string]map[string]any{
			"CreateModel":                 {"ModelName": fmt.Sprint("n", i), "PrimaryContainer": map[string]any{"Image": "i", "ModelDataUrl": uri}},
			"CreateTransformJob":          input("S3Prefix"),
			"CreateTransformJob manifest": input("ManifestFile"),
		} {
			operation, _, _ := strings.Cut(what, " ")
			if code, out := call(t, d, operation, in); code/100 != 4 {
				t.Errorf("%s of %s: %d %v", what, uri, code, out)
			}
		}
	}
	for i, uri := range uris { // some are objects of the bucket, with odd keys
		name := fmt.Sprint("out", i)
		in := job(name, "m", func(in map[string]any) { in["TransformOutput"].(map[string]any)["S3OutputPath"] = uri })
		if code, out := call(t, d, "CreateTransformJob", in); code == 200 {
			await(t, d, name)
		} else if code/100 != 4 {
			t.Errorf("output to %s: %d %v", uri, code, out)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("another service was asked %d times", n)
	}
	err = filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if strings.Contains(e.Name(), "secret") && path != secret && !strings.HasPrefix(path, filepath.Join(data, "server", "s3", "bucket")+"/") {
			t.Errorf("%s was written", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "1\n" {
		t.Errorf("the file was changed: %q, %v", text, err)
	}
}

// What strangers send begins no line of the server's log.
func TestLogInjection(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	d, err := openWith(t, t.TempDir(), &log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const forged = "\nlevel=ERROR msg=\"forged\"\r\n\x1b[31m{\"forged\":true}"
	const signature = "AWS4-HMAC-SHA256 Credential=AKIA" + forged + "/20260101/eu-west-1/sagemaker/aws4_request, SignedHeaders=host, Signature=" + forged
	form := "Action=" + url.QueryEscape(forged) + "&RoleArn=" + url.QueryEscape(forged) + "&RoleSessionName=" + url.QueryEscape(forged)
	for _, r := range []struct{ method, path, body, name, value string }{
		{"PUT", "/bucket" + forged, "", "", ""}, {"GET", "/bucket/a" + forged, "", "", ""}, {"POST", "/CreateModel" + forged, "{}", "", ""},
		{"POST", "/endpoints/e" + forged + "/invocations", "1", "", ""}, {"GET", "/-/api/v1/transform-jobs/j" + forged, "", "", ""},
		{"DELETE", "/-/api/v1/endpoints/e" + forged, "", "", ""},
		{"POST", "/", "{}", "X-Amz-Target", "SageMaker." + forged}, {"POST", "/", "{}", "X-Amz-Target", forged},
		{"POST", "/", `{"ModelName":"a\nb","PrimaryContainer":{"Image":"a\n\u001b[31m"}}`, "X-Amz-Target", "SageMaker.CreateModel"},
		{"POST", "/", `{"ResourceArn":"a\n\u001b[31m","Tags":[]}`, "X-Amz-Target", "SageMaker.AddTags"},
		{"POST", "/", "{}", "Authorization", signature}, {"PUT", "/bucket/a", "x", "Authorization", signature}, {"POST", "/endpoints/e/invocations", "x", "Authorization", signature},
		{"POST", "/", form, "Content-Type", "application/x-www-form-urlencoded"}, {"POST", "/", strings.Replace(form, "Action="+url.QueryEscape(forged), "Action=AssumeRole", 1), "Content-Type", "application/x-www-form-urlencoded"},
		{"PUT", "/bucket/copy", "", "X-Amz-Copy-Source", forged}, {"POST", "/", "{}", "Origin", forged}, {"POST", "/endpoints/e/invocations", "x", "X-Amzn-Sagemaker-Inference-Id", forged},
		{"GET", "/-/api/v1/server", "", "X-Amz-Security-Token", forged}, {forged, "/", "", "", ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://x/", strings.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Method = r.method
		req.URL.Path = r.path
		req.RemoteAddr, req.RequestURI = "127.0.0.1:1", req.URL.RequestURI()
		req.Header["User-Agent"] = []string{forged}
		req.Header["X-Amz-Date"] = []string{forged}
		if r.name != "" {
			req.Header[r.name] = []string{r.value}
		}
		d.api.ServeHTTP(&discard{head: http.Header{}}, req)
	}
	for line := range strings.Lines(log.String()) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("a line of its own: %q", line)
		}
	}
	if strings.ContainsAny(log.String(), "\x1b\r") {
		t.Error("control characters reach the log")
	}
	text, err := os.ReadFile(filepath.Join(d.data, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, `{"time":`) || strings.ContainsAny(line, "\x1b\r") {
			t.Errorf("a line of its own: %q", line)
		}
	}
}

// discard takes an answer.
type discard struct{ head http.Header }

func (d *discard) Header() http.Header         { return d.head }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
