package wire

import (
	"bytes"
	"encoding/base64"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// scalar reads a value that is no list, map or structure. got is the kind of
// the next JSON value.
func (d *decoder) scalar(got jsontext.Kind, s *Shape, v reflect.Value) error {
	if !accepts(s.Kind, got) {
		return d.mismatch(got, s)
	}
	raw, err := d.json.ReadValue()
	if err != nil {
		return notJSON(err)
	}
	ok := true
	switch s.Kind {
	case KindString:
		text, err := unquote(raw)
		if err != nil {
			return err
		}
		v.SetString(string(text))
	case KindBlob:
		var b []byte
		if b, ok = blob(raw); ok {
			v.SetBytes(b)
		}
	case KindBoolean:
		v.SetBool(got == jsontext.KindTrue)
	case KindInteger, KindLong:
		var n int64
		if n, ok = integer(raw, v.Type().Bits()); ok {
			v.SetInt(n)
		} else if bytes.ContainsAny(raw, ".eE") {
			return Errorf(SerializationException, "DECIMAL_VALUE can not be converted to %s%s", article(s.Kind), d.where())
		}
	case KindFloat, KindDouble:
		f, err := strconv.ParseFloat(string(raw), v.Type().Bits())
		ok = err == nil
		v.SetFloat(f)
	case KindTimestamp:
		var t time.Time
		if t, ok = timestamp(raw); ok {
			v.Set(reflect.ValueOf(t))
		}
	}
	if !ok {
		return d.mismatch(got, s)
	}
	return nil
}

// accepts says which JSON values can become a value of a kind.
func accepts(k Kind, got jsontext.Kind) bool {
	switch k {
	case KindString, KindBlob:
		return got == jsontext.KindString
	case KindBoolean:
		return got == jsontext.KindTrue || got == jsontext.KindFalse
	case KindTimestamp:
		return got == jsontext.KindNumber || got == jsontext.KindString
	}
	return got == jsontext.KindNumber
}

// integer reads a JSON number that has no fraction, however it is written: 3,
// 3.0 and 3e0 are the same number.
func integer(raw []byte, bits int) (int64, bool) {
	n, err := strconv.ParseInt(string(raw), 10, bits)
	if err == nil {
		return n, true
	}
	if !bytes.ContainsAny(raw, ".eE") {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	// Above 2^53 a float no longer says which integer was meant.
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	if bits == 32 && (f < math.MinInt32 || f > math.MaxInt32) {
		return 0, false
	}
	return int64(f), true
}

// The years that a timestamp may be in, as epoch seconds.
const (
	minEpoch = -62135596800 // 0001-01-01
	maxEpoch = 253402300799 // 9999-12-31
)

// timestamp reads epoch seconds, with or without a fraction (CP-4), or a string
// in ISO 8601 form, which some clients send. Times are kept to the millisecond,
// as AWS keeps them.
func timestamp(raw []byte) (time.Time, bool) {
	if raw[0] == '"' {
		text, err := unquote(raw)
		if err != nil {
			return time.Time{}, false
		}
		t, err := time.Parse(time.RFC3339, string(text))
		return t.UTC().Round(time.Millisecond), err == nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f < minEpoch || f > maxEpoch {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), true
}

// blob reads bytes in base64, as a JSON string.
func blob(raw []byte) ([]byte, bool) {
	text, err := unquote(raw)
	if err != nil {
		return nil, false
	}
	b, err := base64.StdEncoding.AppendDecode([]byte{}, text)
	return b, err == nil
}

// unquote gives the text of a JSON string. It returns a part of raw when
// nothing in it is escaped.
func unquote(raw []byte) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	return text, notJSON(err)
}

// mismatch says that a JSON value cannot become what the model wants.
func (d *decoder) mismatch(got jsontext.Kind, s *Shape) error {
	var text string
	switch got {
	case jsontext.KindBeginObject:
		text = "Start of structure or map found where not expected"
	case jsontext.KindBeginArray:
		text = "Start of list found where not expected"
	default:
		text = valueNames[got] + " can not be converted to " + article(s.Kind)
	}
	return Errorf(SerializationException, "%s%s", text, d.where())
}

var valueNames = map[jsontext.Kind]string{
	jsontext.KindString: "STRING_VALUE",
	jsontext.KindNumber: "NUMBER_VALUE",
	jsontext.KindTrue:   "TRUE_VALUE",
	jsontext.KindFalse:  "FALSE_VALUE",
	jsontext.KindNull:   "NULL_VALUE",
}

// article names a kind in a sentence.
func article(k Kind) string {
	return [...]string{
		KindStructure: "a structure", KindList: "a list", KindMap: "a map",
		KindString: "a String", KindInteger: "an Integer", KindLong: "a Long",
		KindFloat: "a Float", KindDouble: "a Double", KindBoolean: "a Boolean",
		KindTimestamp: "a Timestamp", KindBlob: "a Blob",
	}[k]
}
