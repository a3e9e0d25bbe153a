package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// Stat implements objstore.Store.
func (s *Store) Stat(ctx context.Context, ref objstore.Ref) (objstore.Info, error) {
	if ref.Key == "" {
		_, err := s.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &ref.Bucket})
		return objstore.Info{Ref: ref}, failed(ref, "looking for the bucket", err)
	}
	out, err := s.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &ref.Bucket, Key: &ref.Key})
	if err != nil {
		return objstore.Info{}, failed(ref, "looking for", err)
	}
	return objstore.Info{
		Ref: ref, Size: aws.ToInt64(out.ContentLength), ETag: bare(out.ETag),
		Modified: aws.ToTime(out.LastModified), ContentType: aws.ToString(out.ContentType),
	}, nil
}

// Open implements objstore.Store. A body of which nothing comes for a minute
// fails with fault.Unavailable.
func (s *Store) Open(ctx context.Context, ref objstore.Ref, r objstore.Range) (io.ReadCloser, error) {
	if ref.Key == "" {
		return nil, noKey(ref)
	}
	if r.Off < 0 {
		return nil, fault.New(fault.Invalid, "the range of %s begins before its first byte", ref)
	}
	if r.N == 0 {
		return s.openNothing(ctx, ref, r)
	}
	in := &s3.GetObjectInput{Bucket: &ref.Bucket, Key: &ref.Key}
	if r.IfMatch != "" {
		in.IfMatch = aws.String(`"` + r.IfMatch + `"`)
	}
	switch {
	case r.N > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", r.Off, r.Off+r.N-1))
	case r.Off > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", r.Off))
	}
	reading, cancel := context.WithCancelCause(ctx)
	out, err := s.s3.GetObject(reading, in)
	if err != nil {
		cancel(nil)
		if status(err) == http.StatusRequestedRangeNotSatisfiable {
			return s.openNothing(ctx, ref, r)
		}
		return nil, failedRead(ref, r, err)
	}
	if in.Range != nil && r.Off > 0 && out.ContentRange == nil {
		cancel(nil)
		out.Body.Close()
		return nil, fault.New(fault.Unsupported, "the store of %s does not give ranges of objects", ref)
	}
	return newBody(reading, cancel, ref, out.Body, aws.ToInt64(out.ContentLength), s.idle), nil
}

// openNothing opens a range without bytes, for which S3 has no request.
func (s *Store) openNothing(ctx context.Context, ref objstore.Ref, r objstore.Range) (io.ReadCloser, error) {
	info, err := s.Stat(ctx, ref)
	if err != nil {
		return nil, err
	}
	if r.IfMatch != "" && r.IfMatch != info.ETag {
		return nil, objstore.Changed(ref, r.IfMatch)
	}
	if r.Off > info.Size {
		return nil, fault.New(fault.Invalid, "the range begins at byte %d, but %s has %d bytes", r.Off, ref, info.Size)
	}
	return io.NopCloser(strings.NewReader("")), nil
}

// failedRead tells a pinned object that changed from other refusals.
func failedRead(ref objstore.Ref, r objstore.Range, err error) error {
	if r.IfMatch != "" && status(err) == http.StatusPreconditionFailed {
		return objstore.Changed(ref, r.IfMatch)
	}
	return failed(ref, "reading", err)
}

var errIdle = errors.New("the store sent nothing for a minute")

// body is an answer's body that must give left bytes and may not stand still.
type body struct {
	ref    objstore.Ref
	rc     io.ReadCloser
	left   int64
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer // ends ctx
}

func newBody(ctx context.Context, cancel context.CancelCauseFunc, ref objstore.Ref, rc io.ReadCloser, size int64, idle time.Duration) *body {
	b := &body{ref: ref, rc: rc, left: size, ctx: ctx, cancel: cancel, idle: idle}
	b.timer = time.AfterFunc(idle, func() { cancel(errIdle) })
	b.timer.Stop()
	return b
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	b.timer.Reset(b.idle)
	n, err := b.rc.Read(p)
	b.timer.Stop()
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, nil
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	case err == nil:
		return n, nil
	}
	if cause := context.Cause(b.ctx); cause != nil {
		err = cause
	}
	return n, objstore.Unavailable(b.ref, "reading", err)
}

func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.rc.Close()
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, bucket, prefix string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		// Keys may hold characters that XML cannot.
		pages := s3.NewListObjectsV2Paginator(s.s3, &s3.ListObjectsV2Input{
			Bucket: &bucket, Prefix: &prefix, EncodingType: types.EncodingTypeUrl,
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(objstore.Info{}, failed(objstore.Ref{Bucket: bucket}, "listing", err))
				return
			}
			for _, o := range page.Contents {
				key, err := decodeKey(page, o)
				if !yield(infoOf(bucket, key, o), err) || err != nil {
					return
				}
			}
		}
	}
}

func infoOf(bucket, key string, o types.Object) objstore.Info {
	return objstore.Info{
		Ref: objstore.Ref{Bucket: bucket, Key: key}, Size: aws.ToInt64(o.Size),
		ETag: bare(o.ETag), Modified: aws.ToTime(o.LastModified),
	}
}

// decodeKey undoes the encoding that was asked for, if the store did it.
func decodeKey(page *s3.ListObjectsV2Output, o types.Object) (string, error) {
	key := aws.ToString(o.Key)
	if page.EncodingType != types.EncodingTypeUrl {
		return key, nil
	}
	plain, err := url.QueryUnescape(key)
	if err != nil {
		return "", fault.Wrap(fault.Unavailable, err, "the listing of the bucket %q holds the malformed key %q", aws.ToString(page.Name), key)
	}
	return plain, nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, ref objstore.Ref) error {
	if ref.Key == "" {
		return noKey(ref)
	}
	_, err := s.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &ref.Bucket, Key: &ref.Key})
	if code(err) == "NoSuchKey" {
		return nil
	}
	return failed(ref, "deleting", err)
}

func bare(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

func noKey(ref objstore.Ref) error {
	return fault.New(fault.Invalid, "an object of the bucket %q needs a key", ref.Bucket)
}
