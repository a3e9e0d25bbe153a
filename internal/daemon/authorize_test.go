package daemon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// attempts are the operations on the resources of one team, by "Operation team" or,
// without a resource, "Operation".
func attempts(key string) map[string]attempt {
	all := map[string]attempt{}
	sageMaker := func(name, body string) { all[name] = target("sagemaker", "SageMaker."+strings.Fields(name)[0], body) }
	for _, list := range []string{"ListModels", "ListTransformJobs", "ListEndpointConfigs", "ListEndpoints"} {
		sageMaker(list, "{}")
	}
	for _, team := range []string{"red", "blue"} {
		name := team + "-x"
		on := func(operation, format string) { sageMaker(operation+" "+team, fmt.Sprintf(format, name)) }
		on("CreateModel", `{"ModelName":%q,"PrimaryContainer":{"Image":"test/model"},"ExecutionRoleArn":"arn:aws:iam::000000000000:role/worker"}`)
		for _, kind := range []string{"Model", "TransformJob", "EndpointConfig", "Endpoint"} {
			on("Describe"+kind, `{"`+kind+`Name":%q}`)
		}
		on("DeleteModel", `{"ModelName":"%s-none"}`)
		on("DeleteEndpointConfig", `{"EndpointConfigName":%q}`)
		on("DeleteEndpoint", `{"EndpointName":%q}`)
		on("StopTransformJob", `{"TransformJobName":%q}`)
		sageMaker("CreateTransformJob "+team, string(body(job(name, "none", nil))))
		sageMaker("CreateEndpointConfig "+team, string(body(map[string]any{"EndpointConfigName": name, "ProductionVariants": []any{variantIn("v", "none", 1, 1)}})))
		on("CreateEndpoint", `{"EndpointName":%[1]q,"EndpointConfigName":%[1]q}`)
		on("UpdateEndpoint", `{"EndpointName":%[1]q,"EndpointConfigName":%[1]q}`)
		on("UpdateEndpointWeightsAndCapacities", `{"EndpointName":%q,"DesiredWeightsAndCapacities":[{"VariantName":"v","DesiredWeight":1}]}`)
		on("AddTags", `{"ResourceArn":"arn:aws:sagemaker:eu-west-1:000000000000:model/%s-none","Tags":[{"Key":"k","Value":"v"}]}`)
		on("ListTags", `{"ResourceArn":"arn:aws:sagemaker:eu-west-1:000000000000:model/%s-none"}`)
		on("DeleteTags", `{"ResourceArn":"arn:aws:sagemaker:eu-west-1:000000000000:model/%s-none","TagKeys":["k"]}`)
		for suffix, operation := range map[string]string{"invocations": "InvokeEndpoint", "invocations-response-stream": "InvokeEndpointWithResponseStream"} {
			all[operation+" "+team] = plain("sagemaker", "POST", "/endpoints/"+name+"/"+suffix, "1", nil)
		}
		all["InvokeEndpointAsync "+team] = plain("sagemaker", "POST", "/endpoints/"+name+"/async-invocations", "", map[string]string{"X-Amzn-SageMaker-InputLocation": "s3://red/x"})

		all["CreateBucket "+team] = plain("s3", "PUT", "/"+team, "", nil)
		all["ListBucket "+team] = plain("s3", "GET", "/"+team+"?list-type=2", "", nil)
		all["HeadBucket "+team] = plain("s3", "HEAD", "/"+team, "", nil)
		all["PutObject "+team] = plain("s3", "PUT", "/"+team+"/a", "x", nil)
		all["GetObject "+team] = plain("s3", "GET", "/"+team+"/a", "", nil)
		all["HeadObject "+team] = plain("s3", "HEAD", "/"+team+"/a", "", nil)
		all["CreateMultipartUpload "+team] = plain("s3", "POST", "/"+team+"/m?uploads=", "", nil)
		all["DeleteObject "+team] = plain("s3", "DELETE", "/"+team+"/none", "", nil)
		all["DeleteObjects "+team] = plain("s3", "POST", "/"+team+"?delete=", `<Delete><Object><Key>none</Key></Object></Delete>`, nil)

		all["GetLogs "+team] = plain("sagemaker", "GET", "/-/api/v1/transform-jobs/"+name+"/logs", "", nil)
		all["GetProgress "+team] = plain("sagemaker", "GET", "/-/api/v1/transform-jobs/"+name, "", nil)
		all["ForceDeleteEndpoint "+team] = plain("sagemaker", "DELETE", "/-/api/v1/endpoints/"+name, "", nil)
		all["MaintainEndpoint "+team] = plain("sagemaker", "POST", "/-/api/v1/endpoints/"+name+"/maintenance", "", nil)
	}
	all["CopyObject red to blue"] = plain("s3", "PUT", "/blue/copy", "", map[string]string{"X-Amz-Copy-Source": "red/a"})
	all["CopyObject blue to red"] = plain("s3", "PUT", "/red/copy", "", map[string]string{"X-Amz-Copy-Source": "/blue/a"})
	all["ListBuckets"] = plain("s3", "GET", "/", "", nil)

	all["CreateKey"] = target("kms", "TrentService.CreateKey", "{}")
	all["ListKeys"] = target("kms", "TrentService.ListKeys", "{}")
	all["DescribeKey key"] = target("kms", "TrentService.DescribeKey", `{"KeyId":"`+key+`"}`)
	all["Encrypt key"] = target("kms", "TrentService.Encrypt", `{"KeyId":"`+key+`","Plaintext":"eA=="}`)
	all["DisableKeyRotation key"] = target("kms", "TrentService.DisableKeyRotation", `{"KeyId":"`+key+`"}`)
	all["DescribeLogGroups"] = target("logs", "Logs_20140328.DescribeLogGroups", "{}")
	all["DescribeLogStreams"] = target("logs", "Logs_20140328.DescribeLogStreams", `{"logGroupName":"/aws/sagemaker/TransformJobs"}`)
	all["PutRetentionPolicy"] = target("logs", "Logs_20140328.PutRetentionPolicy", `{"logGroupName":"/aws/sagemaker/None","retentionInDays":7}`)

	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	query := func(service, body string) attempt { return plain(service, "POST", "/", body, form) }
	all["GetCallerIdentity"] = query("sts", "Action=GetCallerIdentity")
	all["AssumeRole worker"] = query("sts", "Action=AssumeRole&RoleSessionName=run&RoleArn=arn:aws:iam::000000000000:role/worker")
	all["AssumeRole none"] = query("sts", "Action=AssumeRole&RoleSessionName=run&RoleArn=arn:aws:iam::000000000000:role/none")
	all["GetRole worker"] = query("iam", "Action=GetRole&RoleName=worker")
	all["GetMetrics"] = plain("sagemaker", "GET", "/-/metrics", "", nil)
	all["DescribeServer"] = plain("sagemaker", "GET", "/-/api/v1/server", "", nil)
	sageMaker("CreateModel blue without role", `{"ModelName":"blue-role","PrimaryContainer":{"Image":"test/model"}}`)
	for _, role := range []string{"worker", "path/worker", "other"} {
		sageMaker("CreateModel blue with role "+role, `{"ModelName":"blue-role","PrimaryContainer":{"Image":"test/model"},"ExecutionRoleArn":"arn:aws:iam::000000000000:role/`+role+`"}`)
	}
	return all
}

func body(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// one reports whether an operation is among those named; the name of one on a
// resource is "Operation resource", and "Operation" stands for all resources.
func one(name string, of ...string) bool {
	operation := strings.Fields(name)[0]
	for _, o := range of {
		if o == name || o == operation {
			return true
		}
	}
	return false
}

// Identities x operations x resources against what the policies are meant to say,
// over the real port.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withKeys)
	id, secret := d.Credentials()
	admin := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	if err := d.who.Create(t.Context(), identity.Role, "worker", allows(t, "w", "Allow s3:GetObject arn:aws:s3:::red/*")); err != nil {
		t.Fatal(err)
	}
	var made struct{ KeyMetadata struct{ KeyId, Arn string } }
	_, text := target("kms", "TrentService.CreateKey", "{}")(t, d, admin)
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		t.Fatal(text, err)
	}
	for _, bucket := range []string{"red", "blue"} {
		for _, path := range []string{"/" + bucket, "/" + bucket + "/a"} {
			if resp, text := plain("s3", "PUT", path, "x", nil)(t, d, admin); resp.StatusCode != 200 {
				t.Fatal(text)
			}
		}
	}
	session, err := d.who.AssumeRole("arn:aws:iam::000000000000:role/worker", "run", "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := d.who.UserSession(id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	const account = ":000000000000:"
	free := func(name string) bool { return one(name, "GetCallerIdentity") }
	sageMaker := func(name string) bool { // any operation of SageMaker on a resource, without runtime
		for _, s := range []string{"Model", "TransformJob", "Endpoint", "EndpointConfig", "Tags", "Capacities"} {
			if strings.HasSuffix(strings.Fields(name)[0], s) && !one(name, "InvokeEndpoint", "ForceDeleteEndpoint", "MaintainEndpoint") {
				return true
			}
		}
		return false
	}
	for name, who := range map[string]struct {
		keys aws.Credentials
		may  func(name string) bool
	}{
		"admin":           {admin, func(string) bool { return true }},
		"admin's session": {aws.Credentials{AccessKeyID: mine.AccessKeyID, SecretAccessKey: string(mine.Secret), SessionToken: mine.Token}, func(string) bool { return true }},
		"nobody":          {user(t, d, "nobody", nil), free},
		"reader": {user(t, d, "reader", allows(t, "p", "Allow sagemaker:Describe*,sagemaker:List*,s3:Get*,s3:List*,kms:Describe*,logs:Describe*,sagebrush:Get* *")), func(name string) bool {
			operation := strings.Fields(name)[0]
			return free(name) || strings.HasPrefix(operation, "Describe") && operation != "DescribeServer" || strings.HasPrefix(operation, "List") && operation != "ListKeys" ||
				one(name, "HeadBucket", "GetObject", "HeadObject", "GetLogs", "GetProgress", "GetMetrics")
		}},
		"red": {user(t, d, "red", allows(t, "p",
			"Allow sagemaker:* arn:aws:sagemaker:*"+account+"*/red-*", "Allow s3:* arn:aws:s3:::red,arn:aws:s3:::red/*",
			"Allow iam:PassRole arn:aws:iam::000000000000:role/worker", "Deny sagemaker:Delete* *", "Deny s3:DeleteObject *")), func(name string) bool {
			return free(name) || strings.HasSuffix(name, " red") && (sageMaker(name) || strings.HasPrefix(name, "Invoke") ||
				one(name, "CreateBucket", "ListBucket", "HeadBucket", "PutObject", "GetObject", "HeadObject", "CreateMultipartUpload")) &&
				!strings.HasPrefix(name, "Delete") && !strings.HasPrefix(name, "CopyObject")
		}},
		"caller": {user(t, d, "caller", allows(t, "p", "Allow sagemaker:InvokeEndpoint arn:aws:sagemaker:eu-west-1"+account+"endpoint/red-x")), func(name string) bool {
			return free(name) || one(name, "InvokeEndpoint red")
		}},
		"other region": {user(t, d, "other", allows(t, "p", "Allow sagemaker:* arn:aws:sagemaker:us-east-1"+account+"*")), free},
		"copier": {user(t, d, "copier", allows(t, "p", "Allow s3:GetObject arn:aws:s3:::red/*", "Allow s3:PutObject arn:aws:s3:::blue/*")), func(name string) bool {
			return free(name) || one(name, "GetObject red", "HeadObject red", "PutObject blue", "CreateMultipartUpload blue", "CopyObject red to blue")
		}},
		"keeper": {user(t, d, "keeper", allows(t, "p", "Allow kms:* "+made.KeyMetadata.Arn, "Deny kms:DisableKeyRotation *")), func(name string) bool {
			return free(name) || one(name, "DescribeKey", "Encrypt")
		}},
		"listener": {user(t, d, "listener", allows(t, "p", "Allow logs:* arn:aws:logs:*"+account+"log-group:/aws/sagemaker/TransformJobs:*")), func(name string) bool {
			return free(name) || one(name, "DescribeLogStreams")
		}},
		"operator": {user(t, d, "operator", allows(t, "p", "Allow sagebrush:* *")), func(name string) bool {
			return free(name) || one(name, "GetLogs", "GetProgress", "ForceDeleteEndpoint", "MaintainEndpoint", "GetMetrics", "DescribeServer")
		}},
		"passer": {user(t, d, "passer", allows(t, "p", "Allow sagemaker:CreateModel,sagemaker:DescribeModel *",
			`Allow iam:PassRole arn:aws:iam::000000000000:role/worker {"StringEquals":{"iam:PassedToService":"sagemaker.amazonaws.com"}}`)), func(name string) bool {
			return free(name) || one(name, "DescribeModel") || one(name, "CreateModel") && !strings.HasSuffix(name, "other") && !strings.HasSuffix(name, "without role")
		}},
		"path passer": {user(t, d, "path", allows(t, "p", "Allow sagemaker:CreateModel *", "Allow iam:PassRole arn:aws:iam::000000000000:role/path/*")), func(name string) bool {
			return free(name) // role/worker has no path, whatever is before its name
		}},
		"assumer": {user(t, d, "assumer", allows(t, "p", "Allow sts:AssumeRole,iam:GetRole arn:aws:iam::000000000000:role/worker")), func(name string) bool {
			return free(name) || one(name, "AssumeRole worker", "GetRole")
		}},
		"role": {aws.Credentials{AccessKeyID: session.AccessKeyID, SecretAccessKey: string(session.Secret), SessionToken: session.Token}, func(name string) bool {
			return free(name) || one(name, "GetObject red", "HeadObject red")
		}},
		"from elsewhere": {user(t, d, "elsewhere", allows(t, "p", `Allow *:* * {"NotIpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`)), free},
		"from here": {user(t, d, "here", allows(t, "p", `Allow *:* * {"IpAddress":{"aws:SourceIp":"127.0.0.0/8"},"StringEquals":{"aws:RequestedRegion":"eu-west-1"},`+
			`"Bool":{"aws:SecureTransport":"false"},"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`)), func(string) bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			for operation, try := range attempts(made.KeyMetadata.KeyId) {
				resp, text := try(t, d, who.keys)
				want := !who.may(operation)
				if operation == "AssumeRole none" { // nobody learns that it does not exist
					want = true
				}
				if got := denied(resp, text); got != want || resp.StatusCode >= 500 {
					t.Errorf("%s: denied %v, want %v: %d %s", operation, got, want, resp.StatusCode, text)
				}
				n++
			}
			t.Logf("%d decisions", n)
		})
	}
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
