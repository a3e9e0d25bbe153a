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
// attributes. The copy has the ETag of its source where that stands for bytes
// that the store wrote.
func (s *Store) Copy(ctx context.Context, from, to objstore.Ref, a Attrs) (objstore.Info, error) {
	f, fi, err := s.openObject(from)
	if err != nil {
		return objstore.Info{}, err
	}
	defer f.Close()
	src, err := s.describe(from, f, fi, false)
	if err != nil {
		return objstore.Info{}, failed(from, "reading", err)
	}
	w, err := s.NewWriter(ctx, to, a)
	if err != nil {
		return objstore.Info{}, err
	}
	n, err := w.ReadFrom(f)
	if err == nil {
		err = sameStill(from, f, fi, n)
	}
	if err != nil {
		return objstore.Info{}, errors.Join(err, w.Abort())
	}
	if src.ETag == derivedETag(fi) {
		return w.CommitAs(newID()+"-1", nil)
	}
	return w.CommitAs(src.ETag, nil)
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

func sameStill(ref objstore.Ref, f *os.File, then fs.FileInfo, read int64) error {
	now, err := f.Stat()
	if err != nil {
		return failed(ref, "reading", err)
	}
	if read != then.Size() || now.Size() != then.Size() || !now.ModTime().Equal(then.ModTime()) {
		return fault.New(fault.Unavailable, "the file of %s was changed while it was copied", ref)
	}
	return nil
}
