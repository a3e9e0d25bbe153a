package filestore

import (
	"context"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// openFlags never block on a FIFO that somebody put among the objects.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// Stat implements objstore.Store.
func (s *Store) Stat(ctx context.Context, ref objstore.Ref) (objstore.Info, error) {
	if ref.Key == "" {
		b, err := s.bucket(ref.Bucket)
		if err != nil {
			return objstore.Info{}, err
		}
		return objstore.Info{Ref: ref}, b.Close()
	}
	o, err := s.Head(ctx, ref)
	return o.Info, err
}

// Head describes an object with its metadata and headers.
func (s *Store) Head(_ context.Context, ref objstore.Ref) (Object, error) {
	f, fi, err := s.openObject(ref)
	if err != nil {
		return Object{}, err
	}
	defer f.Close()
	o, err := s.describe(ref, f, fi, true)
	return o, failed(ref, "reading", err)
}

// Open implements objstore.Store. An Off at the object's end gives an empty
// reader, one beyond it is fault.Invalid. The reader is an io.WriterTo that lets
// the kernel move the bytes where it can.
func (s *Store) Open(ctx context.Context, ref objstore.Ref, r objstore.Range) (io.ReadCloser, error) {
	f, fi, err := s.openPinned(ref, r.IfMatch)
	if err != nil {
		return nil, err
	}
	k, err := s.sealingOf(ref, f, fi)
	if err != nil {
		f.Close()
		return nil, failed(ref, "reading", err)
	}
	return s.part(ctx, ref, f, fi.Size(), r, k)
}

// OpenFile implements objstore.Filer. The file of an encrypted object is not the
// object, and is refused as fault.Unsupported.
func (s *Store) OpenFile(_ context.Context, ref objstore.Ref, etag string) (*os.File, error) {
	f, fi, err := s.openPinned(ref, etag)
	if err != nil {
		return nil, err
	}
	k, err := s.sealingOf(ref, f, fi)
	if k != nil {
		err = fault.New(fault.Unsupported, "%s is encrypted, and its file is not what it holds", ref)
	}
	if err != nil {
		f.Close()
		return nil, failed(ref, "reading", err)
	}
	return f, nil
}

// part makes the reader of a range of an object in a file of a size, which k says
// is sealed, or plain when it is nil. It owns f from then on.
func (s *Store) part(ctx context.Context, ref objstore.Ref, f *os.File, size int64, r objstore.Range, k *sealing) (io.ReadCloser, error) {
	if k == nil {
		return section(ctx, ref, f, size, r)
	}
	secret, err := s.unseal(ctx, ref, k)
	if err != nil {
		f.Close()
		return nil, err
	}
	defer secret.Wipe()
	return openSealed(ctx, ref, f, plainSize(size), r, secret)
}

// openPinned opens the file of an object, which must have the ETag unless that is "".
func (s *Store) openPinned(ref objstore.Ref, etag string) (*os.File, fs.FileInfo, error) {
	f, fi, err := s.openObject(ref)
	if err != nil || etag == "" {
		return f, fi, err
	}
	o, err := s.describe(ref, f, fi, false)
	if err == nil && o.ETag != etag {
		err = objstore.Changed(ref, etag)
	}
	if err != nil {
		f.Close()
		return nil, nil, failed(ref, "reading", err)
	}
	return f, fi, nil
}

// Get opens an object and describes the very bytes that the reader gives. choose
// picks the range when the size is known, or refuses; nil means all.
func (s *Store) Get(ctx context.Context, ref objstore.Ref, choose func(size int64) (objstore.Range, error)) (io.ReadCloser, Object, error) {
	f, fi, err := s.openObject(ref)
	if err != nil {
		return nil, Object{}, err
	}
	r := objstore.All
	k, err := s.sealingOf(ref, f, fi)
	var o Object
	if err == nil {
		o, err = s.describe(ref, f, fi, true)
	}
	if err = failed(ref, "reading", err); err == nil && choose != nil {
		r, err = choose(o.Size)
	}
	if err != nil {
		f.Close()
		return nil, Object{}, err
	}
	rc, err := s.part(ctx, ref, f, fi.Size(), r, k)
	return rc, o, err
}

// openObject opens the file that holds an object, wherever it lies.
func (s *Store) openObject(ref objstore.Ref) (*os.File, fs.FileInfo, error) {
	if err := checkRef(ref); err != nil {
		return nil, nil, err
	}
	b, err := s.bucket(ref.Bucket)
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	f, fi, err := openKey(b, ref.Key)
	return f, fi, failed(ref, "opening", err)
}

// openKey looks at the object's plain place first and then beside the folder
// that has it. Objects only ever move from the former to the latter, so one
// that exists is found without a lock.
func openKey(b *os.Root, key string) (*os.File, fs.FileInfo, error) {
	f, fi, err := openFile(b, objectPath(key, false))
	if err != nil && missing(err) {
		return openFile(b, objectPath(key, true))
	}
	return f, fi, err
}

// openFile opens a regular file; anything else there is no object.
func openFile(b *os.Root, name string) (*os.File, fs.FileInfo, error) {
	f, err := b.OpenFile(name, openFlags, 0)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, fi, nil
}

// section makes the reader of a range and owns f from then on.
func section(ctx context.Context, ref objstore.Ref, f *os.File, size int64, r objstore.Range) (io.ReadCloser, error) {
	left, err := within(ref, size, r)
	if err != nil {
		f.Close()
		return nil, err
	}
	if r.Off > 0 {
		if _, err := f.Seek(r.Off, io.SeekStart); err != nil {
			f.Close()
			return nil, failed(ref, "reading", err)
		}
	}
	return &reader{ctx: ctx, ref: ref, f: f, left: left}, nil
}

// reader gives the bytes that were promised when it was opened. It fails with
// fault.Unavailable when the file has become shorter.
type reader struct {
	ctx  context.Context
	ref  objstore.Ref
	f    *os.File
	left int64
}

func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if err := r.ctx.Err(); err != nil {
		return 0, failed(r.ref, "reading", err)
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.f.Read(p)
	r.left -= int64(n)
	if err == io.EOF {
		return n, r.short()
	}
	return n, failed(r.ref, "reading", err)
}

// WriteTo copies what is left to w; an HTTP response takes it by sendfile.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	if r.left == 0 {
		return 0, nil
	}
	n, err := io.Copy(w, io.LimitReader(r.f, r.left))
	r.left -= n
	if err == nil && r.left > 0 {
		err = r.short()
	}
	return n, err
}

func (r *reader) short() error {
	return fault.Wrap(fault.Unavailable, io.ErrUnexpectedEOF,
		"reading %s failed: the file ended %d bytes early; it was changed meanwhile", r.ref, r.left)
}

func (r *reader) Close() error { return r.f.Close() }
