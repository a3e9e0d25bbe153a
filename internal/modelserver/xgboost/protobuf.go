package xgboost

import "encoding/binary"

// The wire types of protobuf that are in use.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// A wire steps through the fields of a protobuf message.
type wire struct {
	rest   []byte
	broken bool

	field  uint64
	kind   uint64
	number uint64 // of a varint
	data   []byte // of any other kind
}

// next reads one field. It reports false at the end of the message and when the
// message is broken.
func (w *wire) next() bool {
	if len(w.rest) == 0 || w.broken {
		return false
	}
	tag := w.varint()
	w.field, w.kind, w.data = tag>>3, tag&7, nil
	switch w.kind {
	case wireVarint:
		w.number = w.varint()
	case wire64:
		w.take(8)
	case wire32:
		w.take(4)
	case wireBytes:
		w.take(w.varint())
	default:
		w.broken = true
	}
	return !w.broken
}

func (w *wire) varint() uint64 {
	v, n := binary.Uvarint(w.rest)
	if n <= 0 {
		w.broken = true
		return 0
	}
	w.rest = w.rest[n:]
	return v
}

func (w *wire) take(n uint64) {
	if w.broken || n > uint64(len(w.rest)) {
		w.broken = true
		return
	}
	w.data, w.rest = w.rest[:n], w.rest[n:]
}

// varints hands out the field's integers, packed or single.
func (w *wire) varints(each func(uint64)) {
	if w.kind == wireVarint {
		each(w.number)
		return
	}
	if w.kind != wireBytes {
		w.broken = true
		return
	}
	for b := w.data; len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			w.broken = true
			return
		}
		each(v)
		b = b[n:]
	}
}
