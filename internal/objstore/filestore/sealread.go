package filestore

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/minio/sio"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// sealedReader gives a part of an object that lies in a sealed file. It reads the
// packages that hold the part, and no others.
type sealedReader struct {
	ctx  context.Context
	ref  objstore.Ref
	f    io.Closer
	src  io.Reader // decrypts
	left int64
	last bool // the part ends with the object, whose last package must say so
	err  error
}

// openSealed makes the reader of a part of an object of a size. f is a whole
// sealed file of which size follows. It owns f from then on.
func openSealed(ctx context.Context, ref objstore.Ref, f interface {
	io.ReaderAt
	io.Closer
}, size int64, r objstore.Range, secret keyring.Secret) (io.ReadCloser, error) {
	left, err := within(ref, size, r)
	if err != nil {
		f.Close()
		return nil, err
	}
	sr := &sealedReader{ctx: ctx, ref: ref, f: f, left: left, last: r.Off+left == size}
	if left == 0 {
		return sr, nil
	}
	first := r.Off / packageData
	c := cipher(secret)
	c.SequenceNumber = uint32(first)
	from := headerSize + first*packageSize
	if sr.src, err = sio.DecryptReader(io.NewSectionReader(f, from, 1<<62), c); err == nil {
		_, err = io.CopyN(io.Discard, sr.src, r.Off%packageData)
	}
	if err != nil {
		f.Close()
		return nil, sr.failed(err)
	}
	return sr, nil
}

// within gives how many bytes a range has in an object of a size.
func within(ref objstore.Ref, size int64, r objstore.Range) (int64, error) {
	if r.Off < 0 || r.Off > size {
		return 0, fault.New(fault.Invalid, "the range begins at byte %d, but %s has %d bytes", r.Off, ref, size)
	}
	left := size - r.Off
	if r.N >= 0 && r.N < left {
		left = r.N
	}
	return left, nil
}

func (r *sealedReader) Read(p []byte) (int, error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case r.left == 0:
		return 0, io.EOF
	}
	if err := r.ctx.Err(); err != nil {
		return 0, failed(r.ref, "reading", err)
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.src.Read(p)
	r.left -= int64(n)
	if err == nil && r.left == 0 && r.last {
		// One that was cut off between two packages ends too early.
		if _, err = r.src.Read(make([]byte, 1)); err == io.EOF {
			err = nil
		}
	}
	if err != nil {
		r.err = r.failed(err)
	}
	return n, r.err
}

func (r *sealedReader) failed(err error) error {
	var damaged sio.Error
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &damaged) {
		return fault.Wrap(fault.Internal, err, "reading %s failed: its file is damaged, or was written by somebody else", r.ref)
	}
	return failed(r.ref, "reading", err)
}

// buffers of packages, for copying.
var packages = sync.Pool{New: func() any { b := make([]byte, packageData); return &b }}

// WriteTo copies what is left to w, package by package.
func (r *sealedReader) WriteTo(w io.Writer) (int64, error) {
	b := packages.Get().(*[]byte)
	defer packages.Put(b)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, *b)
}

func (r *sealedReader) Close() error { return r.f.Close() }
