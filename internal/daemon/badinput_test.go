package daemon

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/config"
)

// withModel maps the image test/model to this test binary.
func withModel(c *config.Config) {
	c.Images = []config.Image{{
		Image: "test/model", Command: []string{os.Args[0], "testmodel"},
		Env: map[string]string{"GORACE": "atexit_sleep_ms=0"},
	}}
	c.StopGrace = time.Second
	c.MaxAnswerMB = 8
}

// Whatever goes wrong, the job ends as Failed with a reason that names the thing,
// nothing partial is visible, and the next job is unharmed.
func TestBadInput(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	object(t, d, "PUT", "/bucket", nil)
	cases := []struct {
		name string
		in   string         // the input object
		mode string         // what the container does
		job  map[string]any // members of TransformInput, but those with a capital below
		want string         // what FailureReason begins with, and holds
		has  string
	}{
		{"client error", "1\n", "400", nil, "ClientError: See job logs for more information", `s3://bucket/client-error/in/x: record 1 (from byte 0): the container answered 400 after 1 attempt: "the secret is ****"`},
		{"server error", "1\n", "500", nil, "AlgorithmError: See job logs for more information", "the container answered 500 after 2 attempts"},
		{"hang", "1\n", "hang", nil, "AlgorithmError: See job logs for more information", "no answer in time"},
		{"exit", "1\n", "exit", nil, "AlgorithmError: See job logs for more information", "exited with code 7 while the job ran. It last printed: I have seen enough"},
		{"endless answer", "1\n", "endless", nil, "AlgorithmError: See job logs", "8388608"},
		{"malformed answer", "1\n", "malformed", nil, "AlgorithmError: See job logs", "not valid HTTP"},
		{"no answer at all", "1\n", "headless", nil, "AlgorithmError: See job logs", "not valid HTTP"},
		{"short answer", "1\n", "short", nil, "AlgorithmError: See job logs", "closed the connection in the middle of its answer"},
		{"corrupt gzip", "not gzip, not at all", "", map[string]any{"CompressionType": "Gzip"}, "ClientError: See job logs", "not valid gzip"},
		{"truncated RecordIO", "\x0A\x23\xD7\xCE\x05\x00\x00\x00ab", "", map[string]any{"SplitType": "RecordIO"}, "ClientError: See job logs", "the file ends in the middle of its data (2 of 5 bytes)"},
		{"truncated TFRecord", "\x01\x00\x00", "", map[string]any{"SplitType": "TFRecord"}, "ClientError: See job logs", "the file ends in the middle of its header"},
		{"record over the limit", strings.Repeat("x", 2<<20), "", nil, "ClientError: See job logs", "Record is larger than 1MB. Please increase your max_payload"},
		{"not a manifest", "a,b\n", "", map[string]any{"S3DataType": "ManifestFile"}, "ClientError: See job logs", "is not a manifest"},
		{"manifest of nothing there", `[{"prefix":"s3://bucket/"},"nowhere"]`, "", map[string]any{"S3DataType": "ManifestFile"}, "ClientError: See job logs", "s3://bucket/nowhere"},
		{"no output bucket", "1\n", "", map[string]any{"S3OutputPath": "s3://no-such-bucket/out"}, "ClientError: See job logs", "no-such-bucket"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name := strings.ReplaceAll(c.name, " ", "-")
			object(t, d, "PUT", "/bucket/"+name+"/in/x", []byte(c.in))
			must(t, d, "CreateModel", map[string]any{"ModelName": name, "PrimaryContainer": map[string]any{
				"Image": "test/model", "Environment": map[string]string{"MODE": c.mode, "API_TOKEN": "hunter2hunter2"}}})
			must(t, d, "CreateTransformJob", badJob(name, c.job))
			end := await(t, d, name)
			reason := fmt.Sprint(end["FailureReason"])
			if end["TransformJobStatus"] != "Failed" || !strings.HasPrefix(reason, c.want) || !strings.Contains(reason, c.has) {
				t.Errorf("the job ended as %v: %s", end["TransformJobStatus"], reason)
			}
			if list := string(object(t, d, "GET", "/bucket?list-type=2&prefix="+name+"/out", nil)); strings.Contains(list, "<Key>") {
				t.Errorf("something is visible: %s", list)
			}
			unharmed(t, d, name)
		})
	}
}

// badJob is a job over one object, with changes to the members named.
func badJob(name string, change map[string]any) map[string]any {
	return job(name, name, func(in map[string]any) {
		input := in["TransformInput"].(map[string]any)
		source := input["DataSource"].(map[string]any)["S3DataSource"].(map[string]any)
		source["S3Uri"] = "s3://bucket/" + name + "/in/x"
		in["TransformOutput"].(map[string]any)["S3OutputPath"] = "s3://bucket/" + name + "/out"
		in["MaxPayloadInMB"] = 1
		in["ModelClientConfig"] = map[string]any{"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 1}
		for k, v := range change {
			switch k {
			case "S3DataType":
				source[k] = v
			case "S3OutputPath":
				in["TransformOutput"].(map[string]any)[k] = v
			default:
				input[k] = v
			}
		}
	})
}

// unharmed runs a good job, with bytes that are no text, after a bad one.
func unharmed(t *testing.T, d *Daemon, name string) {
	t.Helper()
	const odd = "\xff\xfe,1\r\n\x00\n"
	name += "-after"
	object(t, d, "PUT", "/bucket/"+name+"/in/x", []byte(odd))
	must(t, d, "CreateModel", map[string]any{"ModelName": name, "PrimaryContainer": map[string]any{"Image": "test/model"}})
	must(t, d, "CreateTransformJob", badJob(name, nil))
	if end := await(t, d, name); end["TransformJobStatus"] != "Completed" {
		t.Errorf("the next job ended as %v", end)
	}
	if got := string(object(t, d, "GET", "/bucket/"+name+"/out/x.out", nil)); got != odd {
		t.Errorf("output %q", got)
	}
}

// What can be refused at once is: no model artefact (CP-35), no input (BT-23), an
// unknown model (BT-20), a taken name (BT-21), members that are not supported.
func TestRefusedAtOnce(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/in/x", []byte("1\n"))
	must(t, d, "CreateModel", map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{"Image": "test/model"}})
	must(t, d, "CreateTransformJob", job("taken", "m", nil))
	const validation = "ValidationException"
	cases := []struct {
		operation string
		in        any
		code      string
		message   string
	}{
		{"CreateModel", map[string]any{"ModelName": "m2", "PrimaryContainer": map[string]any{"Image": "i", "ModelDataUrl": "s3://bucket/nothing.tar.gz"}}, validation, "Could not access model data at s3://bucket/nothing.tar.gz. Please ensure that"},
		{"CreateModel", map[string]any{"ModelName": "M", "PrimaryContainer": map[string]any{"Image": "i"}}, validation, `Cannot create already existing model "arn:aws:sagemaker:us-east-1:000000000000:model/m".`},
		{"CreateModel", map[string]any{"ModelName": "m3", "PrimaryContainer": map[string]any{}}, validation, "Specify one of either Image and Model Data URL or ModelPackageName in container definition."},
		{"CreateModel", map[string]any{"ModelName": "m3", "Containers": []any{map[string]any{"Image": "a"}}, "VpcConfig": map[string]any{"SecurityGroupIds": []string{"sg-1"}, "Subnets": []string{"subnet-1"}}}, validation, "CreateModel: VpcConfig is not supported by this version of Sagebrush. Remove it from the request."},
		{"CreateTransformJob", job("j", "none", nil), validation, `Could not find model "arn:aws:sagemaker:us-east-1:000000000000:model/none".`},
		{"CreateTransformJob", job("TAKEN", "m", nil), "ResourceInUse", "Job name must be unique within an AWS account and region, and a job with this name already exists (arn:aws:sagemaker:us-east-1:000000000000:transform-job/taken)"},
		{"CreateTransformJob", badJob("no-input", nil), validation, `Could not find model`},
		{"CreateTransformJob", job("j", "m", func(in map[string]any) {
			in["TransformInput"].(map[string]any)["DataSource"] = map[string]any{"S3DataSource": map[string]any{"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/empty/"}}
		}), validation, `No S3 objects found under S3 URL "s3://bucket/empty/" given in input data source. Please ensure that the bucket exists in the selected region (us-east-1), that objects exist under that S3 prefix, and that the role "" has "s3:ListBucket" permissions on bucket "bucket".`},
		{"CreateTransformJob", job("j", "m", func(in map[string]any) {
			in["DataProcessing"] = map[string]any{"InputFilter": "$[1:]", "JoinSource": "Input"}
		}), validation, "CreateTransformJob: DataProcessing.InputFilter, DataProcessing.JoinSource=Input are not supported by this version of Sagebrush. Remove them from the request."},
		{"CreateTransformJob", job("j", "m", func(in map[string]any) { in["MaxConcurrentTransforms"], in["MaxPayloadInMB"] = 20, 6 }), validation, "their product is 120 MB (20 times 6), and may be 100 MB at the most."},
		{"CreateTransformJob", job("j", "m", func(in map[string]any) { in["TransformResources"].(map[string]any)["InstanceCount"] = 1000 }), "ResourceLimitExceeded", "a request delta of 1000 Instances"},
		{"CreateTransformJob", job("j", "m", func(in map[string]any) {
			in["Tags"] = []any{map[string]string{"Key": "sagebrush:layout", "Value": "x"}}
		}), validation, `The tag "sagebrush:layout" is not one that Sagebrush knows.`},
		{"DescribeTransformJob", map[string]any{"TransformJobName": "nope"}, validation, "Could not find requested job with name: nope"},
		{"StopTransformJob", map[string]any{"TransformJobName": "nope"}, validation, "Could not find job to update with name"},
		{"DeleteModel", map[string]any{"ModelName": "nope"}, validation, `Could not find model "arn:aws:sagemaker:us-east-1:000000000000:model/nope".`},
		{"ListTransformJobs", map[string]any{"NextToken": "made up"}, validation, "The NextToken is not one that this list gave."},
		{"ListTrainingJobs", map[string]any{}, "UnknownOperationException", "The SageMaker operation ListTrainingJobs is not supported by Sagebrush."},
	}
	for i, c := range cases {
		t.Run(fmt.Sprint(i, c.operation), func(t *testing.T) {
			status, out := call(t, d, c.operation, c.in)
			if status != http.StatusBadRequest || out["__type"] != c.code || !strings.Contains(fmt.Sprint(out["message"]), c.message) {
				t.Errorf("%d %v", status, out)
			}
		})
	}
}

// BT-150 to BT-154: a stopped job ends as Stopped, with its container.
func TestStop(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/s/in/x", []byte("1\n"))
	must(t, d, "CreateModel", map[string]any{"ModelName": "s", "PrimaryContainer": map[string]any{
		"Image": "test/model", "Environment": map[string]string{"MODE": "hang"}}})
	must(t, d, "CreateTransformJob", job("s", "s", func(in map[string]any) {
		in["TransformInput"].(map[string]any)["DataSource"].(map[string]any)["S3DataSource"].(map[string]any)["S3Uri"] = "s3://bucket/s/in/"
	}))
	for must(t, d, "DescribeTransformJob", map[string]any{"TransformJobName": "s"})["TransformStartTime"] == nil {
	}
	must(t, d, "StopTransformJob", map[string]any{"TransformJobName": "s"})
	if status, out := call(t, d, "StopTransformJob", map[string]any{"TransformJobName": "s"}); status != 200 && !strings.Contains(fmt.Sprint(out), "in status Stopped") {
		t.Errorf("stopping again: %d %v", status, out)
	}
	end := await(t, d, "s")
	if end["TransformJobStatus"] != "Stopped" || end["FailureReason"] != nil || end["TransformEndTime"] == nil {
		t.Errorf("the job ended as %v", end)
	}
	status, out := call(t, d, "StopTransformJob", map[string]any{"TransformJobName": "s"})
	if status != 400 || out["message"] != "The request was rejected because the transform job is in status Stopped" {
		t.Errorf("stopping a stopped job: %d %v", status, out)
	}
}
