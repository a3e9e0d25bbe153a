package filestore

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// Writer is an object being written. See objstore.Writer.
type Writer struct {
	// Attrs may be completed until the commit.
	Attrs Attrs

	s    *Store
	ctx  context.Context
	ref  objstore.Ref
	file *tempFile      // nil once ended
	seal io.WriteCloser // encrypts into file, nil where it is plain
	buf  *bufio.Writer  // over either
	err  error          // the first failure; nothing can be committed after it
}

// Check decides whether an object may take the place of what is there. Nothing
// changes between its call and the replacement, as far as this Store knows.
type Check func(now objstore.Info, exists bool) error

// Create implements objstore.Store. The object gets an ETag that is no MD5.
func (s *Store) Create(ctx context.Context, ref objstore.Ref, m objstore.Meta) (objstore.Writer, error) {
	w, err := s.NewWriter(ctx, ref, meta(m))
	if err != nil {
		return nil, err // not a nil *Writer in an interface
	}
	return w, nil
}

// meta turns what the seam knows of an object into Attrs.
func meta(m objstore.Meta) Attrs {
	a := Attrs{ContentType: m.ContentType, Metadata: m.Metadata}
	if m.SSEKMSKeyID != "" {
		a.Encryption = Encryption{Algorithm: ByKMS, KeyID: m.SSEKMSKeyID}
	}
	return a
}

// NewWriter starts an object as Create does. Its Attrs then have the Encryption
// that the object gets.
func (s *Store) NewWriter(ctx context.Context, ref objstore.Ref, a Attrs) (*Writer, error) {
	if err := checkRef(ref); err != nil {
		return nil, err
	}
	b, err := s.bucket(ref.Bucket)
	if err != nil {
		return nil, err
	}
	b.Close()
	if a.Encryption, err = s.encryptionFor(ctx, ref.Bucket, a.Encryption); err != nil {
		return nil, err
	}
	k, secret, err := s.seal(ctx, ref, a.Encryption)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	f, err := s.newFile()
	if err != nil {
		return nil, failed(ref, "creating", err)
	}
	w := &Writer{Attrs: a, s: s, ctx: ctx, ref: ref, file: f}
	if k == nil {
		w.buf = s.buffer(f)
		return w, nil
	}
	if w.seal, err = sealWriter(f, k, secret); err != nil {
		return nil, failed(ref, "creating", errors.Join(err, s.discard(f)))
	}
	w.Attrs.Encryption, w.buf = k.encryption(), s.buffer(w.seal)
	return w, nil
}

// Write implements io.Writer. Small writes are collected.
func (w *Writer) Write(p []byte) (int, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	n, err := w.buf.Write(p)
	return n, w.broke(err)
}

// ReadFrom copies all of r; the kernel does it when r is a file.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	if err := w.broke(w.buf.Flush()); err != nil {
		return 0, err
	}
	if f, ok := r.(*os.File); ok && w.seal == nil {
		n, err := w.file.ReadFrom(f)
		return n, w.broke(err)
	}
	n, err := w.buf.ReadFrom(r)
	return n, w.broke(err)
}

func (w *Writer) usable() error {
	if w.err == nil && w.file == nil {
		return fault.New(fault.Internal, "%s was written to after its end", w.ref)
	}
	if w.err == nil {
		w.broke(w.ctx.Err())
	}
	return w.err
}

func (w *Writer) broke(err error) error {
	if err != nil && w.err == nil {
		w.err = failed(w.ref, "writing", err)
	}
	return w.err
}

// Abort implements objstore.Writer.
func (w *Writer) Abort() error {
	if w.file == nil {
		return nil
	}
	f := w.end()
	return failed(w.ref, "aborting", w.s.discard(f))
}

// end takes the file away from the writer.
func (w *Writer) end() *tempFile {
	f := w.file
	w.s.release(w.buf)
	w.file, w.buf = nil, nil
	return f
}

// Commit implements objstore.Writer.
func (w *Writer) Commit() (objstore.Info, error) {
	return w.CommitAs(newID()+"-1", nil)
}

// finish writes what is left to the file.
func (w *Writer) finish() error {
	err := w.buf.Flush()
	if err == nil && w.seal != nil {
		err = w.seal.Close()
	}
	return err
}

// CommitAs is Commit with the caller's ETag, which an object encrypted ByKMS does
// not get, and a condition, which may be nil. When it fails nothing is left behind.
func (w *Writer) CommitAs(etag string, check Check) (objstore.Info, error) {
	if err := w.usable(); err != nil {
		return objstore.Info{}, errors.Join(err, w.Abort())
	}
	if err := w.broke(w.finish()); err != nil {
		return objstore.Info{}, errors.Join(err, w.Abort())
	}
	f := w.end()
	info, err := w.s.publish(w.ref, f, w.Attrs.Encryption.etag(etag), w.Attrs, check)
	w.err = fault.New(fault.Internal, "%s was committed twice", w.ref)
	return info, failed(w.ref, "committing", err)
}

// publish makes an unfinished file the object, or removes it.
func (s *Store) publish(ref objstore.Ref, f *tempFile, etag string, a Attrs, check Check) (objstore.Info, error) {
	fi, err := f.Stat()
	if err != nil {
		return objstore.Info{}, errors.Join(err, s.discard(f))
	}
	rec, err := encodeRecord(etag, fi, a)
	if err == nil {
		err = s.writeRecord(ref, f.File, fi, rec)
	}
	if err == nil {
		err = s.sync(f.File)
	}
	err = errors.Join(err, f.Close())
	var touched []string
	if err == nil {
		touched, err = s.place(ref, f.path, check)
	}
	if err != nil {
		s.dropSidecar(ref, fi)
		return objstore.Info{}, errors.Join(err, ignoreMissing(s.root.Remove(f.path)))
	}
	for _, dir := range touched {
		// A folder that is gone again took the object with it: somebody deleted it.
		if err := ignoreMissing(s.syncFolder(path.Join(ref.Bucket, dir))); err != nil {
			return objstore.Info{}, err
		}
	}
	size := fi.Size()
	if a.Encryption.Algorithm != Unencrypted {
		size = plainSize(size)
	}
	return objstore.Info{Ref: ref, Size: size, ETag: etag, Modified: fi.ModTime(), ContentType: contentOr(a)}, nil
}

func contentOr(a Attrs) string {
	if a.ContentType == "" {
		return defaultContent
	}
	return a.ContentType
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// place renames a finished file to where its object belongs and gives the
// folders whose names changed.
func (s *Store) place(ref objstore.Ref, tmp string, check Check) (touched []string, err error) {
	b, err := s.bucket(ref.Bucket)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	s.names.Lock()
	defer s.names.Unlock()
	if check != nil {
		if err := s.check(b, ref, check); err != nil {
			return nil, err
		}
	}
	cut := strings.LastIndexByte(ref.Key, '/') + 1
	touched, err = makeFolders(b, ref.Key[:cut])
	if err != nil {
		return nil, err
	}
	target, old, err := target(b, ref.Key)
	if err != nil {
		return nil, err
	}
	made, err := makePath(b, path.Dir(target))
	if err != nil {
		return nil, err
	}
	touched = append(touched, made...)
	if err := s.root.Rename(tmp, path.Join(ref.Bucket, target)); err != nil {
		return nil, err
	}
	if old != nil {
		s.dropSidecar(ref, old)
	}
	return append(touched, path.Dir(target)), nil
}

// check asks the condition of a conditional write.
func (s *Store) check(b *os.Root, ref objstore.Ref, check Check) error {
	f, fi, err := openKey(b, ref.Key)
	if err != nil && missing(err) {
		return check(objstore.Info{}, false)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	o, err := s.describe(ref, f, fi, false)
	if err != nil {
		return err
	}
	return check(o.Info, true)
}

// target chooses the path of an object: its plain one unless a folder has it or
// the object already lies beside. It tells what is there now, if anything.
func target(b *os.Root, key string) (name string, old fs.FileInfo, err error) {
	name = objectPath(key, false)
	old, err = b.Lstat(name)
	if err == nil && !old.IsDir() {
		return name, old, nil
	}
	if err != nil && !missing(err) {
		return "", nil, err
	}
	folder := err == nil
	beside := objectPath(key, true)
	old, err = b.Lstat(beside)
	if err != nil && !missing(err) {
		return "", nil, err
	}
	if folder || err == nil {
		return beside, old, nil
	}
	return name, nil, nil
}

// makeFolders makes the folders of the keys that begin with base. An object
// that has the name of one moves beside it.
func makeFolders(b *os.Root, base string) (touched []string, err error) {
	dir := folderPath(base)
	if fi, err := b.Lstat(dir); err == nil && fi.IsDir() {
		return nil, nil
	}
	for i := range len(base) {
		if base[i] != '/' {
			continue
		}
		dir := folderPath(base[:i+1])
		fi, err := b.Lstat(dir)
		switch {
		case err == nil && fi.IsDir():
			continue
		case err == nil && fi.Mode().IsRegular():
			beside := objectPath(base[:i], true)
			made, err := makePath(b, path.Dir(beside))
			if err != nil {
				return nil, err
			}
			if err := b.Rename(dir, beside); err != nil {
				return nil, err
			}
			touched = append(append(touched, made...), path.Dir(beside))
		case err == nil:
			return nil, fault.New(fault.Denied, "the folder %q of the bucket holds something that is no folder and no object", base[:i])
		case !missing(err):
			return nil, err
		}
		made, err := makePath(b, dir)
		if err != nil {
			return nil, err
		}
		touched = append(touched, made...)
	}
	return touched, nil
}

// makePath makes a folder and those above it, and gives the folders in which it
// made one.
func makePath(b *os.Root, dir string) (touched []string, err error) {
	if dir == "." {
		return nil, nil
	}
	if fi, err := b.Lstat(dir); err == nil && fi.IsDir() {
		return nil, nil
	}
	touched, err = makePath(b, path.Dir(dir))
	if err != nil {
		return nil, err
	}
	if err := b.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return append(touched, path.Dir(dir)), nil
}
