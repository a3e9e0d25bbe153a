package vectors_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
)

// data is a body as vectors write it: a string, an object that describes it
// (piece), or a list of these, one after the other.
type data []byte

// piece describes bytes; one of its members is set.
type piece struct {
	Repeat   *data   `json:"repeat"`
	N        int     `json:"n"` // with Repeat
	Hex      *string `json:"hex"`
	RecordIO []data  `json:"recordio"` // each in a record of its own (RF-1)
	TFRecord []data  `json:"tfrecord"` // each in a record of its own (RF-10)
	Gzip     *data   `json:"gzip"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *data) UnmarshalJSON(raw []byte) (err error) {
	switch raw[0] {
	case '"':
		var s string
		err = json.Unmarshal(raw, &s)
		*d = data(s)
	case '[':
		var all []data
		err = json.Unmarshal(raw, &all)
		*d = bytes.Join(plain(all), nil)
	default:
		var p piece
		if err = strict(raw, &p); err == nil {
			*d, err = p.bytes()
		}
	}
	return err
}

func (p piece) bytes() ([]byte, error) {
	switch {
	case p.Repeat != nil:
		return bytes.Repeat(*p.Repeat, p.N), nil
	case p.Hex != nil:
		return hex.DecodeString(*p.Hex)
	case p.RecordIO != nil:
		return joined(p.RecordIO, recordIO), nil
	case p.TFRecord != nil:
		return joined(p.TFRecord, tfRecord), nil
	case p.Gzip != nil:
		return zipped(*p.Gzip), nil
	}
	return nil, fmt.Errorf("a description of bytes has none of its members")
}

// strict decodes and refuses members that do not exist.
func strict(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

func plain(all []data) [][]byte {
	out := make([][]byte, len(all))
	for i, d := range all {
		out[i] = d
	}
	return out
}

func joined(all []data, frame func([]byte) []byte) []byte {
	var out []byte
	for _, d := range all {
		out = append(out, frame(d)...)
	}
	return out
}

// recordIO frames a record (RF-1). Data with the magic at an aligned place are cut
// there, without the magic, into parts: 1 begins, 2 goes on, 3 ends (RF-2).
func recordIO(b []byte) []byte {
	var parts [][]byte
	from := 0
	for at := 0; at+4 <= len(b); at += 4 {
		if binary.LittleEndian.Uint32(b[at:]) == recordIOMagic {
			parts = append(parts, b[from:at])
			from = at + 4
		}
	}
	parts = append(parts, b[from:])
	var out []byte
	for i, part := range parts {
		flag := 2
		switch {
		case len(parts) == 1:
			flag = 0
		case i == 0:
			flag = 1
		case i == len(parts)-1:
			flag = 3
		}
		out = binary.LittleEndian.AppendUint32(out, recordIOMagic)
		out = binary.LittleEndian.AppendUint32(out, uint32(flag<<29|len(part)))
		out = append(out, part...)
		out = append(out, make([]byte, (4-len(part)%4)%4)...)
	}
	return out
}

const recordIOMagic = 0xCED7230A

// tfRecord frames a record (RF-10, RF-11).
func tfRecord(b []byte) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(b)))
	out = binary.LittleEndian.AppendUint32(out, masked(out))
	out = append(out, b...)
	return binary.LittleEndian.AppendUint32(out, masked(b))
}

func masked(b []byte) uint32 {
	crc := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (crc>>15 | crc<<17) + 0xA282EAD8
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b) // a bytes.Buffer takes everything
	z.Close()
	return out.Bytes()
}
