package transform

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/record"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// minView is the size in bytes from which looking at a part of a file costs less
// than copying it.
const minView = 256 << 10

// viewable reports whether the object's mini-batches are parts of it as it is
// stored, and large. Then they need not be in memory where the store keeps files:
// a slot holds only the place of its payload, and the kernel sends it from there.
func (p *passage) viewable() bool {
	s := p.Settings
	return s.Split == resource.SplitLine && s.Strategy == resource.MultiRecord && !s.Gzip &&
		s.PayloadMB > 0 && p.o.Size >= minView
}

// look cuts the object by what the view shows. A small rest is read.
func (p *passage) look(v *objstore.View) func(*slot) error {
	cutter := record.NewCutter(v, p.o.Size, p.Settings.batching(p.o.Size).Limit)
	return func(s *slot) error {
		if err := cutter.Fill(&s.Group, 1); err != nil {
			return err
		}
		s.view, s.read = v, s.Offset+int64(s.Ends[0])
		return nil
	}
}

// invokeView is invoke for a slot whose payload is looked at. The payload's lines
// are counted here, while it is being sent.
func (r *Runner) invokeView(inv Invoker, s *slot) {
	r.Progress.InFlight.Add(1)
	defer r.Progress.InFlight.Add(-1)
	n := s.Ends[0]
	if n < minView {
		s.err = r.invokeRest(inv, s, n)
		return
	}
	w, err := s.view.Window(s.Offset, n)
	if err != nil {
		s.err = inputFailure(s.object.o, err)
		return
	}
	lines := lineCount{window: w, of: n}
	s.err = r.exchange(inv, s, Payload{Body: w.Bytes(), Sent: lines.sent})
	s.Records = lines.finish()
	if err := errors.Join(lines.err, w.Close()); err != nil {
		s.err = inputFailure(s.object.o, err)
	}
}

// invokeRest reads a payload that is too small to be looked at.
func (r *Runner) invokeRest(inv Invoker, s *slot, n int) error {
	s.Body = slices.Grow(s.Body, n)[:n]
	if got, err := s.view.ReadAt(s.Body, s.Offset); got < n {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return inputFailure(s.object.o, err)
	}
	s.Records = record.CountLines(s.Body)
	return r.exchange(inv, s, Payload{Body: s.Body})
}

// lineCount counts the lines of a window once, whatever the attempts to send it.
type lineCount struct {
	window *objstore.Window
	of     int // bytes in the window
	seen   int // bytes that are counted
	n      int64
	last   byte
	err    error
}

// sent counts a part if it is the next one.
func (c *lineCount) sent(part []byte) {
	if window := c.window.Bytes(); c.seen < c.of && &part[0] == &window[c.seen] {
		c.count(c.seen + len(part))
	}
}

// count goes on to a byte.
func (c *lineCount) count(to int) {
	err := c.window.Look(c.seen, to, func(part []byte) {
		c.n += int64(bytes.Count(part, []byte{'\n'}))
		c.last = part[len(part)-1]
	})
	c.seen = to
	c.err = errors.Join(c.err, err)
}

// finish counts what was not sent and gives the number of lines.
func (c *lineCount) finish() int64 {
	if c.seen < c.of {
		c.count(c.of)
	}
	if c.last != '\n' {
		c.n++
	}
	return c.n
}
