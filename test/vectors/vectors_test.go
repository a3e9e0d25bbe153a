package vectors_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// vector is one transform job and what must come of it. README.md explains the
// members.
type vector struct {
	Name    string            `json:"name"`
	Rules   []string          `json:"rules"`
	Server  string            `json:"server"`
	Input   map[string]data   `json:"input"`
	Job     map[string]any    `json:"job"`
	Tags    map[string]string `json:"tags"`
	Model   behaviour         `json:"model"`
	Env     map[string]string `json:"env"` // of the model
	Before  map[string]data   `json:"before"`
	Matrix  bool              `json:"matrix"`
	Large   bool              `json:"large"`
	Refused string            `json:"refused"`

	Status       string             `json:"status"`
	Reason       string             `json:"reason"`
	Detail       string             `json:"detail"`
	Requests     []requests         `json:"requests"`
	Unordered    bool               `json:"unordered"`
	Headers      map[string]*string `json:"headers"`
	ContainerEnv map[string]*string `json:"containerEnv"`
	Asked        *int               `json:"askedParameters"`
	Output       map[string]data    `json:"output"`
	ContentType  string             `json:"contentType"`
	Log          []string           `json:"log"`
}

// requests are one expected body, or several equal ones: {"times": 39, "body": ...}.
type requests struct {
	Times int  `json:"times"`
	Body  data `json:"body"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *requests) UnmarshalJSON(raw []byte) error {
	type both requests
	if strict(raw, (*both)(r)) == nil && r.Times > 0 {
		return nil
	}
	r.Times = 1
	return json.Unmarshal(raw, &r.Body)
}

// servers are the settings that a vector may choose by name.
var servers = map[string]map[string]any{
	"":               {},
	"2018-08-30":     {"compat": "2018-08-30"},
	"always-newline": {"assemble-always-newline": true},
	"impatient":      {"ready-timeout": "1500ms"},
	"small-answers":  {"max-answer-mb": 1},
}

func TestVectors(t *testing.T) {
	t.Parallel()
	running := map[string]*server{}
	for name, settings := range servers {
		running[name] = serve(t, settings)
	}
	for family, vectors := range families(t) {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			for _, v := range vectors {
				t.Run(v.Name, func(t *testing.T) {
					t.Parallel()
					if v.Large && testing.Short() {
						t.Skip("a large vector")
					}
					v.run(t, running[v.Server])
				})
			}
		})
	}
}

// families reads all vectors of this folder. A vector without rules proves
// nothing, and a name that comes twice hides one.
func families(t *testing.T) map[string][]*vector {
	t.Helper()
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	all := map[string][]*vector{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var vectors []*vector
		if err := strict(raw, &vectors); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		family := strings.TrimSuffix(file, ".json")
		names := map[string]bool{}
		for _, v := range vectors {
			if v.Name == "" || names[v.Name] || len(v.Rules) == 0 || servers[v.Server] == nil {
				t.Fatalf("%s: the vector %q needs a name of its own, rules and a known server", file, v.Name)
			}
			names[v.Name] = true
			all[family] = append(all[family], v)
			if v.Matrix && !testing.Short() {
				all[family+" matrix"] = append(all[family+" matrix"], v.cells()...)
			}
		}
	}
	return all
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// bucketName makes a bucket of a test's own, which is its job's and model's name, too.
func bucketName(t *testing.T) string {
	_, name, _ := strings.Cut(strings.ToLower(t.Name()), "/")
	name = strings.Trim(notInNames.ReplaceAllString(name, "-"), "-")
	return strings.Trim(name[:min(len(name), 44)], "-") + fmt.Sprintf("-%.6x", digestOf([]byte(t.Name()))[16:])
}

// run runs the vector's job and checks everything that the vector says of it.
func (v *vector) run(t *testing.T, s *server) {
	bucket := bucketName(t)
	s.must(t, http.MethodPut, "/"+bucket, nil)
	for key, body := range v.Before {
		s.put(t, bucket, key, body)
	}
	for key, body := range v.Input {
		s.put(t, bucket, key, bytes.ReplaceAll(body, []byte("BUCKET"), []byte(bucket)))
	}
	record := filepath.Join(t.TempDir(), "record")
	behaves, err := json.Marshal(v.Model)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{envBehaviour: string(behaves)}
	if !inContainers() {
		env[envRecord] = record
	}
	maps.Copy(env, v.Env)
	model := map[string]any{"ModelName": bucket, "PrimaryContainer": map[string]any{"Image": image, "Environment": env}}
	if refusal := s.call(t, "CreateModel", model, nil); refusal != "" {
		t.Fatal(refusal)
	}
	refusal := s.call(t, "CreateTransformJob", v.request(bucket), nil)
	if want := strings.ReplaceAll(v.Refused, "BUCKET", bucket); refusal != want {
		t.Fatalf("CreateTransformJob was refused with %q, want %q", refusal, want)
	}
	if v.Refused != "" {
		return
	}
	v.checkEnd(t, s.wait(t, bucket), bucket)
	if !inContainers() {
		v.checkModel(t, record)
	}
	v.checkOutput(t, s.list(t, bucket, "out/"))
	v.checkLog(t, s.dataLog(t, bucket), bucket)
}

// request is the request of CreateTransformJob: the least that it needs, and the
// vector's members over it.
func (v *vector) request(bucket string) map[string]any {
	in := map[string]any{
		"TransformJobName":   bucket,
		"ModelName":          bucket,
		"TransformInput":     map[string]any{"DataSource": map[string]any{"S3DataSource": map[string]any{"S3DataType": "S3Prefix", "S3Uri": "s3://BUCKET/in/"}}},
		"TransformOutput":    map[string]any{"S3OutputPath": "s3://BUCKET/out"},
		"TransformResources": map[string]any{"InstanceType": "ml.m5.large", "InstanceCount": 1},
	}
	merge(in, v.Job)
	var tags []map[string]string
	for key, value := range v.Tags {
		tags = append(tags, map[string]string{"Key": key, "Value": value})
	}
	if tags != nil {
		in["Tags"] = tags
	}
	return rename(in, bucket).(map[string]any)
}

// merge lays the members of an object over those of another, at any depth.
func merge(onto, from map[string]any) {
	for key, value := range from {
		inner, ok := value.(map[string]any)
		if below, both := onto[key].(map[string]any); ok && both {
			merge(below, inner)
			continue
		}
		onto[key] = value
	}
}

// rename copies a value with the bucket's name for BUCKET.
func rename(v any, bucket string) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "BUCKET", bucket)
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[key] = rename(value, bucket)
		}
		return out
	}
	return v
}

// checkEnd compares the job's end. A reason is AWS's sentence (BT-91), and after it
// what is known besides, which only some vectors give to the letter.
func (v *vector) checkEnd(t *testing.T, j job, bucket string) {
	if want := cmp.Or(v.Status, "Completed"); j.TransformJobStatus != want {
		t.Errorf("the job ended %s, want %s", j.TransformJobStatus, want)
	}
	rest, ok := strings.CutPrefix(j.FailureReason, v.Reason)
	if !ok || v.Reason == "" && rest != "" || len(j.FailureReason) > 1024 {
		t.Errorf("the reason is %q, want %q", j.FailureReason, v.Reason)
	}
	if v.Detail != "" && rest != ". "+strings.ReplaceAll(v.Detail, "BUCKET", bucket) {
		t.Errorf("the reason is %q, want the detail %q", j.FailureReason, v.Detail)
	}
}

// checkModel compares what the model server saw.
func (v *vector) checkModel(t *testing.T, record string) {
	raw, err := os.ReadFile(record)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var got, want []digest
	asked := 0
	for line := range bytes.Lines(raw) {
		var s seen
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		switch {
		case s.Env != nil:
			v.checkEnv(t, s.Env)
		case s.Path == "/execution-parameters":
			asked++
		default:
			got = append(got, s.Body)
			v.checkHeaders(t, s)
		}
	}
	if v.Asked != nil && asked != *v.Asked {
		t.Errorf("/execution-parameters was asked %d times, want %d", asked, *v.Asked)
	}
	if v.Requests == nil {
		return
	}
	for _, r := range v.Requests {
		want = append(want, slices.Repeat([]digest{digestOf(r.Body)}, r.Times)...)
	}
	if v.Unordered || len(v.Input) > 1 {
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the container got %d requests:\n  %v\nwant %d:\n  %v", len(got), lines(got), len(want), lines(want))
	}
}

// lines shows the first of many values, one a line.
func lines(all []digest) string {
	var b strings.Builder
	for i, d := range all {
		if i == 8 {
			fmt.Fprintf(&b, "and %d more", len(all)-i)
			break
		}
		fmt.Fprintf(&b, "%s\n  ", d)
	}
	return b.String()
}

// checkEnv compares the variables that the vector names; null is absence.
func (v *vector) checkEnv(t *testing.T, env map[string]string) {
	for key, want := range v.ContainerEnv {
		got, ok := env[key]
		if ok != (want != nil) || ok && got != *want {
			t.Errorf("the container's %s is %q (set: %t), want %s", key, got, ok, show(want))
		}
	}
}

// checkHeaders compares the headers that the vector names; null is absence.
func (v *vector) checkHeaders(t *testing.T, s seen) {
	got := map[string][]string{"Content-Type": s.ContentType, "Accept": s.Accept, "Transfer-Encoding": nil}
	if s.Chunked {
		got["Transfer-Encoding"] = []string{"chunked"}
	}
	for key, want := range v.Headers {
		var values []string
		if want != nil {
			values = []string{*want}
		}
		if !slices.Equal(got[key], values) {
			t.Errorf("a request had %s %q, want %s", key, got[key], show(want))
		}
	}
}

func show(s *string) string {
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("%q", *s)
}

// checkOutput compares the whole output, byte for byte.
func (v *vector) checkOutput(t *testing.T, got map[string]stored) {
	for key, want := range v.Output {
		o, ok := got[key]
		if !ok {
			t.Errorf("there is no output %q; there is %q", key, slices.Sorted(maps.Keys(got)))
			continue
		}
		if !bytes.Equal(o.body, want) {
			t.Errorf("the output %q is\n  %s\nwant\n  %s", key, digestOf(o.body), digestOf(want))
		}
		if v.ContentType != "" && o.contentType != v.ContentType {
			t.Errorf("the output %q has the type %q, want %q", key, o.contentType, v.ContentType)
		}
	}
	for key := range got {
		if _, ok := v.Output[key]; !ok {
			t.Errorf("there is an output %q, which should not be", key)
		}
	}
}

// checkLog looks for the vector's lines, one after the other, in the data-log.
func (v *vector) checkLog(t *testing.T, got []string, bucket string) {
	text := "\n" + strings.Join(got, "\n") + "\n"
	want := strings.ReplaceAll("\n"+strings.Join(v.Log, "\n"), "BUCKET", bucket)
	if len(v.Log) > 0 && !strings.Contains(text, want) {
		t.Errorf("the data-log is %s\nand lacks %s", text, want)
	}
}
