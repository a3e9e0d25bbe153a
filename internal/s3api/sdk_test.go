package s3api_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/s3api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an S3 server with an empty bucket and the official client.
type server struct {
	*s3.Client
	url   string
	root  string
	store *filestore.Store
	http  *http.Client
}

func serve(t testing.TB, o s3api.Options) server {
	t.Helper()
	root := t.TempDir()
	store, err := filestore.Open(root, filestore.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	srv := httptest.NewServer(s3api.New(store, o))
	t.Cleanup(srv.Close)
	c := s3.New(s3.Options{
		BaseEndpoint: &srv.URL, Region: "us-east-1", UsePathStyle: true, HTTPClient: srv.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	return server{Client: c, url: srv.URL, root: root, store: store, http: srv.Client()}
}

var bucket = aws.String("bucket")

func (s server) put(t testing.TB, key, body string) *s3.PutObjectOutput {
	t.Helper()
	out, err := s.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s server) get(t testing.TB, in *s3.GetObjectInput) string {
	t.Helper()
	in.Bucket = bucket
	out, err := s.GetObject(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// unfinished counts the files of uploads that are neither completed nor aborted.
func (s server) unfinished(t testing.TB) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(s.root, ".sagebrush", "tmp"), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("got %v, want the code %s", err, code)
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{Region: "eu-west-1"})
	ctx := t.Context()
	if _, err := s.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Errorf("creating the bucket again: %v", err)
	}
	_, err := s.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("Bad_Name")})
	wantCode(t, err, "InvalidBucketName")
	list, err := s.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil || len(list.Buckets) != 1 || *list.Buckets[0].Name != "bucket" || list.Buckets[0].CreationDate == nil {
		t.Errorf("ListBuckets = %+v, %v", list, err)
	}
	head, err := s.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket})
	if err != nil || aws.ToString(head.BucketRegion) != "eu-west-1" {
		t.Errorf("HeadBucket = %+v, %v", head, err)
	}
	loc, err := s.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: bucket})
	if err != nil || loc.LocationConstraint != "eu-west-1" {
		t.Errorf("GetBucketLocation = %+v, %v", loc, err)
	}
	_, err = s.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String("missing")})
	wantCode(t, err, "NoSuchBucket")
	s.put(t, "a/b", "x")
	_, err = s.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket})
	wantCode(t, err, "BucketNotEmpty")
	s.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("a/b")})
	if _, err := s.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
	_, err = s.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket})
	wantCode(t, err, "NotFound")
}

// TestHabits covers what clients ask of a bucket before they do anything.
func TestHabits(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	for _, q := range []string{
		"acl", "versioning", "location", "policy", "tagging", "cors", "encryption", "lifecycle", "website",
		"publicAccessBlock", "object-lock", "ownershipControls", "replication", "versions", "uploads", "accelerate", "logging", "requestPayment", "notification",
	} {
		res, err := s.http.Get(s.url + "/bucket?" + q)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode == 500 {
			t.Errorf("GET ?%s answers %s", q, res.Status)
		}
	}
}

func TestObject(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	ctx := t.Context()
	key := aws.String("in/ü b+c.csv")
	put, err := s.PutObject(ctx, &s3.PutObjectInput{
		Bucket: bucket, Key: key, Body: strings.NewReader("hello"), ContentType: aws.String("text/csv"),
		Metadata: map[string]string{"owner": "me"}, ContentEncoding: aws.String("gzip"), Tagging: aws.String("a=b"),
	})
	if err != nil || *put.ETag != `"5d41402abc4b2a76b9719d911017c592"` {
		t.Fatalf("PutObject = %+v, %v", put, err)
	}
	head, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key})
	if err != nil || *head.ETag != *put.ETag || *head.ContentLength != 5 || *head.ContentType != "text/csv" ||
		head.Metadata["owner"] != "me" || aws.ToString(head.ContentEncoding) != "gzip" || head.LastModified == nil {
		t.Errorf("HeadObject = %+v, %v", head, err)
	}
	for r, want := range map[string]string{"bytes=1-2": "el", "bytes=3-": "lo", "bytes=-2": "lo", "bytes=-99": "hello", "bytes=2-99": "llo"} {
		if got := s.get(t, &s3.GetObjectInput{Key: key, Range: &r}); got != want {
			t.Errorf("%s = %q, want %q", r, got, want)
		}
	}
	_, err = s.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, Range: aws.String("bytes=5-")})
	wantCode(t, err, "InvalidRange")
	_, err = s.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("none")})
	wantCode(t, err, "NoSuchKey")
	_, err = s.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("none"), Key: key})
	wantCode(t, err, "NoSuchBucket")
	tags, err := s.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: bucket, Key: key})
	if err != nil || len(tags.TagSet) != 1 || *tags.TagSet[0].Value != "b" {
		t.Errorf("GetObjectTagging = %+v, %v", tags, err)
	}
}

func TestCopyAndDelete(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	ctx := t.Context()
	src := s.put(t, "a", "bytes")
	cp, err := s.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("b/c"), CopySource: aws.String("bucket/a")})
	if err != nil || *cp.CopyObjectResult.ETag != *src.ETag {
		t.Errorf("CopyObject = %+v, %v", cp, err)
	}
	if got := s.get(t, &s3.GetObjectInput{Key: aws.String("b/c")}); got != "bytes" {
		t.Errorf("the copy holds %q", got)
	}
	_, err = s.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("x"), CopySource: aws.String("bucket/none")})
	wantCode(t, err, "NoSuchKey")
	ids := []types.ObjectIdentifier{{Key: aws.String("a")}, {Key: aws.String("b/c")}, {Key: aws.String("never")}}
	del, err := s.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: ids}})
	if err != nil || len(del.Deleted) != 3 || len(del.Errors) != 0 {
		t.Errorf("DeleteObjects = %+v, %v", del, err)
	}
	list, err := s.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
	if err != nil || len(list.Contents) != 0 || list.KeyCount == nil || *list.KeyCount != 0 {
		t.Errorf("the empty ListObjectsV2 = %+v, %v", list, err)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	ctx := t.Context()
	put := func(body string, ifMatch, ifNone *string) (*s3.PutObjectOutput, error) {
		return s.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("k"), Body: strings.NewReader(body), IfMatch: ifMatch, IfNoneMatch: ifNone})
	}
	first, err := put("one", nil, aws.String("*"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = put("two", nil, aws.String("*"))
	wantCode(t, err, "PreconditionFailed")
	if _, err = put("two", first.ETag, nil); err != nil {
		t.Error(err)
	}
	_, err = put("three", first.ETag, nil)
	wantCode(t, err, "PreconditionFailed")
	if got := s.get(t, &s3.GetObjectInput{Key: aws.String("k")}); got != "two" {
		t.Errorf("the object holds %q", got)
	}
	_, err = s.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("k"), IfMatch: first.ETag})
	wantCode(t, err, "PreconditionFailed")
}

func TestMultipart(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	ctx := t.Context()
	key, body := aws.String("big/file.bin"), bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	up, err := s.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key, ContentType: aws.String("a/b")})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	for i, chunk := range slices.Collect(slices.Chunk(body, 8<<20)) {
		out, err := s.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: bytes.NewReader(chunk)})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(int32(i + 1)), ChecksumCRC32: out.ChecksumCRC32})
	}
	uploads, err := s.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: bucket})
	if err != nil || len(uploads.Uploads) != 1 {
		t.Errorf("ListMultipartUploads = %+v, %v", uploads, err)
	}
	listed, err := s.ListParts(ctx, &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: up.UploadId})
	if err != nil || len(listed.Parts) != 3 || *listed.Parts[2].Size != 4<<20 {
		t.Errorf("ListParts = %+v, %v", listed, err)
	}
	done, err := s.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	if err != nil || !strings.HasSuffix(*done.ETag, `-3"`) {
		t.Fatalf("CompleteMultipartUpload = %+v, %v", done, err)
	}
	if got := s.get(t, &s3.GetObjectInput{Key: key, IfMatch: done.ETag}); got != string(body) {
		t.Error("the object is not what was uploaded")
	}
	head, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key})
	if err != nil || *head.ETag != *done.ETag || *head.ContentType != "a/b" {
		t.Errorf("HeadObject = %+v, %v", head, err)
	}
	attrs, err := s.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: bucket, Key: key, ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag}})
	if err != nil || `"`+aws.ToString(attrs.ETag)+`"` != *done.ETag {
		t.Errorf("GetObjectAttributes = %+v, %v", attrs, err)
	}
	list, err := s.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
	if err != nil || *list.Contents[0].ETag != *done.ETag {
		t.Errorf("ListObjectsV2 = %+v, %v", list, err)
	}
	if n := s.unfinished(t); n != 0 {
		t.Errorf("%d unfinished files are left", n)
	}
}

func TestMultipartCopyAndAbort(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	ctx := t.Context()
	s.put(t, "src", "0123456789")
	key := aws.String("dst")
	up, err := s.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	for i, r := range []string{"bytes=0-3", "bytes=4-9"} {
		out, err := s.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: bucket, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(int32(i + 1)), CopySource: aws.String("bucket/src"), CopySourceRange: &r})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{ETag: out.CopyPartResult.ETag, PartNumber: aws.Int32(int32(i + 1))})
	}
	if _, err := s.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}); err != nil {
		t.Fatal(err)
	}
	if got := s.get(t, &s3.GetObjectInput{Key: key}); got != "0123456789" {
		t.Errorf("the object holds %q", got)
	}
	up, err = s.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	s.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
	abort := &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: up.UploadId}
	if _, err := s.AbortMultipartUpload(ctx, abort); err != nil {
		t.Error(err)
	}
	_, err = s.AbortMultipartUpload(ctx, abort)
	wantCode(t, err, "NoSuchUpload")
	if n := s.unfinished(t); n != 0 {
		t.Errorf("%d unfinished files are left", n)
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	var want []string
	for i := range 25 {
		key := fmt.Sprintf("k/%02d", i)
		s.put(t, key, "")
		want = append(want, key)
	}
	s.put(t, "k-", "")
	s.put(t, "a/b/c", "")
	s.put(t, "a/b", "")
	for _, delimiter := range []string{"", "/", "k"} {
		for _, size := range []int32{1, 7, 1000} {
			var keys, common []string
			in := &s3.ListObjectsV2Input{Bucket: bucket, MaxKeys: aws.Int32(size), Delimiter: &delimiter, EncodingType: types.EncodingTypeUrl}
			for p := s3.NewListObjectsV2Paginator(s, in); p.HasMorePages(); {
				page, err := p.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if n := len(page.Contents) + len(page.CommonPrefixes); n > int(size) || n != int(*page.KeyCount) {
					t.Errorf("a page has %d entries of %d and counts %d", n, size, *page.KeyCount)
				}
				for _, o := range page.Contents {
					keys = append(keys, *o.Key)
				}
				for _, c := range page.CommonPrefixes {
					common = append(common, *c.Prefix)
				}
			}
			wantKeys, wantCommon := append([]string{"a/b", "a/b/c", "k-"}, want...), []string(nil)
			switch delimiter {
			case "/":
				wantKeys, wantCommon = []string{"k-"}, []string{"a/", "k/"}
			case "k":
				wantKeys, wantCommon = []string{"a/b", "a/b/c"}, []string{"k"}
			}
			if !slices.Equal(keys, wantKeys) || !slices.Equal(common, wantCommon) {
				t.Errorf("delimiter %q, pages of %d:\n got %q %q\nwant %q %q", delimiter, size, keys, common, wantKeys, wantCommon)
			}
		}
	}
	v1, err := s.ListObjects(t.Context(), &s3.ListObjectsInput{Bucket: bucket, Prefix: aws.String("k/1"), Marker: aws.String("k/12"), MaxKeys: aws.Int32(3)})
	if err != nil || len(v1.Contents) != 3 || *v1.Contents[0].Key != "k/13" || !*v1.IsTruncated {
		t.Errorf("ListObjects = %+v, %v", v1, err)
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	ctx := t.Context()
	for _, alg := range types.ChecksumAlgorithmCrc32.Values() {
		if !slices.Contains([]types.ChecksumAlgorithm{"CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"}, alg) {
			continue
		}
		key := aws.String("sum-" + string(alg))
		put, err := s.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("hello"), ChecksumAlgorithm: alg})
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		got, err := s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key, ChecksumMode: types.ChecksumModeEnabled})
		if err != nil || first(got.ChecksumCRC32, got.ChecksumCRC32C, got.ChecksumSHA1, got.ChecksumSHA256, got.ChecksumCRC64NVME) == "" ||
			aws.ToString(got.ChecksumCRC32) != aws.ToString(put.ChecksumCRC32) {
			t.Errorf("%s: put %+v, head %+v, %v", alg, put, got, err)
		}
		// The client itself compares what it reads.
		if body := s.get(t, &s3.GetObjectInput{Key: key, ChecksumMode: types.ChecksumModeEnabled}); body != "hello" {
			t.Errorf("%s: got %q", alg, body)
		}
	}
	_, err := s.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("bad"), Body: strings.NewReader("hello"), ChecksumCRC32: aws.String("AAAAAA==")})
	wantCode(t, err, "BadDigest")
	_, err = s.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("bad")})
	wantCode(t, err, "NotFound")
}

func first(sums ...*string) string {
	for _, s := range sums {
		if s != nil {
			return *s
		}
	}
	return ""
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{MaxBody: 100})
	ctx := t.Context()
	put := func(in *s3.PutObjectInput) error {
		in.Bucket = bucket
		if in.Key == nil {
			in.Key = aws.String("k")
		}
		_, err := s.PutObject(ctx, in, func(o *s3.Options) { o.RetryMaxAttempts = 1 })
		return err
	}
	wantCode(t, put(&s3.PutObjectInput{Body: strings.NewReader(strings.Repeat("x", 101))}), "EntityTooLarge")
	wantCode(t, put(&s3.PutObjectInput{Key: aws.String(strings.Repeat("k", 1025))}), "KeyTooLongError")
	wantCode(t, put(&s3.PutObjectInput{Metadata: map[string]string{"m": strings.Repeat("x", 2100)}}), "MetadataTooLarge")
	if err := put(&s3.PutObjectInput{Body: strings.NewReader(strings.Repeat("x", 100))}); err != nil {
		t.Error(err)
	}
	if n := s.unfinished(t); n != 0 {
		t.Errorf("%d unfinished files are left", n)
	}
}
