package record

import (
	"bytes"
	"errors"
	"io"
)

// Cutter makes the same mini-batches as a Batcher makes of lines in MultiRecord,
// of an object of which any part can be read, and reads only the last bytes of
// each. It leaves Body empty: the one payload are the Ends[0] bytes at Offset. It
// leaves First and Records 0, and so does its TooLargeError: who sends the payload
// sees its lines.
type Cutter struct {
	src   io.ReaderAt
	size  int64
	limit int
	off   int64
	buf   []byte
	err   error
}

// NewCutter makes a Cutter of an object of size bytes, for requests of at most
// limit bytes.
func NewCutter(src io.ReaderAt, size int64, limit int) *Cutter {
	return &Cutter{src: src, size: size, limit: limit}
}

// Fill makes the next mini-batch. It returns io.EOF when there are none left, and
// after any error it returns that error again.
func (c *Cutter) Fill(g *Group, _ int) error {
	g.reset(0, c.off)
	if c.err != nil {
		return c.err
	}
	n, err := c.next()
	if err != nil {
		c.err = err
		return err
	}
	g.Ends = append(g.Ends, n)
	c.off += int64(n)
	return nil
}

// next gives the length of the next mini-batch (BT-71, BT-77).
func (c *Cutter) next() (int, error) {
	switch left := c.size - c.off; {
	case left == 0:
		return 0, io.EOF
	case left <= int64(c.limit):
		return int(left), nil
	}
	// The last LF is looked for in pieces that double, from the limit backwards.
	piece := firstPiece
	for end := c.limit; end > 0; piece = min(2*piece, largestPiece) {
		from := max(0, end-piece)
		i, err := c.lastLF(c.off+int64(from), end-from)
		if err != nil {
			return 0, err
		}
		if i >= 0 {
			return from + i + 1, nil
		}
		end = from
	}
	return 0, &TooLargeError{Offset: c.off, Limit: c.limit}
}

const (
	firstPiece   = 4 << 10
	largestPiece = 256 << 10
)

// lastLF gives the place of the last LF among n bytes at off, or -1.
func (c *Cutter) lastLF(off int64, n int) (int, error) {
	if n > len(c.buf) {
		c.buf = make([]byte, n)
	}
	got, err := c.src.ReadAt(c.buf[:n], off)
	if got < n {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	return bytes.LastIndexByte(c.buf[:n], '\n'), nil
}

// CountLines counts the lines of a payload, one without LF at the end included.
func CountLines(payload []byte) int64 {
	n := int64(bytes.Count(payload, newline))
	if len(payload) > 0 && payload[len(payload)-1] != '\n' {
		n++
	}
	return n
}
