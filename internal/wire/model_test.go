package wire

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shared is a folder beside the repository with the API model of August 2026
// and recorded answers. Tests that read it skip when it is not there.
const shared = "../../../shared"

// official is the part of a service-2.json file that the test compares.
type official struct {
	Operations map[string]struct {
		Input  *struct{ Shape string }
		Output *struct{ Shape string }
	}
	Shapes map[string]*officialShape
}

type officialShape struct {
	Type      string
	Required  []string
	Members   json.RawMessage
	Min, Max  *float64
	Pattern   string
	Enum      []string
	Member    *struct{ Shape string }
	Key       *struct{ Shape string }
	Value     *struct{ Shape string }
	Exception bool
}

func readOfficial(t *testing.T) official {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(shared, "spec/api/sagemaker.service-2.json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the API model of August 2026 is not beside the repository; nothing to compare with")
	}
	if err != nil {
		t.Fatal(err)
	}
	var m official
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// members reads names and shapes in the order of the file.
func (s *officialShape) members(t *testing.T) (all [][2]string) {
	t.Helper()
	if s.Members == nil {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(string(s.Members)))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	for dec.More() {
		name, err := dec.Token()
		var m struct{ Shape string }
		if err2 := dec.Decode(&m); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		all = append(all, [2]string{name.(string), m.Shape})
	}
	return all
}

var kindNames = map[string]Kind{
	"structure": KindStructure, "list": KindList, "map": KindMap, "string": KindString, "integer": KindInteger,
	"long": KindLong, "float": KindFloat, "double": KindDouble, "boolean": KindBoolean, "timestamp": KindTimestamp,
}

// The served operations have exactly the model of August 2026: members, their
// order, required ones, enums, bounds and patterns. What Sagebrush accepts
// beyond it is listed here.
func TestTablesAreTheOfficialModel(t *testing.T) {
	t.Parallel()
	m := readOfficial(t)
	c := comparer{t: t, m: m, seen: map[string]bool{}, beyond: map[string][]string{
		"AssemblyType": {"RecordIO"}, // SD-6
	}}
	for _, op := range SageMaker.Served {
		o, ok := m.Operations[op.Name]
		if !ok {
			t.Errorf("%s is no operation", op.Name)
			continue
		}
		c.compare(o.Input.Shape, idOf(op.NewInput()))
		if (o.Output == nil) != (op.NewOutput() == nil) {
			t.Errorf("%s: the model's output is %v (CP-3)", op.Name, o.Output)
		} else if o.Output != nil {
			c.compare(o.Output.Shape, idOf(op.NewOutput()))
		}
	}
	if len(c.seen) != len(shapes) {
		t.Errorf("%d shapes are generated, the model reaches %d", len(shapes), len(c.seen))
	}
	for name := range m.Operations {
		if !SageMaker.Known(name) {
			t.Errorf("operation %s is not known", name)
		}
	}
	if len(names) != len(m.Operations) {
		t.Errorf("%d operations are known, the model has %d", len(names), len(m.Operations))
	}
	for name, s := range m.Shapes {
		if s.Exception != Code(name).modelled() {
			t.Errorf("exception %s: modelled = %v (CP-6)", name, s.Exception)
		}
	}
}

func idOf(m Message) ShapeID {
	_, id := m.Schema()
	return id
}

type comparer struct {
	t      *testing.T
	m      official
	seen   map[string]bool
	beyond map[string][]string
}

func (c *comparer) compare(name string, id ShapeID) {
	if c.seen[name] {
		return
	}
	c.seen[name] = true
	o, s := c.m.Shapes[name], &shapes[id]
	bad := func(what string, got, want any) {
		c.t.Helper()
		c.t.Errorf("%s (%s): %s is %v, the model has %v", name, s.Name, what, got, want)
	}
	if want, ok := kindNames[o.Type]; !ok || want != s.Kind {
		bad("kind", s.Kind, o.Type)
	}
	if (o.Min != nil) != (s.Bounds&HasMin != 0) || (o.Min != nil && *o.Min != s.Min) {
		bad("min", s.Min, o.Min)
	}
	if (o.Max != nil) != (s.Bounds&HasMax != 0) || (o.Max != nil && *o.Max != s.Max) {
		bad("max", s.Max, o.Max)
	}
	if (o.Pattern != "") != (s.Pattern != nil) || (s.Pattern != nil && o.Pattern != s.Pattern.Text) {
		bad("pattern", s.Pattern, o.Pattern)
	}
	if !slices.Equal(s.Enum, append(slices.Clone(o.Enum), c.beyond[name]...)) {
		bad("enum", s.Enum, o.Enum)
	}
	if o.Member != nil {
		c.compare(o.Member.Shape, s.Elem)
	}
	if o.Key != nil {
		c.compare(o.Key.Shape, s.Key)
		c.compare(o.Value.Shape, s.Elem)
	}
	want := o.members(c.t)
	if len(want) != len(s.Members) {
		bad("members", s.Members, want)
		return
	}
	for i, w := range want {
		got := s.Members[i]
		if got.Name != w[0] || got.Required != slices.Contains(o.Required, w[0]) {
			bad("member", got, w)
		}
		c.compare(w[1], got.Shape)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		served, known bool
	}{
		{"CreateTransformJob", true, true},
		{"DeleteTags", true, true},
		{"CreateTrainingJob", false, true},
		{"CreateMlflowApp", false, true}, // newer than the generator's model file
		{"createTransformJob", false, false},
		{"", false, false},
	} {
		op, ok := SageMaker.Lookup(tt.name)
		if ok != tt.served || SageMaker.Known(tt.name) != tt.known || (ok && op.Name != tt.name) {
			t.Errorf("%q: served %v, known %v", tt.name, ok, SageMaker.Known(tt.name))
		}
	}
	if len(names) != 403 {
		t.Errorf("%d operations are known, SageMaker had 403 in August 2026", len(names))
	}
}
