package cli

import (
	"context"
	"io"
	"iter"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// router sends each bucket to the store that has it: those with names of ours to
// local, all others to remote. It implements objstore.Store.
type router struct {
	local, remote objstore.Store
	ours          map[string]bool
}

var _ objstore.Store = router{}

func (r router) of(bucket string) objstore.Store {
	if r.ours[bucket] {
		return r.local
	}
	return r.remote
}

func (r router) Stat(ctx context.Context, ref objstore.Ref) (objstore.Info, error) {
	return r.of(ref.Bucket).Stat(ctx, ref)
}

func (r router) Open(ctx context.Context, ref objstore.Ref, rg objstore.Range) (io.ReadCloser, error) {
	return r.of(ref.Bucket).Open(ctx, ref, rg)
}

func (r router) Create(ctx context.Context, ref objstore.Ref, meta objstore.Meta) (objstore.Writer, error) {
	return r.of(ref.Bucket).Create(ctx, ref, meta)
}

func (r router) List(ctx context.Context, bucket, prefix string) iter.Seq2[objstore.Info, error] {
	return r.of(bucket).List(ctx, bucket, prefix)
}

func (r router) Delete(ctx context.Context, ref objstore.Ref) error {
	return r.of(ref.Bucket).Delete(ctx, ref)
}
