package wiretest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
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

// places lists every value that is there under one.
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
			if _, ok := v.(map[string]any)[m.Name]; !ok {
				continue
			}
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

// Mutation is a request with one value changed, and what it must be refused with.
type Mutation struct {
	Name string // where and what
	Body []byte
	Code wire.Code // "" where the request is still valid
	Want []string  // what the text of the refusal has
}

// Check compares the outcome of a mutation with what it must be.
func (m Mutation) Check(t testing.TB, code wire.Code, text string) {
	t.Helper()
	if code != m.Code {
		t.Errorf("%s: got %q %s, want %q", m.Name, code, text, m.Code)
		return
	}
	for _, want := range m.Want {
		if !strings.Contains(text, want) {
			t.Errorf("%s:\n got %s\nwant %s", m.Name, text, want)
		}
	}
}

// Mutations changes every value of a request of an operation: absent, null, of a
// wrong type, too short, too long, out of range, against the pattern, outside the
// enum. request is a valid one, as encoding/json knows it with numbers as they are
// written; Sample makes one with every member.
func (s Suite) Mutations(t testing.TB, op wire.Operation, request any) iter.Seq[Mutation] {
	_, id := op.NewInput().Schema()
	whole := Body(t, request)
	return func(yield func(Mutation) bool) {
		for _, p := range s.places(place{shape: id}, request) {
			for _, c := range s.changes(t, p) {
				var copied any
				d := json.NewDecoder(bytes.NewReader(whole))
				d.UseNumber()
				if err := d.Decode(&copied); err != nil {
					t.Fatal(err)
				}
				m := Mutation{Name: p.path + ": " + c.name, Code: c.code, Want: c.want}
				if m.Body = Body(t, replace(copied, p.steps, c.with, c.remove)); !yield(m) {
					return
				}
			}
		}
	}
}

// change is what a mutation does to one value.
type change struct {
	name   string
	with   any
	remove bool
	code   wire.Code
	want   []string
}

// violations tries the mutations of every operation's sample. Each is refused with
// the right code, path and constraint (BT-28, CP-16).
func (s Suite) violations(t *testing.T) {
	for _, op := range s.Service.Served {
		t.Run(op.Name, func(t *testing.T) {
			t.Parallel()
			_, id := op.NewInput().Schema()
			n := 0
			for m := range s.Mutations(t, op, s.Sample(t, id)) {
				n++
				e := &wire.Error{}
				if err := wire.DecodeInto(m.Body, op.NewInput()); err != nil && !errors.As(err, &e) {
					t.Fatal(err)
				}
				m.Check(t, e.Code, e.Message)
			}
			if n < 10 {
				t.Errorf("only %d mutations", n)
			}
			t.Logf("%d mutations", n)
		})
	}
}

// changes lists what is done to the value at a place.
func (s Suite) changes(t testing.TB, p place) []change {
	shape := &s.Service.Shapes[p.shape]
	var all []change
	at := "' at '" + p.atParent + "' failed to satisfy constraint: "
	refuse := func(name string, with any, constraint string) {
		all = append(all, change{name: name, with: with, code: s.Service.Invalid, want: []string{at, constraint}})
	}
	if len(p.steps) > 0 {
		switch null := "Value null at '" + p.path + "' failed to satisfy constraint: Member must not be null"; {
		case p.required:
			all = append(all, change{name: "absent", remove: true, code: s.Service.Invalid, want: []string{null}},
				change{name: "null", code: s.Service.Invalid, want: []string{null}})
		case p.optional:
			all = append(all, change{name: "absent", remove: true}, change{name: "null"})
		default:
			all = append(all, change{name: "null", code: wire.SerializationException, want: []string{"at '" + p.path + "'"}})
		}
	}
	for name, wrong := range map[string]any{"string": "x", "number": json.Number("3"), "true": true, "list": []any{}, "object": map[string]any{}} {
		if !takes(shape.Kind, name) {
			where := "at '" + p.path + "'"
			if p.path == "" {
				where = " "
			}
			all = append(all, change{name: "wrong type " + name, with: wrong, code: wire.SerializationException, want: []string{where}})
		}
	}
	switch shape.Kind {
	case wire.KindString:
		s.stringChanges(t, shape, refuse)
	case wire.KindList, wire.KindMap:
		s.collectionChanges(t, shape, refuse)
	case wire.KindInteger, wire.KindLong, wire.KindFloat, wire.KindDouble:
		if shape.Bounds&wire.HasMin != 0 {
			refuse("too small", json.Number(boundText(shape, shape.Min-1)), minText(shape))
		}
		if shape.Bounds&wire.HasMax != 0 {
			refuse("too big", json.Number(boundText(shape, shape.Max+1)), maxText(shape))
		}
		for _, bad := range numbers(shape.Kind) {
			all = append(all, change{name: bad, with: json.Number(bad), code: wire.SerializationException, want: []string{"at '" + p.path + "'"}})
		}
	case wire.KindBlob:
		if shape.Bounds&wire.HasMax != 0 {
			refuse("too long", base64.StdEncoding.EncodeToString(make([]byte, int(shape.Max)+1)), maxText(shape))
		}
	}
	return all
}

// numbers are those that no value of a kind can be.
func numbers(k wire.Kind) []string {
	if k == wire.KindFloat || k == wire.KindDouble {
		return []string{"1e999", "-1e999", strings.Repeat("9", 400)}
	}
	return []string{"3.5", "2147483648000000000000", "1e300", "-1e-7", "1e999", strings.Repeat("9", 400)}
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

func (s Suite) stringChanges(t testing.TB, shape *wire.Shape, refuse func(string, any, string)) {
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
	if bad, ok := multiline[shape.Pattern.Text]; ok {
		if bad != "" {
			refuse("against the pattern", valid+bad, patternText(shape))
		}
		return
	}
	refuse("line feed at the end", valid+"\n", patternText(shape))
	refuse("carriage return at the end", valid+"\r", patternText(shape))
	refuse("line feed at the start", "\n"+valid, patternText(shape))
}

func (s Suite) collectionChanges(t testing.TB, shape *wire.Shape, refuse func(string, any, string)) {
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
	if shape.Kind == wire.KindMap && s.badKey() != "" {
		refuse("bad key", map[string]any{s.badKey(): s.Sample(t, shape.Elem)}, "Map keys must satisfy constraint: "+constraints(&s.Service.Shapes[shape.Key]))
	}
}
