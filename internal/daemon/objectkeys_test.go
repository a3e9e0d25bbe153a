package daemon

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
)

// newKey makes a key in the daemon's keystore.
func newKey(t testing.TB, d *Daemon) keyring.Key {
	t.Helper()
	k, err := d.keystore.Create(t.Context(), "us-east-1", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return k.Key
}

// head asks the embedded S3 for an object's headers.
func head(t *testing.T, d *Daemon, path string) http.Header {
	t.Helper()
	resp, err := http.Head(d.URL() + path)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("%s: %s", path, resp.Status)
	}
	return resp.Header
}

// encryptBucket sets a bucket's default.
func encryptBucket(t *testing.T, d *Daemon, bucket, key string) {
	t.Helper()
	object(t, d, "PUT", "/"+bucket+"?encryption", []byte(`<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>`+
		`<ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>`+key+`</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`))
}

// BT-112: the output is encrypted under KmsKeyId, however it is named, and can be
// read as long as the key is enabled. A key that cannot be used refuses the request,
// and fails a job when it is disabled later.
func TestOutputKmsKeyId(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	key := newKey(t, d)
	if err := d.keystore.CreateAlias(t.Context(), "us-east-1", "alias/output", keyring.ID{Region: "us-east-1", Name: key.ID}); err != nil {
		t.Fatal(err)
	}
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/in/a", []byte("1\n2\n"))
	must(t, d, "CreateModel", map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{"Image": "test/model"}})
	with := func(key string) func(map[string]any) {
		return func(in map[string]any) { in["TransformOutput"].(map[string]any)["KmsKeyId"] = key }
	}
	for i, name := range []string{key.ID, key.ARN, "alias/output", "arn:aws:kms:us-east-1:000000000000:alias/output"} {
		must(t, d, "CreateTransformJob", job(fmt.Sprint("j", i), "m", with(name)))
		end := await(t, d, fmt.Sprint("j", i))
		if end["TransformJobStatus"] != "Completed" || end["TransformOutput"].(map[string]any)["KmsKeyId"] != name {
			t.Fatalf("the job ended as %v", end)
		}
		h := head(t, d, "/bucket/out/a.out")
		if h.Get("x-amz-server-side-encryption") != "aws:kms" || h.Get("x-amz-server-side-encryption-aws-kms-key-id") != key.ARN || h.Get("Content-Length") != "4" {
			t.Errorf("with the key %s the output's headers are %v", name, h)
		}
		if got := string(object(t, d, "GET", "/bucket/out/a.out", nil)); got != "1\n2\n" {
			t.Errorf("the output is %q", got)
		}
	}
	status, out := call(t, d, "CreateTransformJob", job("never", "m", with("alias/none")))
	if want := "Invalid TransformOutput.KmsKeyId: NotFoundException: Alias arn:aws:kms:us-east-1:000000000000:alias/none is not found."; status != 400 || out["message"] != want {
		t.Errorf("%d %v", status, out)
	}
	// The input is in a bucket whose key is disabled: what a job cannot read fails it.
	other := newKey(t, d)
	encryptBucket(t, d, "bucket", other.ARN)
	object(t, d, "PUT", "/bucket/in/a", []byte("1\n2\n"))
	if err := d.keystore.SetEnabled(t.Context(), keyring.ID{Region: "us-east-1", Name: other.ID}, false); err != nil {
		t.Fatal(err)
	}
	must(t, d, "CreateTransformJob", job("unreadable", "m", with(key.ID)))
	end := await(t, d, "unreadable")
	if reason := fmt.Sprint(end["FailureReason"]); end["TransformJobStatus"] != "Failed" || !strings.Contains(reason, "ClientError") || !strings.Contains(reason, "DisabledException: "+other.ARN+" is disabled.") {
		t.Errorf("the job ended as %v: %s", end["TransformJobStatus"], reason)
	}
	if err := d.keystore.SetEnabled(t.Context(), keyring.ID{Region: "us-east-1", Name: key.ID}, false); err != nil {
		t.Fatal(err)
	}
	status, out = call(t, d, "CreateTransformJob", job("disabled", "m", with(key.ID)))
	if status != 400 || !strings.Contains(fmt.Sprint(out["message"]), "DisabledException") {
		t.Errorf("%d %v", status, out)
	}
	resp, err := http.Get(d.URL() + "/bucket/out/a.out")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("without the key the output is answered with %s", resp.Status)
	}
}

// Where the S3 is another one, whatever names the key goes there as it is: of the
// output, whole and in parts, of captured data and of asynchronous answers.
func TestKeysOfAnotherS3(t *testing.T) {
	t.Parallel()
	store := memstore.New("bucket")
	store.Put(objstore.Ref{Bucket: "bucket", Key: "in/a"}, "1\n2\n")
	d := startWith(t, t.TempDir(), func(o *Options) {
		withModel(&o.Config)
		o.Objects = store
	})
	must(t, d, "CreateModel", map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{"Image": "test/model"}})
	for _, layout := range []string{"single", "parts"} {
		must(t, d, "CreateTransformJob", job(layout, "m", func(in map[string]any) {
			out := in["TransformOutput"].(map[string]any)
			out["KmsKeyId"] = "alias/of-another"
			delete(out, "AssembleWith")
			in["Tags"] = []any{map[string]any{"Key": "sagebrush:output-layout", "Value": layout}}
		}))
		if end := await(t, d, layout); end["TransformJobStatus"] != "Completed" {
			t.Fatalf("the job ended as %v", end)
		}
	}
	must(t, d, "CreateEndpointConfig", map[string]any{
		"EndpointConfigName": "c", "ProductionVariants": []any{variantIn("v", "m", 1, 1)},
		"DataCaptureConfig": map[string]any{
			"EnableCapture": true, "InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://bucket/captured", "KmsKeyId": "alias/of-capture",
			"CaptureOptions": []any{map[string]any{"CaptureMode": "Input"}},
		},
	})
	must(t, d, "CreateEndpointConfig", map[string]any{
		"EndpointConfigName": "a", "ProductionVariants": []any{variantIn("v", "m", 1, 1)},
		"AsyncInferenceConfig": map[string]any{"OutputConfig": map[string]any{"S3OutputPath": "s3://bucket/async", "KmsKeyId": "alias/of-async"}},
	})
	if out := must(t, d, "DescribeEndpointConfig", map[string]any{"EndpointConfigName": "c"}); out["DataCaptureConfig"].(map[string]any)["KmsKeyId"] != "alias/of-capture" {
		t.Errorf("the configuration is %v", out)
	}
	for name, config := range map[string]string{"captures": "c", "async": "a"} {
		must(t, d, "CreateEndpoint", map[string]any{"EndpointName": name, "EndpointConfigName": config})
		status(t, d, name, "InService")
	}
	if resp, _ := invoke(t, d, "captures", "1", map[string]string{"Content-Type": "text/csv"}); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", d.URL()+"/endpoints/async/async-invocations", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amzn-SageMaker-InputLocation", "s3://bucket/in/a")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatal(resp.Status)
	}
	want := map[string]string{"out/a.out": "alias/of-another", "out/a.part0001": "alias/of-another", "captured/": "alias/of-capture", "async/": "alias/of-async"}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C { // captured data is written later
		seen := map[string]string{}
		for info, err := range store.List(t.Context(), "bucket", "") {
			if err != nil {
				t.Fatal(err)
			}
			for prefix := range want {
				if strings.HasPrefix(info.Key, prefix) {
					seen[prefix] = store.Meta(info.Ref).SSEKMSKeyID
				}
			}
		}
		if len(seen) < len(want) {
			continue
		}
		for prefix, key := range want {
			if seen[prefix] != key {
				t.Errorf("%s is under the key %q, want %q", prefix, seen[prefix], key)
			}
		}
		return
	}
}
