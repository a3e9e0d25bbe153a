package kube

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// record is a log of a line for each fifth of a second, as a node keeps it. Some are a
// little out of order, as those of two streams are.
func record() (lines []string) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for n := range 40 {
		printed := at.Add(time.Duration(n) * 200 * time.Millisecond)
		if n%7 == 3 {
			printed = printed.Add(300 * time.Millisecond)
		}
		lines = append(lines, fmt.Sprintf("%s line %d\n", printed.Format(time.RFC3339Nano), n))
	}
	return lines
}

// from is what a node answers when it is asked for a log from a second on.
func from(lines []string, o *output) string {
	var b strings.Builder
	for _, l := range lines {
		at, _, _ := stamped([]byte(l))
		if f := o.from(); f == nil || !at.Before(f.Time) {
			b.WriteString(l)
		}
	}
	return b.String()
}

// TestOutputAgain breaks the log off after every line: what is read again comes once.
func TestOutputAgain(t *testing.T) {
	t.Parallel()
	lines := record()
	for cut := range lines {
		for second := cut; second < len(lines); second += 5 {
			var got bytes.Buffer
			o := newOutput(&got, time.Time{})
			for _, upTo := range []int{cut, second, len(lines)} {
				if err := o.copy(strings.NewReader(from(lines[:upTo], o))); err != nil {
					t.Fatal(err)
				}
			}
			var want strings.Builder
			for n := range lines {
				fmt.Fprintf(&want, "line %d\n", n)
			}
			if got.String() != want.String() {
				t.Fatalf("broken off at %d and %d: %q", cut, second, got.String())
			}
		}
	}
}

func TestOutputSince(t *testing.T) {
	t.Parallel()
	lines := record()
	at, _, _ := stamped([]byte(lines[11]))
	for cut := range lines {
		var got bytes.Buffer
		o := newOutput(&got, at)
		for _, upTo := range []int{cut, len(lines)} {
			if err := o.copy(strings.NewReader(from(lines[:upTo], o))); err != nil {
				t.Fatal(err)
			}
		}
		if g := got.String(); !strings.HasSuffix(g, "line 12\nline 13\n"+strings.SplitAfterN(g, "line 13\n", 2)[1]) || strings.Contains(g, "line 11\n") || strings.Count(g, "line 20\n") != 1 {
			t.Fatalf("since line 11, broken off at %d: %q", cut, g)
		}
	}
}

func TestOutputLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300<<10)
	log := "2026-01-02T03:04:05.1Z " + long + "\nunable to retrieve container logs\n2026-01-02T03:04:06Z \n2026-01-02T03:04:07Z end"
	var got bytes.Buffer
	if err := newOutput(&got, time.Time{}).copy(iotest.OneByteReader(strings.NewReader(log))); err != nil || got.String() != long+"\n\nend" {
		t.Errorf("%v, %d bytes", err, got.Len())
	}
	broken := errors.New("no space")
	r, w := io.Pipe()
	r.CloseWithError(broken)
	o := newOutput(w, time.Time{})
	if err := o.copy(strings.NewReader(log)); !errors.Is(err, errOutput) || !errors.Is(o.err, broken) {
		t.Errorf("%v, %v", err, o.err)
	}
}
