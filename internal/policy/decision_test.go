package policy

import (
	"fmt"
	"strings"
	"testing"
)

const (
	model    = "arn:aws:sagemaker:us-east-1:111122223333:model/a"
	job      = "arn:aws:sagemaker:us-east-1:111122223333:transform-job/nightly-1"
	endpoint = "arn:aws:sagemaker:eu-west-1:111122223333:endpoint/alice/live"
	object   = "arn:aws:s3:::bucket/in/a.csv"
	volume   = "arn:aws:kms:us-east-1:111122223333:key/1234abcd"
)

func testKeys() *Keys {
	return NewKeys("aws:username", "aws:userid", "aws:SourceIp", "aws:RequestedRegion", "aws:CurrentTime", "aws:EpochTime", "aws:SecureTransport",
		"aws:TagKeys", "aws:RequestTag/*", "aws:ResourceTag/*", "aws:PrincipalArn", "s3:max-keys",
		"sagemaker:InstanceTypes", "sagemaker:VolumeKmsKey", "sagemaker:OutputKmsKey")
}

// request reads a line of the table: action, resource, and key=value of the
// context; key=[a,b] has many values.
func request(t testing.TB, line string) *Request {
	t.Helper()
	words := strings.Fields(line)
	r := &Request{Action: words[0], Resource: words[1]}
	for _, w := range words[2:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			t.Fatalf("%q is not key=value", w)
		}
		a := Attribute{Key: key, Value: value}
		if list, ok := strings.CutPrefix(value, "["); ok {
			a = Attribute{Key: key, Many: []string{}}
			if list = strings.TrimSuffix(list, "]"); list != "" {
				a.Many = strings.Split(list, ",")
			}
		}
		r.Context = append(r.Context, a)
	}
	return r
}

func parse(t testing.TB, statements string) *Policy {
	t.Helper()
	p, err := Parse("p", `{"Version":"2012-10-17","Statement":[`+statements+`]}`, testKeys())
	if err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
	return p
}

// allow is a statement that allows everything under a condition.
func allow(condition string) string {
	return `{"Effect":"Allow","Action":"*","Resource":"*","Condition":` + condition + `}`
}

// decisions is the table: statements, and under them what they say to requests.
var decisions = []struct{ statements, requests string }{
	{`{"Effect":"Allow","Action":"sagemaker:CreateModel","Resource":"*"}`, `
		Allow sagemaker:CreateModel ` + model + `
		Allow sagemaker:createmodel ` + model + `
		Allow SageMaker:CREATEMODEL ` + model + `
		Allow sagemaker:CreateModel *
		None sagemaker:CreateModels ` + model + `
		None sagemaker:CreateMode ` + model + `
		None s3:CreateModel ` + model},
	{`{"Effect":"Allow","Action":["sagemaker:Describe*","sagemaker:List*","s3:Get?bject"],"Resource":["*"]}`, `
		Allow sagemaker:DescribeModel ` + model + `
		Allow sagemaker:ListModels *
		Allow s3:GetObject ` + object + `
		None s3:Getbject ` + object + `
		None s3:GetTTbject ` + object + `
		None sagemaker:CreateModel ` + model + `
		None xsagemaker:DescribeModel ` + model},
	{`{"Effect":"Allow","Action":"*:*Tags","Resource":"*"}`, `
		Allow sagemaker:AddTags ` + model + `
		Allow kms:Tags ` + volume + `
		None kms:TagResource ` + volume},
	{`{"Effect":"Allow","NotAction":["sagemaker:Delete*","kms:*"],"Resource":"*"}`, `
		Allow sagemaker:CreateModel ` + model + `
		Allow s3:DeleteObject ` + object + `
		None sagemaker:DeleteModel ` + model + `
		None kms:Encrypt ` + volume},
	// An explicit deny wins, wherever it stands.
	{`{"Sid":"a","Effect":"Deny","Action":"sagemaker:DeleteModel","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}`, `
		Deny sagemaker:DeleteModel ` + model + `
		Allow sagemaker:CreateModel ` + model},
	{`{"Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Deny","Action":"sagemaker:DeleteModel","Resource":"*"}`, `
		Deny sagemaker:DeleteModel ` + model + `
		Allow sagemaker:CreateModel ` + model},
	{`{"Effect":"Deny","NotAction":"sagemaker:*","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}`, `
		Deny s3:GetObject ` + object + `
		Allow sagemaker:CreateModel ` + model},
	// Resources are matched part by part.
	{`{"Effect":"Allow","Action":"*","Resource":["arn:aws:sagemaker:us-east-1:111122223333:model/*","arn:aws:sagemaker:*:111122223333:transform-job/nightly-?"]}`, `
		Allow x:Y ` + model + `
		Allow x:Y arn:aws:sagemaker:us-east-1:111122223333:model/a/b:c
		Allow x:Y arn:aws:sagemaker:us-east-1:111122223333:model/
		Allow x:Y ` + job + `
		Allow x:Y arn:aws:sagemaker:eu-west-1:111122223333:transform-job/nightly-2
		None x:Y arn:aws:sagemaker:eu-west-1:111122223333:transform-job/nightly-22
		None x:Y arn:aws:sagemaker:eu-west-1:111122223333:model/a
		None x:Y arn:aws:sagemaker:us-east-1:444455556666:model/a
		None x:Y arn:aws:sagemaker:us-east-1:111122223333:MODEL/a
		None x:Y arn:aws:sagemaker:a:b:111122223333:transform-job/nightly-1
		None x:Y arn:aws:sagemaker:us-east-1
		None x:Y *`},
	{`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::bucket/*/a.csv"}`, `
		Allow x:Y ` + object + `
		Allow x:Y arn:aws:s3:::bucket/x/y/z/a.csv
		Allow x:Y arn:aws:s3:::bucket/x/a.csv/a.csv
		None x:Y arn:aws:s3:::bucket/a.csv
		None x:Y arn:aws:s3:::bucket/in/a.csv.gz
		None x:Y arn:aws:s3:::bucket2/in/a.csv`},
	// What is missing at the end of a pattern may be anything.
	{`{"Effect":"Allow","Action":"*","Resource":["arn:aws:s3","arn:aws:kms:us-*"]}`, `
		Allow x:Y ` + object + `
		Allow x:Y ` + volume + `
		None x:Y ` + model + `
		None x:Y arn:aws:kms:eu-west-1:111122223333:key/1`},
	{`{"Effect":"Allow","Action":"*","NotResource":["arn:aws:s3:::bucket/*","arn:aws:kms:*:*:*"]}`, `
		Allow x:Y ` + model + `
		Allow x:Y arn:aws:s3:::other/key
		Allow x:Y *
		None x:Y ` + object + `
		None x:Y ` + volume},
	// Variables.
	{`{"Effect":"Allow","Action":"*","Resource":["arn:aws:sagemaker:*:*:endpoint/${aws:username}/*","arn:aws:s3:::${aws:username}-${aws:RequestTag/team, 'none'}/*"]}`, `
		Allow x:Y ` + endpoint + ` aws:username=alice
		Allow x:Y ` + endpoint + ` AWS:UserName=alice
		None x:Y ` + endpoint + ` aws:username=bob
		None x:Y ` + endpoint + ` aws:username=*
		None x:Y ` + endpoint + ` aws:username=[alice]
		None x:Y ` + endpoint + `
		Allow x:Y arn:aws:s3:::bob-red/x aws:username=bob aws:RequestTag/team=red
		Allow x:Y arn:aws:s3:::bob-none/x aws:username=bob
		None x:Y arn:aws:s3:::bob-red/x aws:username=bob`},
	{`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::a${*}b${?}c${$}/*"}`, `
		Allow x:Y arn:aws:s3:::a*b?c$/x
		None x:Y arn:aws:s3:::aXbXc$/x`},
	{allow(`{"StringEquals":{"aws:RequestTag/owner":"${aws:username}"}}`), `
		Allow x:Y * aws:username=alice aws:RequestTag/owner=alice
		None x:Y * aws:username=alice aws:RequestTag/owner=bob
		None x:Y * aws:RequestTag/owner=alice
		None x:Y * aws:username=alice`},
	// Strings.
	{allow(`{"StringEquals":{"sagemaker:VolumeKmsKey":["k1","k*"]}}`), `
		Allow x:Y * sagemaker:VolumeKmsKey=k1
		Allow x:Y * sagemaker:volumekmskey=k*
		None x:Y * sagemaker:VolumeKmsKey=k2
		None x:Y * sagemaker:VolumeKmsKey=K1
		None x:Y *`},
	{allow(`{"StringNotEquals":{"sagemaker:VolumeKmsKey":["k1","k2"]}}`), `
		Allow x:Y * sagemaker:VolumeKmsKey=k3
		Allow x:Y *
		None x:Y * sagemaker:VolumeKmsKey=k1
		None x:Y * sagemaker:VolumeKmsKey=k2`},
	{allow(`{"StringEqualsIgnoreCase":{"aws:username":"Alice"}}`), `
		Allow x:Y * aws:username=aLICE
		None x:Y * aws:username=alicf`},
	{allow(`{"StringNotEqualsIgnoreCase":{"aws:username":"Alice"}}`), `
		None x:Y * aws:username=aLICE
		Allow x:Y * aws:username=alicf`},
	{allow(`{"StringLike":{"aws:username":["team-*-?","root"]}}`), `
		Allow x:Y * aws:username=team-a-1
		Allow x:Y * aws:username=team--1
		Allow x:Y * aws:username=root
		None x:Y * aws:username=team-a-12
		None x:Y * aws:username=Team-a-1`},
	{allow(`{"StringNotLike":{"aws:username":"team-*"}}`), `
		None x:Y * aws:username=team-a
		Allow x:Y * aws:username=root
		Allow x:Y *`},
	{allow(`{"StringEqualsIfExists":{"aws:RequestedRegion":"us-east-1"}}`), `
		Allow x:Y * aws:RequestedRegion=us-east-1
		Allow x:Y *
		None x:Y * aws:RequestedRegion=eu-west-1`},
	{allow(`{"StringNotEqualsIfExists":{"aws:RequestedRegion":"us-east-1"}}`), `
		None x:Y * aws:RequestedRegion=us-east-1
		Allow x:Y *
		Allow x:Y * aws:RequestedRegion=eu-west-1`},
	// Many values.
	{allow(`{"ForAllValues:StringEquals":{"aws:TagKeys":["team","cost"]}}`), `
		Allow x:Y * aws:TagKeys=[team]
		Allow x:Y * aws:TagKeys=[team,cost]
		Allow x:Y * aws:TagKeys=[]
		Allow x:Y *
		Allow x:Y * aws:TagKeys=team
		None x:Y * aws:TagKeys=[team,other]`},
	{allow(`{"ForAnyValue:StringEquals":{"aws:TagKeys":["team","cost"]}}`), `
		Allow x:Y * aws:TagKeys=[other,team]
		None x:Y * aws:TagKeys=[other]
		None x:Y * aws:TagKeys=[]
		None x:Y *`},
	{allow(`{"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":"team"}}`), `
		Allow x:Y *
		Allow x:Y * aws:TagKeys=[a,team]
		None x:Y * aws:TagKeys=[a]`},
	{allow(`{"ForAllValues:StringNotEquals":{"aws:TagKeys":["secret","hidden"]}}`), `
		Allow x:Y * aws:TagKeys=[a,b]
		Allow x:Y *
		None x:Y * aws:TagKeys=[a,hidden]`},
	{allow(`{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a","b"]}}`), `
		Allow x:Y * aws:TagKeys=[a,c]
		None x:Y * aws:TagKeys=[a,b]
		None x:Y *`},
	{allow(`{"ForAllValues:StringLike":{"sagemaker:InstanceTypes":"ml.m5.*"}}`), `
		Allow x:Y * sagemaker:InstanceTypes=[ml.m5.large,ml.m5.xlarge]
		None x:Y * sagemaker:InstanceTypes=[ml.m5.large,ml.p3.2xlarge]`},
	{allow(`{"StringEquals":{"aws:TagKeys":"a"}}`), `
		Allow x:Y * aws:TagKeys=[b,a]
		None x:Y * aws:TagKeys=[b]
		None x:Y * aws:TagKeys=[]`},
	// ARNs.
	{allow(`{"ArnLike":{"sagemaker:OutputKmsKey":"arn:aws:kms:*:111122223333:key/*"}}`), `
		Allow x:Y * sagemaker:OutputKmsKey=` + volume + `
		None x:Y * sagemaker:OutputKmsKey=arn:aws:kms:us-east-1:444455556666:key/1
		None x:Y * sagemaker:OutputKmsKey=key/1
		None x:Y *`},
	{allow(`{"ArnEquals":{"sagemaker:OutputKmsKey":["` + volume + `","arn:aws:kms:eu-*:*:*"]}}`), `
		Allow x:Y * sagemaker:OutputKmsKey=` + volume + `
		Allow x:Y * sagemaker:OutputKmsKey=arn:aws:kms:eu-west-1:1:key/1
		None x:Y * sagemaker:OutputKmsKey=` + volume + `x`},
	{allow(`{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/bot-*"}}`), `
		None x:Y * aws:PrincipalArn=arn:aws:iam::111122223333:user/bot-1
		Allow x:Y * aws:PrincipalArn=arn:aws:iam::111122223333:user/alice
		Allow x:Y *`},
	{allow(`{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::*:root"}}`), `
		None x:Y * aws:PrincipalArn=arn:aws:iam::111122223333:root
		Allow x:Y * aws:PrincipalArn=arn:aws:iam::111122223333:user/a`},
	// Addresses.
	{allow(`{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32","192.0.2.7"]}}`), `
		Allow x:Y * aws:SourceIp=10.255.0.1
		Allow x:Y * aws:SourceIp=::ffff:10.1.1.1
		Allow x:Y * aws:SourceIp=2001:db8::5
		Allow x:Y * aws:SourceIp=192.0.2.7
		None x:Y * aws:SourceIp=192.0.2.8
		None x:Y * aws:SourceIp=11.0.0.1
		None x:Y * aws:SourceIp=2001:db9::5
		None x:Y * aws:SourceIp=nonsense
		None x:Y *`},
	{allow(`{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`), `
		None x:Y * aws:SourceIp=10.0.0.1
		Allow x:Y * aws:SourceIp=11.0.0.1
		Allow x:Y *`},
	// Booleans and absence.
	{allow(`{"Bool":{"aws:SecureTransport":true}}`), `
		Allow x:Y * aws:SecureTransport=true
		Allow x:Y * aws:SecureTransport=TRUE
		None x:Y * aws:SecureTransport=false
		None x:Y * aws:SecureTransport=yes
		None x:Y *`},
	{allow(`{"BoolIfExists":{"aws:SecureTransport":"true"}}`), `
		Allow x:Y *
		None x:Y * aws:SecureTransport=false`},
	{allow(`{"Null":{"sagemaker:VolumeKmsKey":"false"}}`), `
		Allow x:Y * sagemaker:VolumeKmsKey=k
		None x:Y *`},
	{allow(`{"Null":{"sagemaker:VolumeKmsKey":true}}`), `
		None x:Y * sagemaker:VolumeKmsKey=k
		Allow x:Y *`},
	// Numbers.
	{allow(`{"NumericLessThanEquals":{"s3:max-keys":10}}`), `
		Allow x:Y * s3:max-keys=10
		Allow x:Y * s3:max-keys=9.5
		None x:Y * s3:max-keys=11
		None x:Y * s3:max-keys=ten
		None x:Y *`},
	{allow(`{"NumericLessThan":{"s3:max-keys":"10"}}`), `
		Allow x:Y * s3:max-keys=9
		None x:Y * s3:max-keys=10`},
	{allow(`{"NumericGreaterThan":{"s3:max-keys":10}}`), `
		Allow x:Y * s3:max-keys=11
		None x:Y * s3:max-keys=10`},
	{allow(`{"NumericGreaterThanEquals":{"s3:max-keys":10}}`), `
		Allow x:Y * s3:max-keys=10
		None x:Y * s3:max-keys=9`},
	{allow(`{"NumericEquals":{"s3:max-keys":[10,20]}}`), `
		Allow x:Y * s3:max-keys=20.0
		None x:Y * s3:max-keys=15`},
	{allow(`{"NumericNotEquals":{"s3:max-keys":[10,20]}}`), `
		Allow x:Y * s3:max-keys=15
		None x:Y * s3:max-keys=20`},
	// Dates.
	{allow(`{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"},"DateLessThan":{"aws:CurrentTime":"2026-02-01"}}`), `
		Allow x:Y * aws:CurrentTime=2026-01-15T12:00:00Z
		Allow x:Y * aws:CurrentTime=1768478400
		None x:Y * aws:CurrentTime=2026-01-01T00:00:00Z
		None x:Y * aws:CurrentTime=2026-02-01T00:00:00Z
		None x:Y * aws:CurrentTime=2025-12-31T23:59:59.999Z
		None x:Y * aws:CurrentTime=soon
		None x:Y *`},
	{allow(`{"DateLessThanEquals":{"aws:EpochTime":1768478400}}`), `
		Allow x:Y * aws:EpochTime=1768478400
		None x:Y * aws:EpochTime=1768478401`},
	{allow(`{"DateGreaterThanEquals":{"aws:CurrentTime":"2026-01-15T13:00:00+01:00"}}`), `
		Allow x:Y * aws:CurrentTime=2026-01-15T12:00:00Z
		None x:Y * aws:CurrentTime=2026-01-15T11:59:59Z`},
	{allow(`{"DateEquals":{"aws:CurrentTime":"2026-01-15T12:00Z"}}`), `
		Allow x:Y * aws:CurrentTime=2026-01-15T12:00:00Z
		None x:Y * aws:CurrentTime=2026-01-15T12:00:01Z`},
	{allow(`{"DateNotEquals":{"aws:CurrentTime":"2026-01-15"}}`), `
		None x:Y * aws:CurrentTime=2026-01-15T00:00:00Z
		Allow x:Y * aws:CurrentTime=2026-01-15T00:00:01Z`},
	// Several conditions hold together; the values of one are alternatives.
	{allow(`{"StringEquals":{"aws:username":["a","b"],"aws:RequestedRegion":"us-east-1"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`), `
		Allow x:Y * aws:username=b aws:RequestedRegion=us-east-1 aws:SourceIp=10.0.0.1
		None x:Y * aws:username=c aws:RequestedRegion=us-east-1 aws:SourceIp=10.0.0.1
		None x:Y * aws:username=a aws:RequestedRegion=us-east-2 aws:SourceIp=10.0.0.1
		None x:Y * aws:username=a aws:RequestedRegion=us-east-1 aws:SourceIp=11.0.0.1
		None x:Y * aws:username=a aws:RequestedRegion=us-east-1`},
	{allow(`{}`), `
		Allow x:Y *`},
	// The usual guard: volumes must be encrypted.
	{`{"Effect":"Allow","Action":"sagemaker:*","Resource":"*"},{"Sid":"Guard","Effect":"Deny","Action":"sagemaker:CreateTransformJob","Resource":"*","Condition":{"Null":{"sagemaker:VolumeKmsKey":"true"}}}`, `
		Allow sagemaker:CreateTransformJob ` + job + ` sagemaker:VolumeKmsKey=` + volume + `
		Deny sagemaker:CreateTransformJob ` + job + `
		Allow sagemaker:CreateModel ` + model},
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	count := 0
	for _, tt := range decisions {
		set := Set{parse(t, tt.statements)}
		for line := range strings.Lines(tt.requests) {
			want, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
			if !ok {
				continue
			}
			count++
			if d := set.Decide(request(t, rest)); d.Effect.String() != want {
				t.Errorf("%s\n  to %s\n  says %s, want %s", tt.statements, rest, d.Effect, want)
			}
		}
	}
	if count < 150 {
		t.Errorf("only %d decisions", count)
	}
	t.Logf("%d decisions", count)
}

// A decision says which statement made it, and a refusal is in AWS's wording.
func TestWhoDecided(t *testing.T) {
	t.Parallel()
	one := parse(t, `{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Sid":"NoDelete","Effect":"Deny","Action":"*:Delete*","Resource":"*"}`)
	two := parse(t, `{"Effect":"Allow","Action":"s3:Get*","Resource":"*"},{"Sid":"Models","Effect":"Allow","Action":"sagemaker:*","Resource":"*"}`)
	one.Name, two.Name = "one", "two"
	for line, want := range map[string]Decision{
		"s3:GetObject " + object:          {Allow, "one", 0, ""},
		"sagemaker:CreateModel " + model:  {Allow, "two", 1, "Models"},
		"sagemaker:DeleteModel " + model:  {Deny, "one", 1, "NoDelete"},
		"kms:Encrypt " + volume:           {},
		"kms:DeleteAlias " + volume:       {Deny, "one", 1, "NoDelete"},
		"sagemaker:DescribeModel " + job:  {Allow, "two", 1, "Models"},
		"s3:DeleteObject " + object + " ": {Deny, "one", 1, "NoDelete"},
	} {
		if d := (Set{one, two}).Decide(request(t, line)); d != want {
			t.Errorf("%s: %+v, want %+v", line, d, want)
		}
	}
	r := request(t, "sagemaker:CreateTransformJob "+job)
	const user = "arn:aws:iam::111122223333:user/alice"
	for _, tt := range []struct {
		d    Decision
		k    Kind
		want string
	}{
		{Decision{}, Identity, " because no identity-based policy allows the sagemaker:CreateTransformJob action"},
		{Decision{}, Session, " because no session policy allows the sagemaker:CreateTransformJob action"},
		{Decision{Effect: Deny}, Identity, " with an explicit deny in an identity-based policy"},
		{Decision{Effect: Deny}, Session, " with an explicit deny in a session policy"},
	} {
		want := "User: " + user + " is not authorized to perform: sagemaker:CreateTransformJob on resource: " + job + tt.want
		if got := tt.d.Refusal(user, r, tt.k); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// Documents of 2008 have no variables.
func TestOldVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"", `"Version":"2008-10-17",`} {
		p, err := Parse("p", `{`+version+`"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username}/*"}}`, testKeys())
		if err != nil {
			t.Fatal(err)
		}
		if d := (Set{p}).Decide(request(t, "s3:GetObject arn:aws:s3:::alice/x aws:username=alice")); d.Allowed() {
			t.Error("a variable in an old document has a value")
		}
	}
}

func TestNothingAllows(t *testing.T) {
	t.Parallel()
	if d := (Set)(nil).Decide(request(t, "s3:GetObject "+object)); d.Allowed() || d != (Decision{}) {
		t.Errorf("%+v", d)
	}
}

// twenty is a set of 20 statements, of which the last decides.
func twenty(b testing.TB) Set {
	var statements []string
	for i := range 8 {
		statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":["s3:Get*","s3:Put*","s3:List*"],"Resource":"arn:aws:s3:::bucket%d/*"}`, i))
	}
	for i := range 8 {
		statements = append(statements, fmt.Sprintf(`{"Effect":"Deny","Action":"sagemaker:*","Resource":"arn:aws:sagemaker:*:*:model/secret-%d-*","Condition":{"StringNotEquals":{"aws:username":"admin"}}}`, i))
	}
	statements = append(statements,
		`{"Effect":"Deny","Action":"sagemaker:CreateTransformJob","Resource":"*","Condition":{"Null":{"sagemaker:VolumeKmsKey":"true"}}}`,
		`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","127.0.0.0/8"]}}}`,
		`{"Effect":"Allow","Action":["sagemaker:Describe*","sagemaker:List*"],"Resource":"*"}`,
		`{"Effect":"Allow","Action":"sagemaker:InvokeEndpoint","Resource":"arn:aws:sagemaker:*:*:endpoint/${aws:username}/*"}`)
	return Set{parse(b, strings.Join(statements, ","))}
}

func BenchmarkDecide(b *testing.B) {
	set := twenty(b)
	for name, line := range map[string]string{
		"invoke":   "sagemaker:InvokeEndpoint " + endpoint + " aws:username=alice aws:SourceIp=10.1.2.3 aws:RequestedRegion=eu-west-1 aws:PrincipalArn=arn:aws:iam::1:user/alice",
		"describe": "sagemaker:DescribeModel " + model + " aws:username=alice aws:SourceIp=10.1.2.3",
		"s3":       "s3:GetObject arn:aws:s3:::bucket7/in/a.csv aws:username=alice aws:SourceIp=10.1.2.3",
	} {
		r := request(b, line)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !set.Decide(r).Allowed() {
					b.Fatal("denied")
				}
			}
		})
	}
}

// A decision allocates nothing.
func TestNoAllocations(t *testing.T) {
	set := twenty(t)
	r := request(t, "sagemaker:InvokeEndpoint "+endpoint+" aws:username=alice aws:SourceIp=10.1.2.3")
	if n := testing.AllocsPerRun(100, func() { set.Decide(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
