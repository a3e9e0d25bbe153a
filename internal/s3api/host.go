package s3api

import (
	"net"
	"net/http"
	"strings"

	"github.com/rclone/gofakes3"
)

// bucketOfHost finds the bucket of a virtual-hosted request, or "" when the
// bucket is in the path: BUCKET.s3.localhost, BUCKET.s3.REGION.amazonaws.com and
// its older forms, and BUCKET.localhost.
func (h *handler) bucketOfHost(r *http.Request) string {
	bucket, short := hostLabel(r.Host)
	if bucket == "" || gofakes3.ValidateBucketName(bucket) != nil {
		return ""
	}
	if !short || r.Method == http.MethodPut && r.URL.Path == "/" {
		return bucket
	}
	// NAME.localhost may also be just a name for this server.
	if ok, err := h.store.HasBucket(r.Context(), bucket); err != nil || !ok {
		return ""
	}
	return bucket
}

// hostLabel cuts the bucket off a host name. short says that nothing in the
// name tells that it is meant for S3.
func hostLabel(host string) (bucket string, short bool) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if strings.HasPrefix(host, "s3.") || strings.HasPrefix(host, "s3-") {
		return "", false
	}
	if b, ok := strings.CutSuffix(host, ".s3.localhost"); ok {
		return b, false
	}
	if strings.HasSuffix(host, ".amazonaws.com") {
		for _, mark := range []string{".s3.", ".s3-"} {
			if i := strings.LastIndex(host, mark); i > 0 {
				return host[:i], false
			}
		}
		return "", false
	}
	b, ok := strings.CutSuffix(host, ".localhost")
	if !ok {
		return "", false
	}
	return b, true
}
