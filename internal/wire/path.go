package wire

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// path is where in a message a value stands. It is kept as a stack and written
// out only when something is wrong.
type path []step

// step is a member of a structure, a key of a map, or (when name is "") an
// element of a list.
type step struct {
	name  string
	key   bool
	index int
}

func (p *path) member(name string) { *p = append(*p, step{name: name}) }
func (p *path) element(i int)      { *p = append(*p, step{index: i}) }
func (p *path) mapKey(key string)  { *p = append(*p, step{name: key, key: true}) }
func (p *path) pop()               { *p = (*p)[:len(*p)-1] }

// String writes the path in AWS's form: members in lower camel case, elements
// counted from 1 (CP-16), as in "productionVariants.1.member.instanceType".
func (p path) String() string {
	var b strings.Builder
	for i, s := range p {
		if i > 0 {
			b.WriteByte('.')
		}
		switch {
		case s.key:
			b.WriteString(printable(s.name) + ".member")
		case s.name == "":
			b.WriteString(strconv.Itoa(s.index+1) + ".member")
		default:
			b.WriteString(lowerFirst(s.name))
		}
	}
	return b.String()
}

func lowerFirst(name string) string {
	r, n := utf8.DecodeRuneInString(name)
	return string(unicode.ToLower(r)) + name[n:]
}
