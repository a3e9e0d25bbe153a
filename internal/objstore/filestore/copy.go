package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// Copy makes an object of the bytes of another, or gives the same object new
// attributes. It is encrypted as it is asked for, else as its bucket says, else as
// its source is, so that a copy shows nothing that the source does not. The copy has
// the ETag of its source where that stands for bytes that the store wrote.
func (s *Store) Copy(ctx context.Context, from, to objstore.Ref, a Attrs) (Object, error) {
	f, fi, err := s.openObject(from)
	if err != nil {
		return Object{}, err
	}
	defer f.Close()
	src, err := s.describe(from, f, fi, true)
	if err != nil {
		return Object{}, failed(from, "reading", err)
	}
	if a.Encryption, err = s.encryptionFor(ctx, to.Bucket, a.Encryption); err != nil {
		return Object{}, err
	}
	if a.Encryption.Algorithm == Unencrypted {
		a.Encryption = src.Encryption
	}
	w, err := s.NewWriter(ctx, to, a)
	if err != nil {
		return Object{}, err
	}
	n, err := s.copyInto(ctx, w, from, f, src)
	if err == nil {
		err = sameStill(from, f, fi, n, src.Size)
	}
	if err != nil {
		return Object{}, errors.Join(err, w.Abort())
	}
	etag := src.ETag
	if etag == derivedETag(fi) || src.Encryption.Algorithm == ByKMS { // it says nothing of the bytes
		etag = newID() + "-1"
	}
	info, err := w.CommitAs(etag, nil)
	return Object{Info: info, Attrs: w.Attrs}, err
}

// copyInto copies a whole object from its file.
func (s *Store) copyInto(ctx context.Context, w *Writer, from objstore.Ref, f *os.File, src Object) (int64, error) {
	if src.Encryption.Algorithm == Unencrypted {
		return w.ReadFrom(f)
	}
	r, err := s.Open(ctx, from, objstore.Range{N: -1, IfMatch: src.ETag})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return w.ReadFrom(r)
}

// SetAttrs changes what is said of an object and leaves its bytes and ETag. The
// change function gets the present attributes.
func (s *Store) SetAttrs(_ context.Context, ref objstore.Ref, change func(*Attrs)) error {
	f, fi, err := s.openObject(ref)
	if err != nil {
		return err
	}
	defer f.Close()
	s.names.Lock()
	defer s.names.Unlock()
	o, err := s.describe(ref, f, fi, true)
	if err != nil {
		return failed(ref, "reading", err)
	}
	change(&o.Attrs)
	rec, err := encodeRecord(o.ETag, fi, o.Attrs)
	if err != nil {
		return failed(ref, "describing", err)
	}
	return failed(ref, "describing", s.writeRecord(ref, f, fi, rec))
}

func sameStill(ref objstore.Ref, f *os.File, then fs.FileInfo, read, size int64) error {
	now, err := f.Stat()
	if err != nil {
		return failed(ref, "reading", err)
	}
	if read != size || now.Size() != then.Size() || !now.ModTime().Equal(then.ModTime()) {
		return fault.New(fault.Unavailable, "the file of %s was changed while it was copied", ref)
	}
	return nil
}
