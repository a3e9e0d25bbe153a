package joblog

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// hidden is what Text must not show, by the plainest means: all bytes that any
// occurrence of a secret covers.
func hidden(text string, secrets []string) []bool {
	cover := make([]bool, len(text))
	for i := range text {
		for _, s := range secrets {
			if strings.HasPrefix(text[i:], s) {
				for k := range s {
					cover[i+k] = true
				}
			}
		}
	}
	return cover
}

// shown is what must be left: the bytes that nothing covers, in order.
func shown(text string, secrets []string) string {
	var b strings.Builder
	for i, c := range hidden(text, secrets) {
		if !c {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

// I8: however secrets overlap and wherever output is cut, no byte of one is shown
// and no other is lost.
func TestMaskPieces(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	letters := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abc"[r.IntN(3)]
		}
		return string(b)
	}
	for range 5_000 {
		secrets := []string{letters(1 + r.IntN(5)), letters(1 + r.IntN(7)), letters(1 + r.IntN(3))}
		text := letters(r.IntN(40))
		m := NewMasker(secrets)
		want := shown(text, secrets)
		if got := strings.ReplaceAll(m.Text(text), Mask, ""); got != want {
			t.Fatalf("%q hiding %q: %q is shown, want %q", text, secrets, got, want)
		}
		var out bytes.Buffer
		w := m.Writer(&out)
		longest := max(len(secrets[0]), len(secrets[1]), len(secrets[2]))
		for rest := text; rest != ""; {
			n := 1 + r.IntN(len(rest))
			if k, err := w.Write([]byte(rest[:n])); k != n || err != nil {
				t.Fatal(k, err)
			}
			rest = rest[n:]
			if held := len(w.(*maskWriter).held); held >= longest {
				t.Fatalf("%d bytes are held back, the longest secret has %d", held, longest)
			}
		}
		w.Close()
		w.Close()
		if got := strings.ReplaceAll(out.String(), Mask, ""); got != want {
			t.Fatalf("%q hiding %q in pieces: %q is shown, want %q", text, secrets, got, want)
		}
	}
}

func TestMaskText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		secrets    []string
		text, want string
	}{
		{[]string{"hunter2"}, "password=hunter2\n", "password=****\n"},
		{[]string{"hunt", "hunter2"}, "hunter2 hunt hunter", "**** **** ****er"},
		{[]string{"two\nlines"}, "a two\nlines b", "a **** b"},
		{nil, "nothing to hide", "nothing to hide"},
	} {
		if got := NewMasker(tt.secrets).Text(tt.text); got != tt.want {
			t.Errorf("%q hiding %q: %q, want %q", tt.text, tt.secrets, got, tt.want)
		}
	}
	if got := (&Masker{}).Text("x"); got != "x" {
		t.Error(got)
	}
}

// A line that holds no beginning of a secret is not held back.
func TestMaskDoesNotDelay(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := NewMasker([]string{"hunter2"}).Writer(&out)
	w.Write([]byte("one line\ntwo h"))
	if out.String() != "one line\ntwo " {
		t.Errorf("%q is out", out.String())
	}
	w.Write([]byte("u\n"))
	if out.String() != "one line\ntwo hu\n" {
		t.Errorf("%q is out", out.String())
	}
}

func BenchmarkMask(b *testing.B) {
	w := NewMasker([]string{"hunter2hunter2", "eyJhbGciOiJIUzI1NiJ9.e30.x", "AKIA0123456789"}).Writer(&bytes.Buffer{})
	line := []byte(strings.Repeat("2026-11-24 INFO serving a request of 4 ms\n", 100))
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		w.Write(line)
		w.(*maskWriter).w.(*bytes.Buffer).Reset()
	}
}
