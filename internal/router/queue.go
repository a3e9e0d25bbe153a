package router

import (
	"context"

	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// Queue keeps asynchronous invocations until they end, through any end of the
// server. It is safe for concurrent use.
type Queue interface {
	// Put appends an invocation. It is durable when Put returns.
	Put(ctx context.Context, a state.AsyncInvocation) error
	// Next gives up to limit invocations of an endpoint after a place in the order.
	Next(ctx context.Context, region, endpoint string, after int64, limit int) ([]state.AsyncInvocation, error)
	// Remove forgets one that has ended, well or not. It may be called twice.
	Remove(ctx context.Context, seq int64) error
	// RemoveAll forgets all of an endpoint.
	RemoveAll(ctx context.Context, region, endpoint string) error
	Backlog(ctx context.Context, region, endpoint string) (state.AsyncBacklog, error)
}

// StoreQueue is a Queue in the database.
type StoreQueue struct{ *state.Store }

// Put implements Queue.
func (q StoreQueue) Put(ctx context.Context, a state.AsyncInvocation) error {
	return q.Update(ctx, func(tx *state.Tx) error {
		_, err := tx.AddAsync(a)
		return err
	})
}

// Next implements Queue.
func (q StoreQueue) Next(ctx context.Context, region, endpoint string, after int64, limit int) (all []state.AsyncInvocation, err error) {
	err = q.View(ctx, func(tx *state.Tx) (err error) {
		all, err = tx.NextAsync(region, endpoint, after, limit)
		return err
	})
	return all, err
}

// Remove implements Queue.
func (q StoreQueue) Remove(ctx context.Context, seq int64) error {
	return q.Update(ctx, func(tx *state.Tx) error { return tx.RemoveAsync(seq) })
}

// RemoveAll implements Queue.
func (q StoreQueue) RemoveAll(ctx context.Context, region, endpoint string) error {
	return q.Update(ctx, func(tx *state.Tx) error { return tx.RemoveAllAsync(region, endpoint) })
}

// Backlog implements Queue.
func (q StoreQueue) Backlog(ctx context.Context, region, endpoint string) (b state.AsyncBacklog, err error) {
	err = q.View(ctx, func(tx *state.Tx) (err error) {
		b, err = tx.AsyncBacklog(region, endpoint)
		return err
	})
	return b, err
}
