package router

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// line is where the requests to a variant wait for an instance, in their order. A
// request that ends hands its place on an instance to the first that can use it, so
// nobody overtakes.
type line struct {
	n       atomic.Int64 // how many wait; it may be read without the lock
	mu      sync.Mutex
	waiters list.List // of *waiter
}

// waiter is a request that waits. Its channel gets an instance on which a place was
// taken for it, or nil to look for itself.
type waiter struct {
	pinned *Instance // nil for any
	place  *list.Element
	turn   chan *Instance // holds one value
}

// join puts a request at the end.
func (l *line) join(pinned *Instance) *waiter {
	w := &waiter{pinned: pinned, turn: make(chan *Instance, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	w.place = l.waiters.PushBack(w)
	l.n.Add(1)
	return w
}

// quit takes a request out. It gives the instance that was handed to it
// meanwhile, or nil.
func (l *line) quit(w *waiter) *Instance {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.place != nil {
		l.remove(w)
	}
	select {
	case in := <-w.turn:
		return in
	default:
		return nil
	}
}

func (l *line) remove(w *waiter) {
	l.waiters.Remove(w.place)
	w.place = nil
	l.n.Add(-1)
}

// handOver gives a place on an instance to the first that can use it, and reports
// whether there was one.
func (l *line) handOver(in *Instance) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for el := l.waiters.Front(); el != nil; el = el.Next() {
		w := el.Value.(*waiter)
		if w.pinned != nil && w.pinned != in {
			continue
		}
		select {
		case w.turn <- in:
			l.remove(w)
			return true
		default: // it was woken and looks for itself
		}
	}
	return false
}

// wake has everybody look again.
func (l *line) wake() {
	if l.n.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for el := l.waiters.Front(); el != nil; el = el.Next() {
		select {
		case el.Value.(*waiter).turn <- nil:
		default:
		}
	}
}
