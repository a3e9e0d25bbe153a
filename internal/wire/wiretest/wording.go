package wiretest

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// The wording of each constraint, once more and independently (CP-16).

func minText(s *wire.Shape) string {
	return "Member must have " + measure(s) + " greater than or equal to " + boundText(s, s.Min)
}

func maxText(s *wire.Shape) string {
	return "Member must have " + measure(s) + " less than or equal to " + boundText(s, s.Max)
}

func patternText(s *wire.Shape) string {
	return "Member must satisfy regular expression pattern: " + s.Pattern.Text
}

func enumText(s *wire.Shape) string {
	return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
}

func measure(s *wire.Shape) string {
	switch s.Kind {
	case wire.KindString, wire.KindBlob, wire.KindList, wire.KindMap:
		return "length"
	}
	return "value"
}

func boundText(s *wire.Shape, f float64) string {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if (s.Kind == wire.KindFloat || s.Kind == wire.KindDouble) && !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

func constraints(s *wire.Shape) string {
	var all []string
	if s.Bounds&wire.HasMax != 0 {
		all = append(all, maxText(s))
	}
	if s.Bounds&wire.HasMin != 0 {
		all = append(all, minText(s))
	}
	if s.Pattern != nil {
		all = append(all, patternText(s))
	}
	if s.Enum != nil {
		all = append(all, enumText(s))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func lowerFirst(name string) string { return string(unicode.ToLower(rune(name[0]))) + name[1:] }
