package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The RecordIO framing (RF-1): magic, then 3 bits of part flag and 29 bits of
// length, the data, and zeros up to the next multiple of four.
const (
	recordIOMagic     = 0xCED7230A
	recordIOHead      = 8
	recordIOMaxLength = 1<<29 - 1
)

// The part flags (RF-2).
const (
	wholeRecord = iota
	firstPart
	middlePart
	lastPart
)

// recordIO reads logical records. One that was written in several parts, because
// its data holds the magic, counts once: Framed has all its parts, Payload the
// joined data (RF-3).
type recordIO struct {
	win    window
	limit  int // a framed record may have this many bytes
	n      int64
	joined []byte // the data of a multi-part record, reused
}

// Next implements Splitter.
func (s *recordIO) Next() (Record, error) {
	flag, n, err := s.part(0)
	if err != nil {
		return Record{}, err
	}
	switch flag {
	case wholeRecord:
		framed := s.win.take(s.present(padded(n)))
		s.n++
		return Record{Framed: framed, Payload: framed[recordIOHead:n:n]}, nil
	case firstPart:
		return s.parts(n)
	}
	return Record{}, s.broken("it begins with part %d of a record in parts", flag)
}

// parts reads the rest of a record whose first part ends at byte end.
func (s *recordIO) parts(end int) (Record, error) {
	s.joined = append(s.joined[:0], s.win.unread()[recordIOHead:end]...)
	from := padded(end)
	for {
		flag, n, err := s.part(from)
		if errors.Is(err, io.EOF) {
			return Record{}, s.broken("the file ends before the record's last part")
		}
		if err != nil {
			return Record{}, err
		}
		if flag != middlePart && flag != lastPart {
			return Record{}, s.broken("part %d follows an unfinished record", flag)
		}
		s.joined = binary.LittleEndian.AppendUint32(s.joined, recordIOMagic)
		s.joined = append(s.joined, s.win.unread()[from+recordIOHead:n]...)
		from = padded(n)
		if flag == lastPart {
			break
		}
	}
	s.n++
	return Record{Framed: s.win.take(s.present(from)), Payload: s.joined}, nil
}

// part makes the part at byte from available and gives its flag and where its
// data ends. A file that ends exactly there gives io.EOF.
func (s *recordIO) part(from int) (flag, end int, err error) {
	if err := s.win.need(from + recordIOHead); err != nil {
		if errors.Is(err, io.EOF) && len(s.win.unread()) > from {
			return 0, 0, s.broken("the file ends in the middle of its header")
		}
		return 0, 0, err
	}
	head := s.win.unread()[from:]
	if got := binary.LittleEndian.Uint32(head); got != recordIOMagic {
		return 0, 0, s.broken("its magic is 0x%08X, not 0x%08X", got, uint32(recordIOMagic))
	}
	v := binary.LittleEndian.Uint32(head[4:])
	flag, end = int(v>>29), from+recordIOHead+int(v&recordIOMaxLength)
	if end > s.limit {
		return 0, 0, &TooLargeError{Record: s.n + 1, Offset: s.win.off, Limit: s.limit}
	}
	if err := s.win.need(end); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, 0, s.broken("the file ends in the middle of its data (%d of %d bytes)", len(s.win.unread())-from-recordIOHead, end-from-recordIOHead)
		}
		return 0, 0, err
	}
	// Padding that is missing at the end of the file is forgiven (RF-4).
	if err := s.win.need(padded(end)); err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, err
	}
	if flag > lastPart {
		return 0, 0, s.broken("its part flag is %d", flag)
	}
	return flag, end, nil
}

// present cuts n to the bytes that there are: the last padding may be missing.
func (s *recordIO) present(n int) int { return min(n, len(s.win.unread())) }

// broken makes a FormatError for the record that begins at the window's start.
func (s *recordIO) broken(format string, args ...any) error {
	return &FormatError{Split: RecordIO, Record: s.n + 1, Offset: s.win.off, Reason: fmt.Sprintf(format, args...)}
}

// padded rounds up to a multiple of four.
func padded(n int) int { return (n + 3) &^ 3 }
