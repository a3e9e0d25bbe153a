package instance

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// trustedLength is how much memory an answer gets on its word alone; for more
// than that its bytes must come first.
const trustedLength = 4 << 20

// body reads the body of an answer. It is an io.Reader that ends with io.EOF
// where the framing says that the body ends, and nowhere else.
type body struct {
	rd    *reader
	left  int64 // of the body, or of the chunk
	state bodyState
}

type bodyState int

const (
	counted    bodyState  = iota // left bytes, then the end
	untilEnd                     // until the connection closes
	chunkSize                    // a chunk's size line comes next
	chunkData                    // left bytes of a chunk
	chunkCRLF                    // the end of a chunk's data
	bodyEnded                    // nothing more
	lineBudget = 4 << 10         // bounds a chunk's size line and each trailer
	maxTrailer = 16 << 10        // bounds all trailers
)

func (b *body) reset(rd *reader, h *answerHead) {
	*b = body{rd: rd, left: h.length}
	switch {
	case h.chunked:
		b.state = chunkSize
	case h.length < 0:
		b.state = untilEnd
	}
}

// Read gives bytes of the body.
func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch b.state {
		case untilEnd:
			return b.rd.Read(p)
		case counted, chunkData:
			if b.left > 0 {
				if int64(len(p)) > b.left {
					p = p[:b.left]
				}
				n, err := b.rd.Read(p)
				b.left -= int64(n)
				if n > 0 {
					err = nil
				}
				return n, afterStart(err)
			}
			if b.state == counted {
				b.state = bodyEnded
			} else {
				b.state = chunkCRLF
			}
		case bodyEnded:
			return 0, io.EOF
		default:
			if err := b.nextChunk(); err != nil {
				return 0, afterStart(err)
			}
		}
	}
}

// nextChunk moves over what stands between two chunks.
func (b *body) nextChunk() error {
	budget := lineBudget
	line, err := b.rd.line(&budget)
	if err != nil {
		return err
	}
	if b.state == chunkCRLF {
		if len(line) != 0 {
			return malformed("a chunk is longer than its size")
		}
		b.state = chunkSize
		return nil
	}
	if b.left, err = parseChunkSize(line); err != nil {
		return err
	}
	b.state = chunkData
	if b.left == 0 {
		b.state = bodyEnded
		return b.skipTrailers()
	}
	return nil
}

func (b *body) skipTrailers() error {
	for budget := maxTrailer; ; {
		line, err := b.rd.line(&budget)
		if err != nil || len(line) == 0 {
			return err
		}
	}
}

// parseChunkSize reads hexadecimal digits; extensions after ";" are ignored.
func parseChunkSize(line []byte) (int64, error) {
	var n int64
	digits := 0
	for i, c := range line {
		d, ok := hexDigit(c)
		if !ok {
			if rest := trimBlanks(line[i:]); digits > 0 && (len(rest) == 0 || rest[0] == ';') {
				break
			}
			digits = 0
			break
		}
		n = n<<4 | int64(d)
		digits++
	}
	if digits == 0 || digits > 15 {
		return 0, malformed(fmt.Sprintf("it has the chunk size %s", quote(line)))
	}
	return n, nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// appendTo appends the whole body to dst, at most limit bytes of it.
func (b *body) appendTo(dst []byte, limit int64) ([]byte, error) {
	if b.state == counted && b.left > limit {
		return dst, tooLarge(limit)
	}
	start := len(dst)
	for b.state != counted || b.left > 0 {
		dst = b.grow(dst, start)
		n, err := b.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if int64(len(dst)-start) > limit {
			return dst, tooLarge(limit)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// grow makes room in dst, for all that is left where the answer says how much
// that is and it is little enough to believe.
func (b *body) grow(dst []byte, start int) []byte {
	switch {
	case b.state == counted && b.left <= trustedLength:
		return slices.Grow(dst, int(b.left))
	case len(dst) < cap(dst):
		return dst
	case b.state == counted:
		return slices.Grow(dst, int(min(b.left, max(trustedLength, int64(len(dst)-start)))))
	}
	return slices.Grow(dst, 512)
}

func tooLarge(limit int64) error {
	return fault.New(fault.Limit, "the container's answer to one request is larger than the limit of %d bytes; send smaller requests or stream the answer", limit)
}

// afterStart makes an end in the middle of an answer an unexpected one.
func afterStart(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the container closed the connection in the middle of its answer: %w", io.ErrUnexpectedEOF)
	}
	return err
}
