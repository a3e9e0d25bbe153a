// Package objstore is the seam between jobs and the objects they read and
// write. The embedded store (filestore) and remote S3 (s3store) stand behind
// it, and both pass the suite in storetest.
//
// The seam holds the five things a job needs. S3's other operations belong to
// the room s3api, which serves them over HTTP.
package objstore

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Ref names an object, or with an empty Key a bucket.
type Ref struct {
	Bucket string
	Key    string
}

// String gives the reference as an s3:// URI.
func (r Ref) String() string { return "s3://" + r.Bucket + "/" + r.Key }

// ParseURI reads s3://bucket/key and https://host/bucket/key, the two forms that
// SageMaker's S3Uri pattern allows (BT-8, BT-48). The key may be empty and is
// taken literally: nothing in it is decoded for s3://.
func ParseURI(uri string) (Ref, error) {
	if rest, ok := strings.CutPrefix(uri, "s3://"); ok {
		bucket, key, _ := strings.Cut(rest, "/")
		if bucket == "" {
			return Ref{}, fault.New(fault.Invalid, "the S3 URI %q names no bucket", uri)
		}
		return Ref{Bucket: bucket, Key: key}, nil
	}
	if !strings.HasPrefix(uri, "https://") {
		return Ref{}, fault.New(fault.Invalid, "the S3 URI %q starts neither with s3:// nor with https://", uri)
	}
	return parseHTTPS(uri)
}

// parseHTTPS reads the virtual-hosted (bucket.s3.region.amazonaws.com/key) and
// the path style (s3.region.amazonaws.com/bucket/key) of an S3 URL.
func parseHTTPS(uri string) (Ref, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return Ref{}, fault.Wrap(fault.Invalid, err, "the S3 URI %q is not a URL", uri)
	}
	path := strings.TrimPrefix(u.Path, "/")
	for _, mark := range []string{".s3.", ".s3-"} {
		if bucket, _, ok := strings.Cut(u.Host, mark); ok && bucket != "" {
			return Ref{Bucket: bucket, Key: path}, nil
		}
	}
	bucket, key, _ := strings.Cut(path, "/")
	if bucket == "" {
		return Ref{}, fault.New(fault.Invalid, "the S3 URI %q names no bucket", uri)
	}
	return Ref{Bucket: bucket, Key: key}, nil
}

// Info describes a stored object.
type Info struct {
	Ref
	Size        int64
	ETag        string // without quotes; changes when the bytes change
	Modified    time.Time
	ContentType string
}

// Meta is what the writer of an object says about it.
type Meta struct {
	ContentType string
	// Metadata are S3's x-amz-meta- pairs, keys in lower case without the prefix.
	Metadata map[string]string
	// SSEKMSKeyID has the object encrypted (SSE-KMS) under the key of this id, ARN,
	// alias or alias' ARN; "" is what the bucket says. A Store that cannot is to
	// refuse, as fault.Unsupported, and one whose key cannot be used as fault.Denied.
	SSEKMSKeyID string
}

// Range selects bytes of an object. N < 0 means to the end. A non-empty IfMatch
// pins the read to the bytes with that ETag.
type Range struct {
	Off, N  int64
	IfMatch string
}

// All is the whole object, unpinned.
var All = Range{N: -1}

// Store is where objects live. It is safe for concurrent use. Its errors are of
// the kinds fault.NotFound (object or bucket), fault.Denied, fault.Conflict (a
// pinned object has changed) and fault.Unavailable (worth a retry); their text
// names the object.
type Store interface {
	// Stat describes an object, or with an empty key says whether the bucket exists.
	Stat(ctx context.Context, ref Ref) (Info, error)
	// Open reads part of an object. The reader may fail in the middle with a
	// fault.Unavailable; a short body is such a failure and never an io.EOF.
	Open(ctx context.Context, ref Ref, r Range) (io.ReadCloser, error)
	// Create starts an object that nobody can see before Commit. It fails at once
	// when the bucket does not exist.
	Create(ctx context.Context, ref Ref, meta Meta) (Writer, error)
	// List yields the objects whose keys begin with the prefix in the byte order
	// of their keys. It stops at the first error, which it yields.
	List(ctx context.Context, bucket, prefix string) iter.Seq2[Info, error]
	// Delete removes an object; removing one that does not exist is no error.
	Delete(ctx context.Context, ref Ref) error
}

// Writer is an object being written. Exactly one of Commit and Abort ends it;
// Abort after Commit does nothing, so it can be deferred. It is not safe for
// concurrent use.
type Writer interface {
	io.Writer
	// Commit makes the whole object visible at once and durable before it returns.
	Commit() (Info, error)
	// Abort leaves nothing behind. It may be called twice.
	Abort() error
}

// NotFound makes the error that a Store answers for a missing object or bucket.
func NotFound(ref Ref, cause error) error {
	if ref.Key == "" {
		return fault.Wrap(fault.NotFound, cause, "the bucket %q does not exist", ref.Bucket)
	}
	return fault.Wrap(fault.NotFound, cause, "the object %s does not exist", ref)
}

// Changed makes the error for a pinned object that is no longer what it was.
func Changed(ref Ref, want string) error {
	return fault.New(fault.Conflict, "the object %s changed while it was read (its ETag was %s)", ref, want)
}

// Unavailable makes the error for a store that failed in a way that may pass.
func Unavailable(ref Ref, doing string, cause error) error {
	return fault.Wrap(fault.Unavailable, cause, "%s %s failed: %s", doing, ref, fmt.Sprint(cause))
}
