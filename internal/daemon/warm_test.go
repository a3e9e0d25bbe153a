package daemon

import (
	"strings"
	"testing"
)

// A second job that is just like the first is served by the instance of the first,
// which was kept for it; one that differs in a variable is not.
func TestWarm(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/w/in/x", []byte("pid"))
	must(t, d, "CreateModel", map[string]any{"ModelName": "w", "PrimaryContainer": map[string]any{
		"Image": "test/model", "Environment": map[string]string{"MODE": "pid"}}})
	pid := func(name string, change map[string]any) string {
		t.Helper()
		in := badJob("w", nil)
		in["TransformJobName"] = name
		in["Tags"] = []any{map[string]string{"Key": "sagebrush:keep-alive", "Value": "1m"}}
		for k, v := range change {
			in[k] = v
		}
		must(t, d, "CreateTransformJob", in)
		if end := await(t, d, name); end["TransformJobStatus"] != "Completed" {
			t.Fatalf("%v", end)
		}
		return strings.TrimSpace(string(object(t, d, "GET", "/bucket/w/out/x.out", nil)))
	}
	first := pid("one", nil)
	if second := pid("two", nil); second != first {
		t.Errorf("the second job ran in process %s, the first in %s", second, first)
	}
	if other := pid("three", map[string]any{"Environment": map[string]string{"A": "b"}}); other == first {
		t.Error("a job with another environment got the same instance")
	}
}
