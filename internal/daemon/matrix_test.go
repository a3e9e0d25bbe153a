package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sagebrush-ml/sagebrush/internal/identity"
)

// matrixRow is an operation on one resource: what is sent, and what the caller must be
// allowed to do, "action resource", in this order.
type matrixRow struct {
	name  string // the operation, and on what
	try   attempt
	needs []string
}

// matrix is the table of rows.
type matrix struct{ rows []matrixRow }

const (
	inSageMaker = "arn:aws:sagemaker:eu-west-1:000000000000:"
	anyRole     = "arn:aws:iam::000000000000:role/"
)

func (m *matrix) add(name string, try attempt, needs ...string) {
	m.rows = append(m.rows, matrixRow{name, try, needs})
}

// sageMaker adds a row of an operation that needs its own action on a resource, and more.
func (m *matrix) sageMaker(operation, on, resource, body string, more ...string) {
	m.add(operation+" "+on, target("sagemaker", "SageMaker."+operation, body), append([]string{"sagemaker:" + operation + " " + resource}, more...)...)
}

// team adds the operations of SageMaker on the resources of a team.
func (m *matrix) team(team string) {
	name := team + "-x"
	model, config, endpoint, transform := inSageMaker+"model/"+name, inSageMaker+"endpoint-config/"+name, inSageMaker+"endpoint/"+name, inSageMaker+"transform-job/"+name
	f := func(format string) string { return fmt.Sprintf(format, name) }
	m.sageMaker("CreateModel", team, model, f(`{"ModelName":%q,"PrimaryContainer":{"Image":"test/model"},"ExecutionRoleArn":"`+anyRole+`worker"}`), "iam:PassRole "+anyRole+"worker")
	m.sageMaker("CreateModel", team+" without role", model, f(`{"ModelName":%q,"PrimaryContainer":{"Image":"test/model"}}`), "iam:PassRole *")
	m.sageMaker("CreateModel", team+" with tags", model+"-tagged", f(`{"ModelName":"%s-tagged","PrimaryContainer":{"Image":"test/model"},"ExecutionRoleArn":"`+anyRole+`worker","Tags":[{"Key":"k","Value":"v"}]}`),
		"sagemaker:AddTags "+model+"-tagged", "iam:PassRole "+anyRole+"worker")
	for kind, arn := range map[string]string{"Model": model, "TransformJob": transform, "EndpointConfig": config, "Endpoint": endpoint} {
		m.sageMaker("Describe"+kind, team, arn, f(`{"`+kind+`Name":%q}`))
	}
	m.sageMaker("DeleteModel", team, model+"-none", f(`{"ModelName":"%s-none"}`))
	m.sageMaker("DeleteEndpointConfig", team, config+"-none", f(`{"EndpointConfigName":"%s-none"}`))
	m.sageMaker("DeleteEndpoint", team, endpoint, f(`{"EndpointName":%q}`))
	m.sageMaker("StopTransformJob", team, transform, f(`{"TransformJobName":%q}`))
	m.sageMaker("CreateTransformJob", team, transform, string(body(job(name, "none", nil))))
	m.sageMaker("CreateEndpointConfig", team, config, string(body(map[string]any{"EndpointConfigName": name, "ProductionVariants": []any{variantIn("v", "none", 1, 1)}})))
	m.sageMaker("CreateEndpoint", team, endpoint, f(`{"EndpointName":%[1]q,"EndpointConfigName":%[1]q}`), "sagemaker:CreateEndpoint "+config)
	m.sageMaker("UpdateEndpoint", team, endpoint, f(`{"EndpointName":%[1]q,"EndpointConfigName":%[1]q}`), "sagemaker:UpdateEndpoint "+config)
	m.sageMaker("UpdateEndpointWeightsAndCapacities", team, endpoint, f(`{"EndpointName":%q,"DesiredWeightsAndCapacities":[{"VariantName":"v","DesiredWeight":1}]}`))
	m.sageMaker("AddTags", team, model, `{"ResourceArn":"`+model+`","Tags":[{"Key":"k","Value":"v"}]}`)
	m.sageMaker("ListTags", team, model, `{"ResourceArn":"`+model+`"}`)
	m.sageMaker("DeleteTags", team, model, `{"ResourceArn":"`+model+`","TagKeys":["k"]}`)
	for suffix, operation := range map[string]string{"invocations": "InvokeEndpoint", "invocations-response-stream": "InvokeEndpointWithResponseStream", "async-invocations": "InvokeEndpointAsync"} {
		try := plain("sagemaker", "POST", "/endpoints/"+name+"/"+suffix, "1", map[string]string{"X-Amzn-SageMaker-InputLocation": "s3://red/x"})
		m.add(operation+" "+team, try, "sagemaker:"+operation+" "+endpoint)
	}
	own := func(name, action, arn, method, path string) {
		m.add(name+" "+team, plain("sagemaker", method, "/-/api/v1/"+path, "", nil), "sagebrush:"+action+" "+arn)
	}
	for path, arn := range map[string]string{"transform-jobs/" + name: transform, "endpoints/" + name: endpoint} {
		own("GetProgress of "+path, "GetProgress", arn, "GET", path)
		own("GetProgress, why, of "+path, "GetProgress", arn, "GET", path+"/why")
		own("GetLogs of "+path, "GetLogs", arn, "GET", path+"/logs")
	}
	own("DeleteEndpoint by force", "DeleteEndpoint", endpoint, "DELETE", "endpoints/"+name)
	own("MaintainEndpoint", "MaintainEndpoint", endpoint, "POST", "endpoints/"+name+"/maintenance")
}

// bucket adds the operations of S3 on a bucket.
func (m *matrix) bucket(name string) {
	const encryption = `<ServerSideEncryptionConfiguration><Rule/></ServerSideEncryptionConfiguration>`
	for operation, c := range map[string]struct{ method, path, body, action string }{
		"CreateBucket":            {"PUT", "", "", "CreateBucket"},
		"DeleteBucket":            {"DELETE", "", "", "DeleteBucket"}, // it is not empty
		"HeadBucket":              {"HEAD", "", "", "ListBucket"},
		"ListObjectsV2":           {"GET", "?list-type=2", "", "ListBucket"},
		"ListObjects":             {"GET", "?prefix=x", "", "ListBucket"},
		"ListObjectVersions":      {"GET", "?versions=", "", "ListBucketVersions"},
		"GetBucketLocation":       {"GET", "?location=", "", "GetBucketLocation"},
		"GetBucketVersioning":     {"GET", "?versioning=", "", "GetBucketVersioning"},
		"GetBucketEncryption":     {"GET", "?encryption=", "", "GetEncryptionConfiguration"},
		"PutBucketEncryption":     {"PUT", "?encryption=", encryption, "PutEncryptionConfiguration"},
		"PutBucketEncryption acl": {"PUT", "?encryption=&acl=", encryption, "PutEncryptionConfiguration"}, // not taken for another
		"DeleteBucketEncryption":  {"DELETE", "?encryption=", "", "PutEncryptionConfiguration"},
		"GetBucketAcl":            {"GET", "?acl=", "", "GetBucketAcl"},
		"ListMultipartUploads":    {"GET", "?uploads=", "", "ListBucketMultipartUploads"},
		"PutObject":               {"PUT", "/a", "x", "PutObject"},
		"GetObject":               {"GET", "/a", "", "GetObject"},
		"HeadObject":              {"HEAD", "/a", "", "GetObject"},
		"GetObjectAttributes":     {"GET", "/a?attributes=", "", "GetObject"},
		"GetObjectTagging":        {"GET", "/a?tagging=", "", "GetObjectTagging"},
		"PutObjectTagging":        {"PUT", "/none?tagging=", "<Tagging><TagSet></TagSet></Tagging>", "PutObjectTagging"},
		"DeleteObject":            {"DELETE", "/none", "", "DeleteObject"},
		"CreateMultipartUpload":   {"POST", "/m?uploads=", "", "PutObject"},
		"UploadPart":              {"PUT", "/m?partNumber=1&uploadId=x", "x", "PutObject"},
		"CompleteMultipartUpload": {"POST", "/m?uploadId=x", "<CompleteMultipartUpload/>", "PutObject"},
		"ListParts":               {"GET", "/m?uploadId=x", "", "ListMultipartUploadParts"},
		"AbortMultipartUpload":    {"DELETE", "/m?uploadId=x", "", "AbortMultipartUpload"},
	} {
		path, _, _ := strings.Cut(c.path, "?")
		m.add(operation+" "+name, plain("s3", c.method, "/"+name+c.path, c.body, nil), "s3:"+c.action+" arn:aws:s3:::"+name+path)
	}
	m.add("DeleteObjects "+name, plain("s3", "POST", "/"+name+"?delete=", `<Delete><Object><Key>none</Key></Object></Delete>`, nil), "s3:DeleteObject arn:aws:s3:::"+name+"/none")
}

// keys adds the operations of KMS.
func (m *matrix) keys(key, doomed, other, sealed string) {
	const inKMS = "arn:aws:kms:eu-west-1:000000000000:"
	kms := func(operation, body string, needs ...string) {
		for i := range needs {
			if !strings.Contains(needs[i], " ") { // a resource alone needs the operation's own action
				needs[i] = operation + " " + needs[i]
			}
			needs[i] = "kms:" + needs[i]
		}
		m.add(operation+strings.Repeat(" ", len(m.rows)), target("kms", "TrentService."+operation, body), needs...)
	}
	on := func(key string, operations ...string) {
		for _, operation := range operations {
			more := map[string]string{"Encrypt": `,"Plaintext":"eA=="`, "TagResource": `,"Tags":[{"TagKey":"k","TagValue":"v"}]`, "UntagResource": `,"TagKeys":["k"]`,
				"GenerateDataKey": `,"KeySpec":"AES_256"`, "GenerateDataKeyWithoutPlaintext": `,"KeySpec":"AES_256"`}[operation]
			kms(operation, `{"KeyId":"`+key+`"`+more+`}`, inKMS+"key/"+key)
		}
	}
	on(key, "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GetKeyPolicy", "GetKeyRotationStatus", "ListResourceTags",
		"TagResource", "UntagResource", "EnableKeyRotation", "DisableKeyRotation")
	on(doomed, "DisableKey", "EnableKey", "ScheduleKeyDeletion", "CancelKeyDeletion")
	on(other, "DescribeKey", "Encrypt")
	kms("CreateKey", `{}`, "*")
	kms("CreateKey", `{"Tags":[{"TagKey":"k","TagValue":"v"}]}`, "*", "TagResource *")
	kms("ListKeys", `{}`, "*")
	kms("ListAliases", `{}`, "*")
	kms("Decrypt", `{"CiphertextBlob":"`+sealed+`"}`, inKMS+"key/"+key)
	kms("ReEncrypt", `{"CiphertextBlob":"`+sealed+`","DestinationKeyId":"`+other+`"}`, "ReEncryptFrom "+inKMS+"key/"+key, "ReEncryptTo "+inKMS+"key/"+other)
	kms("CreateAlias", `{"AliasName":"alias/one","TargetKeyId":"`+key+`"}`, inKMS+"alias/one", inKMS+"key/"+key)
	kms("UpdateAlias", `{"AliasName":"alias/mine","TargetKeyId":"`+key+`"}`, inKMS+"alias/mine", inKMS+"key/"+key, inKMS+"key/"+key)
	kms("UpdateAlias", `{"AliasName":"alias/theirs","TargetKeyId":"`+other+`"}`, inKMS+"alias/theirs", inKMS+"key/"+other, inKMS+"key/"+other)
	kms("DeleteAlias", `{"AliasName":"alias/none"}`, inKMS+"alias/none")
}

// rest adds what is about no team.
func (m *matrix) rest() {
	for _, list := range []string{"ListModels", "ListTransformJobs", "ListEndpointConfigs", "ListEndpoints"} {
		m.sageMaker(list, "", "*", "{}")
	}
	for _, role := range []string{"path/worker", "other"} {
		asked := anyRole + role
		if role == "path/worker" { // role/worker has no path, whatever is before its name
			asked = anyRole + "worker"
		}
		m.sageMaker("CreateModel", "blue with role "+role, inSageMaker+"model/blue-x", `{"ModelName":"blue-x","PrimaryContainer":{"Image":"test/model"},"ExecutionRoleArn":"`+anyRole+role+`"}`, "iam:PassRole "+asked)
	}
	m.add("CopyObject red to blue", plain("s3", "PUT", "/blue/copy", "", map[string]string{"X-Amz-Copy-Source": "red/a"}), "s3:PutObject arn:aws:s3:::blue/copy", "s3:GetObject arn:aws:s3:::red/a")
	m.add("CopyObject blue to red", plain("s3", "PUT", "/red/copy", "", map[string]string{"X-Amz-Copy-Source": "/blue/a"}), "s3:PutObject arn:aws:s3:::red/copy", "s3:GetObject arn:aws:s3:::blue/a")
	m.add("UploadPartCopy blue to red", plain("s3", "PUT", "/red/m?partNumber=1&uploadId=x", "", map[string]string{"X-Amz-Copy-Source": "/blue/%61"}), "s3:PutObject arn:aws:s3:::red/m", "s3:GetObject arn:aws:s3:::blue/a")
	m.add("ListBuckets", plain("s3", "GET", "/", "", nil), "s3:ListAllMyBuckets arn:aws:s3:::*")

	const jobs, none = "/aws/sagemaker/TransformJobs", "/aws/sagemaker/None"
	for operation, c := range map[string]struct{ body, group, stream string }{
		"DescribeLogStreams":    {`{"logGroupName":"` + jobs + `"}`, jobs, ""},
		"FilterLogEvents":       {`{"logGroupName":"` + jobs + `"}`, jobs, ""},
		"GetLogEvents":          {`{"logGroupName":"` + jobs + `","logStreamName":"s"}`, jobs, "s"},
		"PutRetentionPolicy":    {`{"logGroupName":"` + none + `","retentionInDays":7}`, none, ""},
		"DeleteRetentionPolicy": {`{"logGroupName":"` + none + `"}`, none, ""},
	} {
		m.add(operation, target("logs", "Logs_20140328."+operation, c.body), "logs:"+operation+" arn:aws:logs:eu-west-1:000000000000:log-group:"+c.group+":log-stream:"+c.stream)
	}
	m.add("DescribeLogGroups", target("logs", "Logs_20140328.DescribeLogGroups", "{}"), "logs:DescribeLogGroups *")

	const variant = `"ServiceNamespace":"sagemaker","ResourceId":"endpoint/red-x/variant/v","ScalableDimension":"sagemaker:variant:DesiredInstanceCount"`
	for operation, in := range map[string]string{
		"RegisterScalableTarget": variant + `,"MinCapacity":1,"MaxCapacity":1`, "DeregisterScalableTarget": variant, "DescribeScalableTargets": `"ServiceNamespace":"sagemaker"`,
		"PutScalingPolicy":    variant + `,"PolicyName":"p","PolicyType":"TargetTrackingScaling","TargetTrackingScalingPolicyConfiguration":{"TargetValue":1}`,
		"DeleteScalingPolicy": variant + `,"PolicyName":"p"`, "DescribeScalingPolicies": `"ServiceNamespace":"sagemaker"`, "DescribeScalingActivities": `"ServiceNamespace":"sagemaker"`,
	} {
		m.add(operation, target("application-autoscaling", "AnyScaleFrontendService."+operation, "{"+in+"}"), "application-autoscaling:"+operation+" *")
	}

	query := func(service, body string) attempt {
		return plain(service, "POST", "/", body, map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	}
	m.add("GetCallerIdentity", query("sts", "Action=GetCallerIdentity"))
	m.add("AssumeRole worker", query("sts", "Action=AssumeRole&RoleSessionName=run&RoleArn="+anyRole+"worker"), "sts:AssumeRole "+anyRole+"worker")
	m.add("GetRole worker", query("iam", "Action=GetRole&RoleName=worker"), "iam:GetRole "+anyRole+"worker")
	m.add("GetMetrics", plain("sagemaker", "GET", "/-/metrics", "", nil), "sagebrush:GetMetrics *")
	m.add("DescribeServer", plain("sagemaker", "GET", "/-/api/v1/server", "", nil), "sagebrush:DescribeServer *")
}

// whole fails for an operation that is served and in no row.
func (m *matrix) whole(t *testing.T) {
	t.Helper()
	there, actions := map[string]bool{}, map[string]bool{}
	for _, r := range m.rows {
		there[strings.Fields(r.name)[0]] = true
		for _, n := range r.needs {
			action, _, _ := strings.Cut(n, " ")
			actions[action] = true
		}
	}
	for _, service := range served() {
		for _, op := range service.Served {
			if !there[op.Name] || op.Name != "ReEncrypt" && !actions[service.Signing+":"+op.Name] {
				t.Errorf("%s:%s is served, and no row tries it", service.Signing, op.Name)
			}
		}
	}
	files, err := filepath.Glob("../api/own*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	guards := regexp.MustCompile(`s\.guard\("(\w+)"`)
	for _, f := range files { // our own paths are known to their router alone
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range guards.FindAllStringSubmatch(string(text), -1) {
			if !actions["sagebrush:"+g[1]] {
				t.Errorf("sagebrush:%s is guarded, and no row tries it", g[1])
			}
		}
	}
}

// verdict is what policies say of one action on one resource.
type verdict int

const (
	lacking verdict = iota
	allowed
	denying // explicitly
)

// yes makes a verdict of what a policy allows.
func yes(ok bool) verdict {
	if ok {
		return allowed
	}
	return lacking
}

// caller is a row of identities.
type caller struct {
	keys aws.Credentials
	arn  string
	// says is what the policies are meant to say, written independently of them.
	says func(action, resource string) verdict
	kind string // of the policy that a refusal names
}

// refusal is what a caller is told about the first thing that it may not do; "" when it
// may do all.
func (c *caller) refusal(needs []string) string {
	for _, n := range needs {
		action, resource, _ := strings.Cut(n, " ")
		text := fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s", c.arn, action, resource)
		switch c.says(action, resource) {
		case lacking:
			return text + " because no " + c.kind + " policy allows the " + action + " action"
		case denying:
			return text + " with an explicit deny in " + map[string]string{"identity-based": "an", "session": "a"}[c.kind] + " " + c.kind + " policy"
		}
	}
	return ""
}

// callers makes the identities.
func callers(t *testing.T, d *Daemon, key string) map[string]caller {
	t.Helper()
	keysOf := func(s identity.Session) aws.Credentials {
		return aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: string(s.Secret), SessionToken: s.Token}
	}
	all := map[string]caller{}
	add := func(name string, says func(action, resource string) verdict, statements ...string) {
		var docs []identity.Document
		if len(statements) > 0 {
			docs = allows(t, "p", statements...)
		}
		all[name] = caller{user(t, d, name, docs), "arn:aws:iam::000000000000:user/" + name, says, "identity-based"}
	}
	role := func(name, run, session, kind string, says func(action, resource string) verdict) {
		s, err := d.who.AssumeRole(anyRole+name, run, session, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		all["role "+name+" "+run] = caller{keysOf(s), "arn:aws:sts::000000000000:assumed-role/" + name + "/" + run, says, kind}
	}
	everything := func(string, string) verdict { return allowed }
	nothing := func(string, string) verdict { return lacking }
	id, secret := d.Credentials()
	all["admin"] = caller{aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, "arn:aws:iam::000000000000:user/admin", everything, "identity-based"}
	mine, err := d.who.UserSession(id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	all["admin's session"] = caller{keysOf(mine), "arn:aws:iam::000000000000:user/admin", everything, "identity-based"}

	starts := strings.HasPrefix
	add("nobody", nothing)
	add("everybody", everything, "Allow * *")
	add("one-action", func(a, _ string) verdict { return yes(a == "sagemaker:ListModels") }, "Allow sagemaker:ListModels *")
	add("reader", func(a, _ string) verdict {
		return yes(starts(a, "sagemaker:Describe") || starts(a, "sagemaker:List") || starts(a, "s3:Get") || starts(a, "s3:List") || starts(a, "kms:Describe") || starts(a, "logs:Describe") || starts(a, "sagebrush:Get"))
	}, "Allow sagemaker:Describe*,sagemaker:List*,s3:Get*,s3:List*,kms:Describe*,logs:Describe*,sagebrush:Get* *")
	add("red", func(a, r string) verdict {
		switch {
		case starts(a, "sagemaker:Delete"), a == "s3:DeleteObject":
			return denying // wherever it stands
		case starts(a, "sagemaker:"):
			return yes(strings.Contains(r, "/red-"))
		case starts(a, "s3:"):
			return yes(r == "arn:aws:s3:::red" || starts(r, "arn:aws:s3:::red/"))
		}
		return yes(a == "iam:PassRole" && r == anyRole+"worker")
	}, "Deny sagemaker:Delete* *", "Allow sagemaker:* arn:aws:sagemaker:*:000000000000:*/red-*", "Allow s3:* arn:aws:s3:::red,arn:aws:s3:::red/*",
		"Allow iam:PassRole "+anyRole+"worker", "Deny s3:DeleteObject *")
	add("all-but-blue", func(_, r string) verdict {
		if strings.Contains(r, "blue") {
			return denying
		}
		return allowed
	}, "Allow * *", "Deny * arn:aws:*:*:*:*blue*")
	add("caller", func(a, r string) verdict {
		return yes(a == "sagemaker:InvokeEndpoint" && r == inSageMaker+"endpoint/red-x")
	}, "Allow sagemaker:InvokeEndpoint "+inSageMaker+"endpoint/red-x")
	add("other-region", nothing, "Allow sagemaker:* arn:aws:sagemaker:us-east-1:000000000000:*")
	add("other-account", nothing, "Allow sagemaker:* arn:aws:sagemaker:eu-west-1:111111111111:*")
	add("copier", func(a, r string) verdict {
		return yes(a == "s3:GetObject" && starts(r, "arn:aws:s3:::red/") || a == "s3:PutObject" && starts(r, "arn:aws:s3:::blue/"))
	}, "Allow s3:GetObject arn:aws:s3:::red/*", "Allow s3:PutObject arn:aws:s3:::blue/*")
	add("keeper", func(a, r string) verdict {
		if a == "kms:DisableKeyRotation" {
			return denying
		}
		return yes(starts(a, "kms:") && (strings.HasSuffix(r, "key/"+key) || strings.Contains(r, ":alias/")))
	}, "Allow kms:* arn:aws:kms:eu-west-1:000000000000:key/"+key+",arn:aws:kms:*:*:alias/*", "Deny kms:DisableKeyRotation *")
	add("listener", func(a, r string) verdict { return yes(starts(a, "logs:") && strings.Contains(r, "TransformJobs")) },
		"Allow logs:* arn:aws:logs:*:000000000000:log-group:/aws/sagemaker/TransformJobs:*")
	add("scaler", func(a, _ string) verdict { return yes(starts(a, "application-autoscaling:")) }, "Allow application-autoscaling:* *")
	add("operator", func(a, _ string) verdict { return yes(starts(a, "sagebrush:")) }, "Allow sagebrush:* *")
	add("passer", func(a, r string) verdict {
		return yes(a == "sagemaker:CreateModel" || a == "iam:PassRole" && r == anyRole+"worker")
	}, "Allow sagemaker:CreateModel *", `Allow iam:PassRole `+anyRole+`worker {"StringEquals":{"iam:PassedToService":"sagemaker.amazonaws.com"}}`)
	add("path-passer", func(a, _ string) verdict { return yes(a == "sagemaker:CreateModel") }, "Allow sagemaker:CreateModel *", "Allow iam:PassRole "+anyRole+"path/*")
	add("assumer", func(a, r string) verdict {
		return yes((a == "sts:AssumeRole" || a == "iam:GetRole") && r == anyRole+"worker")
	}, "Allow sts:AssumeRole,iam:GetRole "+anyRole+"worker")
	add("tagged", func(_, r string) verdict { return yes(strings.HasSuffix(r, "model/red-x")) }, `Allow sagemaker:* * {"StringEquals":{"aws:ResourceTag/team":"red"}}`)
	add("not-tagged", func(_, r string) verdict {
		if strings.HasSuffix(r, "model/red-x") {
			return denying
		}
		return allowed
	}, "Allow * *", `Deny * * {"StringEquals":{"sagemaker:ResourceTag/team":"red"}}`)
	add("elsewhere", nothing, `Allow *:* * {"NotIpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`)
	add("another-region", nothing, `Allow *:* * {"StringEquals":{"aws:RequestedRegion":"eu-west-2"}}`)
	add("here", everything, `Allow *:* * {"IpAddress":{"aws:SourceIp":"127.0.0.0/8"},"StringEquals":{"aws:RequestedRegion":"eu-west-1"},`+
		`"Bool":{"aws:SecureTransport":"false"},"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`)
	role("worker", "run", "", "identity-based", func(a, r string) verdict { return yes(a == "s3:GetObject" && starts(r, "arn:aws:s3:::red/")) })
	role("wide", "whole", "", "identity-based", everything)
	narrow := allows(t, "s", "Allow sagemaker:* *", "Deny sagemaker:Create* *")[0].Text
	role("wide", "narrow", narrow, "session", func(a, _ string) verdict {
		if starts(a, "sagemaker:Create") {
			return denying
		}
		return yes(starts(a, "sagemaker:"))
	})
	return all
}

// Identities x operations x resources against what the policies are meant to say, over
// the real port, and in AWS's words where they refuse (CP-6).
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withKeys)
	id, secret := d.Credentials()
	admin := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	for name, statement := range map[string]string{"worker": "Allow s3:GetObject arn:aws:s3:::red/*", "wide": "Allow * *"} {
		if err := d.who.Create(t.Context(), identity.Role, name, allows(t, "w", statement)); err != nil {
			t.Fatal(err)
		}
	}
	must := func(try attempt, out any) {
		t.Helper()
		resp, text := try(t, d, admin)
		if resp.StatusCode != 200 {
			t.Fatal(text)
		}
		if err := json.Unmarshal([]byte(text), out); out != nil && err != nil {
			t.Fatal(text, err)
		}
	}
	newKey := func() string {
		t.Helper()
		var made struct{ KeyMetadata struct{ KeyId string } }
		must(target("kms", "TrentService.CreateKey", "{}"), &made)
		return made.KeyMetadata.KeyId
	}
	key, doomed, other := newKey(), newKey(), newKey()
	var sealed struct{ CiphertextBlob string }
	must(target("kms", "TrentService.Encrypt", `{"KeyId":"`+key+`","Plaintext":"eA=="}`), &sealed)
	must(target("kms", "TrentService.CreateAlias", `{"AliasName":"alias/mine","TargetKeyId":"`+key+`"}`), nil)
	must(target("kms", "TrentService.CreateAlias", `{"AliasName":"alias/theirs","TargetKeyId":"`+other+`"}`), nil)
	for _, team := range []string{"red", "blue"} {
		must(plain("s3", "PUT", "/"+team, "", nil), nil)
		must(plain("s3", "PUT", "/"+team+"/a", "x", nil), nil)
		must(target("sagemaker", "SageMaker.CreateModel", `{"ModelName":"`+team+`-x","PrimaryContainer":{"Image":"test/model"},"Tags":[{"Key":"team","Value":"`+team+`"}]}`), nil)
	}
	var m matrix
	for _, team := range []string{"red", "blue"} {
		m.team(team)
		m.bucket(team)
	}
	m.keys(key, doomed, other, sealed.CiphertextBlob)
	m.rest()
	m.whole(t)
	identities := callers(t, d, key)
	for name, who := range identities {
		t.Run(name, func(t *testing.T) {
			for _, row := range m.rows {
				resp, text := row.try(t, d, who.keys)
				want := who.refusal(row.needs)
				if got := denied(resp, text); got != (want != "") || resp.StatusCode >= 500 && resp.StatusCode != 501 {
					t.Errorf("%s: denied %v, want %q: %d %s", row.name, got, want, resp.StatusCode, text)
					continue
				}
				if resp.Request.Method != "HEAD" && !strings.Contains(text, want) {
					t.Errorf("%s: %s\nwant %s", row.name, text, want)
				}
			}
			t.Logf("%d decisions", len(m.rows))
		})
	}
	t.Run("others", func(t *testing.T) { others(t, d, identities["keeper"].keys, identities["here"].keys, key) })
}

// others are attempts that no row of the table fits: nobody learns that a role does not
// exist, a session begins no other session of its user, who may use one key does not take
// an alias from another, and who may act in one region names no resource of another.
func others(t *testing.T, d *Daemon, keeper, here aws.Credentials, key string) {
	t.Helper()
	id, secret := d.Credentials()
	admin := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	s, err := d.who.UserSession(id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	session := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: string(s.Secret), SessionToken: s.Token}
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	none := plain("sts", "POST", "/", "Action=AssumeRole&RoleSessionName=run&RoleArn="+anyRole+"none", form)
	token := plain("sts", "POST", "/", "Action=GetSessionToken", form)
	for name, c := range map[string]struct {
		keys   aws.Credentials
		try    attempt
		denied bool
	}{
		"a role that does not exist":      {admin, none, true},
		"a session of a key":              {admin, token, false},
		"a session of a session":          {session, token, true},
		"a session of who may do nothing": {user(t, d, "powerless", nil), token, false},
		"tags of another region":          {here, target("sagemaker", "SageMaker.ListTags", `{"ResourceArn":"arn:aws:sagemaker:us-east-1:000000000000:model/red-x"}`), true},
		"a job of another region":         {here, plain("sagemaker", "GET", "/-/api/v1/transform-jobs/red-x?region=us-east-1", "", nil), true},
		"a job of its own region":         {here, plain("sagemaker", "GET", "/-/api/v1/transform-jobs/red-x?region=eu-west-1", "", nil), false},
		"an alias is moved":               {keeper, target("kms", "TrentService.UpdateAlias", `{"AliasName":"alias/theirs","TargetKeyId":"`+key+`"}`), true},
		"an alias is removed":             {keeper, target("kms", "TrentService.DeleteAlias", `{"AliasName":"alias/theirs"}`), true},
		"an alias of its own is removed":  {keeper, target("kms", "TrentService.DeleteAlias", `{"AliasName":"alias/mine"}`), false},
	} {
		if resp, text := c.try(t, d, c.keys); denied(resp, text) != c.denied {
			t.Errorf("%s: %d %s", name, resp.StatusCode, text)
		}
	}
}
