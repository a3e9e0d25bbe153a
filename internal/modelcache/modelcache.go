// Package modelcache keeps model data on disk, downloaded and unpacked once for
// all jobs and endpoints that use the same bytes, and forgets what has not been
// used for longest when it grows too large.
//
// A folder appears under its final name only when it is whole, and is known by
// the names, ETags and sizes of its objects: new bytes under an old name are a
// new folder.
package modelcache

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Options are what a Cache works with.
type Options struct {
	// Dir is an absolute folder, made when missing, that is the cache's alone.
	Dir   string
	Store objstore.Store
	// Bytes is how much may stay on disk unused. What is in use is never removed
	// and may be more.
	Bytes int64
	Log   *slog.Logger
	Now   func() time.Time
}

// Cache is safe for concurrent use. One process may have one on a folder.
type Cache struct {
	Options

	mu      sync.Mutex
	entries map[string]*entry
}

// entry is one folder. ready is closed when it is whole or has failed.
type entry struct {
	key    string
	ready  chan struct{}
	err    error
	bytes  int64
	users  int
	unused time.Time
}

// Open takes the folder over: whole folders are known again, others removed.
func Open(o Options) (*Cache, error) {
	c := &Cache{Options: o, entries: map[string]*entry{}}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	names, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		dir := filepath.Join(o.Dir, n.Name())
		if len(n.Name()) != 64 {
			if err := remove(dir); err != nil {
				return nil, err
			}
			continue
		}
		bytes, err := size(dir)
		if err != nil {
			return nil, err
		}
		e := &entry{key: n.Name(), ready: make(chan struct{}), bytes: bytes}
		if info, err := n.Info(); err == nil {
			e.unused = info.ModTime()
		}
		close(e.ready)
		c.entries[e.key] = e
	}
	return c, nil
}

// Model is model data in use. Its folder stays as it is until Release.
type Model struct {
	// Dir is the absolute folder. It is shared and must not be written to.
	Dir  string
	c    *Cache
	e    *entry
	once sync.Once
}

// Release says that the folder is no longer used. It may be called twice.
func (m *Model) Release() {
	m.once.Do(func() { m.c.release(m.e) })
}

// Again gives the same data to one more user.
func (m *Model) Again() *Model {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	m.e.users++
	return &Model{Dir: m.Dir, c: m.c, e: m.e}
}

// Get gives model data, from the disk where it is there. Callers that ask for the
// same bytes at once share one download, and the first one's ctx ends it: the
// others then begin anew. report, unless nil, is told the stored bytes that were
// read and their sum. Errors are those of Fetch.
func (c *Cache) Get(ctx context.Context, source resource.ModelData, report func(done, total int64)) (*Model, error) {
	for {
		f, err := find(ctx, c.Store, source)
		if err != nil {
			return nil, explain(source, err)
		}
		e, mine := c.enter(f.key())
		if mine {
			c.fill(ctx, f, e, report)
		}
		select {
		case <-e.ready:
		case <-ctx.Done():
			c.release(e)
			return nil, context.Cause(ctx)
		}
		if e.err == nil {
			return &Model{Dir: c.dir(e.key), c: c, e: e}, nil
		}
		c.release(e)
		othersEnd := !mine && errors.Is(e.err, context.Canceled)
		if !othersEnd || ctx.Err() != nil {
			return nil, explain(source, e.err)
		}
	}
}

func (c *Cache) dir(key string) string { return filepath.Join(c.Dir, key) }

// enter counts a user of an entry, and reports whether it is theirs to fill.
func (c *Cache) enter(key string) (e *entry, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e = c.entries[key]
	if e == nil {
		e = &entry{key: key, ready: make(chan struct{})}
		c.entries[key] = e
		mine = true
	}
	e.users++
	return e, mine
}

// fill downloads into a folder aside and moves it to its name.
func (c *Cache) fill(ctx context.Context, f found, e *entry, report func(done, total int64)) {
	defer close(e.ready)
	c.shrink(f.bytes)
	tmp, err := os.MkdirTemp(c.Dir, "new-")
	if err != nil {
		e.err = diskError(err)
	} else if e.err = c.fillIn(ctx, f, e, tmp, report); e.err != nil {
		if err := remove(tmp); err != nil {
			c.Log.Warn("an unfinished model folder was not removed", "error", err)
		}
	}
	if e.err != nil {
		c.mu.Lock()
		delete(c.entries, e.key)
		c.mu.Unlock()
	}
}

func (c *Cache) fillIn(ctx context.Context, f found, e *entry, tmp string, report func(done, total int64)) (err error) {
	if err := os.Chmod(tmp, 0o755); err != nil {
		return diskError(err)
	}
	if err := f.fetch(ctx, c.Store, tmp, report); err != nil {
		return err
	}
	if e.bytes, err = size(tmp); err == nil {
		err = protect(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, c.dir(e.key))
	}
	if err != nil {
		return diskError(err)
	}
	return nil
}

// release counts a user off and makes room.
func (c *Cache) release(e *entry) {
	c.mu.Lock()
	e.users--
	e.unused = c.Now()
	c.mu.Unlock()
	c.shrink(0)
}

// shrink removes what has not been used for longest until the unused folders and
// the bytes to come fit.
func (c *Cache) shrink(coming int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		total := coming
		var oldest *entry
		for _, e := range c.entries {
			if e.users > 0 {
				continue
			}
			total += e.bytes
			if oldest == nil || e.unused.Before(oldest.unused) {
				oldest = e
			}
		}
		if oldest == nil || total <= c.Bytes {
			return
		}
		delete(c.entries, oldest.key)
		if err := c.discard(oldest.key); err != nil {
			c.Log.Warn("a model folder was not removed", "error", err)
			return
		}
	}
}

// discard takes a folder's name first, so that a half-removed one is never taken
// for whole.
func (c *Cache) discard(key string) error {
	aside := filepath.Join(c.Dir, "old-"+key[:16])
	if err := os.Rename(c.dir(key), aside); err != nil {
		return err
	}
	return remove(aside)
}
