package filestore

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

const (
	ownFolder  = ".sagebrush"
	tmpFolder  = ownFolder + "/tmp"
	metaFolder = ownFolder + "/meta"
	lockFile   = ownFolder + "/lock"

	bufferSize = 128 << 10
)

// Options are the ways in which stores differ.
type Options struct {
	// NoSync skips every fsync: for data that need not survive a power failure.
	NoSync bool
	// NoAttributes keeps descriptions in .sagebrush/meta even where the file
	// system has extended attributes.
	NoAttributes bool
	// Keys are the keys of encrypted objects; nil has none, and Region is where they
	// are whose name does not say it.
	Keys   keyring.Keyring
	Region string
}

// Store is a folder of buckets. It is safe for concurrent use, and several
// Stores, also of several processes, may share a root: only the conditions of
// conditional writes are then not atomic between them.
type Store struct {
	root   *os.Root
	noSync bool
	xattrs bool
	keys   keyring.Keyring
	region string
	// sidecars is set once a description lies in metaFolder.
	sidecars atomic.Bool

	// session is our folder for unfinished files, locked while we live.
	session string
	lock    *os.File

	// names serialises changes of the name space: what is renamed, made or
	// removed under a bucket. Bytes are written and synced outside it.
	names sync.Mutex

	mu      sync.Mutex
	uploads map[string]*upload // guarded by mu

	buffers sync.Pool // *bufio.Writer
}

var _ objstore.Filer = (*Store)(nil)

// Open opens the store under root, making the folder when there is none, and
// removes what crashed processes left unfinished there.
func Open(root string, o Options) (*Store, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the object store's folder %s cannot be made", root)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the object store's folder %s cannot be opened", root)
	}
	s := &Store{root: r, noSync: o.NoSync, keys: o.Keys, region: o.Region, uploads: map[string]*upload{}}
	s.buffers.New = func() any { return bufio.NewWriterSize(nil, bufferSize) }
	if err := s.start(); err != nil {
		r.Close()
		return nil, fault.Wrap(fault.Internal, err, "the object store's folder %s cannot be used", root)
	}
	s.xattrs = !o.NoAttributes && s.tryAttributes()
	if entries, err := fs.ReadDir(r.FS(), metaFolder); err == nil && len(entries) > 0 {
		s.sidecars.Store(true)
	}
	return s, nil
}

// Close ends the use of the store and drops the multipart uploads that are
// still open. Writers and readers must have ended before.
func (s *Store) Close() error {
	return errors.Join(s.root.RemoveAll(s.session), s.lock.Close(), s.root.Close())
}

// start makes this Store's session folder and removes those of the dead. The
// short lock keeps a starting store from sweeping one that is half made.
func (s *Store) start() error {
	if err := s.root.MkdirAll(tmpFolder, 0o755); err != nil {
		return err
	}
	gate, err := s.root.OpenFile(lockFile, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer gate.Close()
	if err := flock(gate, unix.LOCK_EX); err != nil {
		return err
	}
	if err := s.sweep(); err != nil {
		return err
	}
	s.session = path.Join(tmpFolder, newID())
	if err := s.root.Mkdir(s.session, 0o755); err != nil {
		return err
	}
	s.lock, err = s.root.OpenFile(path.Join(s.session, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	return flock(s.lock, unix.LOCK_EX|unix.LOCK_NB)
}

// sweep removes the session folders that no living process has locked.
func (s *Store) sweep() error {
	sessions, err := fs.ReadDir(s.root.FS(), tmpFolder)
	if err != nil {
		return err
	}
	for _, e := range sessions {
		dir := path.Join(tmpFolder, e.Name())
		lock, err := s.root.OpenFile(path.Join(dir, "lock"), os.O_RDWR, 0)
		if err == nil {
			err = flock(lock, unix.LOCK_EX|unix.LOCK_NB)
			lock.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				continue
			}
		}
		if err := s.root.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// tryAttributes reports whether the file system keeps extended attributes.
func (s *Store) tryAttributes() bool {
	f, err := s.newFile()
	if err != nil {
		return false
	}
	defer s.root.Remove(f.Name())
	defer f.Close()
	return unix.Fsetxattr(int(f.Fd()), attrName, []byte("probe"), 0) == nil
}

// tempFile is an unfinished file with its path under the root.
type tempFile struct {
	*os.File
	path string
}

// Name is the path under the store's root.
func (t *tempFile) Name() string { return t.path }

func (s *Store) newFile() (*tempFile, error) {
	name := path.Join(s.session, newID())
	f, err := s.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	return &tempFile{File: f, path: name}, nil
}

// discard closes and removes an unfinished file.
func (s *Store) discard(f *tempFile) error {
	return errors.Join(f.Close(), s.root.Remove(f.path))
}

func (s *Store) sync(f *os.File) error {
	if s.noSync {
		return nil
	}
	return f.Sync()
}

// syncFolder makes the names in a folder durable.
func (s *Store) syncFolder(name string) error {
	if s.noSync {
		return nil
	}
	d, err := s.root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil // a file system that cannot sync folders, some of FUSE for one
}

// buffer gives a pooled buffer over w that is filled before it is written: an
// os.File's own ReadFrom would copy a network stream in small pieces.
func (s *Store) buffer(w io.Writer) *bufio.Writer {
	b := s.buffers.Get().(*bufio.Writer)
	b.Reset(struct{ io.Writer }{w})
	return b
}

func (s *Store) release(b *bufio.Writer) {
	b.Reset(nil)
	s.buffers.Put(b)
}

// newID is a name that nobody else has.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
