package volume

import (
	"io/fs"
	"path/filepath"
	"sync"
	"time"
)

// guarded is a kind whose bound the kernel does not keep.
type guarded interface {
	// watch begins to look how much is in a folder.
	watch(dir string) *guard
}

// guard looks now and then how much is in a folder.
type guard struct {
	over chan struct{}
	end  chan struct{}
	wait sync.WaitGroup
}

// guardEvery is how often a guard looks.
const guardEvery = time.Second

// newGuard makes a guard that closes over when the folder has more than most bytes.
func newGuard(dir string, most int64) *guard {
	g := &guard{over: make(chan struct{}), end: make(chan struct{})}
	g.wait.Go(func() {
		tick := time.NewTicker(guardEvery)
		defer tick.Stop()
		for {
			select {
			case <-g.end:
				return
			case <-tick.C:
			}
			if sizeOf(dir) > most {
				close(g.over)
				return
			}
		}
	})
	return g
}

func (g *guard) stop() {
	close(g.end)
	g.wait.Wait()
}

// sizeOf adds up the files of a folder, as far as they can be seen.
func sizeOf(dir string) (total int64) {
	// What goes while it is being looked at counts nothing.
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}
