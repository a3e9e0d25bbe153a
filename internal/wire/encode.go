package wire

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Encode writes a message as compact JSON. Absent members are left out; members
// are in the order of the model, entries of maps sorted by key. Timestamps are
// epoch seconds with at most three decimals (CP-4). Invalid UTF-8 in a string is
// replaced by U+FFFD. Nothing is validated.
func Encode(m Message) []byte { return Append(nil, m) }

// Append is Encode for a caller who has a buffer; it returns the extended one.
func Append(dst []byte, m Message) []byte {
	service, id := m.Schema()
	return appendValue(dst, service.Shapes, id, reflect.ValueOf(m).Elem())
}

func appendValue(dst []byte, shapes []Shape, id ShapeID, v reflect.Value) []byte {
	s := &shapes[id]
	switch s.Kind {
	case KindStructure:
		return appendStructure(dst, shapes, s, v)
	case KindList:
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, shapes, s.Elem, v.Index(i))
		}
		return append(dst, ']')
	case KindMap:
		dst = append(dst, '{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, k.String())
			dst = append(dst, ':')
			dst = appendValue(dst, shapes, s.Elem, v.MapIndex(k))
		}
		return append(dst, '}')
	case KindString:
		return appendString(dst, v.String())
	case KindBlob:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v.Bytes()), '"')
	case KindBoolean:
		return strconv.AppendBool(dst, v.Bool())
	case KindInteger, KindLong:
		return strconv.AppendInt(dst, v.Int(), 10)
	case KindFloat, KindDouble:
		return appendFloat(dst, v.Float(), v.Type().Bits())
	}
	return appendTime(dst, v.Interface().(time.Time))
}

func appendStructure(dst []byte, shapes []Shape, s *Shape, v reflect.Value) []byte {
	dst = append(dst, '{')
	comma := false
	for i := range s.Members {
		field := v.Field(i)
		if field.IsNil() {
			continue
		}
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = append(dst, '"')
		dst = append(dst, s.Members[i].Name...)
		dst = append(dst, '"', ':')
		dst = appendValue(dst, shapes, s.Members[i].Shape, field)
	}
	return append(dst, '}')
}

// appendString writes a JSON string. The only error that AppendQuote knows is
// invalid UTF-8, and it has replaced that already.
func appendString(dst []byte, text string) []byte {
	dst, _ = jsontext.AppendQuote(dst, text)
	return dst
}

// appendFloat writes a number; what JSON has no number for is a string, as the
// protocol has it.
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	var text []byte
	if bits == 32 {
		text, _ = json.Marshal(float32(f))
	} else {
		text, _ = json.Marshal(f)
	}
	return append(dst, text...)
}

// appendTime writes epoch seconds, to the millisecond and without zeros at the
// end: 1650241569.032, 1650241600.
func appendTime(dst []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		dst, ms = append(dst, '-'), -ms
	}
	dst = strconv.AppendInt(dst, ms/1000, 10)
	frac := ms % 1000
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
