package daemon

import (
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/config"
)

// Jobs may read and write another S3 than the embedded one: here that of a second
// server, over the real protocol. The same job gives the same bytes.
func TestRemoteS3(t *testing.T) {
	other := start(t, t.TempDir(), nil)
	id, secret := other.Credentials()
	t.Setenv("AWS_ACCESS_KEY_ID", id)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	d := start(t, t.TempDir(), func(c *config.Config) {
		withModel(c)
		c.S3Endpoint = other.URL()
	})
	object(t, other, "PUT", "/bucket", nil)
	large := strings.Repeat("0123456789,abcde\n", 1<<20) // 17 MiB: a multipart upload
	object(t, other, "PUT", "/bucket/in/large", []byte(large))
	object(t, other, "PUT", "/bucket/in/small", []byte("1\n2\n"))
	object(t, other, "PUT", "/bucket/in/empty", nil)
	must(t, d, "CreateModel", map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{"Image": "test/model"}})
	must(t, d, "CreateTransformJob", job("j", "m", nil))
	if end := await(t, d, "j"); end["TransformJobStatus"] != "Completed" {
		t.Fatalf("the job ended as %v", end)
	}
	if got := string(object(t, other, "GET", "/bucket/out/large.out", nil)); got != large {
		t.Errorf("the large output has %d bytes", len(got))
	}
	if got := string(object(t, other, "GET", "/bucket/out/small.out", nil)); got != "1\n2\n" {
		t.Errorf("the small output is %q", got)
	}
	if got := object(t, other, "GET", "/bucket/out/empty.out", nil); len(got) != 0 {
		t.Errorf("the empty output is %q", got)
	}
	must(t, d, "CreateTransformJob", job("no-bucket", "m", func(in map[string]any) {
		in["TransformOutput"].(map[string]any)["S3OutputPath"] = "s3://no-such-bucket/"
	}))
	if end := await(t, d, "no-bucket"); end["TransformJobStatus"] != "Failed" || !strings.Contains(end["FailureReason"].(string), "no-such-bucket") {
		t.Errorf("the job ended as %v", end)
	}
}
