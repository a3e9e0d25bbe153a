package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/modelcache"
)

// maxWarm bounds the instances that are kept warm; the oldest goes first.
const maxWarm = 16

// likeness says what an instance is: two orders of the same likeness may be served
// by one instance after the other.
type likeness [sha256.Size]byte

// likenessOf digests everything that a container could tell apart.
func (b *Blueprint) likenessOf(o Order) (l likeness, ok bool) {
	all := b.model.All()
	if b.sealed {
		return l, false
	}
	parts := []any{o.MemoryBytes, o.CPUs, o.ShmBytes, o.GPUs, b.model.EnableNetworkIsolation}
	for i, c := range all {
		if b.own || c.MultiModel || len(c.Extra) > 0 {
			return l, false // it has files of its own
		}
		parts = append(parts, b.images[i].Specified, b.images[i].Resolved, b.dirs[i], c.Hostname, o.Env(c))
	}
	text, err := json.Marshal(parts)
	return sha256.Sum256(text), err == nil
}

// warm is an instance that waits for its next job.
type warm struct {
	in    *Instance
	like  likeness
	data  []*modelcache.Model // what it reads stays on disk
	timer *time.Timer
	taken bool
}

// Keep takes over an instance whose work is done and keeps it for a while, ready
// for an order that is just like its own. It reports false, and leaves the instance
// to its caller, when it cannot be kept. Stop must not be called after true.
func (f *Fleet) Keep(in *Instance, keep time.Duration) bool {
	if keep <= 0 || !in.reusable || in.Gone() || in.leaves() {
		return false
	}
	w := &warm{in: in, like: in.like}
	for _, m := range in.blueprint.data {
		if m != nil {
			w.data = append(w.data, m.Again())
		}
	}
	in.redirect(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		w.release()
		return false
	}
	f.warm = append(f.warm, w)
	w.timer = time.AfterFunc(keep, func() { f.expire(w) })
	if len(f.warm) > maxWarm {
		f.expireLater(f.warm[0])
	}
	return true
}

// expireLater ends a warm instance soon, without waiting. f.mu is held.
func (f *Fleet) expireLater(w *warm) { w.timer.Reset(0) }

// expire ends a warm instance that nobody took.
func (f *Fleet) expire(w *warm) {
	f.mu.Lock()
	if w.taken {
		f.mu.Unlock()
		return
	}
	f.forgetWarm(w)
	f.ending.Add(1)
	f.mu.Unlock()
	defer f.ending.Done()
	if err := w.in.Stop(context.Background()); err != nil {
		f.Log.Warn("a warm instance did not stop cleanly", "instance", w.in.ID, "error", err)
	}
	w.release()
}

// forgetWarm takes an instance out of the pool. f.mu is held.
func (f *Fleet) forgetWarm(w *warm) {
	w.taken = true
	for i, other := range f.warm {
		if other == w {
			f.warm = append(f.warm[:i], f.warm[i+1:]...)
			return
		}
	}
}

// leaves reports whether the runtime wants the instance gone: nothing new is given
// to it.
func (in *Instance) leaves() bool {
	select {
	case <-in.leaving:
		return true
	default:
		return false
	}
}

func (w *warm) release() {
	for _, m := range w.data {
		m.Release()
	}
}

// takeWarm gives a warm instance that serves an order, with its output redirected,
// or nil.
func (f *Fleet) takeWarm(b *Blueprint, o Order, like likeness) *Instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.warm) - 1; i >= 0; i-- {
		w := f.warm[i]
		if w.like != like || w.in.Gone() || w.in.leaves() {
			continue
		}
		w.timer.Stop()
		f.forgetWarm(w)
		w.in.held = append(w.in.held, w.data...)
		w.in.redirect(func(k int) io.Writer { out, _ := o.Output(k); return out })
		return w.in
	}
	return nil
}

// Close ends all warm instances and keeps no more. It may be called twice.
func (f *Fleet) Close() {
	f.mu.Lock()
	f.closed = true
	all := append([]*warm(nil), f.warm...)
	f.mu.Unlock()
	var wait sync.WaitGroup
	for _, w := range all {
		wait.Go(func() {
			w.timer.Stop()
			f.expire(w)
		})
	}
	wait.Wait()
	f.ending.Wait()
}

// outlet is where a container's output goes at the moment; nil drops it.
type outlet struct {
	mu sync.Mutex
	to io.Writer
}

// Write implements io.Writer.
func (o *outlet) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to == nil {
		return len(p), nil
	}
	return o.to.Write(p)
}

func (o *outlet) set(w io.Writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to = w
}

// redirect sends the output of container k to what at gives, or nowhere.
func (in *Instance) redirect(at func(k int) io.Writer) {
	for k, o := range in.outlets {
		if at == nil {
			o.set(nil)
		} else {
			o.set(at(k))
		}
	}
}
