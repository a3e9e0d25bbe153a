package s3api

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/rclone/gofakes3"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
)

// CreateMultipartUpload also ends the uploads that were forgotten.
func (b *backend) CreateMultipartUpload(ctx context.Context, bucket, key string, meta map[string]string) (gofakes3.UploadID, error) {
	for id, ref := range b.store.ExpireUploads(ctx, time.Now().Add(-b.uploadLife)) {
		// It may be unknown to gofakes3 already; then there is nothing to forget.
		_ = b.fake.ForgetMultipartUpload(ctx, ref.Bucket, ref.Key, gofakes3.UploadID(id))
	}
	ref := objstore.Ref{Bucket: bucket, Key: key}
	id, err := b.store.NewUpload(ctx, ref, b.attrs(ctx, meta))
	callOf(ctx).tell(b.store.UploadEncryption(id))
	return gofakes3.UploadID(id), b.fail(ctx, ref, err)
}

func (b *backend) UploadPart(ctx context.Context, bucket, key string, id gofakes3.UploadID, number int, size int64, body io.Reader) (string, error) {
	ref := objstore.Ref{Bucket: bucket, Key: key}
	c := callOf(ctx)
	c.tell(b.store.UploadEncryption(string(id)))
	etag, err := b.store.PutPart(ctx, string(id), number, &judged{Reader: body, p: c.payload}, size)
	if err != nil {
		return "", b.fail(ctx, ref, err)
	}
	if c.payload != nil {
		for name, v := range c.payload.checksums() {
			c.header.Set(name, v)
		}
	}
	return quote(etag), nil
}

// judged reads a part's bytes and ends with the judgement on the whole body.
type judged struct {
	io.Reader
	p *payload
}

func (j *judged) Read(b []byte) (int, error) {
	n, err := j.Reader.Read(b)
	if err == io.EOF && j.p != nil {
		if bad := j.p.verify(); bad != nil {
			err = bad
		}
	}
	return n, err
}

func (b *backend) CompleteMultipartUpload(ctx context.Context, bucket, key string, id gofakes3.UploadID, in *gofakes3.CompleteMultipartUploadRequest) (gofakes3.VersionID, string, error) {
	ref := objstore.Ref{Bucket: bucket, Key: key}
	parts := make([]filestore.Part, len(in.Parts))
	for i, p := range in.Parts {
		parts[i] = filestore.Part{Number: p.PartNumber, ETag: strings.Trim(p.ETag, `"`)}
	}
	o, err := b.store.CompleteUpload(ctx, string(id), parts, condition(ctx))
	if err != nil {
		return "", "", b.fail(ctx, ref, err)
	}
	callOf(ctx).tell(o.Encryption)
	return "", quote(o.ETag), nil
}

func (b *backend) AbortMultipartUpload(ctx context.Context, bucket, key string, id gofakes3.UploadID) error {
	return b.fail(ctx, objstore.Ref{Bucket: bucket, Key: key}, b.store.AbortUpload(ctx, string(id)))
}
