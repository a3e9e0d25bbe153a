package front

import (
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

func TestChunks(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name, coded, body string
		ok, over          bool
	}{
		{"two chunks", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde", true, true},
		{"upper and lower case", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", true, true},
		{"extension", "3;a=b\r\nabc\r\n0;c\r\n\r\n", "abc", true, true},
		{"trailers", "0\r\nA: b\r\nC: d\r\n\r\n", "", true, true},
		{"half", "5\r\nab", "ab", true, false},
		{"no digits", "\r\nabc\r\n0\r\n\r\n", "", false, false},
		{"a sign", "+3\r\nabc\r\n0\r\n\r\n", "", false, false},
		{"0x", "0x3\r\nabc\r\n0\r\n\r\n", "", false, false},
		{"bare LF", "3\nabc\r\n0\r\n\r\n", "", false, false},
		{"bare CR", "3\rabc", "", false, false},
		{"too long a chunk", "3\r\nabcd\r\n0\r\n\r\n", "", false, false},
		{"huge", "fffffffffffff\r\n", "", false, false},
		{"a NUL in an extension", "3;\x00\r\nabc\r\n", "", false, false},
		{"an endless extension", "3;" + strings.Repeat("x", maxChunkLine), "", false, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			for _, piece := range []int{1, 3, len(x.coded)} {
				body, over, ok := readChunks([]byte(x.coded), piece)
				if ok != x.ok || ok && (string(body) != x.body || over != x.over) {
					t.Errorf("in pieces of %d: %q, over %v, ok %v", piece, body, over, ok)
				}
			}
		})
	}
}

// readChunks reads coded in pieces.
func readChunks(coded []byte, piece int) (body []byte, over, ok bool) {
	var c chunkReader
	for len(coded) > 0 && !c.ended() {
		k := min(piece, len(coded))
		part, _, ok := c.read(bytes.Clone(coded[:k]))
		if !ok {
			return nil, false, false
		}
		body = append(body, part...)
		coded = coded[k:]
	}
	return body, c.ended(), true
}

// FuzzChunks: where front reads a body to its end, net/http reads the same body.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\n"), 1)
	f.Add([]byte("3;x\r\nabc\r\n00000\r\nA: b\r\n\r\n"), 4)
	f.Fuzz(func(t *testing.T, coded []byte, piece int) {
		body, over, ok := readChunks(coded, max(piece, 1))
		if !ok || !over {
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(coded)))
		if err != nil {
			t.Skip() // net/http is stricter in how much framing there may be for a byte
		}
		if !bytes.Equal(body, want) {
			t.Fatalf("net/http reads %q, front %q", want, body)
		}
	})
}
