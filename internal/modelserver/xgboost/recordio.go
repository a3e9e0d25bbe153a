package xgboost

import (
	"encoding/binary"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/booster"
)

// recordIOMagic starts each part of a RecordIO stream (RF-1).
const recordIOMagic = 0xCED7230A

// recordRows reads application/x-recordio-protobuf: RecordIO frames around
// aialgs.data.Record messages (RF-1, RF-2, RF-20, RF-21). A body that does not
// start with the magic number is one message without a frame, which is what a
// job with BatchStrategy SingleRecord sends (BT-74). No message can start with
// these bytes, because its first map entry would have to start with 0xD7.
type recordRows struct {
	rest   []byte
	joined []byte // a record that came in parts
	record record
}

func (r *recordRows) next(b *booster.Block) (bool, error) {
	if len(r.rest) == 0 {
		return false, nil
	}
	message := r.rest
	if len(message) >= 4 && binary.LittleEndian.Uint32(message) == recordIOMagic {
		var err error
		if message, err = r.frame(); err != nil {
			return false, err
		}
	} else {
		r.rest = nil
	}
	if err := r.record.parse(message); err != nil {
		return false, err
	}
	return true, r.record.fill(b)
}

// frame reads one logical record. Parts are joined with the magic number that
// the writer took out between them.
func (r *recordRows) frame() ([]byte, error) {
	data, flag, err := r.part()
	if err != nil || flag == 0 {
		return data, err
	}
	if flag != 1 {
		return nil, bad("a RecordIO record starts with part %d", flag)
	}
	r.joined = append(r.joined[:0], data...)
	for flag != 3 {
		if data, flag, err = r.part(); err != nil {
			return nil, err
		}
		if flag != 2 && flag != 3 {
			return nil, bad("part %d follows inside a RecordIO record", flag)
		}
		r.joined = binary.LittleEndian.AppendUint32(r.joined, recordIOMagic)
		r.joined = append(r.joined, data...)
	}
	return r.joined, nil
}

// part reads one frame. Only the padding of the last one may be missing (RF-4).
func (r *recordRows) part() (data []byte, flag uint32, err error) {
	if len(r.rest) < 8 || binary.LittleEndian.Uint32(r.rest) != recordIOMagic {
		return nil, 0, bad("no RecordIO frame where one has to start")
	}
	word := binary.LittleEndian.Uint32(r.rest[4:])
	flag, length := word>>29, int(word&(1<<29-1))
	if length > len(r.rest)-8 {
		return nil, 0, bad("a RecordIO frame of %d bytes is cut off", length)
	}
	data = r.rest[8 : 8+length]
	r.rest = r.rest[min(8+(length+3)&^3, len(r.rest)):]
	return data, flag, nil
}

// A record is what a Record message says about its features. Its slices are
// reused from message to message.
type record struct {
	found  bool // a tensor under the key "values"
	values []float32
	keys   []uint64
	shape  []uint64
}

// Field numbers of aialgs.data (RF-20).
const (
	recordFeatures = 1
	entryKey       = 1
	entryValue     = 2
	valueFloat32   = 2
	valueFloat64   = 3
	valueInt32     = 7
	valueBytes     = 9
	tensorValues   = 1
	tensorKeys     = 2
	tensorShape    = 3
)

func (r *record) parse(message []byte) error {
	r.found, r.values, r.keys, r.shape = false, r.values[:0], r.keys[:0], r.shape[:0]
	w := wire{rest: message}
	for w.next() {
		if w.field == recordFeatures && w.kind == wireBytes {
			if err := r.parseEntry(w.data); err != nil {
				return err
			}
		}
	}
	switch {
	case w.broken:
		return bad("it is not a Record message")
	case !r.found:
		return bad(`the record has no feature "values"`)
	}
	return nil
}

func (r *record) parseEntry(entry []byte) error {
	var name, value []byte
	w := wire{rest: entry}
	for w.next() {
		switch {
		case w.field == entryKey && w.kind == wireBytes:
			name = w.data
		case w.field == entryValue && w.kind == wireBytes:
			value = w.data
		}
	}
	if w.broken {
		return bad("it is not a Record message")
	}
	if string(name) != "values" {
		return nil
	}
	w = wire{rest: value}
	for w.next() {
		switch w.field {
		case valueFloat32, valueFloat64, valueInt32:
			if w.kind != wireBytes || !r.parseTensor(w.field, w.data) {
				return bad(`the tensor "values" is broken`)
			}
			r.found = true
		case valueBytes:
			return bad(`the feature "values" holds bytes, not numbers`)
		}
	}
	if w.broken {
		return bad(`the feature "values" is broken`)
	}
	return nil
}

// parseTensor reads packed lists and single elements alike, as proto2 wants it.
func (r *record) parseTensor(kind uint64, tensor []byte) bool {
	w := wire{rest: tensor}
	for w.next() {
		switch w.field {
		case tensorValues:
			if !r.addValues(kind, &w) {
				return false
			}
		case tensorKeys:
			w.varints(func(v uint64) { r.keys = append(r.keys, v) })
		case tensorShape:
			w.varints(func(v uint64) { r.shape = append(r.shape, v) })
		}
	}
	return !w.broken
}

func (r *record) addValues(kind uint64, w *wire) bool {
	switch kind {
	case valueInt32:
		w.varints(func(v uint64) { r.values = append(r.values, float32(int32(v))) })
	case valueFloat32:
		if w.kind != wireBytes && w.kind != wire32 || len(w.data)%4 != 0 {
			return false
		}
		for b := w.data; len(b) > 0; b = b[4:] {
			r.values = append(r.values, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	case valueFloat64:
		if w.kind != wireBytes && w.kind != wire64 || len(w.data)%8 != 0 {
			return false
		}
		for b := w.data; len(b) > 0; b = b[8:] {
			r.values = append(r.values, float32(math.Float64frombits(binary.LittleEndian.Uint64(b))))
		}
	}
	return true
}

// fill sets the row: value i belongs to column i of a dense tensor and to
// column keys[i] of a sparse one, whose shape names its width.
func (r *record) fill(b *booster.Block) error {
	features := b.Features()
	sparse := len(r.keys) > 0 || len(r.shape) > 0 && len(r.values) == 0
	switch {
	case sparse && len(r.keys) != len(r.values):
		return bad("the tensor has %d keys for %d values", len(r.keys), len(r.values))
	case !sparse && len(r.values) > features:
		return tooWide(len(r.values), features)
	case sparse && len(r.shape) > 0 && r.shape[len(r.shape)-1] > uint64(features):
		return bad("its shape has %d columns, but the model was trained with %d features", r.shape[len(r.shape)-1], features)
	}
	for i, v := range r.values {
		column := i
		if sparse {
			if r.keys[i] >= uint64(features) {
				return bad("key %d is outside of the %d features that the model was trained with", r.keys[i], features)
			}
			column = int(r.keys[i])
		}
		if math.IsInf(float64(v), 0) {
			return badColumn(column+1, "the value is infinite or too large for a float32")
		}
		if v == v {
			b.Set(column, v)
		}
	}
	return nil
}
