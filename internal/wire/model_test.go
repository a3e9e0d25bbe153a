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

var kindNames = map[string]kind{
	"structure": kindStructure, "list": kindList, "map": kindMap, "string": kindString, "integer": kindInteger,
	"long": kindLong, "float": kindFloat, "double": kindDouble, "boolean": kindBoolean, "timestamp": kindTimestamp,
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
	for _, op := range Operations() {
		o, ok := m.Operations[op.Name]
		if !ok {
			t.Errorf("%s is no operation", op.Name)
			continue
		}
		c.compare(o.Input.Shape, op.NewInput().shape())
		if (o.Output == nil) != (op.NewOutput() == nil) {
			t.Errorf("%s: the model's output is %v (CP-3)", op.Name, o.Output)
		} else if o.Output != nil {
			c.compare(o.Output.Shape, op.NewOutput().shape())
		}
	}
	if len(c.seen) != len(shapes) {
		t.Errorf("%d shapes are generated, the model reaches %d", len(shapes), len(c.seen))
	}
	for name := range m.Operations {
		if !Known(name) {
			t.Errorf("operation %s is not known", name)
		}
	}
	if len(known) != len(m.Operations) {
		t.Errorf("%d operations are known, the model has %d", len(known), len(m.Operations))
	}
	for name, s := range m.Shapes {
		if s.Exception != Code(name).modelled() {
			t.Errorf("exception %s: modelled = %v (CP-6)", name, s.Exception)
		}
	}
}

type comparer struct {
	t      *testing.T
	m      official
	seen   map[string]bool
	beyond map[string][]string
}

func (c *comparer) compare(name string, id shapeID) {
	if c.seen[name] {
		return
	}
	c.seen[name] = true
	o, s := c.m.Shapes[name], &shapes[id]
	bad := func(what string, got, want any) {
		c.t.Helper()
		c.t.Errorf("%s (%s): %s is %v, the model has %v", name, s.name, what, got, want)
	}
	if want, ok := kindNames[o.Type]; !ok || want != s.kind {
		bad("kind", s.kind, o.Type)
	}
	if (o.Min != nil) != (s.bounds&hasMin != 0) || (o.Min != nil && *o.Min != s.min) {
		bad("min", s.min, o.Min)
	}
	if (o.Max != nil) != (s.bounds&hasMax != 0) || (o.Max != nil && *o.Max != s.max) {
		bad("max", s.max, o.Max)
	}
	if (o.Pattern != "") != (s.pattern != nil) || (s.pattern != nil && o.Pattern != s.pattern.text) {
		bad("pattern", s.pattern, o.Pattern)
	}
	if !slices.Equal(s.enum, append(slices.Clone(o.Enum), c.beyond[name]...)) {
		bad("enum", s.enum, o.Enum)
	}
	if o.Member != nil {
		c.compare(o.Member.Shape, s.elem)
	}
	if o.Key != nil {
		c.compare(o.Key.Shape, s.key)
		c.compare(o.Value.Shape, s.elem)
	}
	want := o.members(c.t)
	if len(want) != len(s.members) {
		bad("members", s.members, want)
		return
	}
	for i, w := range want {
		got := s.members[i]
		if got.name != w[0] || got.required != slices.Contains(o.Required, w[0]) {
			bad("member", got, w)
		}
		c.compare(w[1], got.shape)
	}
}

// The tables and the structs agree: fields are in the order of the members.
func TestStructsFollowTables(t *testing.T) {
	t.Parallel()
	for _, op := range Operations() {
		for _, m := range []Message{op.NewInput(), op.NewOutput()} {
			if m != nil {
				checkFields(t, m)
			}
		}
	}
	for i := range shapes {
		if s := &shapes[i]; s.pattern != nil && (s.bounds&hasMax == 0 || s.max*4 > longestMatched) {
			t.Errorf("%s has a pattern and no maximum length that bounds the work", s.name)
		}
	}
	if !slices.IsSortedFunc(served[:], func(a, b Operation) int { return strings.Compare(a.Name, b.Name) }) || !slices.IsSorted(known[:]) {
		t.Error("served and known must be sorted")
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
		op, ok := Lookup(tt.name)
		if ok != tt.served || Known(tt.name) != tt.known || (ok && op.Name != tt.name) {
			t.Errorf("%q: served %v, known %v", tt.name, ok, Known(tt.name))
		}
	}
	if len(known) != 403 {
		t.Errorf("%d operations are known, SageMaker had 403 in August 2026", len(known))
	}
}
