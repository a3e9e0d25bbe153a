package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// ReaderOptions tune NewReader. The zero value is right for most.
type ReaderOptions struct {
	// Tries is how many times in a row a read may fail without a byte in between
	// before the reader gives up; 0 means 3.
	Tries int
	// Backoff is the longest pause before the second try; it doubles with each
	// further one. The pause is drawn between half of that and all of it. 0 means
	// 200 ms.
	Backoff time.Duration
}

// NewReader reads a whole object in order, pinned to info.ETag (an empty one
// pins nothing). When the store fails in the middle in a way that may pass, it
// goes on from the same byte; its last error names the object and that byte. An
// object that has changed is fault.Conflict at once. The object is opened by
// the first Read, and an empty one never. ctx bounds all of it.
//
// The reader is not safe for concurrent use.
func NewReader(ctx context.Context, st Store, info Info, o ReaderOptions) io.ReadCloser {
	if o.Tries <= 0 {
		o.Tries = 3
	}
	if o.Backoff <= 0 {
		o.Backoff = 200 * time.Millisecond
	}
	return &reader{ctx: ctx, st: st, info: info, o: o}
}

type reader struct {
	ctx  context.Context
	st   Store
	info Info
	o    ReaderOptions

	off    int64         // of the next byte
	body   io.ReadCloser // nil between tries
	failed int           // tries in a row without progress
	err    error         // final
}

// Read implements io.Reader. Its errors are final.
func (r *reader) Read(p []byte) (int, error) {
	for r.err == nil && len(p) > 0 {
		if r.off >= r.info.Size {
			r.finish(io.EOF)
			break
		}
		n, err := r.try(p[:min(int64(len(p)), r.info.Size-r.off)])
		r.off += int64(n)
		if n > 0 {
			r.failed = 0
		}
		if err != nil {
			r.drop()
			r.consider(err, n > 0)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}

// try reads once, opening the object where the last try broke off.
func (r *reader) try(p []byte) (int, error) {
	if r.body == nil {
		body, err := r.st.Open(r.ctx, r.info.Ref, Range{Off: r.off, N: -1, IfMatch: r.info.ETag})
		if err != nil {
			return 0, err
		}
		r.body = body
	}
	n, err := r.body.Read(p)
	if err == io.EOF {
		if r.off+int64(n) >= r.info.Size {
			return n, nil
		}
		err = Unavailable(r.info.Ref, "reading", io.ErrUnexpectedEOF)
	}
	return n, err
}

// consider decides whether an error ends the reading, and waits when it does not.
func (r *reader) consider(err error, progress bool) {
	if ctxErr := context.Cause(r.ctx); ctxErr != nil {
		r.finish(fault.Wrap(fault.Unavailable, errors.Join(ctxErr, err), "reading %s was interrupted at byte %d", r.info.Ref, r.off))
		return
	}
	if !fault.Is(err, fault.Unavailable) {
		r.finish(fmt.Errorf("at byte %d: %w", r.off, err))
		return
	}
	if progress {
		return // the next try is the first without progress: no pause yet
	}
	r.failed++
	if r.failed >= r.o.Tries {
		r.finish(fault.Wrap(fault.Unavailable, err, "reading %s failed %d times at byte %d of %d: %s",
			r.info.Ref, r.failed, r.off, r.info.Size, fault.TextOf(err)))
		return
	}
	r.pause()
}

// pause waits before the next try, or until the context ends; the next try
// then fails.
func (r *reader) pause() {
	longest := r.o.Backoff << min(r.failed-1, 10)
	t := time.NewTimer(longest/2 + rand.N(longest/2+1))
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.ctx.Done():
	}
}

func (r *reader) finish(err error) {
	r.drop()
	r.err = err
}

func (r *reader) drop() {
	if r.body != nil {
		r.body.Close() // nothing more is wanted of it
		r.body = nil
	}
}

// Close ends the reading. It may be called twice.
func (r *reader) Close() error {
	r.finish(errors.New("the reader is closed"))
	return nil
}
