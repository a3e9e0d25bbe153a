package record

import (
	"bytes"
	"errors"
	"io"
)

// lines cuts at LF, blindly: a CSV field with a newline in it is cut as well
// (BT-61). The last line may lack its LF; nothing is added to it (BT-65). Empty
// lines are records, so that answers stay aligned with their input.
type lines struct {
	win   window
	limit int // a line may have this many bytes
	n     int64
}

// Next implements Splitter.
func (l *lines) Next() (Record, error) {
	i := bytes.IndexByte(l.win.unread(), '\n')
	if i < 0 || i >= l.limit {
		return l.slow()
	}
	l.n++
	b := l.win.take(i + 1)
	return Record{Framed: b, Payload: b}, nil
}

// slow finds the end of a line that is not wholly in memory yet.
func (l *lines) slow() (Record, error) {
	seen := 0
	for {
		rest := l.win.unread()
		if i := bytes.IndexByte(rest[seen:], '\n'); i >= 0 {
			return l.line(seen + i + 1)
		}
		if len(rest) > l.limit {
			return l.line(len(rest))
		}
		seen = len(rest)
		err := l.win.need(seen + 1)
		if errors.Is(err, io.EOF) && seen > 0 {
			return l.line(seen)
		}
		if err != nil {
			return Record{}, err
		}
	}
}

// line takes a line of n bytes, unless it is too long.
func (l *lines) line(n int) (Record, error) {
	if n > l.limit {
		return Record{}, &TooLargeError{Record: l.n + 1, Offset: l.win.off, Limit: l.limit}
	}
	l.n++
	b := l.win.take(n)
	return Record{Framed: b, Payload: b}, nil
}
