package transform

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func n(v int) *int { return &v }

// CC-32, CC-33, CC-38, SD-8, T-24: each value on its own.
func TestResolve(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		spec  resource.TransformSpec
		offer Suggested
		want  string
	}{
		{"defaults", resource.TransformSpec{}, Suggested{}, "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD"},
		{"the container's", resource.TransformSpec{}, Suggested{n(4), n(2), resource.SingleRecord}, "MaxConcurrentTransforms=4, MaxPayloadInMB=2, BatchStrategy=SINGLE_RECORD"},
		{"the job's", resource.TransformSpec{MaxConcurrentTransforms: n(2), MaxPayloadInMB: n(0), BatchStrategy: resource.MultiRecord}, Suggested{n(4), n(2), resource.SingleRecord}, "MaxConcurrentTransforms=2, MaxPayloadInMB=0, BatchStrategy=MULTI_RECORD"},
		{"0 asks the container", resource.TransformSpec{MaxConcurrentTransforms: n(0), DefaultConcurrency: 1}, Suggested{n(4), nil, ""}, "MaxConcurrentTransforms=4, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD"},
		{"the seed's default", resource.TransformSpec{DefaultConcurrency: 1}, Suggested{n(4), nil, ""}, "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD"},
		{"a suggestion over 100 MB", resource.TransformSpec{MaxPayloadInMB: n(30)}, Suggested{n(8), nil, ""}, "MaxConcurrentTransforms=3, MaxPayloadInMB=30, BatchStrategy=MULTI_RECORD"},
	}
	for _, c := range cases {
		if got := Resolve(c.spec, c.offer).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// BT-101, BT-103: where outputs go, for every captured case.
func TestRelative(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"p/batch/batch_data.csv", "p/batch/batch_data.csv", "batch_data.csv"},
		{"p/batch_input", "p/batch_input/X.csv", "X.csv"},
		{"batch_transform", "batch_transform/0.png", "0.png"},
		{"a/sub/file.jpg", "a/sub/file.jpg", "file.jpg"},
		{"p/", "p/y=2026/m=09/in.jsonl", "y=2026/m=09/in.jsonl"},
		{"", "a/b", "a/b"},
		{"in", "in/a.csv", "a.csv"},
		{"in", "inner/b.csv", "inner/b.csv"}, // T-10
		{"x/in", "x/inner/b.csv", "inner/b.csv"},
	} {
		if got := Relative(c[0], c[1]); got != c[2] {
			t.Errorf("Relative(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// BT-43 to BT-45.
func TestManifest(t *testing.T) {
	t.Parallel()
	ref, names, err := ParseManifest([]byte(`[ {"prefix": "s3://b/some/prefix/"},
		"relative/a%20b", "c", "relative/a%20b" ]`))
	if err != nil || ref != (objstore.Ref{Bucket: "b", Key: "some/prefix/"}) || strings.Join(names, "|") != "relative/a%20b|c" {
		t.Errorf("%v %q %v", ref, names, err)
	}
	for bad, want := range map[string]string{
		``:                                 "a manifest is a JSON array",
		`{"prefix":"s3://b/"}`:             "a manifest is a JSON array",
		`[]`:                               "it has no entries",
		`["a"]`:                            "its first entry must be",
		`[{"prefix":"ftp://b/"},"a"]`:      "its prefix: the S3 URI",
		`[{"prefix":"s3://b/"},7]`:         "its entry 2 is not a string",
		`[{"prefix":"s3://b/"},"a",null]`:  "its entry 3 is not a string",
		`[{"prefix":"s3://b/"}]`:           "it names no objects",
		`[{"prefix":"s3://b"},""]`:         "is empty and names no object",
		`[{"prefix":"s3://b/"},{"p":"x"}]`: "its entry 2 is not a string",
	} {
		if _, _, err := ParseManifest([]byte(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", bad, err, want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`[{"prefix":"s3://b/p/"},"a","b"]`))
	f.Fuzz(func(t *testing.T, in []byte) {
		ref, names, err := ParseManifest(in)
		if err == nil && (ref.Bucket == "" || len(names) == 0) {
			t.Fatalf("%v %q", ref, names)
		}
	})
}

// A manifest's entries that do not exist are listed: they fail in their turn
// (BT-24, BT-47). A missing manifest, and one that is none, fail the job.
func TestListManifest(t *testing.T) {
	t.Parallel()
	st := memstore.New("in")
	st.Put(objstore.Ref{Bucket: "in", Key: "m"}, `[{"prefix":"s3://in/"},"x","missing"]`)
	st.Put(objstore.Ref{Bucket: "in", Key: "x"}, "abc")
	var got []Object
	in := resource.TransformInput{S3DataType: "ManifestFile", S3URI: "s3://in/m"}
	err := List(t.Context(), st, in, func(o Object) error { got = append(got, o); return nil })
	if err != nil || len(got) != 2 || got[0].Size != 3 || got[1].Key != "missing" || got[1].ETag != "" {
		t.Errorf("%+v %v", got, err)
	}
	for key, want := range map[string]string{"x": "s3://in/x is not a manifest", "y": "s3://in/y does not exist"} {
		in.S3URI = "s3://in/" + key
		if err := List(t.Context(), st, in, nil); AsFailure(err).Class != ClientError || !strings.Contains(AsFailure(err).Text, want) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// Whatever happens, in whatever order: no job begins twice, each ends, and none
// moves after its end.
func TestPlanEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		j := resource.TransformJob{Status: resource.JobInProgress}
		var seen Observation
		apply := func(e resource.TransformEvent) {
			next, err := j.Apply(e, j.Created)
			if err != nil {
				t.Fatalf("Plan made an illegal move: %v", err)
			}
			j = next
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0: // a look
				d := Plan(j, seen)
				if d.Action == Run && seen.Running {
					t.Fatal("a second run")
				}
				if d.Action == Run {
					seen = Observation{Running: true}
				}
				if d.Action == Halt {
					seen = Observation{}
				}
				if d.Event != nil {
					apply(d.Event)
					seen = Observation{}
				}
			case 1: // the run ends
				if seen.Running {
					seen = Observation{Ended: &Result{Objects: 2}}
					if rapid.Bool().Draw(t, "failed") {
						seen.Ended.Failed, seen.Ended.Worst = 1, &Failure{Class: ClientError}
					}
				}
			case 2: // the server crashes
				seen = Observation{}
			case 3: // the user
				if !j.Status.Terminal() {
					apply(resource.StopAsked{})
				}
			}
		}
		for range 4 { // and then calm
			d := Plan(j, seen)
			if d.Action == Run {
				seen = Observation{Ended: &Result{}}
			} else if d.Action == Halt {
				seen = Observation{}
			}
			if d.Event != nil {
				apply(d.Event)
			}
			if seen.Running {
				seen = Observation{Ended: &Result{}}
			}
		}
		if !j.Status.Terminal() {
			t.Fatalf("the job is still %s", j.Status)
		}
	})
}
