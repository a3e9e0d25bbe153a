package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

// feedPage is how many objects are in memory ahead of the instances.
const feedPage = 512

// feed gives a job's pending objects to its instances, a page of them at a time,
// so that memory does not grow with their number. It implements transform.Feed.
type feed struct {
	store  *state.Store
	job    resource.Key
	bucket string

	mu    sync.Mutex
	page  []state.Object
	after int64
	dry   bool
}

func newFeed(s *state.Store, job resource.Key, bucket string) *feed {
	return &feed{store: s, job: job, bucket: bucket}
}

// Next implements transform.Feed.
func (f *feed) Next(ctx context.Context) (transform.Object, bool, error) {
	if err := ctx.Err(); err != nil {
		return transform.Object{}, false, context.Cause(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.page) == 0 && !f.dry {
		if err := f.turn(ctx); err != nil {
			return transform.Object{}, false, err
		}
	}
	if len(f.page) == 0 {
		return transform.Object{}, false, nil
	}
	o := f.page[0]
	f.page = f.page[1:]
	return transform.Object{
		Seq: o.Seq, Rel: o.Rel,
		Info: objstore.Info{Ref: objstore.Ref{Bucket: f.bucket, Key: o.Key}, Size: o.Size, ETag: o.ETag, Modified: o.Modified},
	}, true, nil
}

// turn reads the next page.
func (f *feed) turn(ctx context.Context) error {
	err := f.store.View(ctx, func(tx *state.Tx) (err error) {
		f.page, err = tx.NextObjects(f.job, f.after, feedPage)
		return err
	})
	if err != nil {
		return err
	}
	f.dry = len(f.page) < feedPage
	if len(f.page) > 0 {
		f.after = f.page[len(f.page)-1].Seq
	}
	return nil
}

// recorder writes the ends of objects to the store, many in one transaction. An
// object whose end was not yet written when the server dies is done again, with
// the same bytes.
type recorder struct {
	ctx   context.Context // never ends: what is done is recorded even while the server stops
	store *state.Store
	job   resource.Key
	in    chan state.ObjectResult
	done  chan struct{}
	err   error // of the first write that failed; valid when done is closed
}

// How long and how many ends wait to be written together.
const (
	recordDelay = 50 * time.Millisecond
	recordBatch = 500
)

func newRecorder(ctx context.Context, s *state.Store, job resource.Key) *recorder {
	r := &recorder{ctx: context.WithoutCancel(ctx), store: s, job: job, in: make(chan state.ObjectResult, recordBatch), done: make(chan struct{})}
	go r.run()
	return r
}

// add hands over the end of one object. It waits only while the store does.
func (r *recorder) add(o state.ObjectResult) { r.in <- o }

// close writes what is left and gives the first error of all writes. It may be
// called once, after the last add.
func (r *recorder) close() error {
	close(r.in)
	<-r.done
	return r.err
}

// run collects until a batch is full or old enough.
func (r *recorder) run() {
	defer close(r.done)
	for {
		first, ok := <-r.in
		if !ok {
			return
		}
		batch := []state.ObjectResult{first}
		timer := time.NewTimer(recordDelay)
		for open := true; open && len(batch) < recordBatch; {
			select {
			case o, more := <-r.in:
				if open = more; more {
					batch = append(batch, o)
				}
			case <-timer.C:
				open = false
			}
		}
		timer.Stop()
		r.write(batch)
	}
}

// write stores a batch.
func (r *recorder) write(batch []state.ObjectResult) {
	err := r.store.Update(r.ctx, func(tx *state.Tx) error {
		return tx.FinishObjects(r.job, batch)
	})
	if err != nil {
		r.err = errors.Join(r.err, err)
	}
}
