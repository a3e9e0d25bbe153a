package transform

import (
	"context"
	"io"

	"github.com/sagebrush-ml/sagebrush/internal/record"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// streamed is a whole object in one chunked request (BT-78). Its body cannot be
// sent again, so the request is not repeated.
type streamed struct {
	body io.Reader
	open func(contentType string) (io.Writer, error)
}

// invoke sends the body and writes the answer as it comes.
func (s *streamed) invoke(ctx context.Context, inv Invoker) error {
	return inv.InvokeStream(ctx, s.body, s.open)
}

// stream moves an object without holding it: it waits for a connection, and the
// answer goes to the sink while the object is still being read.
func (p *passage) stream(src input, out sink) error {
	if p.Settings.Assembly == record.FramedAsRecords {
		return &Failure{Class: ClientError, Ref: p.o.Ref, Text: "an answer that is streamed cannot be framed as RecordIO, which needs its length first; set MaxPayloadInMB or another AssembleWith"}
	}
	counted := record.NewCounter(following{src, p}, split(p.Settings.Split), maxRecord)
	w := &answerWriter{progress: p.Progress}
	var s *slot
	select {
	case s = <-p.ring.free:
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
	defer func() { p.ring.put(s) }()
	s.reset(p)
	s.stream = &streamed{body: counted, open: func(contentType string) (io.Writer, error) {
		w.w, w.err = out.stream(contentType)
		return w, w.err
	}}
	p.Progress.InFlight.Add(1)
	defer p.Progress.InFlight.Add(-1)
	p.work <- s
	<-s.done
	switch {
	case counted.Err() != nil:
		return inputFailure(p.o, counted.Err())
	case w.err != nil:
		return outputFailure(p.o, w.err)
	case s.err != nil:
		return p.requestFailure(s)
	}
	if err := w.finish(p.Settings.Assembly); err != nil {
		return outputFailure(p.o, err)
	}
	records := counted.Records()
	if p.Settings.Split == resource.SplitNone {
		records = 1
	}
	p.counts.BytesOut += w.n
	p.count(Counts{Records: records, Requests: 1, BytesIn: counted.Bytes()})
	return nil
}

// following counts a streamed object as it is read: the container gets it at once.
type following struct {
	input
	p *passage
}

func (f following) Read(b []byte) (int, error) {
	n, err := f.input.Read(b)
	f.p.pass(f.raw.at)
	return n, err
}

// answerWriter passes an answer on and remembers how it ended.
type answerWriter struct {
	w        io.Writer
	progress *Progress
	n        int64
	last     byte
	err      error
}

func (a *answerWriter) Write(p []byte) (int, error) {
	n, err := a.w.Write(p)
	if n > 0 {
		a.last = p[n-1]
		a.n += int64(n)
		a.progress.BytesOut.Add(int64(n))
	}
	if err != nil {
		a.err = err
	}
	return n, err
}

// finish ends the answer as the assembly wants it.
func (a *answerWriter) finish(as record.Assembly) error {
	missing := as == record.JoinLines && (a.n == 0 || a.last != '\n')
	if a.w == nil || !missing && as != record.AlwaysLine {
		return nil
	}
	_, err := a.Write([]byte{'\n'})
	return err
}
