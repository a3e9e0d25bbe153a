package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The TFRecord framing (RF-10): a length, its checksum, the data, its checksum.
const (
	tfRecordHead = 12
	tfRecordTail = 4
)

// castagnoli is the polynomial of RF-11. It is never written to.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// tfRecord reads TFRecords and verifies both checksums of each (BT-67).
type tfRecord struct {
	win   window
	limit int // a framed record may have this many bytes
	n     int64
}

// Next implements Splitter.
func (s *tfRecord) Next() (Record, error) {
	if err := s.win.need(tfRecordHead); err != nil {
		if errors.Is(err, io.EOF) && len(s.win.unread()) > 0 {
			return Record{}, s.broken("the file ends in the middle of its header")
		}
		return Record{}, err
	}
	head := s.win.unread()
	if got, want := binary.LittleEndian.Uint32(head[8:]), maskedCRC(head[:8]); got != want {
		return Record{}, s.broken("the checksum of its length is 0x%08X, not 0x%08X", got, want)
	}
	length := binary.LittleEndian.Uint64(head)
	if length > uint64(s.limit) || int(length)+tfRecordHead+tfRecordTail > s.limit {
		return Record{}, &TooLargeError{Record: s.n + 1, Offset: s.win.off, Limit: s.limit}
	}
	end := tfRecordHead + int(length)
	if err := s.win.need(end + tfRecordTail); err != nil {
		if errors.Is(err, io.EOF) {
			return Record{}, s.broken("the file ends in the middle of its data (%d of %d bytes)", len(s.win.unread())-tfRecordHead, int(length)+tfRecordTail)
		}
		return Record{}, err
	}
	all := s.win.unread()
	if got, want := binary.LittleEndian.Uint32(all[end:]), maskedCRC(all[tfRecordHead:end]); got != want {
		return Record{}, s.broken("the checksum of its data is 0x%08X, not 0x%08X", got, want)
	}
	s.n++
	framed := s.win.take(end + tfRecordTail)
	return Record{Framed: framed, Payload: framed[tfRecordHead:end:end]}, nil
}

// broken makes a FormatError for the record that begins at the window's start.
func (s *tfRecord) broken(format string, args ...any) error {
	return &FormatError{Split: TFRecord, Record: s.n + 1, Offset: s.win.off, Reason: fmt.Sprintf(format, args...)}
}

// maskedCRC is the checksum of RF-11.
func maskedCRC(b []byte) uint32 {
	crc := crc32.Checksum(b, castagnoli)
	return (crc>>15 | crc<<17) + 0xA282EAD8
}
