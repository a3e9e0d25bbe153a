package process

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// stuck is an Output that takes nothing until it is released.
type stuck struct {
	release chan struct{}
	got     bytes.Buffer
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.release
	return s.got.Write(b)
}

// TestPumpStuck shows that the reader goes on although the writer is stuck, and
// that what was dropped is said where it was dropped.
func TestPumpStuck(t *testing.T) {
	t.Parallel()
	const total = 4 << 20
	out := &stuck{release: make(chan struct{})}
	in, print := io.Pipe()
	p := pump(in, out, time.Millisecond)
	for range total / outputBlock {
		if _, err := print.Write(bytes.Repeat([]byte("x"), outputBlock)); err != nil {
			t.Fatal(err)
		}
	}
	print.Close()
	close(out.release)
	<-p.done
	text := out.got.String()
	if kept := strings.Count(text, "x"); kept < outputBlocks*outputBlock/2 || kept >= total {
		t.Errorf("%d of %d bytes were kept", kept, total)
	}
	if !strings.Contains(text, "bytes of output were dropped") {
		t.Errorf("the output does not say that some is missing: %q", text[max(0, len(text)-200):])
	}
}

// TestPumpSlow shows that nothing is lost as long as the writer moves.
func TestPumpSlow(t *testing.T) {
	t.Parallel()
	const total = 2 << 20
	var got int
	out := writerFunc(func(b []byte) (int, error) { got += len(b); return len(b), nil })
	p := pump(io.LimitReader(repeated('y'), total), out, time.Hour)
	<-p.done
	if got != total || p.err != nil {
		t.Errorf("%d bytes, %v", got, p.err)
	}
}

func TestPumpError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	calls := 0
	p := pump(io.LimitReader(repeated('y'), 2<<20), writerFunc(func([]byte) (int, error) { calls++; return 0, broken }), time.Hour)
	<-p.done
	if !errors.Is(p.err, broken) || calls != 1 {
		t.Errorf("error %v after %d calls", p.err, calls)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// repeated is an endless source of one byte.
type repeated byte

func (r repeated) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}

func BenchmarkPump(b *testing.B) {
	b.SetBytes(16 << 20)
	for b.Loop() {
		<-pump(io.LimitReader(repeated('y'), 16<<20), nil, time.Hour).done
	}
}
