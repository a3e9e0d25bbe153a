package joblog

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"sync"
)

// Mask is what a secret is replaced by.
const Mask = "****"

// Masker hides secrets in texts, wherever they stand. It is safe for concurrent
// use. The zero Masker hides nothing.
type Masker struct {
	byFirst [256][][]byte // the longest first
	secrets int
}

// NewMasker makes a Masker of secrets, which must not be empty.
func NewMasker(secrets []string) *Masker {
	m := &Masker{secrets: len(secrets)}
	for _, s := range secrets {
		m.byFirst[s[0]] = append(m.byFirst[s[0]], []byte(s))
	}
	for _, same := range m.byFirst {
		slices.SortFunc(same, func(a, b []byte) int { return cmp.Compare(len(b), len(a)) })
	}
	return m
}

// Text hides the secrets in a whole text.
func (m *Masker) Text(s string) string {
	if m.secrets == 0 {
		return s
	}
	out, _, _ := m.append(nil, []byte(s), 0, true)
	return string(out)
}

// append writes text with its secrets hidden behind dst; the first bytes of text
// that are covered are hidden whatever they are. Of secrets that begin at the same
// byte the longest is hidden; one that begins inside another extends what is.
//
// Unless the text is whole, it stops where a secret may have begun that goes on
// after the text, and gives what is left, which is shorter than a secret, and how
// much of that is covered by what is hidden already.
func (m *Masker) append(dst, text []byte, covered int, whole bool) (out, left []byte, leftCovered int) {
	from := 0 // what is before is in dst
	for i := 0; i < len(text); i++ {
		n, open := m.match(text[i:])
		if i > 0 {
			covered = 0
		}
		if open && !whole {
			return append(dst, text[from:i]...), text[i:], covered
		}
		if n = max(n, covered); n == 0 {
			continue
		}
		dst = append(append(dst, text[from:i]...), Mask...)
		end := i + n
		for k := i + 1; k < end; k++ {
			n, open := m.match(text[k:])
			if open && !whole {
				return dst, text[k:], end - k
			}
			end = max(end, k+n)
		}
		from, i = end, end-1
	}
	return append(dst, text[from:]...), nil, 0
}

// match gives the length of the longest secret that text begins with, and whether
// all of text is the beginning of a longer one.
func (m *Masker) match(text []byte) (n int, open bool) {
	for _, s := range m.byFirst[text[0]] {
		if len(s) > len(text) {
			open = open || bytes.HasPrefix(s, text)
		} else if bytes.HasPrefix(text, s) {
			return len(s), open
		}
	}
	return 0, open
}

// Writer hides secrets in what is written to it before it goes on to w. A secret
// may come in pieces: what may be the beginning of one is held back until it is
// clear, or until Close, which does not close w. Less is held back than the longest
// secret has bytes.
func (m *Masker) Writer(w io.Writer) io.WriteCloser { return &maskWriter{m: m, w: w} }

type maskWriter struct {
	m *Masker
	w io.Writer

	mu      sync.Mutex
	held    []byte
	covered int // of held: hidden, whatever comes
	out     []byte
}

// Write never fails unless w does, and claims all of p.
func (w *maskWriter) Write(p []byte) (int, error) {
	if w.m.secrets == 0 {
		return w.w.Write(p)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	text := p
	if len(w.held) > 0 {
		w.held = append(w.held, p...)
		text = w.held
	}
	out, left, covered := w.m.append(w.out[:0], text, w.covered, false)
	w.out, w.held, w.covered = out, append(w.held[:0], left...), covered
	if len(out) == 0 {
		return len(p), nil
	}
	if _, err := w.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what was held back.
func (w *maskWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 {
		return nil
	}
	out, _, _ := w.m.append(w.out[:0], w.held, w.covered, true)
	w.held, w.covered = nil, 0
	_, err := w.w.Write(out)
	return err
}
