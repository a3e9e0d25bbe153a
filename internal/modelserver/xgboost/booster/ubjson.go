package booster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/scan"
)

// parseUBJSON parses a whole UBJSON document, see object for the values. It
// reads the types that XGBoost writes and the other plain ones. Nothing is
// allocated for a count before as many bytes are known to follow.
func parseUBJSON(data []byte) (any, error) {
	u := &ubjson{data: data}
	v := u.value(u.marker(), scan.MaxDepth)
	if u.err != nil {
		return nil, fmt.Errorf("%w at byte %d", u.err, u.at+1)
	}
	return v, nil
}

// A ubjson keeps its first error; from then on all reads give zeros, and every
// loop ends on it.
type ubjson struct {
	data []byte
	at   int
	err  error
}

func (u *ubjson) fail(err error) {
	if u.err == nil {
		u.err = err
	}
}

// bytes returns the next n bytes, or nil when there are fewer.
func (u *ubjson) bytes(n int64) []byte {
	if u.err != nil {
		return nil
	}
	if n < 0 || n > int64(len(u.data)-u.at) {
		u.fail(io.ErrUnexpectedEOF)
		return nil
	}
	b := u.data[u.at : u.at+int(n)]
	u.at += int(n)
	return b
}

func (u *ubjson) marker() byte {
	for {
		b := u.bytes(1)
		if b == nil {
			return 0
		}
		if b[0] != 'N' { // a no-op may stand anywhere
			return b[0]
		}
	}
}

// next returns the marker ahead and leaves it there.
func (u *ubjson) next() byte {
	m := u.marker()
	if u.err == nil {
		u.at--
	}
	return m
}

// width is the size of a number of the given type, 0 when it is not one.
func width(kind byte) int64 {
	switch kind {
	case 'i', 'U', 'C':
		return 1
	case 'I':
		return 2
	case 'l', 'd':
		return 4
	case 'L', 'D':
		return 8
	}
	return 0
}

// number decodes a number of the given type from as many bytes as it has.
func number(kind byte, b []byte) float64 {
	switch kind {
	case 'i':
		return float64(int8(b[0]))
	case 'U', 'C':
		return float64(b[0])
	case 'I':
		return float64(int16(binary.BigEndian.Uint16(b)))
	case 'l':
		return float64(int32(binary.BigEndian.Uint32(b)))
	case 'L':
		return float64(int64(binary.BigEndian.Uint64(b)))
	case 'd':
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
	default: // 'D'
		return math.Float64frombits(binary.BigEndian.Uint64(b))
	}
}

func (u *ubjson) value(kind byte, depth int) any {
	if depth == 0 {
		u.fail(errors.New("values nest too deep"))
		return nil
	}
	switch kind {
	case '{':
		return u.object(depth)
	case '[':
		return u.array(depth)
	case 'S':
		return u.text()
	case 'T':
		return true
	case 'F':
		return false
	case 'Z':
		return nil
	}
	n := width(kind)
	if n == 0 {
		u.fail(fmt.Errorf("unknown type %q", kind))
		return nil
	}
	if b := u.bytes(n); b != nil {
		return number(kind, b)
	}
	return nil
}

// count reads an integer of any type that is the length of something: it
// cannot exceed the bytes that follow.
func (u *ubjson) count() int64 {
	kind := u.marker()
	n := width(kind)
	if n == 0 || kind == 'd' || kind == 'D' {
		u.fail(fmt.Errorf("a length of type %q", kind))
		return 0
	}
	b := u.bytes(n)
	if b == nil {
		return 0
	}
	c := number(kind, b)
	if c < 0 || c > float64(len(u.data)-u.at) {
		u.fail(errors.New("a length beyond the end of the file"))
		return 0
	}
	return int64(c)
}

func (u *ubjson) text() string { return string(u.bytes(u.count())) }

func (u *ubjson) object(depth int) any {
	o := object{}
	counted := u.next() == '#'
	remaining := int64(-1)
	if counted {
		u.marker()
		remaining = u.count()
	}
	for u.err == nil && remaining != 0 {
		if !counted && u.next() == '}' {
			u.marker()
			break
		}
		name := u.text()
		o[name] = u.value(u.marker(), depth-1)
		remaining--
	}
	return o
}

func (u *ubjson) array(depth int) any {
	switch u.next() {
	case '$':
		u.marker()
		return u.typed(u.marker())
	case '#':
		u.marker()
		var l list
		for n := u.count(); n > 0 && u.err == nil; n-- {
			l.add(u.value(u.marker(), depth-1))
		}
		return l.value()
	}
	var l list
	for u.err == nil {
		kind := u.marker()
		if kind == ']' {
			break
		}
		l.add(u.value(kind, depth-1))
	}
	return l.value()
}

// typed reads an array whose elements share one type, which must be a number's.
func (u *ubjson) typed(kind byte) any {
	n := width(kind)
	if n == 0 {
		u.fail(fmt.Errorf("an array of type %q", kind))
		return nil
	}
	if u.marker() != '#' {
		u.fail(errors.New("a typed array without its length"))
		return nil
	}
	b := u.bytes(u.count() * n)
	out := make([]float64, int64(len(b))/n)
	for i := range out {
		out[i] = number(kind, b[int64(i)*n:])
	}
	return out
}
