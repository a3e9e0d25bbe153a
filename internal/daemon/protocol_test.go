package daemon

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// signed makes a signed request.
func signed(t *testing.T, method, url, service string, body string, keys aws.Credentials, header map[string]string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	sum := sha256.Sum256([]byte(body))
	hash := hex.EncodeToString(sum[:])
	if service == "s3" {
		req.Header.Set("X-Amz-Content-Sha256", hash)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	if err := signer.SignHTTP(t.Context(), keys, req, hash, service, "eu-west-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	return req
}

// do sends a request and gives status, headers and body.
func do(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// Every operation of SageMaker that is not served is refused by its name, with
// 400 and never with 500 (CP-6); so is one that does not exist.
func TestEveryOtherOperation(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), nil)
	for _, op := range []string{"CreateTrainingJob", "ListTrainingJobs", "CreateProcessingJob", "InvokeNothing", "", "../x", strings.Repeat("A", 5000)} {
		status, out := call(t, d, op, map[string]any{})
		if status != 400 || out["__type"] != "UnknownOperationException" {
			t.Errorf("%.20s: %d %v", op, status, out)
		}
		if wire.SageMaker.Known(op) && !strings.Contains(out["message"].(string), op) {
			t.Errorf("%s is not named: %v", op, out)
		}
	}
	for _, op := range wire.SageMaker.Served {
		if status, out := call(t, d, op.Name, map[string]any{}); status >= 500 || out["__type"] == "UnknownOperationException" {
			t.Errorf("%s is in the model's table and not served: %d %v", op.Name, status, out)
		}
	}
}

// CP-1, CP-2, CP-5: the headers and forms of answers, path style without a target,
// the region of the signature in ARNs (CP-84), and bodies that are no JSON.
func TestProtocol(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), nil)
	anyone := aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}
	const create = `{"ModelName":"Pathy","PrimaryContainer":{"Image":"i"},"FutureMember":{"x":[1]}}`
	resp, body := do(t, signed(t, "POST", d.URL()+"/CreateModel", "sagemaker", create, anyone, nil))
	if resp.StatusCode != 200 || body != `{"ModelArn":"arn:aws:sagemaker:eu-west-1:000000000000:model/pathy"}` {
		t.Errorf("path style: %d %s", resp.StatusCode, body)
	}
	if resp.Header.Get("Content-Type") != "application/x-amz-json-1.1" || len(resp.Header.Get("X-Amzn-Requestid")) != 36 {
		t.Errorf("headers %v", resp.Header)
	}
	resp, body = do(t, signed(t, "POST", d.URL()+"/", "sagemaker", `{"ModelName":"pathy"}`, anyone, map[string]string{"X-Amz-Target": "SageMaker.DeleteModel"}))
	if resp.StatusCode != 200 || body != "" || resp.ContentLength != 0 { // CP-3
		t.Errorf("delete: %d %q", resp.StatusCode, body)
	}
	for in, want := range map[string]string{
		"not json": "SerializationException", `[]`: "SerializationException", `{"ModelName":7}`: "SerializationException",
		`{}`:                "1 validation error detected: Value null at 'modelName' failed to satisfy constraint: Member must not be null",
		`{"ModelName":"-"}`: "Member must satisfy regular expression pattern",
		``:                  "Member must not be null",
		`{"ModelName":"` + strings.Repeat("x", 3<<20) + `"}`: "The request has more than 2097152 bytes.",
	} {
		resp, body := do(t, signed(t, "POST", d.URL()+"/", "sagemaker", in, anyone, map[string]string{"X-Amz-Target": "SageMaker.DescribeModel"}))
		if resp.StatusCode/100 != 4 || !strings.Contains(body, want) {
			t.Errorf("%.30q: %d %.300s", in, resp.StatusCode, body)
		}
	}
	for target, want := range map[string]string{"Logs_20140328.StartQuery": "The CloudWatch Logs operation StartQuery is not supported", "DynamoDB_20120810.ListTables": "DynamoDB_20120810"} {
		resp, body := do(t, signed(t, "POST", d.URL()+"/", "logs", `{}`, anyone, map[string]string{"X-Amz-Target": target}))
		if resp.StatusCode != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", target, resp.StatusCode, body)
		}
	}
	resp, body = do(t, signed(t, "POST", d.URL()+"/endpoints/x/invocations", "sagemaker", `1,2`, anyone, nil))
	if resp.StatusCode != 400 || !strings.Contains(body, "Endpoint x of account 000000000000 not found.") {
		t.Errorf("invocation: %d %s", resp.StatusCode, body)
	}
}

// What clients need beside SageMaker and S3: the account, and a role's ARN.
func TestIdentity(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), nil)
	anyone := aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	for _, c := range []struct{ service, body, want string }{
		{"sts", "Action=GetCallerIdentity&Version=2011-06-15", "<Account>000000000000</Account>"},
		{"iam", "Action=GetRole&RoleName=SageMakerRole&Version=2010-05-08", "<Arn>arn:aws:iam::000000000000:role/SageMakerRole</Arn>"},
		{"iam", "Action=GetRole&RoleName=a/b", "<Code>ValidationError</Code>"},
		{"iam", "Action=CreateUser", "<Code>InvalidAction</Code>"},
	} {
		if _, body := do(t, signed(t, "POST", d.URL()+"/", c.service, c.body, anyone, form)); !strings.Contains(body, c.want) {
			t.Errorf("%s: %s", c.body, body)
		}
	}
}

// Open servers accept unknown keys, but a known key must sign correctly; servers
// with auth=keys accept known keys only.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	open := start(t, t.TempDir(), nil)
	strict := start(t, t.TempDir(), func(c *config.Config) { c.Auth = "keys" })
	for name, d := range map[string]*Daemon{"open": open, "keys": strict} {
		id, secret := d.Credentials()
		right := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
		forged := aws.Credentials{AccessKeyID: id, SecretAccessKey: "wrong"}
		stranger := aws.Credentials{AccessKeyID: "AKIASTRANGER00000000", SecretAccessKey: "x"}
		strangerStatus := map[string]int{"open": 200, "keys": 403}[name]
		for _, c := range []struct {
			who    string
			keys   aws.Credentials
			status int
			code   string
		}{
			{"right", right, 200, ""},
			{"forged", forged, 403, "InvalidSignatureException"},
			{"stranger", stranger, strangerStatus, "UnrecognizedClientException"},
		} {
			resp, body := do(t, signed(t, "POST", d.URL()+"/", "sagemaker", `{}`, c.keys, map[string]string{"X-Amz-Target": "SageMaker.ListModels"}))
			if resp.StatusCode/100 != c.status/100 || c.status != 200 && !strings.Contains(body, c.code) {
				t.Errorf("%s, %s: %d %s", name, c.who, resp.StatusCode, body)
			}
			s3code := map[string]string{"forged": "SignatureDoesNotMatch", "stranger": "InvalidAccessKeyId"}[c.who]
			resp, body = do(t, signed(t, "GET", d.URL()+"/", "s3", "", c.keys, nil))
			if resp.StatusCode/100 != c.status/100 || c.status != 200 && !strings.Contains(body, s3code) {
				t.Errorf("%s, %s, S3: %d %s", name, c.who, resp.StatusCode, body)
			}
			resp, _ = do(t, signed(t, "GET", d.URL()+"/-/api/v1/server", "sagemaker", "", c.keys, nil))
			if resp.StatusCode/100 != c.status/100 {
				t.Errorf("%s, %s, our own paths: %d", name, c.who, resp.StatusCode)
			}
		}
	}
	if status, out := call(t, strict, "ListModels", map[string]any{}); status/100 != 4 || out["__type"] != "MissingAuthenticationTokenException" {
		t.Errorf("unsigned: %d %v", status, out)
	}
	if string(object(t, strict, "GET", "/-/health", nil)) != "ok\n" || string(object(t, strict, "GET", "/-/ready", nil)) != "ready\n" {
		t.Error("health and readiness are for anybody")
	}
}

// A browser's request for a page of another site is refused, even where any key
// is accepted.
func TestForeignPage(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), nil)
	for header, value := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} {
		for _, path := range []string{"/CreateModel", "/bucket?delete", "/-/api/v1/server"} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", d.URL()+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(header, value)
			if resp, body := do(t, req); resp.StatusCode/100 != 4 || !strings.Contains(body, "another site") {
				t.Errorf("%s, %s: %d %s", header, path, resp.StatusCode, body)
			}
		}
	}
}

// A page whose own name was made to point at this machine is a page of another site,
// whatever of itself its browser tells; our own pages and clients are not.
func TestReboundName(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), nil)
	get := func(host string, header http.Header) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", d.URL()+"/-/api/v1/server", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header, req.Host = header, host
		resp, body := do(t, req)
		return resp.StatusCode, body
	}
	browsers := []http.Header{
		{"User-Agent": {"Mozilla/5.0 (X11)"}}, {"Sec-Fetch-Site": {"same-origin"}}, {"Sec-Fetch-Site": {"none"}},
	}
	for _, header := range browsers {
		for _, host := range []string{"evil.example", "evil.example:7243", "localhost.evil.example:7243"} {
			if status, body := get(host, header); status != 400 || !strings.Contains(body, "another site") {
				t.Errorf("%s, %v: %d %s", host, header, status, body)
			}
		}
		for _, host := range []string{"localhost", "localhost:7243", "127.0.0.1:7243", "[::1]:7243"} {
			if status, body := get(host, header); status != 200 {
				t.Errorf("%s, %v: %d %s", host, header, status, body)
			}
		}
	}
	if status, body := get("sagebrush.internal:7243", http.Header{"User-Agent": {"aws-cli/2"}}); status != 200 {
		t.Errorf("a client: %d %s", status, body)
	}
}

// A body that was changed on its way does not become an object.
func TestTamperedUpload(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), nil)
	id, secret := d.Credentials()
	object(t, d, "PUT", "/bucket", nil)
	req := signed(t, "PUT", d.URL()+"/bucket/x", "s3", "what was signed", aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil)
	req.Body = io.NopCloser(strings.NewReader("what was sended"))
	if resp, body := do(t, req); resp.StatusCode/100 == 2 {
		t.Errorf("accepted: %d %s", resp.StatusCode, body)
	}
	if list := string(object(t, d, "GET", "/bucket?list-type=2", nil)); strings.Contains(list, "<Key>") {
		t.Errorf("something is there: %s", list)
	}
}

// Progress by REST and by Prometheus.
func TestProgress(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/in/a", []byte("1\n2\n"))
	object(t, d, "PUT", "/bucket/in/b", []byte("3\n"))
	must(t, d, "CreateModel", map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{"Image": "test/model"}})
	must(t, d, "CreateTransformJob", job("j", "m", func(in map[string]any) { in["BatchStrategy"] = "SingleRecord" }))
	await(t, d, "j")
	var got map[string]any
	if err := json.NewDecoder(bytes.NewReader(object(t, d, "GET", "/-/api/v1/transform-jobs/j", nil))).Decode(&got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"status": "Completed", "objects": 2.0, "objectsDone": 2.0, "objectsFailed": 0.0, "records": 3.0, "requests": 3.0, "bytesIn": 6.0, "bytesOut": 6.0, "inputBytes": 6.0, "inputBytesRead": 6.0} {
		if got[k] != want {
			t.Errorf("%s = %v, want %v", k, got[k], want)
		}
	}
	metrics := string(object(t, d, "GET", "/-/metrics", nil))
	for _, want := range []string{
		`sagemaker_transform_objects{job="j",region="us-east-1",state="done"} 2`,
		`sagemaker_transform_records_total{job="j",region="us-east-1"} 3`,
		`sagemaker_transform_bytes_total{dir="in",job="j",region="us-east-1"} 6`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	logs := string(object(t, d, "GET", "/-/api/v1/transform-jobs/j/logs", nil))
	if !strings.Contains(logs, ":[sagemaker logs]: MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=SINGLE_RECORD") { // BT-80
		t.Errorf("logs %s", logs)
	}
	if resp, err := http.Get(d.URL() + "/-/api/v1/transform-jobs/none"); err != nil || resp.StatusCode != 404 {
		t.Errorf("an unknown job: %v %v", resp, err)
	}
}
