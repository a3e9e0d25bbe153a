// Package memstore keeps objects in memory and fails on demand. It is for the
// tests of rooms that use objects; nothing that ships imports it.
package memstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// Op is one thing that a Store is about to do.
type Op struct {
	// Name is stat, open, read, create, write, commit, abort, list or delete.
	Name string
	Ref  objstore.Ref // of list: the bucket and the prefix
	// Off is how many bytes of the object were read or written before.
	Off int64
	// Len is how many bytes a read or write is about, 0 for the others.
	Len int
}

// Store is an objstore.Store in memory. The zero value has no buckets; use New.
type Store struct {
	// Fault, when set, is asked before everything that the store does. An error
	// becomes the operation's; a *Short lets a read or write go on for some bytes
	// first. It must be set before the store is used and be safe for concurrent use.
	Fault func(Op) error

	mu      sync.Mutex
	buckets map[string]map[string]object
	writing int // Writers neither committed nor aborted
	serial  int
}

// Short lets N bytes of a read or write pass before Err.
type Short struct {
	N   int
	Err error
}

func (s *Short) Error() string { return fmt.Sprintf("after %d bytes: %s", s.N, s.Err) }

type object struct {
	info objstore.Info
	meta objstore.Meta
	body []byte // never changed
}

// New makes a store with empty buckets.
func New(buckets ...string) *Store {
	s := &Store{buckets: map[string]map[string]object{}}
	for _, b := range buckets {
		s.buckets[b] = map[string]object{}
	}
	return s
}

// FailTimes makes a Fault that answers err for the first n operations for which
// match is true.
func FailTimes(n int, err error, match func(Op) bool) func(Op) error {
	var mu sync.Mutex
	return func(op Op) error {
		mu.Lock()
		defer mu.Unlock()
		if n <= 0 || !match(op) {
			return nil
		}
		n--
		return err
	}
}

// Put stores an object without asking Fault.
func (s *Store) Put(ref objstore.Ref, body string) objstore.Info {
	info, err := s.keep(ref, []byte(body), objstore.Meta{})
	if err != nil {
		panic(err) // the test names a bucket that it did not make
	}
	return info
}

// Body gives the bytes of an object, and whether there is one.
func (s *Store) Body(ref objstore.Ref) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.buckets[ref.Bucket][ref.Key]
	return string(o.body), ok
}

// Meta gives what the writer of an object said about it.
func (s *Store) Meta(ref objstore.Ref) objstore.Meta {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buckets[ref.Bucket][ref.Key].meta
}

// Writing is how many Writers are neither committed nor aborted.
func (s *Store) Writing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing
}

func (s *Store) ask(ctx context.Context, op Op) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.Unavailable, err, "%s %s was interrupted", op.Name, op.Ref)
	}
	if s.Fault == nil {
		return nil
	}
	return s.Fault(op)
}

func (s *Store) find(ref objstore.Ref) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[ref.Bucket]
	if !ok {
		return object{}, objstore.NotFound(objstore.Ref{Bucket: ref.Bucket}, nil)
	}
	o, ok := b[ref.Key]
	if !ok && ref.Key != "" {
		return object{}, objstore.NotFound(ref, nil)
	}
	return o, nil
}

// Stat implements objstore.Store.
func (s *Store) Stat(ctx context.Context, ref objstore.Ref) (objstore.Info, error) {
	if err := s.ask(ctx, Op{Name: "stat", Ref: ref}); err != nil {
		return objstore.Info{}, err
	}
	o, err := s.find(ref)
	if err == nil && ref.Key == "" {
		o.info.Ref = ref
	}
	return o.info, err
}

// Open implements objstore.Store.
func (s *Store) Open(ctx context.Context, ref objstore.Ref, r objstore.Range) (io.ReadCloser, error) {
	if err := s.ask(ctx, Op{Name: "open", Ref: ref, Off: r.Off}); err != nil {
		return nil, err
	}
	if ref.Key == "" {
		return nil, fault.New(fault.Invalid, "an object of the bucket %q needs a key", ref.Bucket)
	}
	o, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	if r.IfMatch != "" && r.IfMatch != o.info.ETag {
		return nil, objstore.Changed(ref, r.IfMatch)
	}
	if r.Off < 0 || r.Off > o.info.Size {
		return nil, fault.New(fault.Invalid, "the range begins at byte %d, but %s has %d bytes", r.Off, ref, o.info.Size)
	}
	body := o.body[r.Off:]
	if r.N >= 0 && r.N < int64(len(body)) {
		body = body[:r.N]
	}
	return &reader{ctx: ctx, s: s, ref: ref, off: r.Off, body: bytes.NewReader(body)}, nil
}

type reader struct {
	ctx  context.Context
	s    *Store
	ref  objstore.Ref
	off  int64
	body *bytes.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	err := r.s.ask(r.ctx, Op{Name: "read", Ref: r.ref, Off: r.off, Len: len(p)})
	n := 0
	if short, ok := err.(*Short); ok {
		n, _ = r.body.Read(p[:min(short.N, len(p))])
		err = short.Err
	} else if err == nil {
		n, err = r.body.Read(p)
	}
	r.off += int64(n)
	return n, err
}

func (r *reader) Close() error { return nil }

// Create implements objstore.Store.
func (s *Store) Create(ctx context.Context, ref objstore.Ref, m objstore.Meta) (objstore.Writer, error) {
	if err := s.ask(ctx, Op{Name: "create", Ref: ref}); err != nil {
		return nil, err
	}
	if ref.Key == "" {
		return nil, fault.New(fault.Invalid, "an object of the bucket %q needs a key", ref.Bucket)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.buckets[ref.Bucket]; !ok {
		return nil, objstore.NotFound(objstore.Ref{Bucket: ref.Bucket}, nil)
	}
	s.writing++
	return &writer{ctx: ctx, s: s, ref: ref, meta: m}, nil
}

type writer struct {
	ctx   context.Context
	s     *Store
	ref   objstore.Ref
	meta  objstore.Meta
	body  []byte
	ended bool
}

func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, fault.New(fault.Internal, "%s was written to after its end", w.ref)
	}
	err := w.s.ask(w.ctx, Op{Name: "write", Ref: w.ref, Off: int64(len(w.body)), Len: len(p)})
	if short, ok := err.(*Short); ok {
		p, err = p[:min(short.N, len(p))], short.Err
	} else if err != nil {
		return 0, err
	}
	w.body = append(w.body, p...)
	return len(p), err
}

func (w *writer) Commit() (objstore.Info, error) {
	if w.ended {
		return objstore.Info{}, fault.New(fault.Internal, "%s was committed after its end", w.ref)
	}
	if err := w.s.ask(w.ctx, Op{Name: "commit", Ref: w.ref, Off: int64(len(w.body))}); err != nil {
		w.end()
		return objstore.Info{}, err
	}
	w.end()
	return w.s.keep(w.ref, w.body, w.meta)
}

func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	w.end()
	return w.s.ask(context.WithoutCancel(w.ctx), Op{Name: "abort", Ref: w.ref, Off: int64(len(w.body))})
}

func (w *writer) end() {
	w.ended = true
	w.s.mu.Lock()
	w.s.writing--
	w.s.mu.Unlock()
}

func (s *Store) keep(ref objstore.Ref, body []byte, m objstore.Meta) (objstore.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[ref.Bucket]
	if !ok {
		return objstore.Info{}, objstore.NotFound(objstore.Ref{Bucket: ref.Bucket}, nil)
	}
	s.serial++
	info := objstore.Info{
		Ref: ref, Size: int64(len(body)), ETag: fmt.Sprintf("%032x-1", s.serial),
		Modified: time.Now(), ContentType: cmp.Or(m.ContentType, "binary/octet-stream"),
	}
	m.Metadata = maps.Clone(m.Metadata)
	b[ref.Key] = object{info: info, meta: m, body: body}
	return info, nil
}

// List implements objstore.Store. It lists what was there when it began.
func (s *Store) List(ctx context.Context, bucket, prefix string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		list, err := s.snapshot(ctx, bucket, prefix)
		if err != nil {
			yield(objstore.Info{}, err)
			return
		}
		for _, info := range list {
			info.ContentType = ""
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (s *Store) snapshot(ctx context.Context, bucket, prefix string) ([]objstore.Info, error) {
	if err := s.ask(ctx, Op{Name: "list", Ref: objstore.Ref{Bucket: bucket, Key: prefix}}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[bucket]
	if !ok {
		return nil, objstore.NotFound(objstore.Ref{Bucket: bucket}, nil)
	}
	var list []objstore.Info
	for key, o := range b {
		if strings.HasPrefix(key, prefix) {
			list = append(list, o.info)
		}
	}
	slices.SortFunc(list, func(a, b objstore.Info) int { return strings.Compare(a.Key, b.Key) })
	return list, nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, ref objstore.Ref) error {
	if err := s.ask(ctx, Op{Name: "delete", Ref: ref}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.buckets[ref.Bucket]
	if !ok {
		return objstore.NotFound(objstore.Ref{Bucket: ref.Bucket}, nil)
	}
	delete(b, ref.Key)
	return nil
}
