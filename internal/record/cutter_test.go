package record

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// cutAll gives the mini-batches of a Cutter.
func cutAll(in string, limit int) (got []string, err error) {
	c := NewCutter(strings.NewReader(in), int64(len(in)), limit)
	var g Group
	for {
		err := c.Fill(&g, 1)
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, in[g.Offset:g.Offset+int64(g.Ends[0])])
	}
}

// sameAsBatcher checks that a Cutter cuts as the Batcher of lines does, up to the
// same broken record, and that CountLines counts what the Batcher counts.
func sameAsBatcher(t *testing.T, in string, limit int) {
	t.Helper()
	got, err := cutAll(in, limit)
	b := NewBatcher(strings.NewReader(in), Config{Split: Line, Limit: limit})
	var g Group
	for i := 0; ; i++ {
		batchErr := b.Fill(&g, 1)
		if batchErr != nil {
			var cut, read *TooLargeError
			if i != len(got) || errors.As(batchErr, &read) != errors.As(err, &cut) {
				t.Fatalf("%d mini-batches and %v, want %d and %v", len(got), err, i, batchErr)
			}
			if read != nil && (cut.Offset != read.Offset || cut.Limit != read.Limit) {
				t.Fatalf("%+v, want %+v", cut, read)
			}
			return
		}
		if i >= len(got) || got[i] != string(g.Body) {
			t.Fatalf("mini-batches %.200q, want as the next %.200q", got, g.Body)
		}
		if n := CountLines(g.Body); n != g.Records {
			t.Fatalf("%d lines in %.200q, want %d", n, g.Body, g.Records)
		}
	}
}

func TestCutter(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "\n", "a", "a\nb\n", "a\n\n\nb", strings.Repeat("x", 100), strings.Repeat("12345\n", 50)} {
		for limit := 1; limit < 20; limit++ {
			sameAsBatcher(t, in, limit)
		}
	}
	// The last LF may be farther from the limit than the first pieces reach.
	long := "head\n" + strings.Repeat("y", 3*largestPiece) + "\ntail"
	for _, limit := range []int{3 * largestPiece, 3*largestPiece + 1, 4 * largestPiece, len(long)} {
		sameAsBatcher(t, long, limit)
	}
	var random []byte
	for range 2000 {
		random = append(append(random, bytes.Repeat([]byte("z"), rand.IntN(300))...), '\n')
	}
	for _, limit := range []int{300, 301, firstPiece, firstPiece + 1, 3*firstPiece - 1} {
		sameAsBatcher(t, string(random), limit)
	}
}

// An object that is shorter than it was said to be is an error, not its end.
func TestCutterOfShortObject(t *testing.T) {
	t.Parallel()
	c := NewCutter(strings.NewReader("1\n2\n"), 100, 10)
	var g Group
	for range 2 {
		if err := c.Fill(&g, 1); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("error %v", err)
		}
	}
}

func FuzzCutter(f *testing.F) {
	f.Add("a\nb\r\n\n", 3)
	f.Add("long line without end", 7)
	f.Fuzz(func(t *testing.T, in string, limit int) {
		if limit >= 1 && limit <= 1<<16 {
			sameAsBatcher(t, in, limit)
		}
	})
}
