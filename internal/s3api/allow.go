package s3api

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/rclone/gofakes3"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// errDenied is what the caller may not do.
func errDenied(err error) error {
	return gofakes3.ErrorMessage("AccessDenied", fault.TextOf(err))
}

// arn is the resource of an object, a bucket, or all of S3.
func arn(ref objstore.Ref) string {
	switch {
	case ref.Bucket == "":
		return "arn:aws:s3:::*"
	case ref.Key == "":
		return "arn:aws:s3:::" + ref.Bucket
	}
	return "arn:aws:s3:::" + ref.Bucket + "/" + ref.Key
}

// allow asks Options.Allow.
func (o *Options) allow(ctx context.Context, action string, ref objstore.Ref) error {
	if o.Allow == nil {
		return nil
	}
	return o.Allow(ctx, "s3:"+action, arn(ref))
}

// permit decides whether the caller may make a request. The keys of a DeleteObjects
// are in its body, so that the backend asks for each.
func (h *handler) permit(r *http.Request, ref objstore.Ref) error {
	action := actionOf(r, ref)
	if action == deleteObjects {
		return nil
	}
	if err := h.o.allow(r.Context(), action, ref); err != nil {
		return err
	}
	source := r.Header.Get("X-Amz-Copy-Source")
	if source == "" || ref.Key == "" || r.Method != http.MethodPut {
		return nil
	}
	from, ok := copySource(source)
	if !ok {
		return nil // gofakes3 says what is wrong with it
	}
	return h.o.allow(r.Context(), "GetObject", from)
}

// copySource reads the header of a copy as gofakes3 does; false where that fails.
func copySource(text string) (objstore.Ref, bool) {
	bucket, key, ok := strings.Cut(strings.TrimPrefix(text, "/"), "/")
	key, _, _ = strings.Cut(key, "?")
	key, err := url.QueryUnescape(key)
	return objstore.Ref{Bucket: bucket, Key: key}, ok && err == nil
}

// deleteObjects stands for the action of each of its keys.
const deleteObjects = "DeleteObjects"

// actionOf names the action of a request as IAM does. It looks at the query in the
// order in which ServeHTTP and then gofakes3 do, so that no request is taken for another
// here than it is there.
func actionOf(r *http.Request, ref objstore.Ref) string {
	q := r.URL.Query()
	switch {
	case ref.Bucket == "":
		return "ListAllMyBuckets"
	case q.Has("encryption") && ref.Key == "" && verb(r) == "Get":
		return "GetEncryptionConfiguration"
	case q.Has("encryption") && ref.Key == "": // to remove it, too
		return "PutEncryptionConfiguration"
	case q.Has("tagging") && ref.Key != "":
		return verb(r) + "ObjectTagging"
	}
	for _, sub := range unserved {
		if q.Has(sub) {
			return verb(r) + kindOf(ref) + strings.ToUpper(sub[:1]) + sub[1:]
		}
	}
	switch {
	case q.Get("uploadId") != "":
		return uploadAction(r.Method)
	case q.Has("uploads") && r.Method == http.MethodGet:
		return "ListBucketMultipartUploads"
	case q.Has("uploads"):
		return "PutObject"
	case q.Has("versioning"):
		return verb(r) + "BucketVersioning"
	case q.Has("versions"):
		return "ListBucketVersions"
	case ref.Key != "" && q.Get("versionId") != "" && q.Get("versionId") != "null":
		return verb(r) + "ObjectVersion"
	case ref.Key != "":
		return verb(r) + "Object"
	}
	return bucketAction(r.Method, q)
}

// unserved are the sub-resources that gofakes3 answers for without having them.
var unserved = []string{
	"accelerate", "acl", "analytics", "cors", "encryption", "intelligent-tiering", "inventory", "legal-hold", "lifecycle",
	"logging", "metadataTable", "metrics", "notification", "object-lock", "ownershipControls", "policy", "policyStatus",
	"publicAccessBlock", "replication", "requestPayment", "restore", "retention", "select", "tagging", "torrent", "website",
}

// verb begins the name of an action by the method.
func verb(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return "Get"
	case http.MethodDelete:
		return "Delete"
	}
	return "Put"
}

func kindOf(ref objstore.Ref) string {
	if ref.Key == "" {
		return "Bucket"
	}
	return "Object"
}

// uploadAction is the action of a request about one multipart upload.
func uploadAction(method string) string {
	switch method {
	case http.MethodGet:
		return "ListMultipartUploadParts"
	case http.MethodDelete:
		return "AbortMultipartUpload"
	}
	return "PutObject"
}

// bucketAction is the action of a request about a bucket itself.
func bucketAction(method string, q url.Values) string {
	switch method {
	case http.MethodPut:
		return "CreateBucket"
	case http.MethodDelete:
		return "DeleteBucket"
	case http.MethodPost:
		if q.Has("delete") {
			return deleteObjects
		}
		return "PutObject"
	}
	if q.Has("location") && method == http.MethodGet {
		return "GetBucketLocation"
	}
	return "ListBucket"
}
