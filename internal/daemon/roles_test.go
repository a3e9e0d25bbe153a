package daemon

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
)

const roleARN = "arn:aws:iam::000000000000:role/"

// withRole makes a model with a role.
func withRole(name, role string) map[string]any {
	return map[string]any{"ModelName": name, "PrimaryContainer": map[string]any{"Image": "test/model"}, "ExecutionRoleArn": roleARN + role}
}

// A job reads its input and writes its output with the rights of its model's role. A
// job that lacks one fails with AWS's sentence, which names role and action.
func TestRoleLimitsJob(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	for _, path := range []string{"/bucket", "/bucket/in/a", "/other", "/other/in/a"} {
		object(t, d, "PUT", path, []byte("1\n"))
	}
	const (
		list = "Allow s3:ListBucket arn:aws:s3:::bucket"
		get  = "Allow s3:GetObject arn:aws:s3:::bucket/in/*"
		put  = "Allow s3:PutObject arn:aws:s3:::bucket/out/*"
	)
	for name, c := range map[string]struct {
		statements []string
		reason     string // of the job; "" is Completed
		refused    string // of CreateTransformJob
	}{
		"all":      {[]string{list, get, put}, "", ""},
		"no-list":  {[]string{get, put}, "", `the role "arn:aws:iam::000000000000:role/no-list" has "s3:ListBucket" permissions on bucket "bucket"`},
		"no-get":   {[]string{list, put}, "User: " + roleARN + "no-get is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::bucket/in/a because no identity-based policy allows the s3:GetObject action", ""},
		"no-put":   {[]string{list, get}, "User: " + roleARN + "no-put is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::bucket/out/a.out", ""},
		"deny-put": {[]string{list, get, put, "Deny s3:PutObject *"}, "with an explicit deny in an identity-based policy", ""},
		"made-up":  {nil, "", ""}, // not made: an open server does not limit it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.statements != nil {
				if err := d.who.Create(t.Context(), identity.Role, name, allows(t, "p", c.statements...)); err != nil {
					t.Fatal(err)
				}
			}
			must(t, d, "CreateModel", withRole(name, name))
			in := job(name, name, func(in map[string]any) {
				in["TransformOutput"].(map[string]any)["S3OutputPath"] = "s3://bucket/out"
			})
			code, out := call(t, d, "CreateTransformJob", in)
			if c.refused != "" {
				if code != 400 || !strings.Contains(fmt.Sprint(out["message"]), c.refused) {
					t.Errorf("%d %v", code, out)
				}
				return
			}
			if code != 200 {
				t.Fatal(out)
			}
			got := await(t, d, name)
			reason := fmt.Sprint(got["FailureReason"])
			if (got["TransformJobStatus"] == "Completed") != (c.reason == "") || c.reason != "" && !strings.Contains(reason, c.reason) {
				t.Errorf("%v: %s", got["TransformJobStatus"], reason)
			}
		})
	}
}

// Model data is fetched with the role's rights also where another model's data in the
// cache has the same bytes (CP-35).
func TestRoleLimitsModelData(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/in/a", []byte("weights\n"))
	object(t, d, "PUT", "/bucket/model/weights", []byte("heavy"))
	for role, statements := range map[string][]string{
		"may":     {"Allow s3:* *"},
		"may-not": {"Allow s3:ListBucket *", "Allow s3:GetObject arn:aws:s3:::bucket/in/*", "Allow s3:PutObject *"},
		"nothing": {"Allow s3:GetObject arn:aws:s3:::elsewhere/*"},
	} {
		if err := d.who.Create(t.Context(), identity.Role, role, allows(t, "p", statements...)); err != nil {
			t.Fatal(err)
		}
	}
	model := func(role string) map[string]any {
		in := withRole(role, role)
		in["PrimaryContainer"] = map[string]any{"Image": "test/model", "Environment": map[string]string{"MODE": "file"}, "ModelDataSource": map[string]any{
			"S3DataSource": map[string]any{"S3Uri": "s3://bucket/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}}}
		return in
	}
	for _, role := range []string{"may", "may-not"} {
		must(t, d, "CreateModel", model(role))
		must(t, d, "CreateTransformJob", job(role, role, nil))
		got := await(t, d, role)
		if want := map[string]string{"may": "Completed", "may-not": "Failed"}[role]; got["TransformJobStatus"] != want {
			t.Errorf("%s: %v", role, got)
		}
		if role == "may-not" && !strings.Contains(fmt.Sprint(got["FailureReason"]), "is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::bucket/model/weights") {
			t.Errorf("%v", got["FailureReason"])
		}
	}
	if code, out := call(t, d, "CreateModel", model("nothing")); code != 400 || !strings.Contains(fmt.Sprint(out["message"]), `Could not access model data at s3://bucket/model/. Please ensure that the role "`+roleARN+`nothing" exists`) {
		t.Errorf("%d %v", code, out)
	}
}

// A server that wants keys refuses a role that does not exist (CP-34), and a model
// without a role, which has the server's rights, needs an administrator.
func TestRoleMustExist(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), func(c *config.Config) { withKeys(c) })
	id, secret := d.Credentials()
	admin := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	if err := d.who.Create(t.Context(), identity.Role, "worker", nil); err != nil {
		t.Fatal(err)
	}
	maker := user(t, d, "maker", allows(t, "p", "Allow sagemaker:* *", "Allow iam:PassRole arn:aws:iam::000000000000:role/worker"))
	create := func(who aws.Credentials, name, role string) (*http.Response, string) {
		in := map[string]any{"ModelName": name, "PrimaryContainer": map[string]any{"Image": "test/model"}}
		if role != "" {
			in["ExecutionRoleArn"] = roleARN + role
		}
		return target("sagemaker", "SageMaker.CreateModel", string(body(in)))(t, d, who)
	}
	for _, c := range []struct {
		who    aws.Credentials
		role   string
		status int
		want   string
	}{
		{admin, "worker", 200, ""}, {admin, "", 200, ""}, {maker, "worker", 200, ""}, {maker, "with/a/path/worker", 200, ""},
		{admin, "none", 400, `The execution role ARN \"` + roleARN + `none\" is invalid. Please ensure that the role exists and that its trust relationship policy allows the action \"sts:AssumeRole\" for the service principal \"sagemaker.amazonaws.com\".`},
		{maker, "none", 400, "is not authorized to perform: iam:PassRole on resource: " + roleARN + "none"},
		{maker, "", 400, "is not authorized to perform: iam:PassRole on resource: *"},
	} {
		if resp, text := create(c.who, fmt.Sprintf("m%d", len(c.role)+int(c.who.AccessKeyID[7])), c.role); resp.StatusCode != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%q: %d %s", c.role, resp.StatusCode, text)
		}
	}
}
