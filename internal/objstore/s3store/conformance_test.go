package s3store_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/keyringtest"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/s3store"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/storetest"
	"github.com/sagebrush-ml/sagebrush/internal/s3api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConformance runs the suite over the real S3 protocol.
func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		files, root := serve(t)
		key := files.ring.Make()
		return storetest.Harness{
			Store: files.client, Bucket: "bucket", Uploads: func() int { return unfinished(t, root) },
			Key: key.ARN, Disable: func() { files.ring.Set(key.ID, keyring.Disabled) },
		}
	})
}

type served struct {
	client *s3store.Store
	files  *filestore.Store
	url    string
	ring   *keyringtest.Ring
}

// serve makes an S3 server on a port of the kernel's choice with an empty
// bucket, and a client of it.
func serve(t testing.TB) (served, string) {
	t.Helper()
	root := t.TempDir()
	ring := keyringtest.NewRing()
	files, err := filestore.Open(root, filestore.Options{NoSync: true, Keys: ring})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	if err := files.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s3api.New(files, s3api.Options{}))
	t.Cleanup(srv.Close)
	return served{client: client(t, srv.URL), files: files, url: srv.URL, ring: ring}, root
}

func client(t testing.TB, url string) *s3store.Store {
	t.Helper()
	c, err := s3store.New(t.Context(), s3store.Config{
		Endpoint: url, Region: "us-east-1", AccessKeyID: "key", SecretAccessKey: "secret",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// unfinished counts the files of uploads that are neither completed nor aborted.
func unfinished(t testing.TB, root string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(root, ".sagebrush", "tmp"), func(_ string, d os.DirEntry, err error) error {
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
