package policy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Whatever is not known is refused, with its place.
func TestRefusedDocuments(t *testing.T) {
	t.Parallel()
	statement := func(s string) string { return `{"Version":"2012-10-17","Statement":[` + s + `]}` }
	const rest = `"Effect":"Allow","Action":"*","Resource":"*"`
	condition := func(c string) string { return statement(`{` + rest + `,"Condition":` + c + `}`) }
	for document, want := range map[string]string{
		``:                  "not valid",
		`{`:                 "not valid",
		`[]`:                "there must be an object",
		`null`:              "there must be an object",
		`{}`:                "there is no Statement",
		`{"Statement":[]}`:  "at Statement: the list is empty",
		`{"Statement":"x"}`: "at Statement: there must be an object",
		`{"Version":"2013-10-17","Statement":{` + rest + `}}`:                                  `at Version: the version is "2013-10-17"`,
		`{"Version":"2012-10-17\u0020","Statement":{` + rest + `}}`:                            "at Version",
		`{"\u0056ersion":"2012-10-17","Statement":{` + rest + `}}`:                             "at Version: write the version without escapes",
		`{"Statement":{` + rest + `},"Extra":1}`:                                               "at Extra: there is no such element",
		`{"Statement":{` + rest + `},"Statement":{` + rest + `}}`:                              "duplicate",
		statement(`{`+rest+`}`) + `{}`:                                                         "something follows",
		statement(`{` + rest + `},{` + rest + `,"Sidd":"a"}`):                                  "at Statement.1.Sidd: there is no such element",
		statement(`{` + rest + `,"Sid":"a-b"}`):                                                "at Statement.0.Sid: it may have up to 128 letters",
		statement(`{` + rest + `,"Sid":"a"},{` + rest + `,"Sid":"a"}`):                         "at Statement.1.Sid: another statement has it already",
		statement(`{"Action":"*","Resource":"*"}`):                                             "at Statement.0: there is no Effect",
		statement(`{"Effect":"allow","Action":"*","Resource":"*"}`):                            `at Statement.0.Effect: it is "allow"`,
		statement(`{"Effect":"Allow","Resource":"*"}`):                                         "there must be one of Action and NotAction",
		statement(`{` + rest + `,"NotAction":"s3:*"}`):                                         "there must be one of Action and NotAction",
		statement(`{"Effect":"Allow","Action":"*"}`):                                           "there must be one of Resource and NotResource",
		statement(`{` + rest + `,"NotResource":"*"}`):                                          "there must be one of Resource and NotResource",
		statement(`{` + rest + `,"Principal":"*"}`):                                            "at Statement.0.Principal: a policy of an identity or a session names no principal",
		statement(`{"Effect":"Allow","Action":["s3:*","Get"],"Resource":"*"}`):                 `at Statement.0.Action.1: "Get" is no action`,
		statement(`{"Effect":"Allow","Action":"s3:${aws:username}","Resource":"*"}`):           "is no action",
		statement(`{"Effect":"Allow","Action":[],"Resource":"*"}`):                             "at Statement.0.Action: the list is empty",
		statement(`{"Effect":"Allow","Action":7,"Resource":"*"}`):                              "at Statement.0.Action: there must be a string",
		statement(`{"Effect":"Allow","Action":[["*"]],"Resource":"*"}`):                        "at Statement.0.Action.0: there must be a string",
		statement(`{"Effect":"Allow","Action":"*","Resource":"bucket/*"}`):                     `at Statement.0.Resource: "bucket/*" must be in ARN format or "*"`,
		statement(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:nobody}/*"}`): `the condition key "aws:nobody" is not one that this server sets`,
		statement(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username"}`):  "does not end with }",
		condition(`[]`): "at Statement.0.Condition: there must be an object",
		condition(`{"StringEqual":{"aws:username":"a"}}`):                `at Statement.0.Condition.StringEqual.aws:username: "StringEqual" is no condition operator`,
		condition(`{"StringEquals":{"aws:nobody":"a"}}`):                 `at Statement.0.Condition.StringEquals.aws:nobody: the condition key "aws:nobody" is not one`,
		condition(`{"StringEquals":{"aws:RequestTag/":"a"}}`):            "is not one that this server sets",
		condition(`{"StringEquals":{"aws:username":[]}}`):                "the list is empty",
		condition(`{"StringEquals":{"aws:username":{}}}`):                "there must be a string, a number or a boolean",
		condition(`{"StringEquals":{"aws:username":null}}`):              "there must be a string, a number or a boolean",
		condition(`{"ForSomeValues:StringEquals":{"aws:username":"a"}}`): "is no condition operator",
		condition(`{"NullIfExists":{"aws:username":"true"}}`):            "is no condition operator",
		condition(`{"ForAnyValue:Null":{"aws:username":"true"}}`):        "is no condition operator",
		condition(`{"BinaryEquals":{"aws:username":"AA=="}}`):            "is no condition operator",
		condition(`{"NumericEquals":{"s3:max-keys":"ten"}}`):             `"ten" is no number`,
		condition(`{"NumericEquals":{"s3:max-keys":"NaN"}}`):             `"NaN" is no number`,
		condition(`{"DateEquals":{"aws:CurrentTime":"tomorrow"}}`):       `"tomorrow" is no date`,
		condition(`{"Bool":{"aws:SecureTransport":"yes"}}`):              `"yes" is no boolean`,
		condition(`{"Null":{"aws:username":"maybe"}}`):                   `"maybe" is no boolean`,
		condition(`{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}`):        `"10.0.0.0/33" is no address`,
		condition(`{"IpAddress":{"aws:SourceIp":"fe80::1%eth0"}}`):       "is no address",
		condition(`{"ArnLike":{"aws:PrincipalArn":"user/x"}}`):           "must be in ARN format",
		strings.Repeat(" ", MaxDocument+1):                               "bytes, and may have",
		strings.Repeat(`{"Statement":`, 100):                             "there is no such element",
	} {
		_, err := Parse("mine", document, testKeys())
		text := fault.TextOf(err)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(text, want) || !strings.Contains(text, `"mine"`) {
			t.Errorf("%s:\n got  %v\n want %s", document, err, want)
		}
	}
}

// A pattern matches as the regular expression that says the same.
func TestPatternsAreRegularExpressions(t *testing.T) {
	t.Parallel()
	runes := rapid.RuneFrom([]rune("aAb*?ü"))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(runes, 0, 8, -1).Draw(t, "pattern")
		s := rapid.StringOfN(runes, 0, 10, -1).Draw(t, "text")
		fold := rapid.Bool().Draw(t, "fold")
		p, err := compiler{wildcards: true}.compile(text)
		if err != nil {
			t.Fatal(err)
		}
		p.fold = fold
		expr := regexp.QuoteMeta(text)
		expr = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(expr)
		if fold {
			expr = "(?i)" + expr
		}
		if want := regexp.MustCompile(`^(?s:` + expr + `)$`).MatchString(s); p.match(s, nil) != want {
			t.Fatalf("%q matches %q: %v, want %v", text, s, !want, want)
		}
	})
}

// A pattern of stars takes no more than quadratic work.
func TestPatternsAreFast(t *testing.T) {
	t.Parallel()
	p, err := compiler{wildcards: true}.compile(strings.Repeat("*a", 2000) + "b")
	if err != nil {
		t.Fatal(err)
	}
	if p.match(strings.Repeat("a", 4000), nil) {
		t.Error("matched")
	}
}

// drawn is a random statement over few words, so that things match.
func drawn(t *rapid.T, label string) map[string]any {
	pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	st := map[string]any{"Effect": pick("Allow", "Deny")}
	st[pick("Action", "NotAction")] = []string{pick("*", "s3:*", "s3:Get*", "kms:Encrypt", "s3:GetObject"), pick("kms:*", "x:Y")}
	st[pick("Resource", "NotResource")] = pick("*", "arn:aws:s3:::b/*", "arn:aws:s3:::${aws:username}/*", "arn:aws:kms:*:*:key/1")
	if rapid.Bool().Draw(t, label) {
		op := pick("", "ForAnyValue:", "ForAllValues:") + pick("StringEquals", "StringNotEquals", "StringLike", "StringNotLike") + pick("", "IfExists")
		st["Condition"] = map[string]any{op: map[string]any{pick("aws:username", "aws:TagKeys"): []string{pick("alice", "bob", "a*")}}}
	}
	return st
}

func document(t *rapid.T, statements []map[string]any) *Policy {
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse("p", string(text), testKeys())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// However statements are ordered and cut into policies: a deny that applies wins,
// another statement never undoes it, and one more deny never allows.
func TestDenyWins(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "n")
		var statements []map[string]any
		r := &Request{
			Action:   rapid.SampledFrom([]string{"s3:GetObject", "kms:Encrypt", "x:Y"}).Draw(t, "action"),
			Resource: rapid.SampledFrom([]string{"*", "arn:aws:s3:::b/k", "arn:aws:s3:::alice/k", "arn:aws:kms:r:a:key/1"}).Draw(t, "resource"),
		}
		if rapid.Bool().Draw(t, "named") {
			r.Context = append(r.Context, Attribute{Key: "aws:username", Value: "alice"})
		}
		if rapid.Bool().Draw(t, "tagged") {
			r.Context = append(r.Context, Attribute{Key: "aws:TagKeys", Many: []string{"alice", "bob"}[:rapid.IntRange(0, 2).Draw(t, "tags")]})
		}
		for i := range n {
			statements = append(statements, drawn(t, fmt.Sprint(i)))
		}
		want := None
		for i := range statements {
			if e := (Set{document(t, statements[i:i+1])}).Decide(r).Effect; e > want {
				want = e // None < Allow < Deny
			}
		}
		cut := rapid.IntRange(0, n-1).Draw(t, "cut")
		sets := []Set{{document(t, statements)}, {document(t, statements[cut:]), document(t, statements)}}
		if cut > 0 {
			sets = append(sets, Set{document(t, statements[cut:]), document(t, statements[:cut])})
		}
		for _, set := range sets {
			d := set.Decide(r)
			if d.Effect != want {
				t.Fatalf("%v: %v, want %v", statements, d, want)
			}
			if want != None && d.Policy != "p" {
				t.Fatalf("%+v names no policy", d)
			}
		}
	})
}

// FuzzParse: whatever a stranger calls a policy is refused with a text or decides
// without a panic.
func FuzzParse(f *testing.F) {
	for _, d := range decisions {
		f.Add(`{"Version":"2012-10-17","Statement":[`+d.statements+`]}`, "s3:GetObject", object, "alice")
	}
	f.Add(`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"arn:aws:${aws:username}:"}]}`, "", "", "")
	f.Fuzz(func(t *testing.T, text, action, resource, value string) {
		p, err := Parse("p", text, testKeys())
		if err != nil {
			if fault.TextOf(err) == "" || len(fault.TextOf(err)) > 2000 {
				t.Errorf("%v", err)
			}
			return
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%q is no JSON and was read", text)
		}
		r := &Request{Action: action, Resource: resource}
		for _, k := range []string{"aws:username", "aws:SourceIp", "aws:CurrentTime", "s3:max-keys", "aws:SecureTransport"} {
			r.Context = append(r.Context, Attribute{Key: k, Value: value})
		}
		r.Context = append(r.Context, Attribute{Key: "aws:TagKeys", Many: []string{value, action}})
		if d := (Set{p}).Decide(r); d.Effect != None && (d.Statement >= len(p.statements) || p.statements[d.Statement].effect != d.Effect) {
			t.Errorf("%+v is not of %s", d, text)
		}
	})
}
