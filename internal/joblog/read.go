package joblog

import (
	"bytes"
	"cmp"
	"container/heap"
	"errors"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"slices"
)

// Range is which lines are wanted: those with a Position over After and under
// Before. A Before of 0 is no bound.
type Range struct{ After, Before Position }

func (r Range) before() Position {
	if r.Before == 0 {
		return math.MaxInt64
	}
	return r.Before
}

// block is how many bytes of a stream are read at once. Nothing stays open between
// two blocks: files may be rotated and removed meanwhile.
const block = 64 << 10

// forward gives the lines of a stream behind a Position, oldest first: as many as
// are in want bytes, and at least one where there is one.
func (d *Dir) forward(file string, after Position, want int) ([]Line, error) {
	d.files.RLock()
	defer d.files.RUnlock()
	files := segments(file)
	for i, name := range files { // the newest first: the file to begin in
		first, err := firstOf(name)
		if err == nil && first <= after || i == len(files)-1 {
			files = files[:i+1]
			break
		}
	}
	slices.Reverse(files)
	for _, name := range files {
		lines, err := d.linesAfter(name, after, want)
		if len(lines) > 0 || err != nil {
			return lines, ignoreMissing(err)
		}
	}
	return nil, nil
}

// linesAfter is forward in one file.
func (d *Dir) linesAfter(name string, after Position, want int) ([]Line, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	defer f.Close()
	off, err := seek(f, after)
	if err != nil {
		return nil, err
	}
	var lines []Line
	s, o := scanner{f: f, off: off}, opener{keys: d.Keys, f: f}
	for used := 0; used < want; {
		at, text, err := s.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if at > after { // else before what is wanted, or out of order by somebody's hand
			lines = append(lines, Line{Position: at, Text: o.text(at, text)})
			used += len(text) + len(stampLayout)
			after = at
		}
	}
	return lines, nil
}

// seek finds where in a file a reading must begin that wants all lines over a
// Position: at such a line, or less than a block and a line before it.
func seek(f *os.File, after Position) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	low, high := int64(0), info.Size()
	for high-low > block {
		mid := low + (high-low)/2
		s := scanner{f: f, off: mid}
		if err := s.skip(); err != nil && err != io.EOF {
			return 0, err
		}
		start := s.off
		at, _, err := s.next()
		switch {
		case err != nil && err != io.EOF:
			return 0, err
		case err == io.EOF || start >= high || at > after:
			high = mid
		default:
			low = start
		}
	}
	return low, nil
}

// scanner reads a file's lines from an offset. What is no line is passed over.
type scanner struct {
	f   io.ReaderAt
	off int64 // of what next gives
	buf []byte
	at  int // in buf, of what next gives
}

// next gives the next line; text is valid until the next call. io.EOF is the end.
func (s *scanner) next() (Position, []byte, error) {
	for {
		raw, err := s.raw()
		if err != nil {
			return 0, nil, err
		}
		if at, text, ok := parseLine(raw); ok {
			return at, text, nil
		}
	}
}

// skip passes over what is left of a line.
func (s *scanner) skip() error {
	_, err := s.raw()
	return err
}

// raw gives bytes up to and with a newline. A line over the longest is given in
// pieces, none of which parses as a line.
func (s *scanner) raw() ([]byte, error) {
	for {
		if i := bytes.IndexByte(s.buf[s.at:], '\n'); i >= 0 {
			raw := s.buf[s.at : s.at+i+1]
			s.at, s.off = s.at+i+1, s.off+int64(i+1)
			return raw, nil
		}
		have := len(s.buf) - s.at
		if have > longestLine {
			raw := s.buf[s.at:]
			s.at, s.off = len(s.buf), s.off+int64(have)
			return raw, nil
		}
		s.buf = append(s.buf[:0], s.buf[s.at:]...)
		s.at = 0
		s.buf = slices.Grow(s.buf, 16<<10)
		n, err := s.f.ReadAt(s.buf[have:have+16<<10], s.off+int64(have))
		s.buf = s.buf[:have+n]
		if n == 0 {
			return nil, cmp.Or(err, io.EOF)
		}
	}
}

// firstOf is the Position of a file's first line; io.EOF where it has none.
func firstOf(name string) (Position, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	s := scanner{f: f}
	at, _, err := s.next()
	return at, err
}

// lastOf is the Position of the last line of a stream; io.EOF where it has none.
func lastOf(file string) (Position, error) {
	for _, name := range segments(file) {
		lines, err := linesBefore(name, math.MaxInt64, 1, 1, nil)
		if err = ignoreMissing(err); err != nil {
			return 0, err
		}
		if len(lines) > 0 {
			return lines[0].Position, nil
		}
	}
	return 0, io.EOF
}

// backward gives the last lines of a stream before a Position, oldest first: n of
// them, or as many as are in want bytes.
func (d *Dir) backward(file string, before Position, n, want int) ([]Line, error) {
	d.files.RLock()
	defer d.files.RUnlock()
	var lines []Line
	for _, name := range segments(file) {
		more, err := linesBefore(name, before, n-len(lines), want, &opener{keys: d.Keys})
		if err = ignoreMissing(err); err != nil {
			return nil, err
		}
		lines = slices.Concat(more, lines)
		for _, l := range more {
			want -= len(l.Text) + len(stampLayout)
		}
		if len(lines) >= n || want <= 0 {
			break
		}
	}
	return lines, nil
}

// linesBefore is backward in one file: it reads blocks from the end of what is
// wanted until there are enough lines. Texts come from an opener, which is given
// the file.
func linesBefore(name string, before Position, n, want int, o *opener) ([]Line, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if o != nil {
		o.f = f
	}
	end, err := endBefore(f, before)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for used := 0; end > 0 && len(lines) < n && used < want; {
		from := max(0, end-block)
		start, some, err := between(f, from, end, o)
		if err != nil {
			return nil, err
		}
		for len(some) == 0 && start >= end && from > 0 { // one line is longer than the block
			from = max(0, from-block)
			if start, some, err = between(f, from, end, o); err != nil {
				return nil, err
			}
		}
		for i := len(some) - 1; i >= 0 && len(lines) < n && used < want; i-- {
			lines = append(lines, some[i])
			used += len(some[i].Text) + len(stampLayout)
		}
		end = min(start, end-1)
	}
	slices.Reverse(lines)
	return lines, nil
}

// endBefore is the offset behind the last line before a Position.
func endBefore(f *os.File, before Position) (int64, error) {
	off, err := seek(f, before-1)
	if err != nil {
		return 0, err
	}
	for s := (scanner{f: f, off: off}); ; {
		start := s.off
		at, _, err := s.next()
		if err == io.EOF {
			return s.off, nil
		}
		if err != nil || at >= before {
			return start, err
		}
	}
}

// between gives the lines that begin in a part of a file, whose end is the end of
// a line, and where the first of them begins: behind the first newline, since the
// part may begin anywhere.
func between(f io.ReaderAt, from, end int64, o *opener) (start int64, lines []Line, err error) {
	s := scanner{f: io.NewSectionReader(f, 0, end), off: from}
	if from > 0 {
		s.off-- // a newline just before the part does not cost its first line
		if err := s.skip(); err != nil && err != io.EOF {
			return 0, nil, err
		}
	}
	start = s.off
	for {
		at, text, err := s.next()
		if err == io.EOF {
			return start, lines, nil
		}
		if err != nil {
			return 0, nil, err
		}
		lines = append(lines, Line{Position: at, Text: o.text(at, text)})
	}
}

// Bounds gives the Positions of a stream's first and last line. A stream without
// lines has none: ok is false.
func (d *Dir) Bounds(g Group, stream string) (first, last Position, ok bool, err error) {
	file, err := d.path(g, stream)
	if err != nil {
		return 0, 0, false, ignoreMissing(err)
	}
	lines, err := d.forward(file, 0, 1)
	if err != nil || len(lines) == 0 {
		return 0, 0, false, err
	}
	d.files.RLock()
	defer d.files.RUnlock()
	last, err = lastOf(file)
	if errors.Is(err, io.EOF) { // swept just now
		return 0, 0, false, nil
	}
	return lines[0].Position, last, err == nil, err
}

// Tail gives the last n lines of a stream that are in a range, oldest first, but
// no more than are in want bytes.
func (d *Dir) Tail(g Group, stream string, r Range, n, want int) ([]Line, error) {
	file, err := d.path(g, stream)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	lines, err := d.backward(file, r.before(), n, want)
	lines = slices.DeleteFunc(lines, func(l Line) bool { return l.Position <= r.After })
	for i := range lines {
		lines[i].Stream = stream
	}
	return lines, err
}

// Lines gives the lines of streams that are in a range and were written before the
// call, merged, oldest first: with After as the last one that came, the next call
// misses none. They are read block by block as they are asked for; memory is bounded by the number
// of streams that have lines at the same time.
func (d *Dir) Lines(g Group, streams []string, r Range) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		r.Before = min(r.before(), d.Now()+1)
		var heads cursors
		for _, name := range streams {
			file, err := d.path(g, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			c := &cursor{file: file, stream: name, after: r.After}
			if ok, err := c.fill(d, 1); err != nil { // one line: most streams have their turn later
				yield(Line{}, err)
				return
			} else if ok {
				heads = append(heads, c)
			}
		}
		heap.Init(&heads)
		for len(heads) > 0 {
			c := heads[0]
			l := c.lines[0]
			if l.Position >= r.before() || !yield(l, nil) {
				return
			}
			c.after, c.lines = l.Position, c.lines[1:]
			ok, err := c.fill(d, block)
			if err != nil {
				yield(Line{}, err)
				return
			}
			if ok {
				heap.Fix(&heads, 0)
			} else {
				heap.Pop(&heads)
			}
		}
	}
}

// cursor is a stream that is being read.
type cursor struct {
	file, stream string
	after        Position
	lines        []Line // read ahead
}

// fill reads ahead when nothing is left; it is not ok at the end.
func (c *cursor) fill(d *Dir, want int) (ok bool, err error) {
	if len(c.lines) > 0 {
		return true, nil
	}
	c.lines, err = d.forward(c.file, c.after, want)
	for i := range c.lines {
		c.lines[i].Stream = c.stream
	}
	return len(c.lines) > 0, err
}

// cursors is a heap, the oldest line first.
type cursors []*cursor

func (h cursors) Len() int           { return len(h) }
func (h cursors) Less(i, k int) bool { return h[i].lines[0].Position < h[k].lines[0].Position }
func (h cursors) Swap(i, k int)      { h[i], h[k] = h[k], h[i] }
func (h *cursors) Push(c any)        { *h = append(*h, c.(*cursor)) }
func (h *cursors) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
