package docker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// message is a frame of an engine's log.
func message(stream byte, second int, text string) string {
	return frame(stream, noon.Add(time.Duration(second)*time.Second).Format("2006-01-02T15:04:05.000000000Z07:00")+" "+text)
}

func frame(stream byte, body string) string {
	head := make([]byte, 8)
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(len(body)))
	return string(head) + body
}

// TestOutputResumes reads the same log again and again, broken off anywhere: each
// message is copied once, in order.
func TestOutputResumes(t *testing.T) {
	t.Parallel()
	// Two streams whose times overlap, parts of a line with one time, and a clock
	// that is set back.
	log := message(1, 1, "a\n") + message(2, 3, "b\n") + message(1, 2, "c, ") + message(1, 2, "d, ") + message(1, 2, "e\n") +
		message(2, 4, "f\n") + message(1, 5, "g\n") + frame(2, "h without a time\n") + message(2, 4, "i\n")
	want := "a\nb\nc, d, e\nf\ng\nh without a time\ni\n"
	for first := range len(log) + 1 {
		for _, second := range []int{first, (first + len(log)) / 2, len(log)} {
			var got bytes.Buffer
			o := newOutput(&got, time.Time{})
			for _, end := range []int{first, second, len(log), len(log)} {
				_ = o.copy(strings.NewReader(log[:end])) // broken off
			}
			if got.String() != want {
				t.Fatalf("broken off at %d and %d: %q", first, second, got.String())
			}
		}
	}
}

func TestOutputSince(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	o := newOutput(&got, noon.Add(2*time.Second))
	log := message(1, 1, "a\n") + message(2, 2, "b\n") + message(1, 2, "c\n") + message(1, 3, "d\n") + message(2, 1, "e\n") + message(1, 1, "f\n")
	if err := o.copy(strings.NewReader(log)); err != nil {
		t.Fatal(err)
	}
	// f comes after d on its stream, so it is new whatever the clock says.
	if got.String() != "d\nf\n" {
		t.Errorf("%q", got.String())
	}
	if from := newOutput(nil, noon).from(); from != "2026-01-02T12:00:00Z" {
		t.Errorf("from %s", from)
	}
	if from := newOutput(nil, time.Time{}).from(); from != "" {
		t.Errorf("from %s", from)
	}
}

func TestOutputError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	calls := 0
	o := newOutput(writerFunc(func([]byte) (int, error) { calls++; return 0, broken }), time.Time{})
	err := o.copy(strings.NewReader(message(1, 1, "a") + message(1, 2, "b")))
	if !errors.Is(err, errOutput) || !errors.Is(o.err, broken) || calls != 1 {
		t.Errorf("%v, %v after %d calls", err, o.err, calls)
	}
}

// FuzzOutput shows that no log makes copy panic or hold more than a message.
func FuzzOutput(f *testing.F) {
	f.Add([]byte(message(1, 1, "a\n") + message(2, 2, "b")))
	f.Add([]byte(frame(1, "no time")))
	f.Add([]byte(frame(3, "no stream")))
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, log []byte) {
		var got bytes.Buffer
		o := newOutput(&got, noon)
		_ = o.copy(bytes.NewReader(log))
		if got.Len() > len(log) {
			t.Errorf("%d bytes out of %d", got.Len(), len(log))
		}
	})
}

func BenchmarkOutput(b *testing.B) {
	var log strings.Builder
	for n := range 10_000 {
		log.WriteString(message(1, n, strings.Repeat("x", 99)+"\n"))
	}
	b.SetBytes(int64(log.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if err := newOutput(io.Discard, time.Time{}).copy(strings.NewReader(log.String())); err != nil {
			b.Fatal(err)
		}
	}
}
