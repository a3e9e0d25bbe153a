package wire

import (
	"strconv"
	"strings"
)

// shapeID is an index into shapes.
type shapeID int

type kind uint8

const (
	kindStructure kind = iota
	kindList
	kindMap
	kindString
	kindInteger
	kindLong
	kindFloat
	kindDouble
	kindBoolean
	kindTimestamp
)

// scalar says that a value of the kind has no elements and no members.
func (k kind) scalar() bool { return k >= kindString }

// Which of a shape's bounds are set.
const (
	hasMin = 1 << iota
	hasMax
)

// shape is one shape of the API model with its constraints. Bounds are of the
// length of strings (in code points), lists and maps, and of the value of
// numbers.
type shape struct {
	name     string
	kind     kind
	bounds   uint8
	secret   bool // values of the map are never repeated in texts
	min, max float64
	pattern  *pattern
	enum     []string
	key      shapeID  // of a map
	elem     shapeID  // of a list's elements or a map's values
	members  []member // of a structure, in the order of its Go fields
}

// member is a member of a structure.
type member struct {
	name     string
	shape    shapeID
	required bool
}

// find gives the index of a member, -1 when there is none. Names are few and
// are compared by length first, so that a loop is faster than a map.
func (s *shape) find(name []byte) int {
	for i := range s.members {
		if s.members[i].name == string(name) {
			return i
		}
	}
	return -1
}

// constrained says whether a scalar can violate anything.
func (s *shape) constrained() bool {
	return s.bounds != 0 || s.pattern != nil || s.enum != nil
}

func (s *shape) tooSmall(n float64) bool { return s.bounds&hasMin != 0 && n < s.min }
func (s *shape) tooBig(n float64) bool   { return s.bounds&hasMax != 0 && n > s.max }

// The wording of each constraint (CP-16).

func (s *shape) minText() string {
	return "Member must have " + s.measure() + " greater than or equal to " + s.boundText(s.min)
}

func (s *shape) maxText() string {
	return "Member must have " + s.measure() + " less than or equal to " + s.boundText(s.max)
}

func (s *shape) patternText() string {
	return "Member must satisfy regular expression pattern: " + s.pattern.text
}

func (s *shape) enumText() string {
	return "Member must satisfy enum value set: [" + strings.Join(s.enum, ", ") + "]"
}

func (s *shape) measure() string {
	switch s.kind {
	case kindString, kindList, kindMap:
		return "length"
	}
	return "value"
}

// boundText writes a bound as the service does: bounds of floats have a point.
func (s *shape) boundText(f float64) string {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if (s.kind == kindFloat || s.kind == kindDouble) && !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// constraints lists the wording of all constraints of a scalar.
func (s *shape) constraints() string {
	var all []string
	if s.bounds&hasMax != 0 {
		all = append(all, s.maxText())
	}
	if s.bounds&hasMin != 0 {
		all = append(all, s.minText())
	}
	if s.pattern != nil {
		all = append(all, s.patternText())
	}
	if s.enum != nil {
		all = append(all, s.enumText())
	}
	return "[" + strings.Join(all, ", ") + "]"
}
