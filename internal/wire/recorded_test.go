package wire

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"
	"time"
)

// What the real service answered passes through our structs unchanged: the same
// members, nothing lost, nothing added (CP-4, and KmsKeyId "" of the echo).
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(shared, "vectors/recorded/*/api.sagemaker.*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("recorded answers of the real service are not beside the repository")
	}
	name := regexp.MustCompile(`api\.sagemaker\.(\w+)_\d+\.json$`)
	n := 0
	for _, file := range files {
		op, ok := SageMaker.Lookup(name.FindStringSubmatch(file)[1])
		if !ok || op.NewOutput() == nil {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Data map[string]any `json:"data"`
		}
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		delete(r.Data, "ResponseMetadata")
		if r.Data["Error"] != nil {
			continue
		}
		n++
		passesThrough(t, file, op.NewOutput(), withTimes(r.Data))
	}
	if n == 0 {
		t.Error("no recorded answer of a served operation")
	}
	t.Logf("%d answers", n)
}

func passesThrough(t *testing.T, name string, out Message, data any) {
	t.Helper()
	if err := DecodeInto(body(t, data), out); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	var got, want any
	if err := json.Unmarshal(Encode(out), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body(t, data), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", name, got, want)
	}
}

// withTimes turns the recorder's notation of times into epoch seconds.
func withTimes(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = withTimes(v[i])
		}
	case map[string]any:
		if v["__class__"] == "datetime" {
			part := func(name string) int { return int(v[name].(float64)) }
			at := time.Date(part("year"), time.Month(part("month")), part("day"), part("hour"), part("minute"),
				part("second"), part("microsecond")*1000, time.UTC)
			return float64(at.UnixMilli()) / 1000
		}
		for k := range v {
			v[k] = withTimes(v[k])
		}
	}
	return v
}

// body writes a JSON value.
func body(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
