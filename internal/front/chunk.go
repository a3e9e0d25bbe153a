package front

// chunkReader takes the chunked coding off a body that comes in pieces.
type chunkReader struct {
	left  int64 // of the chunk's data
	where chunkPlace
	line  int // bytes of the current line of a size or a trailer
}

type chunkPlace int

const (
	inSize chunkPlace = iota
	inSizeDigits
	inExtension
	inSizeEnd // the line feed of a size
	inData
	inDataEnd     // the carriage return behind the data
	inDataEndFeed // and the line feed
	inTrailer     // at the beginning of a line
	inTrailerLine
	inTrailerLineFeed
	inLastFeed
	inEnd
)

// maxChunkLine bounds a size with its extension, and a trailer.
const maxChunkLine = 4 << 10

// read takes the coding off data, in place: body is the beginning of data. n is
// how much of data has been read, all of it unless the coded body has ended.
func (c *chunkReader) read(data []byte) (body []byte, n int, ok bool) {
	body = data[:0]
	for n < len(data) && c.where != inEnd {
		if c.where == inData {
			k := int(min(c.left, int64(len(data)-n)))
			if len(body) == n {
				body = data[:n+k]
			} else {
				body = append(body, data[n:n+k]...)
			}
			n += k
			if c.left -= int64(k); c.left == 0 {
				c.where = inDataEnd
			}
			continue
		}
		if !c.step(data[n]) {
			return nil, n, false
		}
		n++
	}
	return body, n, true
}

// ended reports whether the whole body has been read.
func (c *chunkReader) ended() bool { return c.where == inEnd }

// step reads one byte that is not data.
func (c *chunkReader) step(ch byte) bool {
	switch c.where {
	case inSize, inSizeDigits, inExtension:
		return c.size(ch)
	case inSizeEnd:
		c.where = inData
		if c.left == 0 {
			c.where = inTrailer
		}
		c.line = 0
		return ch == '\n'
	case inDataEnd:
		c.where = inDataEndFeed
		return ch == '\r'
	case inDataEndFeed:
		c.where = inSize
		return ch == '\n'
	case inTrailer:
		c.where = inTrailerLine
		if ch == '\r' {
			c.where = inLastFeed
		}
		return ch != '\n'
	case inTrailerLine:
		if c.line++; ch == '\r' {
			c.where = inTrailerLineFeed
		}
		return ch != '\n' && c.line < maxChunkLine
	case inTrailerLineFeed:
		c.where = inTrailer
		return ch == '\n'
	case inLastFeed:
		c.where = inEnd
		return ch == '\n'
	}
	return false
}

// size reads a byte of the line "1f;extension".
func (c *chunkReader) size(ch byte) bool {
	if c.line++; c.line > maxChunkLine {
		return false
	}
	if c.where == inExtension {
		if ch == '\r' {
			c.where = inSizeEnd
		}
		return ch >= ' ' && ch != 0x7f || ch == '\t' || ch == '\r'
	}
	if digit := unhex(ch); digit < 16 {
		c.where = inSizeDigits
		c.left = c.left<<4 | int64(digit)
		return c.left < 1<<48
	}
	switch {
	case c.where == inSize:
		return false // no digit at all
	case ch == '\r':
		c.where = inSizeEnd
		return true
	case ch == ';', ch == ' ', ch == '\t':
		c.where = inExtension
		return true
	}
	return false
}

// unhex gives the value of a hexadecimal digit, or more than 15.
func unhex(ch byte) byte {
	switch {
	case '0' <= ch && ch <= '9':
		return ch - '0'
	case 'a' <= ch && ch <= 'f':
		return ch - 'a' + 10
	case 'A' <= ch && ch <= 'F':
		return ch - 'A' + 10
	}
	return 255
}
