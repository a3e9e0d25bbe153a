package wire

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxViolations bounds the text of a ValidationException, in bytes: violations
// after that are counted and not written out.
const maxViolations = 32 << 10

// Validate checks a message against the constraints of the model: required
// members, lengths, ranges, patterns and enums. The error has the service's code
// for that (ValidationException in SageMaker) and lists every violation in the
// model's member order (CP-16). Decode has called it already; it serves those who fill a message
// themselves.
func Validate(m Message) error {
	service, id := m.Schema()
	c := checker{shapes: service.Shapes, path: make(path, 0, 8)}
	c.value(id, reflect.ValueOf(m).Elem())
	if c.count == 0 {
		return nil
	}
	if left := c.count - c.written; left > 0 {
		fmt.Fprintf(&c.text, "; and %d more", left)
	}
	noun := "errors"
	if c.count == 1 {
		noun = "error"
	}
	return Errorf(service.Invalid, "%d validation %s detected: %s", c.count, noun, c.text.String())
}

type checker struct {
	shapes  []Shape
	path    path
	text    strings.Builder
	count   int
	written int
}

// violation reports that the value at the path breaks a constraint. value is
// written as it stands, so it has its own quotes.
func (c *checker) violation(value, constraint string) {
	c.count++
	if c.text.Len() > maxViolations {
		return
	}
	if c.written > 0 {
		c.text.WriteString("; ")
	}
	c.written++
	fmt.Fprintf(&c.text, "Value %s at '%s' failed to satisfy constraint: %s", value, c.path, constraint)
}

// value checks a value that is there.
func (c *checker) value(id ShapeID, v reflect.Value) {
	s := &c.shapes[id]
	switch s.Kind {
	case KindStructure:
		c.structure(s, v)
	case KindList:
		c.length(s, v)
		c.elements(s, v)
	case KindMap:
		c.length(s, v)
		c.entries(s, v)
	default:
		c.scalar(s, v)
	}
}

func (c *checker) structure(s *Shape, v reflect.Value) {
	for i := range s.Members {
		m, field := &s.Members[i], v.Field(i)
		if field.IsNil() && !m.Required {
			continue
		}
		c.path.member(m.Name)
		switch {
		case field.IsNil():
			c.violation("null", "Member must not be null")
		case field.Kind() == reflect.Pointer:
			c.value(m.Shape, field.Elem())
		default:
			c.value(m.Shape, field)
		}
		c.path.pop()
	}
}

func (c *checker) length(s *Shape, v reflect.Value) {
	n := float64(v.Len())
	if s.tooBig(n) {
		c.violation(quoted(c.shapes, s, v), s.maxText())
	}
	if s.tooSmall(n) {
		c.violation(quoted(c.shapes, s, v), s.minText())
	}
}

func (c *checker) elements(s *Shape, v reflect.Value) {
	elem := &c.shapes[s.Elem]
	if !elem.Kind.scalar() {
		for i := range v.Len() {
			c.path.element(i)
			c.value(s.Elem, v.Index(i))
			c.path.pop()
		}
		return
	}
	for i := range v.Len() {
		if !satisfies(elem, v.Index(i)) {
			c.violation(quoted(c.shapes, s, v), "Member must satisfy constraint: "+elem.constraints())
			return
		}
	}
}

// entries checks keys and values of a map, each reported once at the map.
func (c *checker) entries(s *Shape, v reflect.Value) {
	key, elem := &c.shapes[s.Key], &c.shapes[s.Elem]
	badKey, badValue := false, false
	for _, k := range sortedKeys(v) {
		badKey = badKey || !satisfies(key, k)
		if !elem.Kind.scalar() {
			c.path.mapKey(k.String())
			c.value(s.Elem, v.MapIndex(k))
			c.path.pop()
			continue
		}
		badValue = badValue || !satisfies(elem, v.MapIndex(k))
	}
	if badKey {
		c.violation(quoted(c.shapes, s, v), "Map keys must satisfy constraint: "+key.constraints())
	}
	if badValue {
		c.violation(quoted(c.shapes, s, v), "Map value must satisfy constraint: "+elem.constraints())
	}
}

func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}

func (c *checker) scalar(s *Shape, v reflect.Value) {
	if !s.constrained() {
		return
	}
	big, small, mismatch, stranger := broken(s, v)
	if big {
		c.violation(quoted(c.shapes, s, v), s.maxText())
	}
	if small {
		c.violation(quoted(c.shapes, s, v), s.minText())
	}
	if mismatch {
		c.violation(quoted(c.shapes, s, v), s.patternText())
	}
	if stranger {
		c.violation(quoted(c.shapes, s, v), s.enumText())
	}
}

func satisfies(s *Shape, v reflect.Value) bool {
	big, small, mismatch, stranger := broken(s, v)
	return !(big || small || mismatch || stranger)
}

// broken says which constraints a scalar breaks: its maximum, its minimum, its
// pattern, its enum.
func broken(s *Shape, v reflect.Value) (big, small, mismatch, stranger bool) {
	var n float64
	switch s.Kind {
	case KindString:
		text := v.String()
		if s.Bounds != 0 {
			n = float64(utf8.RuneCountInString(text))
		}
		mismatch = s.Pattern != nil && !s.Pattern.satisfied(text)
		stranger = s.Enum != nil && !slices.Contains(s.Enum, text)
	case KindBlob:
		n = float64(v.Len())
	case KindInteger, KindLong:
		n = float64(v.Int())
	case KindFloat, KindDouble:
		n = v.Float()
	default:
		return
	}
	return s.tooBig(n), s.tooSmall(n), mismatch, stranger
}
