package instance

import (
	"bytes"
	"io"
)

const (
	readerSize = 8 << 10  // what a connection reads into at first
	maxHead    = 64 << 10 // bounds the head of an answer, all 1xx heads before it included
)

// reader buffers what comes in on a connection. It is bufio.Reader with a
// buffer that grows for long lines and that others may fill.
type reader struct {
	src  io.Reader
	buf  []byte
	r, w int // buf[r:w] is unread
}

// room makes space and gives the part of the buffer that may be filled; the
// filler adds to w.
func (rd *reader) room() []byte {
	switch {
	case rd.buf == nil:
		rd.buf = make([]byte, readerSize)
	case rd.r == rd.w:
		rd.r, rd.w = 0, 0
	case rd.w == len(rd.buf) && rd.r > 0:
		rd.w = copy(rd.buf, rd.buf[rd.r:rd.w])
		rd.r = 0
	case rd.w == len(rd.buf):
		grown := make([]byte, 2*len(rd.buf))
		copy(grown, rd.buf)
		rd.buf = grown
	}
	return rd.buf[rd.w:]
}

// fill reads once, at least one byte or an error.
func (rd *reader) fill() error {
	into := rd.room()
	for {
		n, err := rd.src.Read(into)
		rd.w += n
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// line gives the next line without its end, which is LF or CR LF, and takes its
// length off budget. It is valid until the next call of any method.
func (rd *reader) line(budget *int) ([]byte, error) {
	scanned := 0
	for {
		if i := bytes.IndexByte(rd.buf[rd.r+scanned:rd.w], '\n'); i >= 0 {
			n := scanned + i + 1
			if *budget -= n; *budget < 0 {
				return nil, malformed("its head is longer than 64 KiB")
			}
			line := rd.buf[rd.r : rd.r+n-1]
			rd.r += n
			if k := len(line) - 1; k >= 0 && line[k] == '\r' {
				line = line[:k]
			}
			return line, nil
		}
		scanned = rd.w - rd.r
		if scanned >= *budget {
			return nil, malformed("its head is longer than 64 KiB")
		}
		if err := rd.fill(); err != nil {
			return nil, err
		}
	}
}

// Read gives what is buffered, else reads from the connection.
func (rd *reader) Read(p []byte) (int, error) {
	if rd.r == rd.w {
		return rd.src.Read(p)
	}
	n := copy(p, rd.buf[rd.r:rd.w])
	rd.r += n
	return n, nil
}
