package filestore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// readBatch is how many names are taken from a folder at a time.
const readBatch = 4096

// Query selects keys of a bucket.
type Query struct {
	Prefix string
	// After leaves out the keys up to and including this one.
	After string
	// Folders rolls up the keys that have a '/' after the prefix into one Entry
	// for each text up to that '/', as S3 does with the delimiter '/'.
	Folders bool
}

// Entry is an object or, with Folder, a text that several keys begin with; of
// such an entry only the Key is set.
type Entry struct {
	objstore.Info
	Folder bool
}

// List implements objstore.Store. The Info has no content type, as in S3.
func (s *Store) List(ctx context.Context, bucket, prefix string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		for e, err := range s.Walk(ctx, bucket, Query{Prefix: prefix}) {
			if !yield(e.Info, err) {
				return
			}
		}
	}
}

// Walk yields what a query selects in the byte order of the keys, and stops at
// the first error, which it yields. It holds the names of one folder of each
// level at a time. Objects that come or go meanwhile may or may not be seen.
func (s *Store) Walk(ctx context.Context, bucket string, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		b, err := s.bucket(bucket)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer b.Close()
		w := walk{ctx: ctx, s: s, b: b, bucket: bucket, q: q, yield: yield}
		w.start()
	}
}

// walk is one listing under way. Its methods report whether to go on.
type walk struct {
	ctx    context.Context
	s      *Store
	b      *os.Root // the bucket
	bucket string
	q      Query
	yield  func(Entry, error) bool
}

func (w *walk) fail(err error) bool {
	w.yield(Entry{}, failed(objstore.Ref{Bucket: w.bucket, Key: w.q.Prefix}, "listing", err))
	return false
}

// start goes straight to the folder that the prefix names.
func (w *walk) start() bool {
	cut := strings.LastIndexByte(w.q.Prefix, '/') + 1
	base, rest := w.q.Prefix[:cut], w.q.Prefix[cut:]
	dir, err := w.b.OpenRoot(folderPath(base))
	if err != nil {
		return missing(err) || w.fail(err)
	}
	defer dir.Close()
	return w.folder(dir, base, rest)
}

// folder yields the keys that begin with base and lie in and below dir, those
// only whose first segment after base begins with seg.
func (w *walk) folder(dir *os.Root, base, seg string) bool {
	after, ok := boundWithin(w.q.After, base)
	if !ok {
		return true
	}
	entries, err := readFolder(w.ctx, dir, seg, after)
	if err != nil {
		return missing(err) || w.fail(err)
	}
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			return w.fail(err)
		}
		goOn := false
		if e.folder {
			goOn = w.subfolder(dir, base+e.seg+"/", e)
		} else {
			goOn = w.object(dir, base+e.seg, e)
		}
		if !goOn {
			return false
		}
	}
	return true
}

func (w *walk) subfolder(dir *os.Root, base string, e entry) bool {
	if w.q.Folders && w.q.After == base {
		return true
	}
	sub, err := dir.OpenRoot(e.path())
	if err != nil {
		return missing(err) || w.fail(err)
	}
	defer sub.Close()
	if !w.q.Folders {
		return w.folder(sub, base, "")
	}
	// One object is enough to show that the folder is not an empty one.
	found, goOn := false, true
	probe := *w
	probe.q.Folders = false
	probe.yield = func(_ Entry, err error) bool {
		found = true
		if err != nil {
			goOn = w.yield(Entry{}, err)
		} else {
			goOn = w.yield(Entry{Info: objstore.Info{Ref: objstore.Ref{Bucket: w.bucket, Key: base}}, Folder: true}, nil)
		}
		return false
	}
	probe.folder(sub, base, "")
	return !found || goOn
}

// object describes one file. A file that went away since the folder was read
// is looked for where objects move to, and otherwise left out.
func (w *walk) object(dir *os.Root, key string, e entry) bool {
	ref := objstore.Ref{Bucket: w.bucket, Key: key}
	f, fi, err := openFile(dir, e.path())
	if err != nil && missing(err) {
		f, fi, err = openKey(w.b, key)
	}
	if err != nil {
		return missing(err) || w.fail(err)
	}
	o, err := w.s.describe(ref, f, fi, false)
	f.Close()
	if err != nil {
		return w.fail(err)
	}
	o.Info.ContentType = ""
	return w.yield(Entry{Info: o.Info}, nil)
}

// bound is a text that keys must exceed, when on is set.
type bound struct {
	text string
	on   bool
}

// boundWithin cuts the text that keys must exceed down to the keys that begin
// with base. ok is false when none of them can exceed it.
func boundWithin(after, base string) (b bound, ok bool) {
	if rest, found := strings.CutPrefix(after, base); found {
		return bound{text: rest, on: true}, true
	}
	return bound{}, base > after
}

// entry is one name of a folder as a segment of a key.
type entry struct {
	seg    string
	folder bool
	beside bool
}

func (e entry) path() string { return segmentPath(e.seg, e.beside) }

// compare orders entries as the keys that they stand for: a folder's keys have a
// '/' after the segment, and '-' and '.' come before that.
func (e entry) compare(f entry) int {
	m := min(len(e.seg), len(f.seg))
	if c := strings.Compare(e.seg[:m], f.seg[:m]); c != 0 {
		return c
	}
	if c := e.next(m) - f.next(m); c != 0 || e.beside == f.beside {
		return c
	}
	if e.beside {
		return 1
	}
	return -1
}

func (e entry) next(i int) int {
	if i < len(e.seg) {
		return int(e.seg[i]) + 1
	}
	if e.folder {
		return '/' + 1
	}
	return 0
}

// within reports whether an entry can stand for keys that begin with seg and
// exceed after.
func (e entry) within(seg string, after bound) bool {
	if !strings.HasPrefix(e.seg, seg) {
		return false
	}
	if !after.on {
		return true
	}
	if !e.folder {
		return e.seg > after.text
	}
	keys := e.seg + "/"
	return after.text < keys || strings.HasPrefix(after.text, keys)
}

// readFolder reads the names of a folder that matter and sorts them.
func readFolder(ctx context.Context, dir *os.Root, seg string, after bound) ([]entry, error) {
	r := folderReader{ctx: ctx, dir: dir, seg: seg, after: after}
	if err := r.read(".", ""); err != nil {
		return nil, err
	}
	slices.SortFunc(r.entries, entry.compare)
	// An object that lies at both its places is the one at the plain place.
	return slices.CompactFunc(r.entries, func(a, b entry) bool {
		return a.seg == b.seg && a.folder == b.folder
	}), nil
}

type folderReader struct {
	ctx     context.Context
	dir     *os.Root
	seg     string
	after   bound
	entries []entry
}

// read takes the names of one folder, and of those that only continue an
// over-long segment, whose beginning is then given.
func (r *folderReader) read(name, begun string) error {
	f, err := openFolder(r.dir, name)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		batch, err := f.ReadDir(readBatch)
		for _, d := range batch {
			if err := r.take(name, begun, d); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.ctx.Err(); err != nil {
			return err
		}
	}
}

// openFolder opens a folder so that reading its names does not ask the file
// system about each one once more, as it does for a file of an os.Root; the
// kinds of entries come with the names.
func openFolder(dir *os.Root, name string) (*os.File, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "dup", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (r *folderReader) take(parent, begun string, d fs.DirEntry) error {
	name := d.Name()
	mark, rest := markOf(name)
	if mark == markContinue && d.IsDir() {
		return r.read(path.Join(parent, name), begun+rest)
	}
	if !d.IsDir() && !d.Type().IsRegular() {
		return nil
	}
	e := entry{seg: name, folder: d.IsDir(), beside: mark == markBeside}
	if mark != "" || begun != "" {
		var ok bool
		e.seg, ok = unescape(begun + rest)
		// A name of ours that we would not have given stands for no key.
		if !ok || mark == "" || e.beside && e.folder || e.path() != path.Join(parent, name) {
			return nil
		}
	}
	if e.within(r.seg, r.after) {
		r.entries = append(r.entries, e)
	}
	return nil
}

// markOf splits a name of ours into its mark and the rest.
func markOf(name string) (mark, rest string) {
	if len(name) >= 2 && name[0] == '%' && (name[1] == '~' || name[1] == '=' || name[1] == '+') {
		return name[:2], name[2:]
	}
	return "", name
}
