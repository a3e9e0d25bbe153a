package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Assembly says how the answers of an object's mini-batches become one output.
type Assembly int

// The ways to assemble.
const (
	Concat          Assembly = iota // one answer after the other, nothing between (BT-107)
	JoinLines                       // each answer ends in LF; one is added where it is missing (BT-108, BT-109)
	AlwaysLine                      // one LF after each answer, whatever it ends in (BT-109's other reading)
	FramedAsRecords                 // each answer is one RecordIO record (SD-6)
)

// Finish completes the answer dst[mark:], which was just appended to dst, and
// returns dst as it is to be written. It fails only for an answer that RecordIO
// cannot hold.
func (a Assembly) Finish(dst []byte, mark int) ([]byte, error) {
	switch a {
	case JoinLines:
		if len(dst) == mark || dst[len(dst)-1] != '\n' {
			dst = append(dst, '\n')
		}
	case AlwaysLine:
		dst = append(dst, '\n')
	case FramedAsRecords:
		return frameInPlace(dst, mark)
	}
	return dst, nil
}

// frameInPlace turns dst[mark:] into a RecordIO record.
func frameInPlace(dst []byte, mark int) ([]byte, error) {
	data := dst[mark:]
	if len(data) > recordIOMaxLength {
		return dst, fmt.Errorf("an answer of %d bytes is too large for a RecordIO record, which holds %d at the most", len(data), recordIOMaxLength)
	}
	if cutAtMagic(data) >= 0 {
		return AppendRecordIO(dst[:mark], bytes.Clone(data)), nil
	}
	n := len(data)
	dst = append(dst, make([]byte, recordIOHead)...)
	copy(dst[mark+recordIOHead:], dst[mark:mark+n])
	putHead(dst[mark:], wholeRecord, n)
	return pad(dst, n), nil
}

// AppendRecordIO appends data to dst as one RecordIO record, in parts where the
// data holds the magic at a multiple of four (RF-2). data must not overlap dst
// and must have fewer than 2^29 bytes.
func AppendRecordIO(dst, data []byte) []byte {
	flag := wholeRecord
	for {
		cut := cutAtMagic(data)
		if cut < 0 {
			break
		}
		if flag == wholeRecord {
			flag = firstPart
		} else {
			flag = middlePart
		}
		dst = appendPart(dst, flag, data[:cut])
		data = data[cut+4:]
	}
	if flag != wholeRecord {
		flag = lastPart
	}
	return appendPart(dst, flag, data)
}

// cutAtMagic finds the first magic at a multiple of four, or gives -1.
func cutAtMagic(data []byte) int {
	magic := [4]byte{0x0A, 0x23, 0xD7, 0xCE}
	for at := 0; ; at++ {
		i := bytes.Index(data[at:], magic[:])
		if i < 0 {
			return -1
		}
		if at += i; at%4 == 0 {
			return at
		}
	}
}

// appendPart appends one part with its header and padding.
func appendPart(dst []byte, flag int, data []byte) []byte {
	mark := len(dst)
	dst = append(dst, make([]byte, recordIOHead)...)
	putHead(dst[mark:], flag, len(data))
	dst = append(dst, data...)
	return pad(dst, len(data))
}

// putHead writes a part's header.
func putHead(b []byte, flag, n int) {
	binary.LittleEndian.PutUint32(b, recordIOMagic)
	binary.LittleEndian.PutUint32(b[4:], uint32(flag)<<29|uint32(n))
}

// pad appends the zeros that follow n bytes of data.
func pad(dst []byte, n int) []byte {
	for range padded(n) - n {
		dst = append(dst, 0)
	}
	return dst
}

// AppendTFRecord appends data to dst as one TFRecord (RF-10).
func AppendTFRecord(dst, data []byte) []byte {
	mark := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(data)))
	dst = binary.LittleEndian.AppendUint32(dst, maskedCRC(dst[mark:]))
	dst = append(dst, data...)
	return binary.LittleEndian.AppendUint32(dst, maskedCRC(data))
}
