package state

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// A group takes no more closures after this many or after this long, so that the
// first of them is not kept waiting for its commit.
const (
	groupMax  = 256
	groupTime = 20 * time.Millisecond
)

// writer owns the connection that writes. Its goroutine runs the closures of
// all Updates, each in a savepoint of its own, and commits in groups.
type writer struct {
	ctx      context.Context // never cancelled: an interrupted statement would undo the whole group
	ses      *session
	names    *nameIndex
	announce func([]resource.Key)
	queue    chan *request // unbuffered, so that nothing is left in it when the writer ends
	closing  <-chan struct{}
	done     chan struct{} // closed when the goroutine has ended
}

// request is one Update on its way through the writer.
type request struct {
	ctx   context.Context
	fn    func(*Tx) error
	keys  []resource.Key
	err   error
	reply chan error
}

func newWriter(ctx context.Context, ses *session, names *nameIndex, closing <-chan struct{}, announce func([]resource.Key)) *writer {
	return &writer{
		ctx: context.WithoutCancel(ctx), ses: ses, names: names, announce: announce,
		queue: make(chan *request), closing: closing, done: make(chan struct{}),
	}
}

// do hands fn to the writer and waits for the commit.
func (w *writer) do(ctx context.Context, fn func(*Tx) error) error {
	r := &request{ctx: ctx, fn: fn, reply: make(chan error, 1)}
	select {
	case <-w.closing:
		return errClosed
	default:
	}
	select {
	case w.queue <- r:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.closing:
		return errClosed
	case <-w.done:
		return errClosed
	}
	select {
	case err := <-r.reply:
		return err
	case <-w.done:
	}
	// The writer has ended. It replies before it does, unless a closure ended
	// its goroutine.
	select {
	case err := <-r.reply:
		return err
	default:
		return fault.New(fault.Internal, "The state database stopped working.")
	}
}

func (w *writer) loop() {
	defer close(w.done)
	for {
		select {
		case r := <-w.queue:
			w.group(r)
			w.names.tidy(w.ctx, w.ses)
		case <-w.closing:
			return
		}
	}
}

// group runs first and whatever else waits in one transaction and tells each its
// outcome. When the transaction as a whole fails, so does every closure in it.
func (w *writer) group(first *request) {
	group := []*request{first}
	failed := w.ses.exec(w.ctx, "BEGIN IMMEDIATE")
	began := failed == nil
	if began {
		group, failed = w.fill(group)
	}
	if failed == nil {
		failed = w.ses.exec(w.ctx, "COMMIT")
	}
	if began && failed != nil {
		// SQLite may have rolled back by itself; then this fails and all is well.
		_ = w.ses.exec(w.ctx, "ROLLBACK")
	}
	var keys []resource.Key
	for _, r := range group {
		if r.err == nil && failed == nil {
			keys = append(keys, r.keys...)
		}
	}
	w.announce(keys)
	for _, r := range group {
		if r.err == nil {
			r.err = failed
		}
		r.reply <- r.err
	}
}

// fill runs closures until none waits or the group is full. Its error means that
// the transaction is lost.
func (w *writer) fill(group []*request) ([]*request, error) {
	if err := w.run(group[0]); err != nil {
		return group, err
	}
	for began := time.Now(); len(group) < groupMax && time.Since(began) < groupTime; {
		select {
		case r := <-w.queue:
			group = append(group, r)
			if err := w.run(r); err != nil {
				return group, err
			}
		default:
			return group, nil
		}
	}
	return group, nil
}

// run runs one closure between a savepoint and its release, or undoes it and
// keeps its error in the request. Its own error means that the transaction is lost.
func (w *writer) run(r *request) error {
	if r.ctx.Err() != nil {
		r.err = context.Cause(r.ctx)
		return nil
	}
	if err := w.ses.exec(w.ctx, "SAVEPOINT closure"); err != nil {
		return err
	}
	tx := &Tx{ctx: w.ctx, ses: w.ses, names: w.names, writes: true}
	r.err = call(r.fn, tx)
	r.keys = tx.end()
	if r.err == nil {
		r.err = tx.broken
	}
	if r.err != nil {
		if err := w.ses.exec(w.ctx, "ROLLBACK TO closure"); err != nil {
			return errors.Join(r.err, err)
		}
	}
	return w.ses.exec(w.ctx, "RELEASE closure")
}

// call turns a panic of fn into an error.
func call(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Wrap(fault.Internal, fmt.Errorf("panic in a write: %v\n%s", p, debug.Stack()), "The server failed while it wrote to the state database.")
		}
	}()
	return fn(tx)
}
