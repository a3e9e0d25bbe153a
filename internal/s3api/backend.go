package s3api

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/rclone/gofakes3"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
)

// backend is what gofakes3 asks for buckets and objects.
type backend struct {
	store      *filestore.Store
	o          Options
	log        *slog.Logger
	fake       *gofakes3.GoFakeS3
	uploadLife time.Duration
}

var (
	_ gofakes3.Backend              = (*backend)(nil)
	_ gofakes3.MultipartBackend     = (*backend)(nil)
	_ gofakes3.ObjectTaggingBackend = (*backend)(nil)
)

func (b *backend) ListBuckets(ctx context.Context) ([]gofakes3.BucketInfo, error) {
	buckets, err := b.store.Buckets(ctx)
	if err != nil {
		return nil, b.fail(ctx, objstore.Ref{}, err)
	}
	infos := make([]gofakes3.BucketInfo, len(buckets))
	for i, k := range buckets {
		infos[i] = gofakes3.BucketInfo{Name: k.Name, CreationDate: gofakes3.NewContentTime(k.Created)}
	}
	return infos, nil
}

// CreateBucket lets a bucket be created again, as S3 does in us-east-1 for its owner.
func (b *backend) CreateBucket(ctx context.Context, name string) error {
	err := b.store.CreateBucket(ctx, name)
	if fault.Is(err, fault.Exists) {
		return nil
	}
	return b.fail(ctx, objstore.Ref{Bucket: name}, err)
}

func (b *backend) BucketExists(ctx context.Context, name string) (bool, error) {
	ok, err := b.store.HasBucket(ctx, name)
	return ok, b.fail(ctx, objstore.Ref{Bucket: name}, err)
}

func (b *backend) DeleteBucket(ctx context.Context, name string) error {
	err := b.store.DeleteBucket(ctx, name)
	if fault.Is(err, fault.Conflict) {
		return gofakes3.ErrorMessage(gofakes3.ErrBucketNotEmpty, "The bucket you tried to delete is not empty")
	}
	return b.fail(ctx, objstore.Ref{Bucket: name}, err)
}

func (b *backend) HeadObject(ctx context.Context, bucket, key string) (*gofakes3.Object, error) {
	ref := objstore.Ref{Bucket: bucket, Key: key}
	o, err := b.store.Head(ctx, ref)
	if err != nil {
		return nil, b.fail(ctx, ref, err)
	}
	callOf(ctx).tell(o.Encryption)
	return object(o, io.NopCloser(strings.NewReader(""))), nil
}

func (b *backend) GetObject(ctx context.Context, bucket, key string, want *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	ref := objstore.Ref{Bucket: bucket, Key: key}
	var part *gofakes3.ObjectRange
	rc, o, err := b.store.Get(ctx, ref, func(size int64) (objstore.Range, error) {
		if want == nil {
			return objstore.All, nil
		}
		if want.FromEnd && want.End > size {
			want = &gofakes3.ObjectRangeRequest{FromEnd: true, End: size} // S3 gives all of it
		}
		var err error
		if part, err = want.Range(size); err != nil {
			return objstore.Range{}, err
		}
		return objstore.Range{Off: part.Start, N: part.Length}, nil
	})
	if err != nil {
		return nil, b.fail(ctx, ref, err)
	}
	callOf(ctx).tell(o.Encryption)
	obj := object(o, rc)
	obj.Range = part
	return obj, nil
}

func (b *backend) PutObject(ctx context.Context, bucket, key string, meta map[string]string, input io.Reader, size int64) (gofakes3.PutObjectResult, error) {
	ref := objstore.Ref{Bucket: bucket, Key: key}
	etag, err := b.put(ctx, ref, meta, input, size)
	if err != nil {
		return gofakes3.PutObjectResult{}, b.fail(ctx, ref, err)
	}
	return gofakes3.PutObjectResult{ETag: quote(etag)}, nil
}

func (b *backend) put(ctx context.Context, ref objstore.Ref, meta map[string]string, input io.Reader, size int64) (string, error) {
	w, err := b.store.NewWriter(ctx, ref, b.attrs(ctx, meta))
	if err != nil {
		return "", err
	}
	defer w.Abort()
	callOf(ctx).tell(w.Attrs.Encryption)
	sum := md5Of(&input)
	n, err := w.ReadFrom(input)
	if err != nil {
		return "", err
	}
	if size >= 0 && n != size {
		return "", gofakes3.ErrIncompleteBody
	}
	c := callOf(ctx)
	if c.payload != nil {
		if err := c.payload.verify(); err != nil {
			return "", err
		}
		c.keepChecksums(&w.Attrs)
	}
	info, err := w.CommitAs(hex.EncodeToString(sum()), condition(ctx))
	return info.ETag, err
}

// md5Of gives the function that tells the MD5 of what was read. gofakes3 hands
// over a reader that computes one already, which is dear enough to use.
func md5Of(r *io.Reader) func() []byte {
	if s, ok := (*r).(interface{ Sum([]byte) []byte }); ok {
		return func() []byte { return s.Sum(nil) }
	}
	h := md5.New()
	*r = io.TeeReader(*r, h)
	return func() []byte { return h.Sum(nil) }
}

// keepChecksums stores the body's checksums with the object and tells them in
// the response.
func (c *call) keepChecksums(a *filestore.Attrs) {
	sums := c.payload.checksums()
	if len(sums) == 0 {
		return
	}
	if a.Headers == nil {
		a.Headers = map[string]string{}
	}
	maps.Copy(a.Headers, sums)
	for name, v := range sums {
		c.header.Set(name, v)
	}
}

// condition is the If-Match or If-None-Match of a write, judged when the object
// is put in its place.
func condition(ctx context.Context) filestore.Check {
	if !gofakes3.HasWriteConditions(ctx) {
		return nil
	}
	return func(now objstore.Info, exists bool) error {
		return gofakes3.CheckWriteConditions(ctx, exists, etagHex(now.ETag))
	}
}

func (b *backend) DeleteObject(ctx context.Context, bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	ref := objstore.Ref{Bucket: bucket, Key: key}
	return gofakes3.ObjectDeleteResult{}, b.fail(ctx, ref, b.store.Delete(ctx, ref))
}

func (b *backend) DeleteMulti(ctx context.Context, bucket string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	var res gofakes3.MultiDeleteResult
	for _, key := range keys {
		ref := objstore.Ref{Bucket: bucket, Key: key}
		if err := b.delete(ctx, ref); err != nil {
			e := gofakes3.ErrorResultFromError(err)
			e.Key = key
			res.Error = append(res.Error, e)
			continue
		}
		res.Deleted = append(res.Deleted, gofakes3.ObjectID{Key: key})
	}
	callOf(ctx).status = 0 // the answer as a whole is no error
	return res, nil
}

// delete removes one of several objects, if the caller may.
func (b *backend) delete(ctx context.Context, ref objstore.Ref) error {
	if err := b.o.allow(ctx, "DeleteObject", ref); err != nil {
		return errDenied(err)
	}
	return b.fail(ctx, ref, b.store.Delete(ctx, ref))
}

func (b *backend) CopyObject(ctx context.Context, srcBucket, srcKey, dstBucket, dstKey string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	from, to := objstore.Ref{Bucket: srcBucket, Key: srcKey}, objstore.Ref{Bucket: dstBucket, Key: dstKey}
	o, err := b.store.Copy(ctx, from, to, b.attrs(ctx, meta))
	if err != nil {
		return gofakes3.CopyObjectResult{}, b.fail(ctx, from, err)
	}
	callOf(ctx).tell(o.Encryption)
	return gofakes3.CopyObjectResult{ETag: quote(o.ETag), LastModified: gofakes3.NewContentTime(o.Modified)}, nil
}

// SetObjectTagging implements gofakes3.ObjectTaggingBackend.
func (b *backend) SetObjectTagging(ctx context.Context, bucket, key, tagging string) error {
	ref := objstore.Ref{Bucket: bucket, Key: key}
	return b.fail(ctx, ref, b.store.SetAttrs(ctx, ref, func(a *filestore.Attrs) {
		if a.Headers == nil {
			a.Headers = map[string]string{}
		}
		a.Headers[gofakes3.TaggingMetadataKey] = tagging
		if tagging == "" {
			delete(a.Headers, gofakes3.TaggingMetadataKey)
		}
	}))
}

const metaPrefix = "X-Amz-Meta-"

// attrs are those of the object that a request makes.
func (b *backend) attrs(ctx context.Context, meta map[string]string) filestore.Attrs {
	a := attrs(meta)
	a.Encryption = callOf(ctx).encryption
	return a
}

// attrs turns gofakes3's metadata, which is a mixture of headers, into ours.
func attrs(meta map[string]string) filestore.Attrs {
	a := filestore.Attrs{Metadata: map[string]string{}, Headers: map[string]string{}}
	for name, v := range meta {
		switch {
		case name == "Last-Modified":
		case name == "Content-Type":
			a.ContentType = v
		case strings.HasPrefix(name, metaPrefix):
			a.Metadata[strings.ToLower(name[len(metaPrefix):])] = v
		default:
			a.Headers[name] = v
		}
	}
	return a
}

// object gives an object the form that gofakes3 serves.
func object(o filestore.Object, body io.ReadCloser) *gofakes3.Object {
	meta := map[string]string{
		"Content-Type":  o.Attrs.ContentType,
		"Last-Modified": o.Modified.UTC().Format(http.TimeFormat),
	}
	maps.Copy(meta, o.Headers)
	for name, v := range o.Metadata {
		meta[metaPrefix+name] = v
	}
	return &gofakes3.Object{Name: o.Key, Metadata: meta, Size: o.Size, Contents: body, Hash: etagBytes(o.ETag)}
}

func quote(etag string) string { return fmt.Sprintf("%q", etag) }
