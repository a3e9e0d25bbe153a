package wire

import (
	"math"
	"testing"
	"time"
)

func ptr[T any](v T) *T { return &v }

// CP-4: epoch seconds with a millisecond fraction and no zeros at its end.
func TestEncodeTimestamps(t *testing.T) {
	t.Parallel()
	for want, at := range map[string]time.Time{
		"1650241569.032": time.UnixMilli(1650241569032),
		"1650241600.5":   time.UnixMilli(1650241600500),
		"1650241600":     time.Unix(1650241600, 999_999),
		"1650241600.01":  time.UnixMilli(1650241600010),
		"0":              time.Unix(0, 0),
		"-0.5":           time.UnixMilli(-500),
		"-62135596800":   {},
	} {
		if got := string(appendTime(nil, at)); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
}

// Absent members are left out, empty ones are kept, the order is the model's,
// and nothing is escaped for HTML.
func TestEncode(t *testing.T) {
	t.Parallel()
	out := DescribeModelOutput{
		ModelName:              ptr("m"),
		EnableNetworkIsolation: ptr(false),
		CreationTime:           ptr(time.UnixMilli(1650241569032)),
		ModelArn:               ptr("arn:aws:sagemaker:us-west-2:000000000000:model/m"),
		Containers:             []ContainerDefinition{},
		PrimaryContainer: &ContainerDefinition{
			Image:       ptr("<a&b>\u2028\"\\\n"),
			Environment: map[string]string{"b": "2", "a": ""},
		},
	}
	const want = `{"ModelName":"m","PrimaryContainer":{"Image":"<a&b>` + "\u2028" + `\"\\\n","Environment":{"a":"","b":"2"}},"Containers":[],` +
		`"CreationTime":1650241569.032,"ModelArn":"arn:aws:sagemaker:us-west-2:000000000000:model/m","EnableNetworkIsolation":false}`
	if got := string(Encode(&out)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(Encode(&DescribeTransformJobOutput{TransformOutput: &TransformOutput{KmsKeyId: ptr("")}})); got != `{"TransformOutput":{"KmsKeyId":""}}` {
		t.Errorf("got %s", got)
	}
	if got := string(Append([]byte("x"), &DeleteTagsOutput{})); got != "x{}" {
		t.Errorf("got %s", got)
	}
	if got := string(Encode(&AddTagsOutput{Tags: []Tag{{Key: ptr("\xff"), Value: ptr("v")}}})); got != "{\"Tags\":[{\"Key\":\"\ufffd\",\"Value\":\"v\"}]}" {
		t.Errorf("got %s", got)
	}
}

func TestEncodeFloats(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]float64{"1.5": 1.5, "0.1": 0.1, "1": 1, `"NaN"`: math.NaN(), `"Infinity"`: math.Inf(1), `"-Infinity"`: math.Inf(-1)} {
		if got := string(appendFloat(nil, f, 64)); got != want {
			t.Errorf("%v: %s", f, got)
		}
	}
	if got := string(appendFloat(nil, float64(float32(0.1)), 32)); got != "0.1" {
		t.Errorf("float32: %s", got)
	}
}
