package daemon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sagebrush-ml/sagebrush/internal/audit"
	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
)

// withKeys lets nobody in who is not known.
func withKeys(c *config.Config) {
	withModel(c)
	c.Auth = "keys"
}

// allows is a policy of statements "Effect Action,Action Resource,Resource [condition]".
func allows(t *testing.T, name string, statements ...string) []identity.Document {
	t.Helper()
	var all []string
	for _, s := range statements {
		part := strings.SplitN(s, " ", 4)
		quote := func(list string) string { return `["` + strings.ReplaceAll(list, ",", `","`) + `"]` }
		text := fmt.Sprintf(`{"Effect":%q,"Action":%s,"Resource":%s`, part[0], quote(part[1]), quote(part[2]))
		if len(part) == 4 {
			text += `,"Condition":` + part[3]
		}
		all = append(all, text+"}")
	}
	return []identity.Document{{Name: name, Text: `{"Version":"2012-10-17","Statement":[` + strings.Join(all, ",") + `]}`}}
}

// user makes a user with a key.
func user(t *testing.T, d *Daemon, name string, docs []identity.Document) aws.Credentials {
	t.Helper()
	if err := d.who.Create(t.Context(), identity.User, name, docs); err != nil {
		t.Fatal(err)
	}
	id, secret, err := d.who.CreateKey(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: string(secret)}
}

// request sends one signed request for an operation.
type attempt func(t *testing.T, d *Daemon, who aws.Credentials) (*http.Response, string)

// target makes an attempt of an operation of a JSON service.
func target(service, header, body string) attempt {
	return func(t *testing.T, d *Daemon, who aws.Credentials) (*http.Response, string) {
		return do(t, signed(t, "POST", d.URL()+"/", service, body, who, map[string]string{"X-Amz-Target": header}))
	}
}

// plain makes an attempt of an operation that path and method tell.
func plain(service, method, path, body string, header map[string]string) attempt {
	return func(t *testing.T, d *Daemon, who aws.Credentials) (*http.Response, string) {
		return do(t, signed(t, method, d.URL()+path, service, body, who, header))
	}
}

// denied reports whether an answer is that of somebody who may not.
func denied(resp *http.Response, body string) bool {
	return strings.Contains(body, "AccessDenied") || resp.Header.Get("X-Amzn-Errortype") == "AccessDeniedException" || strings.HasPrefix(resp.Request.URL.Path, "/-/") && resp.StatusCode == 403 ||
		resp.Request.Method == "HEAD" && resp.StatusCode == 403
}

func body(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Refusals have AWS's codes, statuses and wording (CP-6).
func TestRefusalWording(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withKeys)
	who := user(t, d, "eve", allows(t, "p", "Allow sagemaker:* *", "Deny sagemaker:DeleteModel *"))
	const eve = "User: arn:aws:iam::000000000000:user/eve is not authorized to perform: "
	for name, c := range map[string]struct {
		try    attempt
		status int
		want   []string
	}{
		"explicit": {target("sagemaker", "SageMaker.DeleteModel", `{"ModelName":"M"}`), 400, []string{`"__type":"AccessDeniedException"`,
			eve + "sagemaker:DeleteModel on resource: arn:aws:sagemaker:eu-west-1:000000000000:model/m with an explicit deny in an identity-based policy"}},
		"kms":      {target("kms", "TrentService.CreateKey", `{}`), 400, []string{`"__type":"AccessDeniedException"`, eve + "kms:CreateKey on resource: * because no identity-based policy allows the kms:CreateKey action"}},
		"s3":       {plain("s3", "GET", "/b/k", "", nil), 403, []string{"<Code>AccessDenied</Code>", eve + "s3:GetObject on resource: arn:aws:s3:::b/k because no identity-based policy allows the s3:GetObject action"}},
		"passing":  {target("sagemaker", "SageMaker.CreateModel", `{"ModelName":"M","PrimaryContainer":{"Image":"i"},"ExecutionRoleArn":"arn:aws:iam::000000000000:role/r"}`), 400, []string{eve + "iam:PassRole on resource: arn:aws:iam::000000000000:role/r"}},
		"assuming": {plain("sts", "POST", "/", "Action=AssumeRole&RoleSessionName=xx&RoleArn=arn:aws:iam::000000000000:role/r", nil), 403, []string{"<Code>AccessDenied</Code>", eve + "sts:AssumeRole on resource: arn:aws:iam::000000000000:role/r"}},
		"ours":     {plain("sagemaker", "GET", "/-/api/v1/server", "", nil), 403, []string{eve + "sagebrush:DescribeServer on resource: *"}},
	} {
		resp, text := c.try(t, d, who)
		for _, want := range c.want {
			if resp.StatusCode != c.status || !strings.Contains(text, want) {
				t.Errorf("%s: %d %s\nwant %s", name, resp.StatusCode, text, want)
			}
		}
	}
	caller := user(t, d, "mallory", nil)
	resp, text := plain("sagemaker", "POST", "/endpoints/e/invocations", "1", nil)(t, d, caller)
	if resp.StatusCode != 403 || resp.Header.Get("X-Amzn-Errortype") != "AccessDeniedException" || !strings.Contains(text, "sagemaker:InvokeEndpoint on resource: arn:aws:sagemaker:eu-west-1:000000000000:endpoint/e") {
		t.Errorf("runtime: %d %v %s", resp.StatusCode, resp.Header, text)
	}
}

// Conditions on tags, keys and instance types.
func TestConditions(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withKeys)
	id, secret := d.Credentials()
	admin := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	model := func(name, tags string) attempt {
		return target("sagemaker", "SageMaker.CreateModel", `{"ModelName":"`+name+`","PrimaryContainer":{"Image":"i"},"Tags":[`+tags+`]}`)
	}
	for _, team := range []string{"red", "blue"} {
		if resp, text := model(team, `{"Key":"team","Value":"`+team+`"}`)(t, d, admin); resp.StatusCode != 200 {
			t.Fatal(text)
		}
	}
	tagged := user(t, d, "tagged", allows(t, "p", `Allow sagemaker:DescribeModel,sagemaker:ListTags * {"StringEquals":{"aws:ResourceTag/team":"red"}}`,
		"Allow iam:PassRole *", `Allow sagemaker:CreateModel,sagemaker:AddTags * {"StringEquals":{"aws:RequestTag/team":"red"},"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}`))
	sealed := user(t, d, "sealed", allows(t, "p",
		`Allow sagemaker:CreateTransformJob * {"ArnEquals":{"sagemaker:VolumeKmsKey":"arn:aws:kms:eu-west-1:000000000000:key/11111111-1111-1111-1111-111111111111"}}`,
		`Allow sagemaker:CreateEndpointConfig * {"ForAllValues:StringLike":{"sagemaker:InstanceTypes":["ml.m5.*"]}}`,
		`Deny sagemaker:CreateTransformJob * {"Null":{"sagemaker:OutputKmsKey":"true"}}`))
	transform := func(volume, output string) attempt {
		return target("sagemaker", "SageMaker.CreateTransformJob", string(body(job("j", "none", func(in map[string]any) {
			in["TransformResources"].(map[string]any)["VolumeKmsKeyId"] = volume
			in["TransformOutput"].(map[string]any)["KmsKeyId"] = output
		}))))
	}
	config := func(types ...string) attempt {
		var variants []any
		for i, kind := range types {
			v := variantIn(fmt.Sprint("v", i), "none", 1, 1)
			v["InstanceType"] = kind
			variants = append(variants, v)
		}
		return target("sagemaker", "SageMaker.CreateEndpointConfig", string(body(map[string]any{"EndpointConfigName": "c", "ProductionVariants": variants})))
	}
	const one, two = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
	for name, c := range map[string]struct {
		who    aws.Credentials
		try    attempt
		denied bool
	}{
		"its tag":             {tagged, target("sagemaker", "SageMaker.DescribeModel", `{"ModelName":"RED"}`), false},
		"another's tag":       {tagged, target("sagemaker", "SageMaker.DescribeModel", `{"ModelName":"blue"}`), true},
		"no resource":         {tagged, target("sagemaker", "SageMaker.DescribeModel", `{"ModelName":"green"}`), true},
		"tags by ARN":         {tagged, target("sagemaker", "SageMaker.ListTags", `{"ResourceArn":"arn:aws:sagemaker:eu-west-1:000000000000:model/red"}`), false},
		"tags by another ARN": {tagged, target("sagemaker", "SageMaker.ListTags", `{"ResourceArn":"arn:aws:sagemaker:eu-west-1:000000000000:model/BLUE"}`), true},
		"with its tag":        {tagged, model("a", `{"Key":"team","Value":"red"}`), false},
		"with another":        {tagged, model("b", `{"Key":"team","Value":"blue"}`), true},
		"with one more":       {tagged, model("c", `{"Key":"team","Value":"red"},{"Key":"x","Value":"y"}`), true},
		"without":             {tagged, model("d", ""), true},
		"right key":           {sealed, transform(one, two), false},
		"wrong key":           {sealed, transform(two, two), true},
		"key by ARN":          {sealed, transform("arn:aws:kms:eu-west-1:000000000000:key/"+one, two), false},
		"key elsewhere":       {sealed, transform("arn:aws:kms:us-east-1:000000000000:key/"+one, two), true},
		"no output key":       {sealed, transform(one, ""), true},
		"right types":         {sealed, config("ml.m5.large", "ml.m5.xlarge"), false},
		"one wrong type":      {sealed, config("ml.m5.large", "ml.p3.2xlarge"), true},
	} {
		if resp, text := c.try(t, d, c.who); denied(resp, text) != c.denied || resp.StatusCode >= 500 {
			t.Errorf("%s: %d %s", name, resp.StatusCode, text)
		}
	}
}

// Every call that may change something and every one that was refused is one line of
// the audit log, and no other is. No secret is in it.
func TestAudit(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	d := start(t, data, withKeys)
	id, secret := d.Credentials()
	admin := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	eve := user(t, d, "eve", nil)
	forged := aws.Credentials{AccessKeyID: id, SecretAccessKey: "not this one"}
	for _, c := range []struct {
		who aws.Credentials
		try attempt
	}{
		{admin, target("sagemaker", "SageMaker.CreateModel", `{"ModelName":"M","PrimaryContainer":{"Image":"i","Environment":{"PASSWORD":"hunter22"}}}`)},
		{admin, target("sagemaker", "SageMaker.DescribeModel", `{"ModelName":"M"}`)},
		{admin, target("sagemaker", "SageMaker.CreateModel", `{"ModelName":"-"}`)},
		{eve, target("sagemaker", "SageMaker.DescribeModel", `{"ModelName":"M"}`)},
		{forged, target("sagemaker", "SageMaker.DeleteModel", `{"ModelName":"M"}`)},
		{admin, plain("s3", "PUT", "/bucket", "", nil)},
		{admin, plain("s3", "PUT", "/bucket/a%0Ab", "x", nil)},
		{admin, plain("s3", "GET", "/bucket/a%0Ab", "", nil)},
		{admin, plain("s3", "PUT", "/none/a", "x", nil)},
		{eve, plain("s3", "GET", "/bucket/a", "", nil)},
		{admin, target("kms", "TrentService.CreateKey", `{}`)},
		{eve, plain("sagemaker", "POST", "/endpoints/e/invocations", "1", nil)},
		{admin, plain("sagemaker", "POST", "/endpoints/e/invocations", "1", nil)},
		{admin, plain("sagemaker", "DELETE", "/-/api/v1/endpoints/e", "", nil)},
	} {
		c.try(t, d, c.who)
	}
	text, err := os.ReadFile(filepath.Join(data, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if len(e.RequestID) != 36 || e.SourceIP != "127.0.0.1" || e.UserAgent == "" || e.Time.IsZero() || e.AccessKeyID == "" {
			t.Errorf("%+v", e)
		}
		who := strings.TrimPrefix(e.Identity, "arn:aws:iam::000000000000:user/")
		got = append(got, fmt.Sprint(who, " ", e.Verified, " ", e.Service, ":", e.Operation, " ", e.Resource, " ", e.Status, " ", e.Code))
	}
	want := []string{
		"admin true sagemaker:CreateModel arn:aws:sagemaker:eu-west-1:000000000000:model/m 200 ",
		"admin true sagemaker:CreateModel / 400 ValidationException",
		"eve true sagemaker:DescribeModel arn:aws:sagemaker:eu-west-1:000000000000:model/m 400 AccessDeniedException",
		" false sagemaker:DeleteModel / 403 InvalidSignatureException",
		"admin true s3:CreateBucket arn:aws:s3:::bucket 200 ",
		"admin true s3:PutObject arn:aws:s3:::bucket/a\nb 200 ",
		"admin true s3:PutObject arn:aws:s3:::none/a 404 NoSuchBucket",
		"eve true s3:GetObject arn:aws:s3:::bucket/a 403 AccessDenied",
		"admin true kms:CreateKey / 200 ",
		"eve true sagemaker:InvokeEndpoint arn:aws:sagemaker:eu-west-1:000000000000:endpoint/e 403 AccessDeniedException",
		"admin true sagebrush:DeleteEndpoint arn:aws:sagemaker:eu-west-1:000000000000:endpoint/e 404 ",
	}
	if g, w := strings.Join(got, "|\n"), strings.Join(want, "|\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
	for _, secret := range []string{secret, eve.SecretAccessKey, "hunter22"} {
		if strings.Contains(string(text), secret) {
			t.Error("a secret is in the audit log")
		}
	}
}
