package wire

import (
	"strconv"
	"strings"
)

// ShapeID is an index into the shapes of a service.
type ShapeID int

// Kind is what a shape's values are.
type Kind uint8

// The kinds of shapes.
const (
	KindStructure Kind = iota
	KindList
	KindMap
	KindString
	KindInteger
	KindLong
	KindFloat
	KindDouble
	KindBoolean
	KindTimestamp
	KindBlob
)

// scalar says that a value of the kind has no elements and no members.
func (k Kind) scalar() bool { return k >= KindString }

// Which of a shape's bounds are set.
const (
	HasMin = 1 << iota
	HasMax
)

// Shape is one shape of an API model with its constraints. Bounds are of the
// length of strings (in code points), blobs (in bytes), lists and maps, and of
// the value of numbers. Shapes are generated; nobody writes to them.
type Shape struct {
	Name     string
	Kind     Kind
	Bounds   uint8
	Secret   bool // the value, or the values of the map, are never repeated in texts
	Min, Max float64
	Pattern  *Pattern
	Enum     []string
	Key      ShapeID  // of a map
	Elem     ShapeID  // of a list's elements or a map's values
	Members  []Member // of a structure, in the order of its Go fields
}

// Member is a member of a structure. The Go field has its name with a capital.
type Member struct {
	Name     string
	Shape    ShapeID
	Required bool
}

// find gives the index of a member, -1 when there is none. Names are few and
// are compared by length first, so that a loop is faster than a map.
func (s *Shape) find(name []byte) int {
	for i := range s.Members {
		if s.Members[i].Name == string(name) {
			return i
		}
	}
	return -1
}

// constrained says whether a scalar can violate anything.
func (s *Shape) constrained() bool {
	return s.Bounds != 0 || s.Pattern != nil || s.Enum != nil
}

func (s *Shape) tooSmall(n float64) bool { return s.Bounds&HasMin != 0 && n < s.Min }
func (s *Shape) tooBig(n float64) bool   { return s.Bounds&HasMax != 0 && n > s.Max }

// The wording of each constraint (CP-16).

func (s *Shape) minText() string {
	return "Member must have " + s.measure() + " greater than or equal to " + s.boundText(s.Min)
}

func (s *Shape) maxText() string {
	return "Member must have " + s.measure() + " less than or equal to " + s.boundText(s.Max)
}

func (s *Shape) patternText() string {
	return "Member must satisfy regular expression pattern: " + s.Pattern.Text
}

func (s *Shape) enumText() string {
	return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
}

func (s *Shape) measure() string {
	switch s.Kind {
	case KindString, KindBlob, KindList, KindMap:
		return "length"
	}
	return "value"
}

// boundText writes a bound as the service does: bounds of floats have a point.
func (s *Shape) boundText(f float64) string {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if (s.Kind == KindFloat || s.Kind == KindDouble) && !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// constraints lists the wording of all constraints of a scalar.
func (s *Shape) constraints() string {
	var all []string
	if s.Bounds&HasMax != 0 {
		all = append(all, s.maxText())
	}
	if s.Bounds&HasMin != 0 {
		all = append(all, s.minText())
	}
	if s.Pattern != nil {
		all = append(all, s.patternText())
	}
	if s.Enum != nil {
		all = append(all, s.enumText())
	}
	return "[" + strings.Join(all, ", ") + "]"
}
