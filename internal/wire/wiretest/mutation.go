package wiretest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// place is a value inside a sample.
type place struct {
	shape    wire.ShapeID
	steps    []any  // string for a member or key, int for an element
	path     string // as an error names it
	atParent string // where a constraint of the value is reported: a list's or map's own path for scalars in it
	required bool
	optional bool // a member that may be absent
}

// places lists every value under one.
func (s Suite) places(p place, v any) []place {
	shape := &s.Service.Shapes[p.shape]
	all := []place{p}
	under := func(step any, name string, id wire.ShapeID) place {
		path := strings.TrimPrefix(p.path+"."+name, ".")
		q := place{shape: id, steps: append(slices.Clone(p.steps), step), path: path, atParent: path}
		if shape.Kind != wire.KindStructure && s.Service.Shapes[id].Kind >= wire.KindString {
			q.atParent = p.path
		}
		return q
	}
	switch shape.Kind {
	case wire.KindStructure:
		for _, m := range shape.Members {
			q := under(m.Name, lowerFirst(m.Name), m.Shape)
			q.required, q.optional = m.Required, !m.Required
			all = append(all, s.places(q, v.(map[string]any)[m.Name])...)
		}
	case wire.KindList:
		for i, e := range v.([]any) {
			all = append(all, s.places(under(i, fmt.Sprintf("%d.member", i+1), shape.Elem), e)...)
		}
	case wire.KindMap:
		for _, k := range slices.Sorted(maps.Keys(v.(map[string]any))) {
			all = append(all, s.places(under(k, k+".member", shape.Elem), v.(map[string]any)[k])...)
		}
	}
	return all
}

// replace puts a value at the steps of a sample; remove takes it out.
func replace(v any, steps []any, with any, remove bool) any {
	if len(steps) == 0 {
		return with
	}
	switch step := steps[0].(type) {
	case int:
		v.([]any)[step] = replace(v.([]any)[step], steps[1:], with, remove)
	case string:
		m := v.(map[string]any)
		if remove && len(steps) == 1 {
			delete(m, step)
		} else {
			m[step] = replace(m[step], steps[1:], with, remove)
		}
	}
	return v
}

// mutation is a change of one value and what it must be refused with; no code
// means that it must be accepted.
type mutation struct {
	name   string
	with   any
	remove bool
	code   wire.Code
	want   []string
}

// violations changes every value of every served input: absent, null, of a wrong
// type, too short, too long, out of range, against the pattern, outside the enum.
// Each is refused with the right code, path and constraint (BT-28, CP-16).
func (s Suite) violations(t *testing.T) {
	for _, op := range s.Service.Served {
		t.Run(op.Name, func(t *testing.T) {
			t.Parallel()
			_, id := op.NewInput().Schema()
			n := 0
			for _, p := range s.places(place{shape: id}, s.Sample(t, id)) {
				for _, m := range s.mutations(t, p) {
					n++
					b := Body(t, replace(s.Sample(t, id), p.steps, m.with, m.remove))
					checkMutation(t, p, m, wire.DecodeInto(b, op.NewInput()))
				}
			}
			if n < 10 {
				t.Errorf("only %d mutations", n)
			}
			t.Logf("%d mutations", n)
		})
	}
}

func checkMutation(t *testing.T, p place, m mutation, err error) {
	t.Helper()
	if m.code == "" {
		if err != nil {
			t.Errorf("%s: %s: %v", p.path, m.name, err)
		}
		return
	}
	e, ok := err.(*wire.Error)
	if !ok || e.Code != m.code {
		t.Errorf("%s: %s: got %v, want %s", p.path, m.name, err, m.code)
		return
	}
	for _, want := range m.want {
		if !strings.Contains(e.Message, want) {
			t.Errorf("%s: %s:\n got %s\nwant %s", p.path, m.name, e.Message, want)
		}
	}
}

func (s Suite) mutations(t *testing.T, p place) []mutation {
	shape := &s.Service.Shapes[p.shape]
	var all []mutation
	at := "' at '" + p.atParent + "' failed to satisfy constraint: "
	refuse := func(name string, with any, constraint string) {
		all = append(all, mutation{name: name, with: with, code: s.Service.Invalid, want: []string{at, constraint}})
	}
	if len(p.steps) > 0 {
		switch null := "Value null at '" + p.path + "' failed to satisfy constraint: Member must not be null"; {
		case p.required:
			all = append(all, mutation{name: "absent", remove: true, code: s.Service.Invalid, want: []string{null}},
				mutation{name: "null", code: s.Service.Invalid, want: []string{null}})
		case p.optional:
			all = append(all, mutation{name: "absent", remove: true}, mutation{name: "null"})
		default:
			all = append(all, mutation{name: "null", code: wire.SerializationException, want: []string{"at '" + p.path + "'"}})
		}
	}
	for name, wrong := range map[string]any{"string": "x", "number": json.Number("3"), "true": true, "list": []any{}, "object": map[string]any{}} {
		if !takes(shape.Kind, name) {
			where := "at '" + p.path + "'"
			if p.path == "" {
				where = " "
			}
			all = append(all, mutation{name: "wrong type " + name, with: wrong, code: wire.SerializationException, want: []string{where}})
		}
	}
	switch shape.Kind {
	case wire.KindString:
		s.stringMutations(t, shape, refuse)
	case wire.KindList, wire.KindMap:
		s.collectionMutations(t, shape, refuse)
	case wire.KindInteger, wire.KindLong:
		if shape.Bounds&wire.HasMin != 0 {
			refuse("too small", json.Number(boundText(shape, shape.Min-1)), minText(shape))
		}
		if shape.Bounds&wire.HasMax != 0 {
			refuse("too big", json.Number(boundText(shape, shape.Max+1)), maxText(shape))
		}
		for _, bad := range []string{"3.5", "2147483648000000000000", "1e300", "-1e-7"} {
			all = append(all, mutation{name: bad, with: json.Number(bad), code: wire.SerializationException, want: []string{"at '" + p.path + "'"}})
		}
	}
	return all
}

// takes says which JSON types become a value of a kind.
func takes(k wire.Kind, name string) bool {
	switch name {
	case "string":
		return k == wire.KindString // also a timestamp or a blob, but not "x"
	case "number":
		return k >= wire.KindInteger && k <= wire.KindDouble || k == wire.KindTimestamp
	case "true":
		return k == wire.KindBoolean
	case "list":
		return k == wire.KindList
	}
	return k == wire.KindMap || k == wire.KindStructure
}

func (s Suite) stringMutations(t *testing.T, shape *wire.Shape, refuse func(string, any, string)) {
	valid := s.text(t, shape)
	if shape.Min > 0 {
		refuse("too short", valid[:int(shape.Min)-1], minText(shape))
	}
	if shape.Bounds&wire.HasMax != 0 {
		refuse("too long", valid+strings.Repeat(valid[len(valid)-1:], int(shape.Max)), maxText(shape))
		refuse("far too long", strings.Repeat("x", max(64<<10, int(shape.Max))+1), maxText(shape))
	}
	if shape.Enum != nil {
		refuse("unknown", "Nonesuch", enumText(shape))
		refuse("empty", "", enumText(shape))
		refuse("wrong case", strings.ToUpper(shape.Enum[0])+"x", enumText(shape))
	}
	if shape.Pattern == nil {
		return
	}
	if bad, ok := s.Multiline[shape.Pattern.Text]; ok {
		if bad != "" {
			refuse("against the pattern", valid+bad, patternText(shape))
		}
		return
	}
	refuse("line feed at the end", valid+"\n", patternText(shape))
	refuse("carriage return at the end", valid+"\r", patternText(shape))
	refuse("line feed at the start", "\n"+valid, patternText(shape))
}

func (s Suite) collectionMutations(t *testing.T, shape *wire.Shape, refuse func(string, any, string)) {
	fill := func(n int) any {
		if shape.Kind == wire.KindList {
			all := []any{}
			for range n {
				all = append(all, s.Sample(t, shape.Elem))
			}
			return all
		}
		all := map[string]any{}
		for i := range n {
			all[fmt.Sprintf("KEY_%d", i)] = s.Sample(t, shape.Elem)
		}
		return all
	}
	if shape.Min > 0 {
		refuse("too few", fill(int(shape.Min)-1), minText(shape))
	}
	if shape.Bounds&wire.HasMax != 0 {
		refuse("too many", fill(int(shape.Max)+1), maxText(shape))
		refuse("far too many", fill(int(shape.Max)*3+5), maxText(shape))
	}
	if shape.Kind == wire.KindMap && s.BadKey != "" {
		refuse("bad key", map[string]any{s.BadKey: s.Sample(t, shape.Elem)}, "Map keys must satisfy constraint: "+constraints(&s.Service.Shapes[shape.Key]))
	}
}
