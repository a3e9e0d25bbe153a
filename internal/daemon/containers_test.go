package daemon

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// stage is a container of a pipeline.
func stage(name, mode string) map[string]any {
	return map[string]any{"Image": "test/model", "ContainerHostname": name, "Environment": map[string]string{"MODE": mode, "NAME": name}}
}

// pipelineJob runs a job over one object through a model of several containers.
func pipelineJob(t *testing.T, d *Daemon, name string, containers []any, change map[string]any) map[string]any {
	t.Helper()
	object(t, d, "PUT", "/bucket/"+name+"/in/x", []byte("a\nb\n"))
	must(t, d, "CreateModel", map[string]any{"ModelName": name, "Containers": containers})
	in := badJob(name, nil)
	in["BatchStrategy"] = "SingleRecord"
	in["TransformInput"].(map[string]any)["ContentType"] = "text/csv"
	in["TransformOutput"].(map[string]any)["AssembleWith"] = "Line"
	for k, v := range change {
		in[k] = v
	}
	must(t, d, "CreateTransformJob", in)
	return await(t, d, name)
}

// CC-70, CC-74: a body goes through the containers in order, each is told the type
// of the answer before it; streamed bodies too.
func TestPipeline(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	object(t, d, "PUT", "/bucket", nil)
	three := []any{stage("one", "suffix"), stage("two", "suffix"), stage("three", "suffix")}
	const passed = ">one(text/csv)>two(application/x-one)>three(application/x-two)\n"
	end := pipelineJob(t, d, "three", three, nil)
	if got := string(object(t, d, "GET", "/bucket/three/out/x.out", nil)); got != "a"+passed+"b"+passed {
		t.Errorf("%v: %q", end, got)
	}
	end = pipelineJob(t, d, "streamed", three, map[string]any{"MaxPayloadInMB": 0, "BatchStrategy": "MultiRecord"})
	if got := string(object(t, d, "GET", "/bucket/streamed/out/x.out", nil)); got != "a\nb"+passed {
		t.Errorf("%v: %q", end, got)
	}
	described := must(t, d, "DescribeModel", map[string]any{"ModelName": "three"})
	if described["PrimaryContainer"] != nil || len(described["Containers"].([]any)) != 3 || fmt.Sprint(described["InferenceExecutionConfig"]) != "map[Mode:Serial]" {
		t.Errorf("described %v", described)
	}
}

// What goes wrong in one container of a pipeline says which (CC-72, CC-73).
func TestPipelineFailures(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	object(t, d, "PUT", "/bucket", nil)
	for _, c := range []struct {
		name   string
		middle map[string]any
		want   string
	}{
		{"status", stage("two", "400"), "the container two answered 400 after 1 attempt"},
		{"exit", stage("two", "exit"), "container two exited with code 7 while the job ran. It last printed: I have seen enough"},
		{"large", stage("two", "large"), "Received response from two with status code 200. However, the request payload from two to three is 5242881 bytes, which has exceeded the maximum limit of 5 MB."},
	} {
		for _, payload := range []int{1, 0} {
			t.Run(fmt.Sprint(c.name, payload), func(t *testing.T) {
				t.Parallel()
				name := fmt.Sprintf("%s-%d", c.name, payload)
				end := pipelineJob(t, d, name, []any{stage("one", ""), c.middle, stage("three", "")}, map[string]any{"MaxPayloadInMB": payload, "BatchStrategy": "MultiRecord"})
				if end["TransformJobStatus"] != "Failed" || !strings.Contains(fmt.Sprint(end["FailureReason"]), c.want) {
					t.Errorf("%v", end)
				}
			})
		}
	}
}

// CC-14: model data that is not an archive.
func TestModelDataSource(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/weights/sub/w", []byte("the weights"))
	object(t, d, "PUT", "/bucket/m/in/x", []byte("sub/w"))
	source := map[string]any{"S3DataSource": map[string]any{"S3Uri": "s3://bucket/weights/", "S3DataType": "S3Prefix", "CompressionType": "None"}}
	must(t, d, "CreateModel", map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{
		"Image": "test/model", "Environment": map[string]string{"MODE": "file"}, "ModelDataSource": source}})
	if got := must(t, d, "DescribeModel", map[string]any{"ModelName": "m"})["PrimaryContainer"].(map[string]any)["ModelDataSource"]; fmt.Sprint(got) != fmt.Sprint(source) {
		t.Errorf("described %v", got)
	}
	must(t, d, "CreateTransformJob", badJob("m", nil))
	end := await(t, d, "m")
	if got := string(object(t, d, "GET", "/bucket/m/out/x.out", nil)); got != "the weights\n" {
		t.Errorf("%v: %q", end, got)
	}
}

// Combinations that the API's shapes allow and the real service does not.
func TestModelRefused(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/x", nil)
	image := map[string]any{"Image": "i"}
	data := func(uri, kind string) map[string]any {
		return map[string]any{"S3DataSource": map[string]any{"S3Uri": uri, "S3DataType": kind, "CompressionType": "None"}}
	}
	for i, c := range []struct {
		in   map[string]any
		want string
	}{
		{map[string]any{}, "Specify one of either Image"},
		{map[string]any{"PrimaryContainer": image, "Containers": []any{image}}, "either PrimaryContainer or Containers"},
		{map[string]any{"Containers": []any{image, stage("a", "")}}, "1 of 2 containers have a ContainerHostname"},
		{map[string]any{"Containers": []any{stage("a", ""), stage("a", "")}}, "same ContainerHostname"},
		{map[string]any{"Containers": []any{image, image}, "InferenceExecutionConfig": map[string]any{"Mode": "Direct"}}, "every container needs a ContainerHostname"},
		{map[string]any{"PrimaryContainer": image, "InferenceExecutionConfig": map[string]any{"Mode": "Serial"}}, "is for models with Containers"},
		{map[string]any{"PrimaryContainer": map[string]any{"Image": "i", "Mode": "MultiModel"}}, "needs a ModelDataUrl"},
		{map[string]any{"PrimaryContainer": map[string]any{"Image": "i", "ModelDataUrl": "s3://bucket/x", "ModelDataSource": data("s3://bucket/x", "S3Object")}}, "not both"},
		{map[string]any{"PrimaryContainer": map[string]any{"Image": "i", "ModelDataSource": data("s3://bucket/x", "S3Prefix")}}, "must end in a slash"},
		{map[string]any{"PrimaryContainer": map[string]any{"Image": "i", "ModelDataSource": data("s3://bucket/none", "S3Object")}}, "Could not access model data at s3://bucket/none"},
		{map[string]any{"PrimaryContainer": map[string]any{"Image": "i", "ModelPackageName": "p"}}, "PrimaryContainer.ModelPackageName is not supported"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			c.in["ModelName"] = fmt.Sprint("m", i)
			status, out := call(t, d, "CreateModel", c.in)
			if status != http.StatusBadRequest || out["__type"] != "ValidationException" || !strings.Contains(fmt.Sprint(out["message"]), c.want) {
				t.Errorf("%d %v", status, out)
			}
		})
	}
	must(t, d, "CreateModel", map[string]any{"ModelName": "multi", "PrimaryContainer": map[string]any{"Image": "test/model", "Mode": "MultiModel", "ModelDataUrl": "s3://bucket/models/"}})
	object(t, d, "PUT", "/bucket/multi/in/x", nil)
	status, out := call(t, d, "CreateTransformJob", badJob("multi", nil))
	if status != http.StatusBadRequest || !strings.Contains(fmt.Sprint(out["message"]), "cannot be used in a transform job") {
		t.Errorf("%d %v", status, out)
	}
}
