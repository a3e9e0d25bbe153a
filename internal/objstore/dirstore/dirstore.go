// Package dirstore lets a job read and write folders of this machine as if they
// were buckets. A key is the path of a file below its folder and nothing else is
// kept: no metadata and no content type, and the ETag is made of what the file
// system knows. So it cannot hold every key that S3 can; filestore does, and is
// the store of a server. dirstore is for one job over a user's own folders.
//
// A key never leads out of its folder, neither by its text nor by a symbolic link.
package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// Store is a set of named folders. It is safe for concurrent use.
type Store struct {
	folders map[string]*folder
}

var _ objstore.Filer = (*Store)(nil)

// folder is one bucket.
type folder struct {
	root *os.Root
	// only is the one name that can be seen, where the bucket is a single file.
	only string
	// names orders the making of folders against their removal when they empty.
	names sync.Mutex
}

// New opens folders, given as bucket name and path. A path that names a regular
// file makes a bucket that holds this one object, under the file's base name,
// and that cannot be written to. Close releases the folders.
func New(buckets map[string]string) (*Store, error) {
	s := &Store{folders: make(map[string]*folder, len(buckets))}
	for name, at := range buckets {
		f, err := openFolder(at)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.folders[name] = f
	}
	return s, nil
}

// openFolder opens a folder, or the folder around a single file. A link that the
// user named is followed; what lies below may not lead out.
func openFolder(at string) (*folder, error) {
	at, err := filepath.Abs(at)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the path %q cannot be used", at)
	}
	fi, err := os.Stat(at)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, "there is no file or folder %s", at)
	}
	f, dir := &folder{}, at
	if !fi.IsDir() {
		if !fi.Mode().IsRegular() {
			return nil, fault.New(fault.Invalid, "%s is neither a folder nor a regular file", at)
		}
		if at, err = filepath.EvalSymlinks(at); err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the path %q cannot be used", at)
		}
		dir, f.only = filepath.Split(at)
	}
	if f.root, err = os.OpenRoot(dir); err != nil {
		return nil, fault.Wrap(fault.Denied, err, "the folder %s cannot be opened; check its permissions", dir)
	}
	return f, nil
}

// Close releases the folders. The store must not be used after it.
func (s *Store) Close() error {
	var errs []error
	for _, f := range s.folders {
		errs = append(errs, f.root.Close())
	}
	return errors.Join(errs...)
}

// folder finds the folder of a bucket.
func (s *Store) folder(bucket string) (*folder, error) {
	f, ok := s.folders[bucket]
	if !ok {
		return nil, objstore.NotFound(objstore.Ref{Bucket: bucket}, nil)
	}
	return f, nil
}

// tempPrefix begins the names of files that are not whole yet. No object has one.
const tempPrefix = ".sagebrush-part-"

// visible reports whether a key can be the name of an object here.
func (f *folder) visible(key string) bool {
	if !fs.ValidPath(key) || key == "." || strings.ContainsRune(key, 0) {
		return false
	}
	if f.only != "" {
		return key == f.only
	}
	return !strings.HasPrefix(path.Base(key), tempPrefix)
}

// Stat implements objstore.Store.
func (s *Store) Stat(ctx context.Context, ref objstore.Ref) (objstore.Info, error) {
	f, err := s.folder(ref.Bucket)
	if err != nil {
		return objstore.Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return objstore.Info{}, failed(ref, "looking up", err)
	}
	if ref.Key == "" {
		return objstore.Info{Ref: ref}, nil
	}
	fi, err := f.stat(ref.Key)
	if err != nil {
		return objstore.Info{}, failed(ref, "looking up", err)
	}
	return describe(ref, fi), nil
}

// stat describes a file; what is not a regular one is no object.
func (f *folder) stat(key string) (fs.FileInfo, error) {
	if !f.visible(key) {
		return nil, fs.ErrNotExist
	}
	fi, err := f.root.Stat(key)
	if err == nil && !fi.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	return fi, err
}

// describe makes the Info of a file.
func describe(ref objstore.Ref, fi fs.FileInfo) objstore.Info {
	return objstore.Info{
		Ref: ref, Size: fi.Size(), ETag: etag(fi), Modified: fi.ModTime(),
		ContentType: "application/octet-stream",
	}
}

// etag is made of size and time and, because two writes can fall into one tick
// of a file system's clock, of the file's number.
func etag(fi fs.FileInfo) string {
	var number uint64
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		number = st.Ino
	}
	return fmt.Sprintf("%x-%x-%x", fi.Size(), fi.ModTime().UnixNano(), number)
}

// Open implements objstore.Store.
func (s *Store) Open(ctx context.Context, ref objstore.Ref, r objstore.Range) (io.ReadCloser, error) {
	file, fi, err := s.openPinned(ctx, ref, r.IfMatch)
	if err != nil {
		return nil, err
	}
	rc, err := section(ctx, ref, file, fi, r)
	if err != nil {
		file.Close()
		return nil, err
	}
	return rc, nil
}

// OpenFile implements objstore.Filer.
func (s *Store) OpenFile(ctx context.Context, ref objstore.Ref, etag string) (*os.File, error) {
	file, _, err := s.openPinned(ctx, ref, etag)
	return file, err
}

// openPinned opens the file of an object, which must have the ETag unless that is "".
func (s *Store) openPinned(ctx context.Context, ref objstore.Ref, pin string) (*os.File, fs.FileInfo, error) {
	f, err := s.folder(ref.Bucket)
	if err != nil {
		return nil, nil, err
	}
	if ref.Key == "" {
		return nil, nil, fault.New(fault.Invalid, "%s names no object", ref)
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, failed(ref, "opening", err)
	}
	file, fi, err := f.open(ref.Key)
	if err != nil {
		return nil, nil, failed(ref, "opening", err)
	}
	if pin != "" && pin != etag(fi) {
		file.Close()
		return nil, nil, objstore.Changed(ref, pin)
	}
	return file, fi, nil
}

// open opens a regular file; a FIFO with an object's name does not block it.
func (f *folder) open(key string) (*os.File, fs.FileInfo, error) {
	if !f.visible(key) {
		return nil, nil, fs.ErrNotExist
	}
	file, err := f.root.OpenFile(key, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	fi, err := file.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, fi, nil
}

// section makes the reader of a range. The caller closes the file on an error.
func section(ctx context.Context, ref objstore.Ref, file *os.File, fi fs.FileInfo, r objstore.Range) (io.ReadCloser, error) {
	if r.Off < 0 || r.Off > fi.Size() {
		return nil, fault.New(fault.Invalid, "the range begins at byte %d, but %s has %d bytes", r.Off, ref, fi.Size())
	}
	left := fi.Size() - r.Off
	if r.N >= 0 {
		left = min(left, r.N)
	}
	if _, err := file.Seek(r.Off, io.SeekStart); err != nil {
		return nil, failed(ref, "reading", err)
	}
	return &reader{ctx: ctx, ref: ref, file: file, left: left}, nil
}

// reader gives the bytes that were promised when it was opened, or fails.
type reader struct {
	ctx  context.Context
	ref  objstore.Ref
	file *os.File
	left int64
}

func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if err := r.ctx.Err(); err != nil {
		return 0, failed(r.ref, "reading", err)
	}
	n, err := r.file.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err == io.EOF {
		return n, fault.Wrap(fault.Unavailable, io.ErrUnexpectedEOF,
			"reading %s failed: the file ended %d bytes early; it was changed meanwhile", r.ref, r.left)
	}
	return n, failed(r.ref, "reading", err)
}

func (r *reader) Close() error { return r.file.Close() }

// Delete implements objstore.Store. Folders that it empties go too, as a bucket
// has none; the bucket's own stays.
func (s *Store) Delete(ctx context.Context, ref objstore.Ref) error {
	f, err := s.folder(ref.Bucket)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return failed(ref, "deleting", err)
	}
	if f.only != "" {
		return f.refuse(ref)
	}
	f.names.Lock()
	defer f.names.Unlock()
	if _, err := f.stat(ref.Key); missing(err) {
		return nil
	}
	if err := f.root.Remove(ref.Key); err != nil && !missing(err) {
		return failed(ref, "deleting", err)
	}
	for dir := path.Dir(ref.Key); dir != "."; dir = path.Dir(dir) {
		if f.root.Remove(dir) != nil {
			break // it holds something else
		}
	}
	return nil
}

// refuse is the answer to a change of a bucket that is a single file.
func (f *folder) refuse(ref objstore.Ref) error {
	return fault.New(fault.Denied, "%s cannot be changed: the bucket is the single file %s", ref, f.only)
}
