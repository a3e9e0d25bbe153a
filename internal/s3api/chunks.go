package s3api

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
)

type signedKey struct{}

// WithChunks has the signatures of a request's chunks verified while its body is
// read. nil skips them: whose key is not known has not signed.
func WithChunks(ctx context.Context, signed *sigv4.Chunks) context.Context {
	return context.WithValue(ctx, signedKey{}, signed)
}

func chunksOf(ctx context.Context) *sigv4.Chunks {
	signed, _ := ctx.Value(signedKey{}).(*sigv4.Chunks)
	return signed
}

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

	signed *sigv4.Chunks // nil does not look at signatures
	mac    string        // of the present chunk
	sum    hash.Hash     // of its bytes
}

func newChunks(r io.Reader, signed *sigv4.Chunks) *chunks {
	return &chunks{r: bufio.NewReaderSize(r, maxChunkLine), signed: signed, sum: sha256.New()}
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
	if c.signed != nil {
		c.sum.Write(p[:n])
	}
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
		if err := c.verify(); err != nil {
			return err
		}
	}
	c.begun = true
	line, err := c.line()
	if err != nil {
		return err
	}
	size, extension, _ := strings.Cut(line, ";")
	c.mac = strings.TrimPrefix(extension, "chunk-signature=")
	n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 63)
	if err != nil {
		return errFraming
	}
	c.left, c.last = int64(n), n == 0
	return nil
}

// verify judges the chunk whose bytes have been read.
func (c *chunks) verify() error {
	if c.signed == nil {
		return nil
	}
	err := c.signed.Chunk(c.sum.Sum(nil), c.mac)
	c.sum.Reset()
	return err
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
	if err := c.verify(); err != nil {
		return nil, err
	}
	return c.trailer()
}

// signatureTrailer ends the trailers that are signed.
const signatureTrailer = "X-Amz-Trailer-Signature"

// trailer reads the trailers.
func (c *chunks) trailer() (map[string]string, error) {
	trailer, lines := map[string]string{}, ""
	for range maxTrailers {
		line, err := c.line()
		if err == nil && line == "" && c.signed != nil && c.signed.Trailers() && trailer[signatureTrailer] == "" {
			continue // AWS's own example has an empty line before the signature
		}
		if err == io.EOF || err == nil && line == "" {
			if c.signed != nil && c.signed.Trailers() {
				return trailer, c.signed.Trailer(lines, trailer[signatureTrailer])
			}
			return trailer, nil
		}
		if err != nil {
			return nil, err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, errFraming
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if trailer[http.CanonicalHeaderKey(name)] = value; !strings.EqualFold(name, signatureTrailer) {
			lines += strings.ToLower(name) + ":" + value + "\n"
		}
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
