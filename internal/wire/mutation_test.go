package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// place is a value inside a sample.
type place struct {
	shape    shapeID
	steps    []any  // string for a member or key, int for an element
	path     string // as an error names it
	atParent string // where a constraint of the value is reported: a list's or map's own path for scalars in it
	required bool
	optional bool // a member that may be absent
}

// places lists every value under one.
func places(p place, v any) []place {
	s := &shapes[p.shape]
	all := []place{p}
	under := func(step any, name string, shape shapeID) place {
		path := strings.TrimPrefix(p.path+"."+name, ".")
		q := place{shape: shape, steps: append(slices.Clone(p.steps), step), path: path, atParent: path}
		if s.kind != kindStructure && shapes[shape].kind.scalar() {
			q.atParent = p.path
		}
		return q
	}
	switch s.kind {
	case kindStructure:
		for _, m := range s.members {
			q := under(m.name, lowerFirst(m.name), m.shape)
			q.required, q.optional = m.required, !m.required
			all = append(all, places(q, v.(map[string]any)[m.name])...)
		}
	case kindList:
		for i, e := range v.([]any) {
			all = append(all, places(under(i, fmt.Sprintf("%d.member", i+1), s.elem), e)...)
		}
	case kindMap:
		for _, k := range slices.Sorted(maps.Keys(v.(map[string]any))) {
			all = append(all, places(under(k, k+".member", s.elem), v.(map[string]any)[k])...)
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
	code   Code
	want   []string
}

// For every value of every served input: absent, null, of a wrong type, too
// short, too long, out of range, against the pattern, outside the enum. Each is
// refused with the right code, path and constraint, and with nothing else when
// it is a plain violation (BT-28, CP-16).
func TestEveryViolationIsReported(t *testing.T) {
	t.Parallel()
	for _, op := range Operations() {
		t.Run(op.Name, func(t *testing.T) {
			t.Parallel()
			id := op.NewInput().shape()
			n := 0
			for _, p := range places(place{shape: id}, sample(t, id)) {
				for _, m := range mutations(t, p) {
					n++
					b := body(t, replace(sample(t, id), p.steps, m.with, m.remove))
					checkMutation(t, p, m, DecodeInto(b, op.NewInput()))
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
	e, ok := err.(*Error)
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

func mutations(t *testing.T, p place) []mutation {
	s := &shapes[p.shape]
	var all []mutation
	at := "' at '" + p.atParent + "' failed to satisfy constraint: "
	refuse := func(name string, with any, constraint string) {
		all = append(all, mutation{name: name, with: with, code: ValidationException, want: []string{at, constraint}})
	}
	if len(p.steps) > 0 {
		switch null := "Value null at '" + p.path + "' failed to satisfy constraint: Member must not be null"; {
		case p.required:
			all = append(all, mutation{name: "absent", remove: true, code: ValidationException, want: []string{null}},
				mutation{name: "null", code: ValidationException, want: []string{null}})
		case p.optional:
			all = append(all, mutation{name: "absent", remove: true}, mutation{name: "null"})
		default:
			all = append(all, mutation{name: "null", code: SerializationException, want: []string{"at '" + p.path + "'"}})
		}
	}
	for name, wrong := range map[string]any{"string": "x", "number": json.Number("3"), "true": true, "list": []any{}, "object": map[string]any{}} {
		if !takes(s.kind, name) {
			where := "at '" + p.path + "'"
			if p.path == "" {
				where = " "
			}
			all = append(all, mutation{name: "wrong type " + name, with: wrong, code: SerializationException, want: []string{where}})
		}
	}
	switch s.kind {
	case kindString:
		stringMutations(t, s, refuse)
	case kindList, kindMap:
		collectionMutations(t, s, refuse)
	case kindInteger, kindLong:
		if s.bounds&hasMin != 0 {
			refuse("too small", json.Number(s.boundText(s.min-1)), s.minText())
		}
		if s.bounds&hasMax != 0 {
			refuse("too big", json.Number(s.boundText(s.max+1)), s.maxText())
		}
		for _, bad := range []string{"3.5", "2147483648000000000000", "1e300", "-1e-7"} {
			all = append(all, mutation{name: bad, with: json.Number(bad), code: SerializationException, want: []string{"at '" + p.path + "'"}})
		}
	}
	return all
}

// takes says which JSON types become a value of a kind.
func takes(k kind, name string) bool {
	switch name {
	case "string":
		return k == kindString // also a timestamp, but not "x"
	case "number":
		return k >= kindInteger && k <= kindDouble || k == kindTimestamp
	case "true":
		return k == kindBoolean
	case "list":
		return k == kindList
	}
	return k == kindMap || k == kindStructure
}

func stringMutations(t *testing.T, s *shape, refuse func(string, any, string)) {
	valid := sampleString(t, s)
	if s.min > 0 {
		refuse("too short", valid[:int(s.min)-1], s.minText())
	}
	if s.bounds&hasMax != 0 {
		refuse("too long", valid+strings.Repeat(valid[len(valid)-1:], int(s.max)), s.maxText())
		refuse("far too long", strings.Repeat("x", longestMatched+1), s.maxText())
	}
	if s.enum != nil {
		refuse("unknown", "Nonesuch", s.enumText())
		refuse("empty", "", s.enumText())
		refuse("wrong case", strings.ToUpper(s.enum[0])+"x", s.enumText())
	}
	if s.pattern == nil || s.pattern.text == `[\S\s]*` {
		return // takes any text
	}
	refuse("line feed at the end", valid+"\n", s.patternText())
	refuse("carriage return at the end", valid+"\r", s.patternText())
	refuse("line feed at the start", "\n"+valid, s.patternText())
}

func collectionMutations(t *testing.T, s *shape, refuse func(string, any, string)) {
	fill := func(n int) any {
		if s.kind == kindList {
			all := []any{}
			for range n {
				all = append(all, sample(t, s.elem))
			}
			return all
		}
		all := map[string]any{}
		for i := range n {
			all[fmt.Sprintf("KEY_%d", i)] = sample(t, s.elem)
		}
		return all
	}
	if s.min > 0 {
		refuse("too few", fill(int(s.min)-1), s.minText())
	}
	if s.bounds&hasMax != 0 {
		refuse("too many", fill(int(s.max)+1), s.maxText())
		refuse("far too many", fill(int(s.max)*3+5), s.maxText())
	}
	if s.kind == kindMap {
		refuse("bad key", map[string]any{"1 bad key": sample(t, s.elem)}, "Map keys must satisfy constraint: "+shapes[s.key].constraints())
	}
}
