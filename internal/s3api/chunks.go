package s3api

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	maxChunkLine = 4 << 10
	maxTrailers  = 16
)

var errFraming = errors.New("the aws-chunked body is malformed")

// chunks reads the aws-chunked form: chunks of "SIZE;chunk-signature=...\r\n
// bytes \r\n", the last of size 0 and followed by trailers "name:value\r\n".
type chunks struct {
	r     *bufio.Reader
	left  int64 // of the present chunk
	begun bool
	last  bool // the chunk of size 0 was seen
}

func newChunks(r io.Reader) *chunks {
	return &chunks{r: bufio.NewReaderSize(r, maxChunkLine)}
}

// Read gives the bytes of the chunks and io.EOF at the last one.
func (c *chunks) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for c.left == 0 {
		if c.last {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.left -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next reads the head of the next chunk.
func (c *chunks) next() error {
	if c.begun {
		if line, err := c.line(); err != nil || line != "" {
			return errFraming
		}
	}
	c.begun = true
	line, err := c.line()
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 63)
	if err != nil {
		return errFraming
	}
	c.left, c.last = int64(n), n == 0
	return nil
}

// end reads past the last chunk and gives the trailers by canonical name. It
// fails when there are bytes that were not read.
func (c *chunks) end() (map[string]string, error) {
	if c.left == 0 && !c.last {
		if err := c.next(); err != nil {
			return nil, err
		}
	}
	if !c.last {
		return nil, errFraming
	}
	trailer := map[string]string{}
	for range maxTrailers {
		line, err := c.line()
		if err == io.EOF || err == nil && line == "" {
			return trailer, nil
		}
		if err != nil {
			return nil, err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, errFraming
		}
		trailer[http.CanonicalHeaderKey(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return nil, errFraming
}

// line reads a line of bounded length without its end. io.EOF means that there
// is none.
func (c *chunks) line() (string, error) {
	b, err := c.r.ReadSlice('\n')
	if err == io.EOF && len(b) > 0 {
		return "", io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
