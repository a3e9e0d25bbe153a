package wire

import (
	"math"
	"strings"
	"testing"
	"time"
)

// A wrong JSON type, or no JSON at all, is a SerializationException that says
// where.
func TestSerializationErrors(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	tests := []struct{ name, body, want string }{
		{"list at the top", `[]`, "Start of list found where not expected"},
		{"string at the top", `"x"`, "STRING_VALUE can not be converted to a structure"},
		{"null at the top", `null`, "NULL_VALUE can not be converted to a structure"},
		{"string for an integer", `{"MaxPayloadInMB":"6"}`, "STRING_VALUE can not be converted to an Integer at 'maxPayloadInMB'"},
		{"fraction for an integer", `{"MaxPayloadInMB":3.5}`, "DECIMAL_VALUE can not be converted to an Integer at 'maxPayloadInMB'"},
		{"over 32 bits", `{"MaxPayloadInMB":2147483648}`, "NUMBER_VALUE can not be converted to an Integer at 'maxPayloadInMB'"},
		{"under 32 bits", `{"MaxPayloadInMB":-2147483649}`, "NUMBER_VALUE can not be converted to an Integer at 'maxPayloadInMB'"},
		{"over 32 bits as a float", `{"MaxPayloadInMB":2147483648.0}`, "DECIMAL_VALUE can not be converted to an Integer at 'maxPayloadInMB'"},
		{"number for a string", `{"ModelName":1}`, "NUMBER_VALUE can not be converted to a String at 'modelName'"},
		{"true for a string", `{"ModelName":true}`, "TRUE_VALUE can not be converted to a String at 'modelName'"},
		{"object for a string", `{"ModelName":{}}`, "Start of structure or map found where not expected at 'modelName'"},
		{"string for a boolean", `{"DataCaptureConfig":{"GenerateInferenceId":"true"}}`,
			"STRING_VALUE can not be converted to a Boolean at 'dataCaptureConfig.generateInferenceId'"},
		{"object for a list", `{"Tags":{}}`, "Start of structure or map found where not expected at 'tags'"},
		{"list for a map", `{"Environment":[]}`, "Start of list found where not expected at 'environment'"},
		{"number in a map", `{"Environment":{"A":"x","B":1}}`, "NUMBER_VALUE can not be converted to a String at 'environment.B.member'"},
		{"null in a map", `{"Environment":{"A":null}}`, "NULL_VALUE can not be converted to a String at 'environment.A.member'"},
		{"null in a list", `{"Tags":[null]}`, "NULL_VALUE can not be converted to a structure at 'tags.1.member'"},
		{"false in a structure of a list", `{"Tags":[{"Key":"a"},{"Key":false}]}`, "FALSE_VALUE can not be converted to a String at 'tags.2.member.key'"},
		{"duplicate name", `{"ModelName":"a","ModelName":"b"}`, `The request is not valid JSON: duplicate object member name, at byte 17.`},
		{"duplicate unknown name", `{"X":"a","X":"b"}`, `The request is not valid JSON: duplicate object member name, at byte 9.`},
		{"duplicate key of a map", `{"Environment":{"A":"1","\u0041":"2"}}`, `The request is not valid JSON: duplicate object member name, at byte 24.`},
		{"cut off", `{"ModelName":"a"`, `The request is not valid JSON: unexpected EOF, at byte 16.`},
		{"invalid UTF-8", "{\"ModelName\":\"\xff\"}", `The request is not valid JSON: invalid UTF-8, at byte 14.`},
		{"two values", `{} {}`, "The request has more than one JSON value."},
		{"rubbish after", `{}x`, `The request is not valid JSON: invalid character 'x' at start of value, at byte 2.`},
		{"too deep, in an unknown member", deep, "The request is nested deeper than 64 levels."},
		{"too long", strings.Repeat(" ", MaxBody+1), "The request has 4194305 bytes, more than the 4194304 that are accepted."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Decode[CreateTransformJobInput]([]byte(tt.body))
			wantError(t, err, SerializationException, tt.want)
		})
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	in, err := Decode[CreateTransformJobInput]([]byte(createTransformJob))
	if err != nil {
		t.Fatal(err)
	}
	if *in.TransformJobName != "Batch-Transform-2022-04-18-00-26-41" || *in.MaxPayloadInMB != 6 || in.DataProcessing != nil ||
		*in.TransformInput.DataSource.S3DataSource.S3Uri != "s3://sagemaker-us-west-2-000000000000/input/" ||
		len(in.Environment) != 2 || in.Environment["SAGEMAKER_PROGRAM"] != "inference.py" ||
		len(in.Tags) != 1 || *in.Tags[0].Value != "forecast" || *in.TransformResources.InstanceCount != 2 {
		t.Errorf("got %s", Encode(in))
	}
}

// What AWS accepts is accepted: unknown members (CP-18), null for absent, empty
// bodies, whole numbers in any spelling, escapes in names.
func TestDecodeIsTolerant(t *testing.T) {
	t.Parallel()
	for _, empty := range []string{"", " \r\n\t", "{}", `{"Nonesuch":{"a":[1,{"b":null}],"c":"x"}}`, `{"MaxResults":null}`, `{"Max\u0052esults":null}`} {
		in, err := Decode[ListTransformJobsInput]([]byte(empty))
		if err != nil || string(Encode(in)) != "{}" {
			t.Errorf("%q: %s, %v", empty, Encode(in), err)
		}
	}
	for _, ten := range []string{"10", "10.0", "1e1", "1.0E+1", "100e-1"} {
		in, err := Decode[ListTransformJobsInput]([]byte(`{"Max\u0052esults":` + ten + `}`))
		if err != nil || *in.MaxResults != 10 {
			t.Errorf("%s: %v", ten, err)
		}
	}
	in, err := Decode[CreateModelInput]([]byte(`{"ModelName":"m","PrimaryContainer":{"Environment":{}},"Containers":[]}`))
	if err != nil || in.PrimaryContainer.Environment == nil || in.Containers == nil || in.Tags != nil {
		t.Errorf("an empty list is not an absent one: %+v, %v", in, err)
	}
	// SD-6: the seed promises it.
	_, err = Decode[CreateTransformJobInput]([]byte(strings.Replace(createTransformJob, `"AssembleWith": "Line"`, `"AssembleWith": "RecordIO"`, 1)))
	if err != nil {
		t.Error(err)
	}
}

// CP-4: requests carry epoch seconds, whole or not; some clients send ISO 8601.
func TestDecodeTimestamps(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"1529870369.986":                  time.UnixMilli(1529870369986),
		"1529870369":                      time.Unix(1529870369, 0),
		"1.529870369986E9":                time.UnixMilli(1529870369986),
		"0":                               time.Unix(0, 0),
		"-1.5":                            time.UnixMilli(-1500),
		`"2018-06-24T19:59:29.986Z"`:      time.UnixMilli(1529870369986),
		`"2018-06-24T21:59:29.986+02:00"`: time.UnixMilli(1529870369986),
		"1529870369.9864":                 time.UnixMilli(1529870369986),
	} {
		in, err := Decode[ListTransformJobsInput]([]byte(`{"CreationTimeAfter":` + text + `}`))
		if err != nil || !in.CreationTimeAfter.Equal(want) {
			t.Errorf("%s: %v, %v", text, in, err)
		}
	}
	for _, text := range []string{`"yesterday"`, "1e12", "-1e11", `""`, "1e999"} {
		_, err := Decode[ListTransformJobsInput]([]byte(`{"CreationTimeAfter":` + text + `}`))
		kind := "NUMBER_VALUE"
		if text[0] == '"' {
			kind = "STRING_VALUE"
		}
		wantError(t, err, SerializationException, kind+" can not be converted to a Timestamp at 'creationTimeAfter'")
	}
}

func TestInteger(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64, "-0": 0, "-0.0": 0, "9007199254740992.0": 1 << 53,
	} {
		if n, ok := integer([]byte(text), 64); !ok || n != want {
			t.Errorf("%s: %d, %v", text, n, ok)
		}
	}
	for _, text := range []string{"9223372036854775808", "9007199254740993e3", "1e400", "0.1"} {
		if n, ok := integer([]byte(text), 64); ok {
			t.Errorf("%s: %d", text, n)
		}
	}
}

// More elements than the model allows cost no memory: one more than allowed is
// kept, the rest is read and forgotten.
func TestSurplusElementsAreNotKept(t *testing.T) {
	t.Parallel()
	var in CreateTransformJobInput
	err := unmarshal([]byte(`{"Tags":[`+strings.Repeat("{},", 100_000)+`{}]}`), &in)
	if err != nil || len(in.Tags) != 51 {
		t.Errorf("%d tags, %v", len(in.Tags), err)
	}
}
