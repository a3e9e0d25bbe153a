package wire

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxPrinted bounds a value in an error text, in bytes before escaping.
const maxPrinted = 1024

// printer writes values into error texts in the form of the service: lists as
// [a, b], maps as {k=v}, structures as Name(member=value).
type printer struct {
	b    strings.Builder
	full bool
}

// quoted writes a value for an error text, bounded and in quotes.
func quoted(s *shape, v reflect.Value) string {
	var p printer
	p.value(s, v)
	return "'" + p.b.String() + "'"
}

// printable writes a stranger's text for an error text, bounded.
func printable(text string) string {
	var p printer
	p.text(text)
	return p.b.String()
}

// text writes as much as there is room for; control characters, and what only
// looks like nothing, are escaped.
func (p *printer) text(text string) {
	for i, r := range text {
		if p.full {
			return
		}
		if p.b.Len() >= maxPrinted {
			p.full = true
			p.b.WriteString("...")
			return
		}
		_, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&p.b, `\x%02x`, text[i])
		case unicode.IsPrint(r):
			p.b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			p.b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
}

func (p *printer) value(s *shape, v reflect.Value) {
	switch s.kind {
	case kindStructure:
		p.structure(s, v)
	case kindList:
		p.text("[")
		for i := 0; i < v.Len() && !p.full; i++ {
			p.comma(i)
			p.value(&shapes[s.elem], v.Index(i))
		}
		p.text("]")
	case kindMap:
		p.mapping(s, v)
	case kindString:
		p.text(v.String())
	case kindTimestamp:
		p.text(v.Interface().(time.Time).Format(time.RFC3339Nano))
	default:
		p.text(fmt.Sprint(v.Interface()))
	}
}

func (p *printer) mapping(s *shape, v reflect.Value) {
	p.text("{")
	for i, k := range sortedKeys(v) {
		if p.full {
			break
		}
		p.comma(i)
		p.text(k.String())
		p.text("=")
		if s.secret {
			p.text("***")
		} else {
			p.value(&shapes[s.elem], v.MapIndex(k))
		}
	}
	p.text("}")
}

func (p *printer) structure(s *shape, v reflect.Value) {
	p.text(s.name + "(")
	n := 0
	for i, m := range s.members {
		field := v.Field(i)
		if field.IsNil() {
			continue
		}
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		p.comma(n)
		n++
		p.text(lowerFirst(m.name) + "=")
		p.value(&shapes[m.shape], field)
	}
	p.text(")")
}

func (p *printer) comma(i int) {
	if i > 0 {
		p.text(", ")
	}
}
