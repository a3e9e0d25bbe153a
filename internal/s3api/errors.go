package s3api

import (
	"context"
	"errors"
	"net/http"

	"github.com/rclone/gofakes3"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
)

// fail turns an error of the store into S3's. gofakes3 looks at the outermost
// error only, and knows no HTTP status for some codes: the call then carries it.
func (b *backend) fail(ctx context.Context, ref objstore.Ref, err error) error {
	if err == nil {
		return nil
	}
	var s3 gofakes3.Error
	if errors.As(err, &s3) {
		return s3
	}
	for _, e := range []struct {
		is   error
		code gofakes3.ErrorCode
	}{
		{filestore.ErrNoUpload, gofakes3.ErrNoSuchUpload},
		{filestore.ErrBadPart, gofakes3.ErrInvalidPart},
		{filestore.ErrPartOrder, gofakes3.ErrInvalidPartOrder},
		{filestore.ErrShortBody, gofakes3.ErrIncompleteBody},
	} {
		if errors.Is(err, e.is) {
			return gofakes3.ErrorMessage(e.code, fault.TextOf(err))
		}
	}
	if refused := keyRefusal(ctx, err); refused != nil {
		return refused
	}
	return b.failKind(ctx, ref, err)
}

func (b *backend) failKind(ctx context.Context, ref objstore.Ref, err error) error {
	text := fault.TextOf(err)
	var signature *sigv4.Error
	if errors.As(err, &signature) {
		if signature.Reason == sigv4.PayloadMismatch {
			callOf(ctx).status = http.StatusBadRequest
			return gofakes3.ErrorMessage("XAmzContentSHA256Mismatch", text)
		}
		callOf(ctx).status = http.StatusForbidden
		return gofakes3.ErrorMessage("SignatureDoesNotMatch", text)
	}
	switch fault.KindOf(err) {
	case fault.NotFound:
		if ok, _ := b.store.HasBucket(ctx, ref.Bucket); !ok || ref.Key == "" {
			return gofakes3.BucketNotFound(ref.Bucket)
		}
		return gofakes3.KeyNotFound(ref.Key)
	case fault.Invalid:
		if len(ref.Key) > filestore.MaxKey {
			return gofakes3.ErrorMessage(gofakes3.ErrKeyTooLong, text)
		}
		return gofakes3.ErrorMessage(gofakes3.ErrInvalidArgument, text)
	case fault.Denied:
		callOf(ctx).status = http.StatusForbidden
		return gofakes3.ErrorMessage("AccessDenied", text)
	case fault.Unsupported:
		return gofakes3.ErrorMessage(gofakes3.ErrNotImplemented, text)
	case fault.Throttled:
		return gofakes3.ErrorMessage(gofakes3.ErrSlowDown, text)
	case fault.Unavailable:
		if ctx.Err() == nil {
			b.log.Error("the object store failed", "object", ref.String(), "error", err)
		}
		callOf(ctx).status = http.StatusServiceUnavailable
		return gofakes3.ErrorMessage("ServiceUnavailable", text)
	}
	b.log.Error("the object store failed", "object", ref.String(), "error", err)
	return gofakes3.ErrorMessage(gofakes3.ErrInternal, text)
}
