// Package wiretest is the suite that the generated part of every service passes:
// samples of every operation are accepted, survive a round trip and look on the
// wire as the golden files say, and each violation of the model is refused with
// its code, its path and its wording.
package wiretest

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// Suite is a service whose shapes are tried. Of makes one.
type Suite struct{ Service *wire.Service }

// Run runs the suite. The golden files are in testdata; -rewrite writes them.
func (s Suite) Run(t *testing.T) {
	t.Run("tables", s.tables)
	t.Run("samples", s.samples)
	t.Run("golden", s.golden)
	t.Run("violations", s.violations)
}

// longestMatched is what package wire matches against a pattern, in bytes.
const longestMatched = 64 << 10

// tables checks that tables and structs agree, and that work is bounded.
func (s Suite) tables(t *testing.T) {
	for _, op := range s.Service.Served {
		for _, m := range []wire.Message{op.NewInput(), op.NewOutput()} {
			if m == nil {
				continue
			}
			service, id := m.Schema()
			if service != s.Service {
				t.Fatalf("%s belongs to %s", op.Name, service.Name)
			}
			s.fields(t, id, reflect.TypeOf(m).Elem())
		}
		if !s.Service.Known(op.Name) {
			t.Errorf("%s is served and not known", op.Name)
		}
		if found, ok := s.Service.Lookup(op.Name); !ok || found.Name != op.Name {
			t.Errorf("%s is not found", op.Name)
		}
	}
	for i := range s.Service.Shapes {
		if shape := &s.Service.Shapes[i]; shape.Pattern != nil && (shape.Bounds&wire.HasMax == 0 || shape.Max*4 > longestMatched) {
			t.Errorf("%s has a pattern and no maximum length that bounds the work", shape.Name)
		}
	}
	if !slices.IsSortedFunc(s.Service.Served, func(a, b wire.Operation) int { return strings.Compare(a.Name, b.Name) }) || !slices.IsSorted(s.Service.Names) {
		t.Error("served operations and names must be sorted")
	}
}

// fields checks that the fields of a struct are in the order of the members.
func (s Suite) fields(t *testing.T, id wire.ShapeID, typ reflect.Type) {
	t.Helper()
	shape := &s.Service.Shapes[id]
	switch shape.Kind {
	case wire.KindList, wire.KindMap:
		s.fields(t, shape.Elem, typ.Elem())
	case wire.KindStructure:
		if typ.NumField() != len(shape.Members) {
			t.Fatalf("%s has %d fields and %d members", shape.Name, typ.NumField(), len(shape.Members))
		}
		for i, m := range shape.Members {
			f := typ.Field(i)
			if lowerFirst(f.Name) != lowerFirst(m.Name) {
				t.Errorf("%s: field %d is %s, member is %s", shape.Name, i, f.Name, m.Name)
			}
			if f.Type.Kind() == reflect.Pointer {
				f.Type = f.Type.Elem()
			}
			s.fields(t, m.Shape, f.Type)
		}
	}
}

// samples checks that every operation's sample passes, so that no constraint is
// too strict for a plain request.
func (s Suite) samples(t *testing.T) {
	for _, op := range s.Service.Served {
		for _, m := range []wire.Message{op.NewInput(), op.NewOutput()} {
			if m == nil {
				continue
			}
			_, id := m.Schema()
			if err := wire.DecodeInto(Body(t, s.Sample(t, id)), m); err != nil {
				t.Errorf("%s, %T: %v", op.Name, m, err)
			}
		}
	}
}

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// golden compares a request with every member set, for each operation, with a
// file: what a change of the model or of the structs does to the wire is seen in
// review. Each is read back and written again, byte by byte.
func (s Suite) golden(t *testing.T) {
	for _, op := range s.Service.Served {
		file := filepath.Join("testdata", op.Name+".json")
		in := op.NewInput()
		_, id := in.Schema()
		if err := wire.DecodeInto(Body(t, s.Sample(t, id)), in); err != nil {
			t.Fatal(err)
		}
		got := append(wire.Encode(in), '\n')
		if *rewrite {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s:\n got %s\nwant %s", file, got, want)
		}
		again := op.NewInput()
		if err := wire.DecodeInto(want, again); err != nil || string(wire.Encode(again))+"\n" != string(want) {
			t.Errorf("%s: read back as %s, %v", file, wire.Encode(again), err)
		}
	}
}

// Fuzz decodes whatever a stranger sends: the result passes Validate and survives
// encoding, or is an *Error of one of its two codes; it never panics.
func (s Suite) Fuzz(f *testing.F, seeds ...string) {
	for i, op := range s.Service.Served {
		_, id := op.NewInput().Schema()
		f.Add(i, Body(f, s.Sample(f, id)))
	}
	for i, seed := range seeds {
		f.Add(i, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, i int, b []byte) {
		op := s.Service.Served[uint(i)%uint(len(s.Service.Served))]
		in := op.NewInput()
		if err := wire.DecodeInto(b, in); err != nil {
			e, ok := err.(*wire.Error)
			if !ok || e.Status != 400 || e.Code != s.Service.Invalid && e.Code != wire.SerializationException {
				t.Fatalf("%v", err)
			}
			return
		}
		text := wire.Encode(in)
		again := op.NewInput()
		if err := wire.DecodeInto(text, again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if second := wire.Encode(again); string(second) != string(text) {
			t.Fatalf("%s\n%s", text, second)
		}
	})
}
