package s3api_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/keyring/keyringtest"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/s3api"
)

// Whatever sub-resources a request names together, and by whatever method, it does nothing
// but what its permission was asked for: what decides and what serves read it alike.
func TestOneReading(t *testing.T) {
	t.Parallel()
	store, err := filestore.Open(filepath.Join(t.TempDir(), "s3"), filestore.Options{NoSync: true, Keys: keyringtest.NewRing(), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	var asked []string
	open, h := s3api.New(store, s3api.Options{}), s3api.New(store, s3api.Options{Allow: recording(&asked), Region: "eu-west-1"})
	const content = "what the object holds"
	subs := []string{
		"", "acl", "attributes", "cors", "delete", "encryption", "legal-hold", "lifecycle", "list-type=2", "location", "logging", "object-lock", "partNumber=1", "policy", "prefix=k", "publicAccessBlock", "restore",
		"retention", "select", "tagging", "torrent", "uploadId=1", "uploads", "versionId=null", "versionId=1", "versioning", "versions", "website", "x-id=GetObject",
	}
	bodies := []string{
		"new", `<Delete><Object><Key>k</Key></Object></Delete>`,
		`<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`,
	}
	n := 0
	try := func(method, path, body string, copied bool) {
		n++
		ask(open, "PUT", "/bucket", nil, nil)
		ask(open, "PUT", "/bucket/k", nil, []byte(content))
		asked = nil
		head := http.Header{}
		if copied {
			head.Set("X-Amz-Copy-Source", "bucket/k")
		}
		w := ask(h, method, path, head, []byte(body))
		needs := func(what string, actions ...string) {
			if !slices.ContainsFunc(asked, func(a string) bool { action, _, _ := strings.Cut(a, " "); return slices.Contains(actions, action) }) {
				t.Errorf("%s %s with %q: %s, and only %q was asked for", method, path, body, what, asked)
			}
		}
		answer := w.Body.String()
		if strings.Contains(answer, content) {
			needs("the object is read", "s3:GetObject")
		}
		if strings.Contains(answer, "<Key>k</Key>") && w.Code == 200 {
			needs("the bucket is listed", "s3:ListBucket", "s3:ListBucketVersions", "s3:DeleteObject", "s3:PutObject", "s3:ListBucketMultipartUploads")
		}
		switch now := ask(open, "GET", "/bucket/k", nil, nil); {
		case now.Code != 200:
			needs("the object is gone", "s3:DeleteObject", "s3:DeleteObjectVersion")
		case now.Body.String() != content:
			needs("the object is another", "s3:PutObject")
		}
		if ask(open, "GET", "/bucket?encryption=", nil, nil).Code == 200 {
			needs("the encryption is set", "s3:PutEncryptionConfiguration")
			ask(open, "DELETE", "/bucket?encryption=", nil, nil)
		}
		if strings.Contains(ask(open, "GET", "/bucket/copy", nil, nil).Body.String(), content) {
			needs("a copy is made", "s3:GetObject")
			ask(open, "DELETE", "/bucket/copy", nil, nil)
		}
		if strings.Contains(answer, "<UploadId>") && w.Code == 200 {
			needs("an upload is begun or listed", "s3:PutObject", "s3:ListBucketMultipartUploads")
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE"} {
		for i, one := range subs {
			if testing.Short() && i%4 != 0 {
				continue
			}
			for _, other := range subs[i:] {
				query := "?" + one + "&" + other
				for _, body := range bodies {
					if body != "new" && method != "PUT" && method != "POST" {
						continue
					}
					try(method, "/bucket"+query, body, false)
					try(method, "/bucket/k"+query, body, false)
				}
			}
		}
		for _, sub := range subs {
			try(method, "/bucket/copy?"+sub, "", true)
		}
	}
	t.Logf("%d requests", n)
}
