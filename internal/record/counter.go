package record

import (
	"bytes"
	"errors"
	"io"
)

// Counter passes an object through unchanged, counts its records, and checks
// their framing on the way. It serves where a whole object goes into one
// request. With None it only counts bytes.
type Counter struct {
	src     io.Reader
	split   Splitter // of binary formats
	lines   bool
	rest    []byte // of the record at hand
	n       int64
	records int64
	last    byte
	err     error
}

// NewCounter makes a Counter for records of at most limit bytes.
func NewCounter(src io.Reader, split Split, limit int) *Counter {
	c := &Counter{src: src, lines: split == Line}
	if split == RecordIO || split == TFRecord {
		c.split = NewSplitter(src, split, limit)
	}
	return c
}

// Read implements io.Reader.
func (c *Counter) Read(p []byte) (n int, err error) {
	if c.split != nil {
		n, err = c.readRecord(p)
	} else {
		n, err = c.src.Read(p)
	}
	c.n += int64(n)
	if c.lines && n > 0 {
		c.records += int64(bytes.Count(p[:n], newline))
		c.last = p[n-1]
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// readRecord copies from the record at hand, or from the next.
func (c *Counter) readRecord(p []byte) (int, error) {
	for len(c.rest) == 0 {
		rec, err := c.split.Next()
		if err != nil {
			return 0, err
		}
		c.rest = rec.Framed
		c.records++
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Err is the error that ended the source, if it was not its end.
func (c *Counter) Err() error { return c.err }

// Bytes counts what was read.
func (c *Counter) Bytes() int64 { return c.n }

// Records counts the records that were read, a last line without LF included.
func (c *Counter) Records() int64 {
	if c.lines && c.n > 0 && c.last != '\n' {
		return c.records + 1
	}
	return c.records
}
