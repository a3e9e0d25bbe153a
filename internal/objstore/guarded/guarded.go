// Package guarded limits a store to what a role may read and write, where somebody
// acts for one: the role of the context that each call is made with, as
// objstore.WithRights has put it there.
package guarded

import (
	"context"
	"io"
	"iter"
	"os"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// New makes a store over another. It keeps files if that one does.
func New(st objstore.Store) objstore.Store {
	if files, ok := st.(objstore.Filer); ok {
		return &filer{store{st}, files}
	}
	return &store{st}
}

type store struct{ under objstore.Store }

// Stat implements objstore.Store. Whether a bucket exists is told to everybody: who
// writes to one need not be allowed to list it.
func (s *store) Stat(ctx context.Context, ref objstore.Ref) (objstore.Info, error) {
	if ref.Key != "" {
		if err := objstore.Ask(ctx, "GetObject", ref); err != nil {
			return objstore.Info{}, err
		}
	}
	return s.under.Stat(ctx, ref)
}

// Open implements objstore.Store.
func (s *store) Open(ctx context.Context, ref objstore.Ref, r objstore.Range) (io.ReadCloser, error) {
	if err := objstore.Ask(ctx, "GetObject", ref); err != nil {
		return nil, err
	}
	return s.under.Open(ctx, ref, r)
}

// Create implements objstore.Store.
func (s *store) Create(ctx context.Context, ref objstore.Ref, meta objstore.Meta) (objstore.Writer, error) {
	if err := objstore.Ask(ctx, "PutObject", ref); err != nil {
		return nil, err
	}
	return s.under.Create(ctx, ref, meta)
}

// List implements objstore.Store.
func (s *store) List(ctx context.Context, bucket, prefix string) iter.Seq2[objstore.Info, error] {
	if err := objstore.Ask(ctx, "ListBucket", objstore.Ref{Bucket: bucket}); err != nil {
		return func(yield func(objstore.Info, error) bool) { yield(objstore.Info{}, err) }
	}
	return s.under.List(ctx, bucket, prefix)
}

// Delete implements objstore.Store.
func (s *store) Delete(ctx context.Context, ref objstore.Ref) error {
	if err := objstore.Ask(ctx, "DeleteObject", ref); err != nil {
		return err
	}
	return s.under.Delete(ctx, ref)
}

// filer is a store whose objects are files.
type filer struct {
	store
	files objstore.Filer
}

// OpenFile implements objstore.Filer.
func (f *filer) OpenFile(ctx context.Context, ref objstore.Ref, etag string) (*os.File, error) {
	if err := objstore.Ask(ctx, "GetObject", ref); err != nil {
		return nil, err
	}
	return f.files.OpenFile(ctx, ref, etag)
}
