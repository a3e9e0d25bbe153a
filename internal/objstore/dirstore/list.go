package dirstore

import (
	"cmp"
	"context"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// List implements objstore.Store. It holds the names of one folder of each level
// at a time. A link to a file counts as the file, a link to a folder is not
// followed, and a link that leads out of the bucket's folder is an error.
func (s *Store) List(ctx context.Context, bucket, prefix string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		f, err := s.folder(bucket)
		if err != nil {
			yield(objstore.Info{}, err)
			return
		}
		w := walk{ctx: ctx, f: f, bucket: bucket, prefix: prefix, yield: yield}
		dir := prefix[:strings.LastIndexByte(prefix, '/')+1]
		if dir != "" && !fs.ValidPath(strings.TrimSuffix(dir, "/")) {
			return // no file has such a name
		}
		w.folder(dir)
	}
}

// walk is one listing under way. Its methods report whether to go on.
type walk struct {
	ctx    context.Context
	f      *folder
	bucket string
	prefix string
	yield  func(objstore.Info, error) bool
}

func (w *walk) fail(key string, err error) bool {
	w.yield(objstore.Info{}, failed(objstore.Ref{Bucket: w.bucket, Key: key}, "listing", err))
	return false
}

// folder yields what lies in and below a folder, "" or one that ends in a slash.
func (w *walk) folder(base string) bool {
	if err := w.ctx.Err(); err != nil {
		return w.fail(base, err)
	}
	entries, err := readFolder(w.f.root, path.Clean(base+"."))
	if err != nil {
		return missing(err) || w.fail(base, err)
	}
	for _, e := range entries {
		key := base + e.name
		if !strings.HasPrefix(key, w.prefix) && !strings.HasPrefix(w.prefix, key) {
			continue
		}
		goOn := false
		if e.folder {
			goOn = w.folder(key)
		} else {
			goOn = w.object(key)
		}
		if !goOn {
			return false
		}
	}
	return true
}

// object yields one file. One that went away meanwhile is left out.
func (w *walk) object(key string) bool {
	if !strings.HasPrefix(key, w.prefix) {
		return true
	}
	if err := w.ctx.Err(); err != nil {
		return w.fail(key, err)
	}
	fi, err := w.f.stat(key)
	if err != nil {
		return missing(err) || w.fail(key, err)
	}
	return w.yield(describe(objstore.Ref{Bucket: w.bucket, Key: key}, fi), nil)
}

// entry is a name of a folder; a folder's ends in a slash, as in the keys below
// it, so that sorting by it gives the byte order of the keys.
type entry struct {
	name   string
	folder bool
}

// readFolder reads and sorts the names of a folder.
func readFolder(root *os.Root, dir string) ([]entry, error) {
	d, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	read, err := d.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(read))
	for i, e := range read {
		entries[i] = entry{name: e.Name(), folder: e.IsDir()}
		if e.IsDir() {
			entries[i].name += "/"
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return entries, nil
}
