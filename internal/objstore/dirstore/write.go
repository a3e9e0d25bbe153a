package dirstore

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// writeBuffer collects small writes.
const writeBuffer = 128 << 10

// Create implements objstore.Store. The object grows as a hidden file in the
// bucket's folder until its commit. Its Meta is not kept.
func (s *Store) Create(ctx context.Context, ref objstore.Ref, m objstore.Meta) (objstore.Writer, error) {
	f, err := s.folder(ref.Bucket)
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, failed(ref, "creating", ctx.Err())
	case ref.Key == "":
		return nil, fault.New(fault.Invalid, "%s names no object", ref)
	case m.SSEKMSKeyID != "":
		return nil, fault.New(fault.Unsupported, "%s cannot be encrypted: it is a file of a local folder", ref)
	case f.only != "":
		return nil, f.refuse(ref)
	case !f.visible(ref.Key):
		return nil, fault.New(fault.Invalid, "%s cannot be written: its key is not the path of a file", ref)
	}
	temp := tempPrefix + rand.Text()
	file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, failed(ref, "creating", err)
	}
	return &writer{ctx: ctx, f: f, ref: ref, temp: temp, file: file, buf: bufio.NewWriterSize(file, writeBuffer)}, nil
}

// writer is an object being written.
type writer struct {
	ctx  context.Context
	f    *folder
	ref  objstore.Ref
	temp string
	file *os.File // nil once ended
	buf  *bufio.Writer
	err  error // the first failure; nothing can be committed after it
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	n, err := w.buf.Write(p)
	return n, w.broke(err)
}

func (w *writer) usable() error {
	if w.file == nil {
		return fault.New(fault.Internal, "%s was written to after its end", w.ref)
	}
	if w.err == nil {
		w.broke(w.ctx.Err())
	}
	return w.err
}

func (w *writer) broke(err error) error {
	if err != nil && w.err == nil {
		w.err = failed(w.ref, "writing", err)
	}
	return w.err
}

// Abort implements objstore.Writer.
func (w *writer) Abort() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file, w.buf = nil, nil
	return failed(w.ref, "aborting", errors.Join(err, w.f.root.Remove(w.temp)))
}

// Commit implements objstore.Writer.
func (w *writer) Commit() (objstore.Info, error) {
	err := w.usable()
	if err == nil {
		err = w.broke(w.buf.Flush())
	}
	if err == nil {
		err = w.broke(w.file.Sync())
	}
	if err != nil {
		return objstore.Info{}, errors.Join(err, w.Abort())
	}
	touched, err := w.place()
	if err != nil {
		return objstore.Info{}, errors.Join(failed(w.ref, committing, err), w.Abort())
	}
	fi, err := w.file.Stat()
	err = errors.Join(err, w.file.Close())
	w.file, w.buf = nil, nil
	for _, dir := range touched {
		err = errors.Join(err, w.f.syncFolder(dir))
	}
	if err != nil {
		return objstore.Info{}, failed(w.ref, committing, err)
	}
	return describe(w.ref, fi), nil
}

// place renames the finished file to where its object belongs, and gives the
// folders whose names changed.
func (w *writer) place() (touched []string, err error) {
	w.f.names.Lock()
	defer w.f.names.Unlock()
	dir := path.Dir(w.ref.Key)
	if dir != "." {
		if err := w.f.root.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := w.f.root.Rename(w.temp, w.ref.Key); err != nil {
		return nil, err
	}
	for ; dir != "."; dir = path.Dir(dir) {
		touched = append(touched, dir)
	}
	return append(touched, "."), nil
}

// syncFolder makes the names of a folder durable. One that is gone again took
// the object with it: somebody deleted it.
func (f *folder) syncFolder(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		if missing(err) {
			return nil
		}
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}
