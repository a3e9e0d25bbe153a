package wire

import (
	"errors"
	"strings"
	"testing"
)

// job writes a CreateTransformJob request: a valid one whose members are
// replaced by the given ones.
func job(members string) string {
	const rest = `"ModelName":"m","TransformInput":{"DataSource":{"S3DataSource":{"S3DataType":"S3Prefix","S3Uri":"s3://b/k"}}},` +
		`"TransformOutput":{"S3OutputPath":"s3://b/o"}`
	if !strings.Contains(members, `"TransformJobName"`) {
		members = `"TransformJobName":"j",` + members
	}
	if !strings.Contains(members, `"TransformResources"`) {
		members += `,"TransformResources":{"InstanceType":"ml.m5.large","InstanceCount":1}`
	}
	return "{" + strings.TrimSuffix(members, ",") + "," + rest + "}"
}

const (
	namePattern = `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}`
	tagPattern  = `([\p{L}\p{Z}\p{N}_.:/=+\-@]*)`
	envPattern  = `[a-zA-Z_][a-zA-Z0-9_]{0,1023}`
)

// CP-16, BT-28: the wording of every kind of violation, in the members' order
// of the model.
func TestWording(t *testing.T) {
	t.Parallel()
	const one, failed = "1 validation error detected: Value ", " failed to satisfy constraint: "
	tests := []struct{ name, body, want string }{
		{"pattern (BT-1)", job(`"TransformJobName":"-x"`),
			one + "'-x' at 'transformJobName'" + failed + "Member must satisfy regular expression pattern: " + namePattern},
		{"too long and against the pattern", job(`"TransformJobName":"` + strings.Repeat("a", 64) + `"`),
			"2 validation errors detected: Value '" + strings.Repeat("a", 64) + "' at 'transformJobName'" + failed +
				"Member must have length less than or equal to 63; Value '" + strings.Repeat("a", 64) + "' at 'transformJobName'" + failed +
				"Member must satisfy regular expression pattern: " + namePattern},
		{"empty", job(`"TransformJobName":""`),
			"2 validation errors detected: Value '' at 'transformJobName'" + failed + "Member must have length greater than or equal to 1; " +
				"Value '' at 'transformJobName'" + failed + "Member must satisfy regular expression pattern: " + namePattern},
		{"enum (BT-6)", job(`"BatchStrategy":"multirecord"`),
			one + "'multirecord' at 'batchStrategy'" + failed + "Member must satisfy enum value set: [MultiRecord, SingleRecord]"},
		{"number too small (BT-15)", job(`"TransformResources":{"InstanceType":"ml.m5.large","InstanceCount":0}`),
			one + "'0' at 'transformResources.instanceCount'" + failed + "Member must have value greater than or equal to 1"},
		{"number too big (BT-4)", job(`"ModelClientConfig":{"InvocationsMaxRetries":4}`),
			one + "'4' at 'modelClientConfig.invocationsMaxRetries'" + failed + "Member must have value less than or equal to 3"},
		{"nested required (BT-17)", job(`"DataCaptureConfig":{}`),
			one + "null at 'dataCaptureConfig.destinationS3Uri'" + failed + "Member must not be null"},
		{"list element (BT-19)", job(`"Tags":[{"Key":"ok","Value":""},{"Key":"a!","Value":"v"}]`),
			one + "'a!' at 'tags.2.member.key'" + failed + "Member must satisfy regular expression pattern: " + tagPattern},
		{"map key (BT-7)", job(`"Environment":{"1BAD":"secret","GOOD":"x"}`),
			one + "'{1BAD=***, GOOD=***}' at 'environment'" + failed + "Map keys must satisfy constraint: " +
				"[Member must have length less than or equal to 1024, Member must have length greater than or equal to 0, " +
				"Member must satisfy regular expression pattern: " + envPattern + "]"},
		{"map value (BT-7)", job(`"Environment":{"K":"` + strings.Repeat("s", 10241) + `"}`),
			one + "'{K=***}' at 'environment'" + failed + "Map value must satisfy constraint: " +
				"[Member must have length less than or equal to 10240, Member must have length greater than or equal to 0, " +
				`Member must satisfy regular expression pattern: [\S\s]*]`},
		{"everything missing, in order", `{}`, "5 validation errors detected: " + strings.Join([]string{
			"Value null at 'transformJobName'" + failed + "Member must not be null",
			"Value null at 'modelName'" + failed + "Member must not be null",
			"Value null at 'transformInput'" + failed + "Member must not be null",
			"Value null at 'transformOutput'" + failed + "Member must not be null",
			"Value null at 'transformResources'" + failed + "Member must not be null",
		}, "; ")},
		{"violations in the model's order, not the request's",
			strings.Replace(job(`"BatchStrategy":"x"`), `"TransformJobName":"j"`, `"MaxPayloadInMB":-1,"TransformJobName":"j"`, 1),
			"2 validation errors detected: Value '-1' at 'maxPayloadInMB'" + failed + "Member must have value greater than or equal to 0; " +
				"Value 'x' at 'batchStrategy'" + failed + "Member must satisfy enum value set: [MultiRecord, SingleRecord]"},
		{"control characters are escaped", job("\"TransformJobName\":\"a\\n\\u0000\\u202eb\u00fc\""),
			one + `'a\n\x00\u202ebü' at 'transformJobName'` + failed + "Member must satisfy regular expression pattern: " + namePattern},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Decode[CreateTransformJobInput]([]byte(tt.body))
			wantError(t, err, ValidationException, tt.want)
		})
	}
}

func wantError(t *testing.T, err error, code Code, message string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want %s", err, code)
	}
	if e.Code != code || e.Message != message {
		t.Errorf("got  %s: %s\nwant %s: %s", e.Code, e.Message, code, message)
	}
}

// CP-30: elements of a list of strings are reported once, at the list.
func TestWordingOfLists(t *testing.T) {
	t.Parallel()
	_, err := Decode[CreateModelInput]([]byte(`{"ModelName":"m","VpcConfig":{"SecurityGroupIds":["sg-1","no good","_"],"Subnets":[]}}`))
	wantError(t, err, ValidationException, "2 validation errors detected: "+
		"Value '[sg-1, no good, _]' at 'vpcConfig.securityGroupIds' failed to satisfy constraint: Member must satisfy constraint: "+
		"[Member must have length less than or equal to 32, Member must have length greater than or equal to 0, "+
		"Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]; "+
		"Value '[]' at 'vpcConfig.subnets' failed to satisfy constraint: Member must have length greater than or equal to 1")

	_, err = Decode[DeleteTagsInput]([]byte(`{"ResourceArn":"arn:aws:sagemaker:r:000000000000:model/m","TagKeys":[]}`))
	wantError(t, err, ValidationException, "1 validation error detected: Value '[]' at 'tagKeys' failed to satisfy constraint: "+
		"Member must have length greater than or equal to 1")
}

// Structures in a value are printed with their members, environments masked.
func TestSecretsAreNotRepeated(t *testing.T) {
	t.Parallel()
	one := `{"Image":"i","Environment":{"TOKEN":"hunter2"}}`
	_, err := Decode[CreateModelInput]([]byte(`{"ModelName":"m","Containers":[` + strings.Repeat(one+",", 15) + one + `]}`))
	if err == nil || !strings.Contains(err.Error(), "'[ContainerDefinition(image=i, environment={TOKEN=***}), ") ||
		!strings.Contains(err.Error(), "at 'containers' failed to satisfy constraint: Member must have length less than or equal to 15") ||
		strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

// Lengths are of characters, not bytes: 256 times ü is a tag value (CP-60).
func TestLengthsCountCharacters(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]bool{256: true, 257: false} {
		_, err := Decode[CreateTransformJobInput]([]byte(job(`"Tags":[{"Key":"k","Value":"` + strings.Repeat("ü", n) + `"}]`)))
		if (err == nil) != want {
			t.Errorf("%d characters: %v", n, err)
		}
	}
}

// A stranger cannot make an error text large.
func TestTextsAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("!", 100_000)
	_, err := Decode[CreateTransformJobInput]([]byte(job(`"TransformJobName":"` + long + `"`)))
	if err == nil || len(err.Error()) > 2*maxPrinted || !strings.Contains(err.Error(), "!...' at 'transformJobName'") {
		t.Errorf("%d bytes", len(err.Error()))
	}
	tag := `{"Key":"` + strings.Repeat("!", 2000) + `","Value":"` + strings.Repeat("!", 2000) + `"},`
	_, err = Decode[CreateTransformJobInput]([]byte(job(`"Tags":[` + strings.TrimSuffix(strings.Repeat(tag, 50), ",") + `]`)))
	if err == nil || len(err.Error()) > maxViolations+4*maxPrinted || !strings.HasPrefix(err.Error(), "ValidationException: 200 validation errors") ||
		!strings.HasSuffix(err.Error(), " more") {
		t.Errorf("%d bytes", len(err.Error()))
	}
}

// The patterns that RE2 cannot take are rewritten without a change of meaning.
func TestRewrittenPatterns(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1022)
	tests := map[ShapeID]map[string]bool{
		shapeTransformEnvironmentKey: {"A": true, "_" + long + "9": true, "_" + long + "99": false, "9": false, "": false, "A\n": false, "Ä": false},
		shapeMetricsEndpointPath:     {"/metrics": true, "/a.b/c": true, "/": false, "/a..b": false, "/..": false, "metrics": false, "/a b": false},
		shapeVersionedArnOrName: {"group": true, "group/12": true, "group-": false, "group-/1": false, "g": true, "-g": false,
			"arn:aws:sagemaker:us-west-2:000000000000:model-package/g/1": true, "group/1234567890": false, strings.Repeat("g", 64): false, strings.Repeat("g", 63): true},
	}
	for id, values := range tests {
		for v, want := range values {
			if got := shapes[id].Pattern.satisfied(v); got != want {
				t.Errorf("%s %.40q: %v", shapes[id].Name, v, got)
			}
		}
	}
}
