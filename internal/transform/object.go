package transform

import (
	"context"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/record"
)

// passage is one object on its way through a Runner.
type passage struct {
	*Runner
	ctx    context.Context // ends with the object's first failure
	o      Object
	counts *Counts
	passed int64 // stored bytes that the job's progress has counted
}

// pass counts stored bytes up to an offset as read: not when they are, far ahead of
// the container, but when their records were answered.
func (p *passage) pass(to int64) {
	p.Progress.InputBytesRead.Add(to - p.passed)
	p.passed = to
}

// object moves one object: it fills slots on a goroutine of its own and writes
// their answers in order here. The first failure ends both (BT-90), and the
// output appears only after the last answer (BT-106).
func (r *Runner) object(ctx context.Context, o Object, counts *Counts) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &passage{Runner: r, ctx: ctx, o: o, counts: counts}
	if err := p.identify(); err != nil {
		return inputFailure(o, err)
	}
	defer func() { p.pass(p.o.Size) }() // also when it failed: it is behind us
	out := p.output()
	defer out.abort()
	if err := p.move(out, cancel); err != nil {
		return err
	}
	if err := out.commit(p.ctx); err != nil {
		return outputFailure(o, err)
	}
	return nil
}

// identify looks up an object that could not be when the input was listed.
func (p *passage) identify() (err error) {
	if p.o.ETag == "" {
		p.o.Info, err = p.Store.Stat(p.ctx, p.o.Ref)
	}
	return err
}

// move moves the object's bytes in the way that suits it.
func (p *passage) move(out sink, cancel context.CancelCauseFunc) error {
	if p.viewable() {
		view, err := objstore.NewView(p.ctx, p.Store, p.o.Info)
		if err == nil {
			defer view.Close()
			return p.pump(p.look(view), out, cancel)
		}
		// It is read, which is tried more than once and tells of failures.
	}
	src := p.open()
	defer src.Close()
	if p.Settings.streams() && p.o.Size > 0 {
		return p.stream(src, out)
	}
	return p.pump(p.pack(src), out, cancel)
}

// pump fills slots by pack, which ends with io.EOF, waits for them in order, and
// writes their answers.
func (p *passage) pump(pack func(*slot) error, out sink, cancel context.CancelCauseFunc) error {
	queue := make(chan *slot, p.ring.most) // holds the whole ring: sending never blocks
	var fillErr error
	go func() {
		defer close(queue)
		fillErr = p.fill(pack, queue)
	}()
	var failed error
	for s := range queue {
		<-s.done
		if failed == nil {
			if failed = p.settle(s, out); failed != nil {
				cancel(failed)
			}
		}
		p.ring.put(s)
	}
	switch {
	case failed != nil || fillErr == nil:
		return failed
	case p.ctx.Err() != nil:
		return context.Cause(p.ctx)
	}
	return p.packFailure(fillErr)
}

// fill packs the object into slots until it ends or the passage does.
func (p *passage) fill(pack func(*slot) error, queue chan<- *slot) error {
	for {
		var s *slot
		select {
		case s = <-p.ring.free:
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
		s.reset(p)
		if err := pack(s); err != nil {
			p.ring.put(s)
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		queue <- s
		p.work <- s
	}
}

// packFailure is the failure of packing, once all that was packed is settled: who
// only looked at the object could not count the records before the broken one.
func (p *passage) packFailure(err error) error {
	if large := (*record.TooLargeError)(nil); errors.As(err, &large) && large.Record == 0 {
		large.Record = p.counts.Records + 1
	}
	return inputFailure(p.o, err)
}

// pack packs what is read into memory.
func (p *passage) pack(src input) func(*slot) error {
	batcher := record.NewBatcher(src, p.Settings.batching(p.o.Size))
	return func(s *slot) error {
		err := batcher.Fill(&s.Group, p.pace.group())
		s.read = src.raw.at
		return err
	}
}

// settle counts a slot whose requests are done and writes its answers.
func (p *passage) settle(s *slot, out sink) error {
	p.counts.Retries += s.retries
	p.Progress.Retries.Add(s.retries)
	if s.view != nil {
		s.First = p.counts.Records + 1
	}
	if s.err != nil {
		return p.requestFailure(s)
	}
	if err := out.add(s.answers, s.ends, s.contentType); err != nil {
		return outputFailure(p.o, err)
	}
	p.pass(s.read)
	p.count(Counts{
		Records: s.Records, Requests: int64(len(s.Ends)),
		BytesIn: int64(s.Ends[len(s.Ends)-1]), BytesOut: int64(len(s.answers)),
	})
	return nil
}

// count adds to the object's and the job's figures, retries excepted.
func (p *passage) count(c Counts) {
	p.counts.Add(c)
	p.Progress.Records.Add(c.Records)
	p.Progress.Requests.Add(c.Requests)
	p.Progress.BytesIn.Add(c.BytesIn)
	p.Progress.BytesOut.Add(c.BytesOut)
}

// input is an object's bytes as they are cut: gunzipped where the job says so.
type input struct {
	io.Reader
	raw    *countingReader
	closer io.Closer
}

// Close ends the read of the stored object.
func (in input) Close() error { return in.closer.Close() }

// open reads the object from the store, counting what comes as it is stored.
func (p *passage) open() input {
	raw := objstore.NewReader(p.ctx, p.Store, p.o.Info, objstore.ReaderOptions{})
	counted := &countingReader{r: raw}
	if !p.Settings.Gzip || p.o.Size == 0 { // an empty object is empty, not broken gzip (BT-42)
		return input{Reader: counted, raw: counted, closer: raw}
	}
	return input{Reader: &gunzip{src: counted}, raw: counted, closer: raw}
}

// gunzip reads a gzip file of one or more members (BT-111). A file that is not
// gzip, is cut short, or has other bytes behind it gives a *gzipError; errors of
// the store pass through.
type gunzip struct {
	src *countingReader
	z   *gzip.Reader
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.z == nil {
		z, err := gzip.NewReader(g.src)
		if err != nil {
			return 0, g.explain(err)
		}
		g.z = z
	}
	n, err := g.z.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = g.explain(err)
	}
	return n, err
}

// explain tells a broken file from a broken read.
func (g *gunzip) explain(err error) error {
	if g.src.err != nil && !errors.Is(g.src.err, io.EOF) {
		return g.src.err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &gzipError{Offset: g.src.at, Err: err}
}

// gzipError is an object that CompressionType=Gzip cannot be true of.
type gzipError struct {
	Offset int64 // bytes of the file that had been read
	Err    error
}

func (e *gzipError) Error() string {
	why := e.Err.Error()
	switch {
	case errors.Is(e.Err, gzip.ErrHeader):
		why = "it has no gzip header there"
	case errors.Is(e.Err, gzip.ErrChecksum):
		why = "its checksum is wrong"
	case errors.Is(e.Err, io.ErrUnexpectedEOF):
		why = "it ends too early"
	}
	return "the object is not valid gzip: " + why
}

func (e *gzipError) Unwrap() error { return e.Err }

// countingReader counts what is read and keeps the error that the source ended
// with.
type countingReader struct {
	r   io.Reader
	at  int64
	err error
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.at += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}
