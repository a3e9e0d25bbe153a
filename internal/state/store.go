// Package state is the durable store: models, transform jobs, their tags, the
// objects of each job, the server's own secrets, and records of rooms that keep
// nouns of their own, in one SQLite file.
//
// Writes are functions given to Update. One goroutine runs them one after the
// other and commits everything that queued in the meantime at once, so a write
// is durable when Update returns, and many writers share the cost of one sync.
// Reads are functions given to View and see one snapshot. Watch tells which
// resources a commit touched; it is what wakes the controllers.
//
// The package knows rows, not rules: it decides whether a name is free and
// whether a revision is stale, and leaves statuses, limits, ARNs and the wording
// of API errors to control. Errors of the file or the disk come as faults whose
// text may be shown. Everything is safe for concurrent use, but one data folder
// belongs to one server: a second Open of the same file is refused.
package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Options tunes a Store. The zero value is good.
type Options struct {
	// Readers is how many Views may run at the same time; 0 means 4. A View that
	// finds all of them taken waits.
	Readers int
}

const defaultReaders = 4

// Store is an open database. Make one with Open.
type Store struct {
	path      string
	temporary string // the folder to remove on Close, "" for a durable store
	lock      *fileLock

	names           *nameIndex
	writeDB, readDB *sql.DB
	writer          *writer
	// readers holds one slot for each View that may run; a nil slot is opened
	// when it is first needed. Close takes all of them and gives none back.
	readers chan *session
	closing chan struct{}
	once    sync.Once
	closed  error

	watchMu  sync.Mutex
	watchers []*watcher
}

type watcher struct{ fn func([]resource.Key) }

// errClosed is what every call gives after Close.
var errClosed = fault.New(fault.Unavailable, "The state database is closed because the server is stopping.")

// Open opens the database file at path, makes it and its folder when they are
// not there, brings its schema up to date and takes the file's lock. A path of
// "" opens an ephemeral store: a temporary file that is never synced to disk and
// that Close removes.
//
// It is refused when another server holds the file (fault.Unavailable), when a
// newer Sagebrush wrote it (fault.Unsupported) and when it is damaged or not a
// database (fault.Internal). ctx bounds only the opening.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	s := &Store{path: path, names: newNames(), closing: make(chan struct{})}
	if err := s.open(ctx, opts); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, opts Options) error {
	sync := "FULL"
	if s.path == "" {
		sync = "OFF"
		dir, err := os.MkdirTemp("", "sagebrush-state-")
		if err != nil {
			return fault.Wrap(fault.Unavailable, err, "No temporary folder could be made for the ephemeral state database.")
		}
		s.temporary, s.path = dir, filepath.Join(dir, "state.db")
	}
	if err := s.prepareFile(); err != nil {
		return err
	}
	var err error
	if s.writeDB, err = openHandle(writeDSN(s.path, sync)); err != nil {
		return s.openFailure(err)
	}
	if s.readDB, err = openHandle(readDSN(s.path)); err != nil {
		return s.openFailure(err)
	}
	ses, err := openSession(ctx, s.writeDB)
	if err != nil {
		return s.openFailure(err)
	}
	if err := migrate(ctx, ses, s.path); err != nil {
		ses.close()
		return s.openFailure(err)
	}
	slots := opts.Readers
	if slots <= 0 {
		slots = defaultReaders
	}
	s.readers = make(chan *session, slots)
	for range slots {
		s.readers <- nil
	}
	s.writer = newWriter(ctx, ses, s.names, s.closing, s.announce)
	go s.writer.loop()
	return nil
}

// prepareFile makes the folder and the file, readable by nobody else because the
// file holds secrets, and locks the file. SQLite gives its side files the same
// permissions.
func (s *Store) prepareFile() error {
	abs, err := filepath.Abs(s.path)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "The state database %s cannot be found.", s.path)
	}
	s.path = abs
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return s.openFailure(err)
	}
	if s.lock, err = lockFile(s.path + ".lock"); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return s.openFailure(err)
	}
	return f.Close()
}

// openFailure names the file in an error that says nothing of its own.
func (s *Store) openFailure(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	return fault.Wrap(fault.Unavailable, err, "The state database %s cannot be opened. Check that its folder exists and that this user may write there.", s.path)
}

// Close waits for the Views and the commit that are running, then closes the
// file and gives up its lock. Updates that were not begun fail. It may be called
// more than once.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.closing)
		<-s.writer.done
		for range cap(s.readers) {
			if ses := <-s.readers; ses != nil {
				ses.close()
			}
		}
		s.writer.ses.close()
		s.closed = s.release()
	})
	return s.closed
}

// release gives back whatever open took, in the opposite order.
func (s *Store) release() error {
	var errs []error
	if s.readDB != nil {
		errs = append(errs, s.readDB.Close())
	}
	if s.writeDB != nil {
		errs = append(errs, s.writeDB.Close())
	}
	if s.temporary != "" {
		errs = append(errs, os.RemoveAll(s.temporary))
	}
	if s.lock != nil {
		errs = append(errs, s.lock.unlock())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the state database: %w", err)
	}
	return nil
}

// Update runs fn as a transaction of its own and returns when what it wrote is
// durable. When fn returns an error nothing of it is kept and Update returns that
// error; a panic in fn becomes an error too. Only the wait for its turn is bounded by
// ctx: once fn has begun, Update waits for the commit, so that its answer is
// never in doubt.
//
// fn runs alone and all other writers wait for it, so it must be short, must do
// no other I/O, must not call Update, must not keep tx or hand it to another
// goroutine, and must not end its goroutine (as t.Fatal does).
func (s *Store) Update(ctx context.Context, fn func(tx *Tx) error) error {
	return s.writer.do(ctx, fn)
}

// View runs fn on one snapshot of everything that was committed before its first
// read. ctx bounds the wait and interrupts the reads. fn must be short, because
// an open snapshot makes the write-ahead log grow; it must not call View, must
// not write and must not keep tx.
func (s *Store) View(ctx context.Context, fn func(tx *Tx) error) (err error) {
	ses, err := s.takeReader(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// An interrupted connection is not worth reusing.
		if ses != nil && ctx.Err() != nil {
			ses.close()
			ses = nil
		}
		s.readers <- ses
	}()
	if ses == nil {
		if ses, err = openSession(ctx, s.readDB); err != nil {
			return err
		}
	}
	if err := ses.exec(ctx, "BEGIN"); err != nil {
		ses.close()
		ses = nil
		return err
	}
	defer func() {
		if failed := ses.exec(context.WithoutCancel(ctx), "ROLLBACK"); failed != nil {
			ses.close()
			ses = nil
		}
	}()
	tx := &Tx{ctx: ctx, ses: ses, names: s.names}
	defer tx.end()
	return fn(tx)
}

func (s *Store) takeReader(ctx context.Context) (*session, error) {
	select {
	case <-s.closing:
		return nil, errClosed
	default:
	}
	select {
	case ses := <-s.readers:
		return ses, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-s.closing:
		return nil, errClosed
	}
}

// Watch has fn called after every commit with the keys of the resources that it
// created, changed or deleted, folded (resource.Key.Folded) so that each resource
// has one key however its name was written; a key may come more than once. The
// objects of a job do not count as a change of the job. The call happens before
// the Update that wrote returns. fn runs in the writer's
// goroutine: it must return at once, as reconcile.Loop.Add does, and must not call
// Update. cancel ends the watch; a call that has begun may still be running.
func (s *Store) Watch(fn func(keys []resource.Key)) (cancel func()) {
	w := &watcher{fn}
	s.watchMu.Lock()
	defer s.watchMu.Unlock()
	s.watchers = append(s.watchers[:len(s.watchers):len(s.watchers)], w)
	return func() {
		s.watchMu.Lock()
		defer s.watchMu.Unlock()
		var rest []*watcher
		for _, other := range s.watchers {
			if other != w {
				rest = append(rest, other)
			}
		}
		s.watchers = rest
	}
}

// announce tells the watchers. The slice is never changed in place, so they are
// called without the lock.
func (s *Store) announce(keys []resource.Key) {
	if len(keys) == 0 {
		return
	}
	s.watchMu.Lock()
	watchers := s.watchers
	s.watchMu.Unlock()
	for _, w := range watchers {
		w.fn(keys)
	}
}
