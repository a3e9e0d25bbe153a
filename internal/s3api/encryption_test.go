package s3api_test

import (
	"bytes"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/keyringtest"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/s3api"
)

// vault is a server with a keyring of two keys, of which own is the server's.
type vault struct {
	server
	ring *keyringtest.Ring
	key  keyring.Key
}

func serveVault(t *testing.T) vault {
	t.Helper()
	v := vault{ring: keyringtest.NewRing()}
	v.key = v.ring.Make()
	v.root = t.TempDir()
	var err error
	if v.store, err = filestore.Open(v.root, filestore.Options{NoSync: true, Keys: v.ring, Region: "us-east-1"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.store.Close() })
	srv := httptest.NewServer(s3api.New(v.store, s3api.Options{}))
	t.Cleanup(srv.Close)
	v.url, v.http = srv.URL, srv.Client()
	v.Client = s3.New(s3.Options{
		BaseEndpoint: &srv.URL, Region: "us-east-1", UsePathStyle: true, HTTPClient: srv.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
	if _, err := v.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	return v
}

// isSealed reports whether the file of an object does not hold a text.
func (v vault) isSealed(t *testing.T, key, text string) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(v.root, "bucket", key))
	if err != nil {
		t.Fatal(err)
	}
	return !bytes.Contains(data, []byte(text))
}

const text = "the text of an object that is encrypted"

// SSE-KMS through an SDK: headers of every answer are S3's, ETags are no MD5, ranges
// and listings are those of the plain object (BT-112).
func TestSSEKMS(t *testing.T) {
	t.Parallel()
	v := serveVault(t)
	ctx := t.Context()
	put, err := v.PutObject(ctx, &s3.PutObjectInput{
		Bucket: bucket, Key: aws.String("k"), Body: strings.NewReader(text), ContentType: aws.String("text/csv"),
		ServerSideEncryption: types.ServerSideEncryptionAwsKms, SSEKMSKeyId: &v.key.ID,
	})
	if err != nil {
		t.Fatal(err)
	}
	if put.ServerSideEncryption != "aws:kms" || aws.ToString(put.SSEKMSKeyId) != v.key.ARN || put.BucketKeyEnabled != nil || len(*put.ETag) != 34 {
		t.Errorf("PutObject answers %+v", put)
	}
	if !v.isSealed(t, "k", text) {
		t.Error("the file shows what it holds")
	}
	head, err := v.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("k")})
	if err != nil || head.ServerSideEncryption != "aws:kms" || aws.ToString(head.SSEKMSKeyId) != v.key.ARN || *head.ContentLength != int64(len(text)) || *head.ETag != *put.ETag {
		t.Errorf("HeadObject answers %+v, %v", head, err)
	}
	got, err := v.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("k"), Range: aws.String("bytes=4-7"), IfMatch: put.ETag})
	if err != nil {
		t.Fatal(err)
	}
	part, err := io.ReadAll(got.Body)
	if err != nil || string(part) != text[4:8] || aws.ToString(got.ContentRange) != "bytes 4-7/39" || got.ServerSideEncryption != "aws:kms" || aws.ToString(got.ContentType) != "text/csv" {
		t.Errorf("GetObject answers %q %+v, %v", part, got, err)
	}
	list, err := v.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
	if err != nil || len(list.Contents) != 1 || *list.Contents[0].Size != int64(len(text)) || *list.Contents[0].ETag != *put.ETag {
		t.Errorf("ListObjectsV2 answers %+v, %v", list, err)
	}
	plain := v.put(t, "plain", text)
	if plain.ServerSideEncryption != "" || v.isSealed(t, "plain", text) {
		t.Errorf("a plain object: %+v", plain)
	}
}

// Copies and multipart uploads, with the headers of their answers.
func TestSSEKMSCopyAndUpload(t *testing.T) {
	t.Parallel()
	v := serveVault(t)
	ctx := t.Context()
	v.put(t, "plain", text)
	for _, to := range []string{"copy", "plain"} { // the latter onto itself
		out, err := v.CopyObject(ctx, &s3.CopyObjectInput{
			Bucket: bucket, Key: &to, CopySource: aws.String("bucket/plain"),
			ServerSideEncryption: types.ServerSideEncryptionAwsKms, SSEKMSKeyId: &v.key.ARN,
		})
		if err != nil || out.ServerSideEncryption != "aws:kms" || aws.ToString(out.SSEKMSKeyId) != v.key.ARN || !v.isSealed(t, to, text) {
			t.Errorf("CopyObject to %s answers %+v, %v", to, out, err)
		}
	}
	begun, err := v.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: bucket, Key: aws.String("parts"), ServerSideEncryption: types.ServerSideEncryptionAwsKms, SSEKMSKeyId: &v.key.ARN,
	})
	if err != nil || begun.ServerSideEncryption != "aws:kms" || aws.ToString(begun.SSEKMSKeyId) != v.key.ARN {
		t.Fatalf("CreateMultipartUpload answers %+v, %v", begun, err)
	}
	large := strings.Repeat(text, 6<<20/len(text))
	var parts []types.CompletedPart
	for n, body := range []string{large, text} {
		out, err := v.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: aws.String("parts"), UploadId: begun.UploadId, PartNumber: aws.Int32(int32(n + 1)), Body: strings.NewReader(body)})
		if err != nil || out.ServerSideEncryption != "aws:kms" {
			t.Fatalf("UploadPart answers %+v, %v", out, err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(int32(n + 1)), ETag: out.ETag})
	}
	done, err := v.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: aws.String("parts"), UploadId: begun.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	if err != nil || done.ServerSideEncryption != "aws:kms" || !strings.HasSuffix(*done.ETag, `-2"`) || !v.isSealed(t, "parts", text) {
		t.Errorf("CompleteMultipartUpload answers %+v, %v", done, err)
	}
	if got := v.get(t, &s3.GetObjectInput{Key: aws.String("parts")}); got != large+text {
		t.Errorf("the upload has %d bytes", len(got))
	}
}

// What cannot be decrypted is refused with S3's codes, and nothing else is.
func TestKeyThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	v := serveVault(t)
	ctx := t.Context()
	in := func(key, id string) *s3.PutObjectInput {
		return &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader(text), ServerSideEncryption: types.ServerSideEncryptionAwsKms, SSEKMSKeyId: &id}
	}
	if _, err := v.PutObject(ctx, in("k", v.key.ID)); err != nil {
		t.Fatal(err)
	}
	_, err := v.PutObject(ctx, in("none", "1234abcd-12ab-34cd-56ef-1234567890ab"))
	wantCode(t, err, "KMS.NotFoundException")
	v.ring.Set(v.key.ID, keyring.Disabled)
	_, err = v.PutObject(ctx, in("none", v.key.ID))
	wantCode(t, err, "KMS.DisabledException")
	_, err = v.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("k")})
	wantCode(t, err, "KMS.DisabledException")
	if _, err := v.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: aws.String("k")}); err != nil {
		t.Error(err)
	}
	v.ring.Set(v.key.ID, keyring.PendingDeletion)
	_, err = v.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("k")})
	wantCode(t, err, "KMS.KMSInvalidStateException")
	v.ring.Set(v.key.ID, keyring.Enabled)
	if err := os.Rename(filepath.Join(v.root, "bucket", "k"), filepath.Join(v.root, "bucket", "moved")); err != nil {
		t.Fatal(err)
	}
	_, err = v.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("moved")})
	wantCode(t, err, "AccessDenied")
	if n := v.unfinished(t); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

// What is not done is refused by name, and is not taken for a plain write.
func TestEncryptionRefused(t *testing.T) {
	t.Parallel()
	v := serveVault(t)
	for name, tt := range map[string]struct {
		change func(*s3.PutObjectInput)
		code   string
	}{
		"two layers": {func(in *s3.PutObjectInput) { in.ServerSideEncryption = types.ServerSideEncryptionAwsKmsDsse }, "NotImplemented"},
		"customer":   {func(in *s3.PutObjectInput) { customerKey(in) }, "NotImplemented"},
		"context": {func(in *s3.PutObjectInput) {
			in.ServerSideEncryption, in.SSEKMSEncryptionContext = types.ServerSideEncryptionAwsKms, aws.String("e30=")
		}, "NotImplemented"},
		"bucket key": {func(in *s3.PutObjectInput) {
			in.ServerSideEncryption, in.BucketKeyEnabled = types.ServerSideEncryptionAwsKms, aws.Bool(true)
		}, "NotImplemented"},
		"key alone": {func(in *s3.PutObjectInput) { in.SSEKMSKeyId = &v.key.ID }, "InvalidArgument"},
		"unknown":   {func(in *s3.PutObjectInput) { in.ServerSideEncryption = "rot13" }, "InvalidArgument"},
		"key of the server's": {func(in *s3.PutObjectInput) {
			in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAes256, &v.key.ID
		}, "InvalidArgument"},
	} {
		in := &s3.PutObjectInput{Bucket: bucket, Key: aws.String("k"), Body: strings.NewReader(text)}
		tt.change(in)
		_, err := v.PutObject(t.Context(), in)
		t.Log(name, err)
		wantCode(t, err, tt.code)
	}
	if files, err := os.ReadDir(filepath.Join(v.root, "bucket")); err != nil || len(files) > 0 {
		t.Errorf("written was %v, %v", files, err)
	}
}

func customerKey(in *s3.PutObjectInput) {
	in.SSECustomerAlgorithm = aws.String("AES256")
	in.SSECustomerKey = aws.String("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	in.SSECustomerKeyMD5 = aws.String("KYvwGXoFFJ42a2u2GDWhwQ==")
}

// A bucket's default, through an SDK.
func TestBucketEncryption(t *testing.T) {
	t.Parallel()
	v := serveVault(t)
	ctx := t.Context()
	get := &s3.GetBucketEncryptionInput{Bucket: bucket}
	_, err := v.GetBucketEncryption(ctx, get)
	wantCode(t, err, "ServerSideEncryptionConfigurationNotFoundError")
	rule := func(r types.ServerSideEncryptionRule) *s3.PutBucketEncryptionInput {
		return &s3.PutBucketEncryptionInput{Bucket: bucket, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{r}}}
	}
	byDefault := func(a types.ServerSideEncryption, key *string) types.ServerSideEncryptionRule {
		return types.ServerSideEncryptionRule{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: a, KMSMasterKeyID: key}}
	}
	if _, err := v.PutBucketEncryption(ctx, rule(byDefault("aws:kms", &v.key.ARN))); err != nil {
		t.Fatal(err)
	}
	got, err := v.GetBucketEncryption(ctx, get)
	if err != nil || len(got.ServerSideEncryptionConfiguration.Rules) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if r := got.ServerSideEncryptionConfiguration.Rules[0]; r.ApplyServerSideEncryptionByDefault.SSEAlgorithm != "aws:kms" || *r.ApplyServerSideEncryptionByDefault.KMSMasterKeyID != v.key.ARN || aws.ToBool(r.BucketKeyEnabled) {
		t.Errorf("the rule is %+v", r)
	}
	if out := v.put(t, "k", text); out.ServerSideEncryption != "aws:kms" || aws.ToString(out.SSEKMSKeyId) != v.key.ARN || !v.isSealed(t, "k", text) {
		t.Errorf("PutObject answers %+v", out)
	}
	bucketKey := byDefault("aws:kms", nil)
	bucketKey.BucketKeyEnabled = aws.Bool(true)
	for _, bad := range []types.ServerSideEncryptionRule{bucketKey, byDefault("aws:kms:dsse", nil)} {
		_, err = v.PutBucketEncryption(ctx, rule(bad))
		wantCode(t, err, "NotImplemented")
	}
	_, err = v.PutBucketEncryption(ctx, rule(byDefault("AES256", &v.key.ARN)))
	wantCode(t, err, "InvalidArgument")
	_, err = v.PutBucketEncryption(ctx, rule(types.ServerSideEncryptionRule{}))
	wantCode(t, err, "MalformedXML")
	if _, err := v.DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
	if out := v.put(t, "k", text); out.ServerSideEncryption != "" || v.isSealed(t, "k", text) {
		t.Errorf("PutObject answers %+v", out)
	}
	_, err = v.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: aws.String("missing")})
	wantCode(t, err, "NoSuchBucket")
}
