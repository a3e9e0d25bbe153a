package modelcache

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/artefact"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Fetch puts model data into dir, an existing, empty folder that is nobody
// else's: for jobs whose data may not lie in a cache. report, unless nil, is told
// how many of the stored bytes have been read.
//
// Errors name the source; data that is missing or cannot be unpacked is the
// user's fault (NotFound, Denied, Invalid), a full disk is fault.Internal.
func Fetch(ctx context.Context, store objstore.Store, source resource.ModelData, dir string, report func(done, total int64)) error {
	f, err := find(ctx, store, source)
	if err == nil {
		err = f.fetch(ctx, store, dir, report)
	}
	return explain(source, err)
}

// explain names the source in an error about it.
func explain(source resource.ModelData, err error) error {
	if err == nil || fault.TextOf(err) == "" {
		return err
	}
	return fault.Wrap(fault.KindOf(err), err, "the model data at %s cannot be used: %s", source.S3URI, fault.TextOf(err))
}

// fetch downloads every object to its place.
func (f found) fetch(ctx context.Context, store objstore.Store, dir string, report func(done, total int64)) error {
	count := &counter{total: f.bytes, report: report}
	for _, o := range f.objects {
		r := &counted{ReadCloser: objstore.NewReader(ctx, store, o.Info, objstore.ReaderOptions{}), counter: count}
		err := f.put(ctx, r, o, dir)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (f found) put(ctx context.Context, r io.Reader, o place, dir string) error {
	if o.path == "" {
		_, err := artefact.Unpack(ctx, r, dir, artefact.Limits{})
		return err
	}
	return putFile(r, dir, o.path)
}

// putFile writes one file. The root keeps it inside dir, whatever its path is.
func putFile(r io.Reader, dir, name string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return diskError(err)
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return diskError(err)
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return diskError(err)
	}
	_, err = io.Copy(file, r)
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		err = diskError(err)
	}
	return errors.Join(err, file.Close())
}

func diskError(err error) error {
	return fault.Wrap(fault.Internal, err, "this server's disk did not take it: %s", reason(err))
}

// reason is an error without the paths of this machine.
func reason(err error) string {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// counter adds up what is read of all objects.
type counter struct {
	done, total int64
	report      func(done, total int64)
}

type counted struct {
	io.ReadCloser
	counter *counter
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.counter.done += int64(n)
	if c.counter.report != nil && n > 0 {
		c.counter.report(c.counter.done, c.counter.total)
	}
	return n, err
}

// size adds up the files of a folder.
func size(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}

// protect takes the right to write from everything in a folder, so that one
// instance cannot change what another reads. Root is stopped by a read-only
// mount alone, which is the driver's to make.
func protect(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode().Perm()&^0o222)
	})
}

// remove deletes a folder that protect has closed.
func remove(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o755)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, os.RemoveAll(dir))
}
