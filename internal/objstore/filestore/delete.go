package filestore

import (
	"context"
	"os"
	"path"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// Delete implements objstore.Store. Folders that it empties go too.
func (s *Store) Delete(_ context.Context, ref objstore.Ref) error {
	if err := checkRef(ref); err != nil {
		return err
	}
	b, err := s.bucket(ref.Bucket)
	if err != nil {
		return err
	}
	defer b.Close()
	s.names.Lock()
	defer s.names.Unlock()
	for _, beside := range []bool{false, true} {
		if err := s.deleteFile(b, ref, objectPath(ref.Key, beside)); err != nil {
			return failed(ref, "deleting", err)
		}
	}
	return nil
}

func (s *Store) deleteFile(b *os.Root, ref objstore.Ref, name string) error {
	fi, err := b.Lstat(name)
	if err != nil && missing(err) || err == nil && !fi.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	if err := b.Remove(name); err != nil {
		return ignoreMissing(err)
	}
	s.dropSidecar(ref, fi)
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if b.Remove(dir) != nil {
			break // not empty: it stays
		}
	}
	return nil
}
