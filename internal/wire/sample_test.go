package wire

import (
	"encoding/json"
	"testing"
)

// samples has a string that satisfies each pattern of the served shapes.
var samples = map[string]string{
	`.*`:                "any text, even ü",
	`[A-Za-z0-9\.\-_]+`: "a.b-c_d",
	`arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:automl-job/.*`: "arn:aws:sagemaker:us-west-2:000000000000:automl-job/a",
	`[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}`:                              "A-name--1",
	`[\S]+`:                                                         "000000000000.dkr.ecr.us-west-2.amazonaws.com/image:tag",
	`[a-zA-Z_][a-zA-Z0-9_]*`:                                        "KEY_1",
	`[\S\s]*`:                                                       "any text\nof two lines",
	`[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}`:                             "experiment-1",
	`[a-zA-Z0-9:/_-]*`:                                              "alias/my_key",
	`arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:labeling-job/.*`: "arn:aws:sagemaker:us-west-2:000000000000:labeling-job/a",
	`/(?!.*\.\.)[a-zA-Z0-9/_.\-]+`:                                    "/metrics/a.b",
	`arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:model/.*`:        "arn:aws:sagemaker:us-west-2:000000000000:model/m",
	`[a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?`:                         "model-1",
	`[a-zA-Z0-9-]+`:  "subscription-1",
	`[a-zA-Z0-9\-]+`: "recommendation-1",
	`arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:.+`:                 "arn:aws:sagemaker:us-west-2:000000000000:model/m",
	`arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`:         "arn:aws:iam::000000000000:role/service-role/r",
	`(https|s3)://([^/]+)/?(.*)`:                                       "s3://bucket/prefix/object.csv",
	`[-0-9a-zA-Z]+`:                                                    "sg-0123456789",
	`([\p{L}\p{Z}\p{N}_.:/=+\-@]*)`:                                    "sagebrush:größe 1",
	`[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*`:                                     "al2-ami-1",
	`[a-zA-Z_][a-zA-Z0-9_]{0,1023}`:                                    "SAGEMAKER_PROGRAM",
	`arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:transform-job/.*`: "arn:aws:sagemaker:us-west-2:000000000000:transform-job/j",
	`(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*\/)?([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)(\/[0-9]{1,9})?`: "group/12",
}

// sample makes a JSON value, as encoding/json knows it, that satisfies a shape,
// with every member of every structure set.
func sample(t testing.TB, id shapeID) any {
	t.Helper()
	s := &shapes[id]
	switch s.kind {
	case kindStructure:
		all := map[string]any{}
		for _, m := range s.members {
			all[m.name] = sample(t, m.shape)
		}
		return all
	case kindList:
		all := []any{}
		for range max(1, int(s.min)) {
			all = append(all, sample(t, s.elem))
		}
		return all
	case kindMap:
		return map[string]any{sample(t, s.key).(string): sample(t, s.elem)}
	case kindString:
		return sampleString(t, s)
	case kindBoolean:
		return true
	case kindTimestamp:
		return json.Number("1650241569.032")
	}
	return json.Number(s.boundText(max(s.min, 1)))
}

func sampleString(t testing.TB, s *shape) string {
	if s.enum != nil {
		return s.enum[len(s.enum)-1]
	}
	text := "a plain text"
	if s.pattern != nil {
		var ok bool
		if text, ok = samples[s.pattern.text]; !ok {
			t.Fatalf("samples has nothing for the pattern %s of %s", s.pattern.text, s.name)
		}
	}
	for len(text) < int(s.min) {
		text += "a"
	}
	return text
}

// body writes a JSON value.
func body(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every operation's sample passes, so the samples prove that no constraint is
// too strict for a plain request.
func TestSamplesAreValid(t *testing.T) {
	t.Parallel()
	for _, op := range Operations() {
		in := op.NewInput()
		b := body(t, sample(t, in.shape()))
		if err := DecodeInto(b, in); err != nil {
			t.Errorf("%s: %v", op.Name, err)
		}
		if out := op.NewOutput(); out != nil {
			if err := DecodeInto(body(t, sample(t, out.shape())), out); err != nil {
				t.Errorf("%s output: %v", op.Name, err)
			}
		}
	}
}
