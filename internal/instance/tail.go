package instance

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

const (
	tailBytes = 4 << 10
	tailLines = 20
)

// tail keeps the end of what is written through it.
type tail struct {
	next io.Writer // may be nil

	mu  sync.Mutex
	buf []byte // the newest bytes, at most 2*tailBytes
	cut bool   // buf does not begin where a line does
}

func newTail(next io.Writer) *tail { return &tail{next: next} }

// Write keeps p and passes it on. Its result is that of the next writer.
func (t *tail) Write(p []byte) (int, error) {
	t.keep(p)
	if t.next == nil {
		return len(p), nil
	}
	return t.next.Write(p)
}

func (t *tail) keep(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(p) > tailBytes {
		p = p[len(p)-tailBytes:]
		t.buf, t.cut = t.buf[:0], true
	}
	if len(t.buf)+len(p) > 2*tailBytes {
		t.cut = true
		kept := t.buf[max(0, len(t.buf)-tailBytes):]
		t.buf = t.buf[:copy(t.buf, kept)]
	}
	t.buf = append(t.buf, p...)
}

// String gives the last lines, without a final newline and as valid UTF-8. A
// line that was cut at its start is left out unless it is the only one.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := bytes.TrimRight(t.buf, "\r\n")
	cut := t.cut
	if len(b) > tailBytes {
		b, cut = b[len(b)-tailBytes:], true
	}
	lines := bytes.Split(b, []byte("\n"))
	if cut && len(lines) > 1 {
		lines = lines[1:]
	}
	lines = lines[max(0, len(lines)-tailLines):]
	return strings.ToValidUTF8(string(bytes.Join(lines, []byte("\n"))), "\uFFFD")
}
