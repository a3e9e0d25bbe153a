package transform

import (
	"context"
	"runtime"
	"sync"
)

// list is a Feed over a slice.
type list struct {
	mu      sync.Mutex
	objects []Object
}

func (l *list) Next(context.Context) (Object, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.objects) == 0 {
		return Object{}, false, nil
	}
	o := l.objects[0]
	l.objects = l.objects[1:]
	return o, true, nil
}

// mallocs counts the allocations of the process so far.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
