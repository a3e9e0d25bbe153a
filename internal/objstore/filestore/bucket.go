package filestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// Bucket is a folder of objects.
type Bucket struct {
	Name    string
	Created time.Time // the folder's modification time: file systems keep no better
}

// Buckets lists the buckets in the order of their names.
func (s *Store) Buckets(ctx context.Context) ([]Bucket, error) {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the buckets cannot be listed")
	}
	var list []Bucket
	for _, e := range entries {
		if !e.IsDir() || !ValidBucket(e.Name()) {
			continue
		}
		if fi, err := e.Info(); err == nil {
			list = append(list, Bucket{Name: e.Name(), Created: fi.ModTime()})
		}
	}
	return list, ctx.Err()
}

// CreateBucket makes a bucket, or fails with fault.Exists when there is one. The
// rules that S3 has for new names are the caller's to check.
func (s *Store) CreateBucket(_ context.Context, name string) error {
	if !ValidBucket(name) {
		return fault.New(fault.Invalid, "%q cannot be the name of a bucket", name)
	}
	ref := objstore.Ref{Bucket: name}
	s.names.Lock()
	err := s.root.Mkdir(name, 0o755)
	s.names.Unlock()
	if errors.Is(err, fs.ErrExist) {
		return fault.Wrap(fault.Exists, err, "the bucket %q exists already", name)
	}
	if err == nil {
		err = s.syncFolder(".")
	}
	return failed(ref, "creating the bucket", err)
}

// HasBucket reports whether a bucket exists.
func (s *Store) HasBucket(_ context.Context, name string) (bool, error) {
	b, err := s.bucket(name)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, b.Close()
}

// DeleteBucket removes a bucket without objects and the empty folders in it. It
// fails with fault.Conflict when anything else is left, also files that are no
// objects.
func (s *Store) DeleteBucket(ctx context.Context, name string) error {
	ref := objstore.Ref{Bucket: name}
	b, err := s.bucket(name)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, err := range s.List(ctx, name, "") {
		if err != nil {
			return err
		}
		return fault.New(fault.Conflict, "the bucket %q is not empty", name)
	}
	s.names.Lock()
	defer s.names.Unlock()
	if err := removeEmptyFolders(b, "."); err != nil {
		return failed(ref, "deleting the bucket", err)
	}
	if err := s.root.Remove(name); err != nil {
		if errors.Is(err, fs.ErrExist) || notEmpty(err) {
			return fault.Wrap(fault.Conflict, err, "the bucket %q is not empty", name)
		}
		return failed(ref, "deleting the bucket", err)
	}
	return failed(ref, "forgetting the settings of", s.writeDefaults(name, Encryption{}))
}

// bucket opens a bucket's folder: no path under it leads out of it.
func (s *Store) bucket(name string) (*os.Root, error) {
	ref := objstore.Ref{Bucket: name}
	if !ValidBucket(name) {
		return nil, objstore.NotFound(ref, nil)
	}
	r, err := s.root.OpenRoot(name)
	return r, failed(ref, "opening the bucket", err)
}

// removeEmptyFolders removes the folders below dir that hold nothing but
// folders. What holds files stays, with the folders that lead to it.
func removeEmptyFolders(r *os.Root, dir string) error {
	entries, err := fs.ReadDir(r.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		sub := path.Join(dir, e.Name())
		if err := removeEmptyFolders(r, sub); err != nil {
			return err
		}
		if err := r.Remove(sub); err != nil && !notEmpty(err) {
			return err
		}
	}
	return nil
}
