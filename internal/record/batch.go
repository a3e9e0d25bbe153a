package record

import (
	"errors"
	"io"
)

// Group is one or more consecutive mini-batches of one object, back to back in
// one buffer. SingleRecord packs many small mini-batches into a group, so that
// handing work over costs per group and not per record; MultiRecord packs one.
//
// The owner of a Group keeps it and passes it to Fill again.
type Group struct {
	// Body holds the payloads; mini-batch i ends at Ends[i].
	Body []byte
	Ends []int
	// First is the number, from 1, of the group's first record in its object,
	// Records how many there are, Offset where the first begins in the
	// (decompressed) object.
	First, Records, Offset int64

	offsets []int64 // where each begins, for framing that is not in Body
}

// OffsetOf gives where mini-batch i begins in the (decompressed) object.
func (g *Group) OffsetOf(i int) int64 {
	switch {
	case i < len(g.offsets):
		return g.offsets[i]
	case i == 0:
		return g.Offset
	}
	return g.Offset + int64(g.Ends[i-1])
}

// Batch gives the payload of mini-batch i, valid until the next Fill.
func (g *Group) Batch(i int) []byte {
	start := 0
	if i > 0 {
		start = g.Ends[i-1]
	}
	return g.Body[start:g.Ends[i]:g.Ends[i]]
}

// reset empties the group for reuse.
func (g *Group) reset(first, offset int64) {
	g.Body, g.Ends, g.offsets = g.Body[:0], g.Ends[:0], g.offsets[:0]
	g.First, g.Records, g.Offset = first, 0, offset
}

// Config says how an object is cut and packed.
type Config struct {
	Split Split
	// Single puts one record into each mini-batch and strips binary framing; its
	// opposite packs as many consecutive records as fit and keeps it (BT-66).
	Single bool
	// Limit is how many bytes a request may carry, inclusive (BT-77); it must be
	// positive. It counts what is put on the wire.
	Limit int
	// SizeHint is the object's size where it is known, or 0. It only saves memory.
	SizeHint int64
}

// groupBytes ends a group of single records that has grown to this size.
const groupBytes = 256 << 10

// Batcher packs the records of one object. Mini-batches never span two objects
// (BT-55). It is not safe for concurrent use.
type Batcher struct {
	cfg   Config
	fill  func(g *Group, want int) error
	split Splitter
	win   *window
	held  Record // a record that did not fit into the last mini-batch
	first int64  // number of the next record
	seen  int64  // records that the splitter gave, the held one included
	off   int64  // its offset
	src   io.Reader
	tail  []byte // bytes after the last LF of a window of lines
	lines int64  // LFs that read has seen of the group
	err   error
}

// NewBatcher makes a Batcher over an object's (decompressed) bytes.
func NewBatcher(src io.Reader, cfg Config) *Batcher {
	b := &Batcher{cfg: cfg, src: src, first: 1}
	switch {
	case cfg.Split == None:
		b.fill = b.fillWhole
	case cfg.Split == Line && !cfg.Single:
		b.fill = b.fillLines
	default:
		b.split, b.win = newSplitter(src, cfg)
		b.fill = b.fillRecords
	}
	return b
}

// NewSplitter makes the Splitter of a split type other than None, for records of
// at most limit bytes, framing included.
func NewSplitter(src io.Reader, split Split, limit int) Splitter {
	s, _ := newSplitter(src, Config{Split: split, Limit: limit})
	return s
}

// newSplitter also gives the window, whose offset the Batcher reads.
func newSplitter(src io.Reader, cfg Config) (Splitter, *window) {
	limit := cfg.Limit
	if cfg.Single && cfg.Split != Line {
		// The limit is for the payload, which the Batcher checks. Framing at most
		// doubles a record: eight bytes for each four that look like the magic.
		limit = 2*limit + recordIOHead + tfRecordHead
	}
	switch cfg.Split {
	case Line:
		s := &lines{win: window{src: src}, limit: limit}
		return s, &s.win
	case RecordIO:
		s := &recordIO{win: window{src: src}, limit: limit}
		return s, &s.win
	default:
		s := &tfRecord{win: window{src: src}, limit: limit}
		return s, &s.win
	}
}

// Fill packs the next mini-batches into g: with Single up to want of them, which
// must be positive, else one. It returns io.EOF when there are none left, and
// after any error it returns that error again. A group that Fill returned with a
// nil error is whole even if the next call fails: what came before a broken
// record was good.
func (b *Batcher) Fill(g *Group, want int) error {
	g.reset(b.first, b.off)
	if b.err != nil {
		return b.err
	}
	err := b.fill(g, want)
	if err != nil {
		b.err = err
		if len(g.Ends) > 0 {
			err = nil
		}
	}
	b.first += g.Records
	return err
}

// fillRecords packs from a Splitter.
func (b *Batcher) fillRecords(g *Group, want int) error {
	for {
		rec, err := b.next()
		if err != nil {
			b.closeBatch(g)
			return err
		}
		if b.cfg.Single {
			g.Body = append(g.Body, rec.Payload...)
			g.Ends = append(g.Ends, len(g.Body))
			if b.cfg.Split != Line {
				g.offsets = append(g.offsets, b.off)
			}
			g.Records++
			b.off += int64(len(rec.Framed))
			if len(g.Ends) >= want || len(g.Body) >= groupBytes {
				return nil
			}
			continue
		}
		if len(g.Body)+len(rec.Framed) > b.cfg.Limit {
			b.held = rec
			b.closeBatch(g)
			return nil
		}
		g.Body = append(g.Body, rec.Framed...)
		g.Records++
		b.off += int64(len(rec.Framed))
	}
}

// closeBatch ends the one mini-batch of a MultiRecord group that has records.
func (b *Batcher) closeBatch(g *Group) {
	if !b.cfg.Single && g.Records > 0 {
		g.Ends = append(g.Ends, len(g.Body))
	}
}

// next gives the held record or the next one of the splitter, within the limit.
func (b *Batcher) next() (Record, error) {
	if rec := b.held; rec.Framed != nil {
		b.held = Record{}
		return rec, nil
	}
	rec, err := b.split.Next()
	if err != nil {
		var large *TooLargeError
		if errors.As(err, &large) {
			large.Limit = b.cfg.Limit
		}
		return Record{}, err
	}
	size := len(rec.Framed)
	if b.cfg.Single {
		size = len(rec.Payload)
	}
	if size > b.cfg.Limit {
		return Record{}, &TooLargeError{Record: b.seen + 1, Offset: b.win.off - int64(len(rec.Framed)), Limit: b.cfg.Limit}
	}
	b.seen++
	return rec, nil
}
