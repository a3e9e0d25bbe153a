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
	shapes []Shape
	b      strings.Builder
	full   bool
}

// quoted writes a value for an error text, bounded and in quotes.
func quoted(shapes []Shape, s *Shape, v reflect.Value) string {
	p := printer{shapes: shapes}
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

func (p *printer) value(s *Shape, v reflect.Value) {
	switch s.Kind {
	case KindStructure:
		p.structure(s, v)
	case KindList:
		p.text("[")
		for i := 0; i < v.Len() && !p.full; i++ {
			p.comma(i)
			p.value(&p.shapes[s.Elem], v.Index(i))
		}
		p.text("]")
	case KindMap:
		p.mapping(s, v)
	case KindString, KindBlob:
		p.scalar(s, v)
	case KindTimestamp:
		p.text(v.Interface().(time.Time).Format(time.RFC3339Nano))
	default:
		p.text(fmt.Sprint(v.Interface()))
	}
}

// scalar writes a text as it is and a blob by its size; neither when secret.
func (p *printer) scalar(s *Shape, v reflect.Value) {
	switch {
	case s.Secret:
		p.text("***")
	case s.Kind == KindBlob:
		p.text(strconv.Itoa(v.Len()) + " bytes")
	default:
		p.text(v.String())
	}
}

func (p *printer) mapping(s *Shape, v reflect.Value) {
	p.text("{")
	for i, k := range sortedKeys(v) {
		if p.full {
			break
		}
		p.comma(i)
		p.text(k.String())
		p.text("=")
		if s.Secret {
			p.text("***")
		} else {
			p.value(&p.shapes[s.Elem], v.MapIndex(k))
		}
	}
	p.text("}")
}

func (p *printer) structure(s *Shape, v reflect.Value) {
	p.text(s.Name + "(")
	n := 0
	for i, m := range s.Members {
		field := v.Field(i)
		if field.IsNil() {
			continue
		}
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		p.comma(n)
		n++
		p.text(lowerFirst(m.Name) + "=")
		p.value(&p.shapes[m.Shape], field)
	}
	p.text(")")
}

func (p *printer) comma(i int) {
	if i > 0 {
		p.text(", ")
	}
}
