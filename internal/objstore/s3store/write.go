package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

const (
	firstPart    = 8 << 20
	evenParts    = 1000        // of one size; the next ones are twice as large
	mostDoubling = 8           // up to 2 GiB: 10,000 parts then hold more than 5 TiB
	abortLimit   = time.Minute // for the cleaning up after a failure
)

// partSize is the size of part n, which counts from 1. A writer holds two parts
// in memory: 16 MiB for objects up to 8 GB, 32 MiB up to 25 GB, 128 MiB at 100 GB,
// 1 GiB at 1 TB. Most parts are as large as the one before, whose memory they use.
func partSize(n int) int {
	return firstPart << min((n-1)/evenParts, mostDoubling)
}

// writer sends an object in parts, one while the next is filled. An object that
// fits into one part is sent in one request at the commit.
type writer struct {
	s    *Store
	ctx  context.Context
	ref  objstore.Ref
	meta objstore.Meta

	part  *[]byte // being filled; nil once ended
	size  int64
	id    string // of the multipart upload, "" before the first full part
	parts []types.CompletedPart
	sent  chan sentPart // the answer for the part under way, nil when there is none
	spare *[]byte       // the memory of the part that arrived last, or nil
	err   error         // the first failure; nothing can be committed after it
}

type sentPart struct {
	part types.CompletedPart
	buf  *[]byte
	err  error
}

// Create implements objstore.Store. ctx bounds the writing to its end; aborting
// works after it too.
func (s *Store) Create(ctx context.Context, ref objstore.Ref, m objstore.Meta) (objstore.Writer, error) {
	if ref.Key == "" {
		return nil, noKey(ref)
	}
	if err := s.needBucket(ctx, ref.Bucket); err != nil {
		return nil, err
	}
	return &writer{s: s, ctx: ctx, ref: ref, meta: m, part: new([]byte)}, nil
}

// needBucket fails when the bucket is known to be missing. Who may write
// objects may not always look at buckets; the first request will tell then.
func (s *Store) needBucket(ctx context.Context, bucket string) error {
	s.mu.Lock()
	seen, ok := s.known[bucket]
	s.mu.Unlock()
	if ok && time.Since(seen) < bucketMemory {
		return nil
	}
	_, err := s.Stat(ctx, objstore.Ref{Bucket: bucket})
	if err != nil && !fault.Is(err, fault.Denied) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxBuckets {
		clear(s.known)
	}
	s.known[bucket] = time.Now()
	return nil
}

// newPart gives memory for a part after the first, which grows as it is filled
// because most objects are small.
func (w *writer) newPart(size int) *[]byte {
	b := w.spare
	w.spare = nil
	if b != nil && cap(*b) == size {
		*b = (*b)[:0]
		return b
	}
	w.s.freePart(b)
	if size == firstPart {
		return w.s.parts.Get().(*[]byte)
	}
	fresh := make([]byte, 0, size)
	return &fresh
}

// freePart gives a part's memory back when it is of the common size.
func (s *Store) freePart(b *[]byte) {
	if b != nil && cap(*b) == firstPart {
		*b = (*b)[:0]
		s.parts.Put(b)
	}
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.part == nil && w.err == nil {
		return 0, fault.New(fault.Internal, "%s was written to after its end", w.ref)
	}
	n := 0
	for len(p) > 0 && w.err == nil {
		room := partSize(len(w.parts)+w.underWay()+1) - len(*w.part)
		if room == 0 {
			w.err = w.sendPart()
			continue
		}
		k := min(room, len(p))
		*w.part = append(*w.part, p[:k]...)
		p, n, w.size = p[k:], n+k, w.size+int64(k)
	}
	return n, w.err
}

func (w *writer) underWay() int {
	if w.sent != nil {
		return 1
	}
	return 0
}

// sendPart begins to send the full part and goes on with an empty one, after
// the part before it has arrived.
func (w *writer) sendPart() error {
	if err := w.await(); err != nil {
		return err
	}
	if w.id == "" {
		if err := w.begin(); err != nil {
			return err
		}
	}
	full := w.part
	number := int32(len(w.parts) + 1)
	w.part = w.newPart(partSize(int(number) + 1))
	done := make(chan sentPart, 1)
	w.sent = done
	go func() { done <- w.put(number, full) }()
	return nil
}

func (w *writer) begin() error {
	in := &s3.CreateMultipartUploadInput{Bucket: &w.ref.Bucket, Key: &w.ref.Key, Metadata: w.meta.Metadata}
	if w.meta.ContentType != "" {
		in.ContentType = &w.meta.ContentType
	}
	if w.meta.SSEKMSKeyID != "" { // BT-112
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &w.meta.SSEKMSKeyID
	}
	out, err := w.s.s3.CreateMultipartUpload(w.ctx, in)
	if err != nil {
		return failed(w.ref, "writing", err)
	}
	w.id = aws.ToString(out.UploadId)
	return nil
}

func (w *writer) put(number int32, buf *[]byte) sentPart {
	out, err := w.s.s3.UploadPart(w.ctx, &s3.UploadPartInput{
		Bucket: &w.ref.Bucket, Key: &w.ref.Key, UploadId: &w.id,
		PartNumber: &number, Body: bytes.NewReader(*buf),
	})
	if err != nil {
		return sentPart{buf: buf, err: failed(w.ref, "writing", err)}
	}
	return sentPart{buf: buf, part: types.CompletedPart{
		PartNumber: &number, ETag: out.ETag,
		ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C,
		ChecksumCRC64NVME: out.ChecksumCRC64NVME, ChecksumSHA1: out.ChecksumSHA1, ChecksumSHA256: out.ChecksumSHA256,
	}}
}

// await waits for the part under way, if any.
func (w *writer) await() error {
	if w.sent == nil {
		return nil
	}
	p := <-w.sent
	w.sent, w.spare = nil, p.buf
	if p.err != nil {
		return p.err
	}
	w.parts = append(w.parts, p.part)
	return nil
}

// Commit implements objstore.Writer. When it fails nothing is left behind, as
// far as the store still answers.
func (w *writer) Commit() (objstore.Info, error) {
	if w.part == nil {
		return objstore.Info{}, fault.New(fault.Internal, "%s was committed after its end", w.ref)
	}
	info, err := objstore.Info{}, w.err
	if err == nil && w.id == "" && w.sent == nil {
		info, err = w.putWhole()
	} else if err == nil {
		info, err = w.complete()
	}
	if err != nil {
		return objstore.Info{}, errors.Join(err, w.Abort())
	}
	w.end()
	info.Ref, info.Size, info.ContentType = w.ref, w.size, w.meta.ContentType
	if info.ContentType == "" {
		info.ContentType = "binary/octet-stream"
	}
	if info.Modified.IsZero() {
		info.Modified = time.Now()
	}
	return info, nil
}

func (w *writer) putWhole() (objstore.Info, error) {
	in := &s3.PutObjectInput{
		Bucket: &w.ref.Bucket, Key: &w.ref.Key, Metadata: w.meta.Metadata,
		Body: bytes.NewReader(*w.part),
	}
	if w.meta.ContentType != "" {
		in.ContentType = &w.meta.ContentType
	}
	if w.meta.SSEKMSKeyID != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &w.meta.SSEKMSKeyID
	}
	out, err := w.s.s3.PutObject(w.ctx, in)
	if err != nil {
		return objstore.Info{}, failed(w.ref, "writing", err)
	}
	return objstore.Info{ETag: bare(out.ETag)}, nil
}

func (w *writer) complete() (objstore.Info, error) {
	if len(*w.part) > 0 {
		if err := w.sendPart(); err != nil {
			return objstore.Info{}, err
		}
	}
	if err := w.await(); err != nil {
		return objstore.Info{}, err
	}
	out, err := w.s.s3.CompleteMultipartUpload(w.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &w.ref.Bucket, Key: &w.ref.Key, UploadId: &w.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: w.parts},
	})
	if code(err) == "NoSuchUpload" {
		return w.completedBefore(err)
	}
	if err != nil {
		return objstore.Info{}, failed(w.ref, "writing", err)
	}
	return objstore.Info{ETag: bare(out.ETag)}, nil
}

// completedBefore is asked when the upload is gone: an earlier try may have
// completed it although its answer was lost. The object then has this size and
// an ETag that counts its parts.
func (w *writer) completedBefore(cause error) (objstore.Info, error) {
	info, err := w.s.Stat(w.ctx, w.ref)
	if err == nil && info.Size == w.size && strings.HasSuffix(info.ETag, fmt.Sprintf("-%d", len(w.parts))) {
		return info, nil
	}
	w.id = "" // there is nothing to abort
	return objstore.Info{}, fault.Wrap(fault.Unavailable, cause, "writing %s failed: the store has lost the multipart upload", w.ref)
}

// Abort implements objstore.Writer (BT-106).
func (w *writer) Abort() error {
	if w.part == nil {
		return nil
	}
	w.await() // its failure no longer matters
	w.end()
	if w.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortLimit)
	defer cancel()
	_, err := w.s.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &w.ref.Bucket, Key: &w.ref.Key, UploadId: &w.id,
	})
	if code(err) == "NoSuchUpload" {
		return nil
	}
	return failed(w.ref, "aborting", err)
}

func (w *writer) end() {
	w.s.freePart(w.part)
	w.s.freePart(w.spare)
	w.part, w.spare = nil, nil
}
