package wire

import (
	"reflect"
	"testing"
)

func checkFields(t *testing.T, m Message) {
	t.Helper()
	checkType(t, m.shape(), reflect.TypeOf(m).Elem())
}

func checkType(t *testing.T, id shapeID, typ reflect.Type) {
	t.Helper()
	s := &shapes[id]
	switch s.kind {
	case kindList, kindMap:
		checkType(t, s.elem, typ.Elem())
	case kindStructure:
		if typ.NumField() != len(s.members) {
			t.Fatalf("%s has %d fields and %d members", s.name, typ.NumField(), len(s.members))
		}
		for i, m := range s.members {
			f := typ.Field(i)
			if f.Name != m.name {
				t.Errorf("%s: field %d is %s, member is %s", s.name, i, f.Name, m.name)
			}
			if f.Type.Kind() == reflect.Pointer {
				f.Type = f.Type.Elem()
			}
			checkType(t, m.shape, f.Type)
		}
	}
}
