package record

import (
	"bytes"
	"errors"
	"io"
)

// fillWhole takes the whole object as the one payload (BT-60, BT-70). An empty
// object gives none: there is nothing to infer (BT-42).
func (b *Batcher) fillWhole(g *Group, _ int) error {
	if b.first > 1 {
		return io.EOF
	}
	ended, err := b.read(g)
	if err != nil {
		return err
	}
	if !ended {
		return &TooLargeError{Record: 1, Offset: 0, Limit: b.cfg.Limit}
	}
	if len(g.Body) == 0 {
		return io.EOF
	}
	b.close(g, len(g.Body), 1)
	return nil
}

// fillLines packs whole lines by windows: it never looks at a single line, only
// for the last LF among the bytes that a request may carry. That gives the same
// mini-batches as adding line after line while they fit (BT-71, BT-77).
func (b *Batcher) fillLines(g *Group, _ int) error {
	g.Body = append(g.Body, b.tail...)
	b.tail = b.tail[:0]
	b.lines = int64(bytes.Count(g.Body, newline))
	ended, err := b.read(g)
	if err != nil {
		return err
	}
	cut := len(g.Body)
	if !ended {
		cut = bytes.LastIndexByte(g.Body[:b.cfg.Limit], '\n') + 1
	}
	switch {
	case len(g.Body) == 0:
		return io.EOF
	case cut == 0:
		return &TooLargeError{Record: b.first, Offset: b.off, Limit: b.cfg.Limit}
	}
	b.tail = append(b.tail, g.Body[cut:]...)
	records := b.lines - int64(bytes.Count(b.tail, newline))
	if g.Body[cut-1] != '\n' {
		records++
	}
	b.close(g, cut, records)
	return nil
}

// newline is what bytes.Count looks for. It is never written to.
var newline = []byte{'\n'}

// close ends the group's one mini-batch at byte cut.
func (b *Batcher) close(g *Group, cut int, records int64) {
	g.Body = g.Body[:cut]
	g.Ends = append(g.Ends, cut)
	g.Records = records
	b.off += int64(cut)
}

// countStep is how much is read at once, so that its LFs are counted while it is still
// in the processor's cache.
const countStep = 256 << 10

// read fills the group's body up to one byte over the limit, adds its LFs to b.lines,
// and reports whether the source ended within the limit.
func (b *Batcher) read(g *Group) (ended bool, err error) {
	body, idle := g.Body, 0
	for len(body) <= b.cfg.Limit {
		body = b.grow(body)
		n, err := b.src.Read(body[len(body):min(cap(body), b.cfg.Limit+1, len(body)+countStep)])
		body = body[:len(body)+n]
		if b.cfg.Split == Line {
			b.lines += int64(bytes.Count(body[len(body)-n:], newline))
		}
		if errors.Is(err, io.EOF) {
			g.Body = body
			return len(body) <= b.cfg.Limit, nil
		}
		if n > 0 {
			idle = 0
		} else if idle++; idle > 100 && err == nil {
			err = io.ErrNoProgress
		}
		if err != nil {
			g.Body = body[:0]
			return false, err
		}
	}
	g.Body = body
	return false, nil
}

// grow makes room for at least one more byte: the whole limit at once for an
// object that is known to be as large, else by doubling.
func (b *Batcher) grow(body []byte) []byte {
	if len(body) < cap(body) {
		return body
	}
	size := max(2*cap(body), 64<<10)
	if b.cfg.SizeHint > 0 {
		size = max(size, int(min(b.cfg.SizeHint, int64(b.cfg.Limit))))
	}
	grown := make([]byte, len(body), min(size, b.cfg.Limit)+1)
	copy(grown, body)
	return grown
}
