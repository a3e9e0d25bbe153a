package s3store_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/keyring/keyringtest"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/s3api"
)

// recorder is an S3 that remembers the requests that write.
type recorder struct {
	mu   sync.Mutex
	seen []*http.Request
	next http.Handler
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodPut || req.Method == http.MethodPost {
		r.mu.Lock()
		r.seen = append(r.seen, req.Clone(req.Context()))
		r.mu.Unlock()
	}
	r.next.ServeHTTP(w, req)
}

// BT-112: every PutObject and every CreateMultipartUpload carries the algorithm and
// the key, and nothing does where there is none.
func TestEncryptionHeaders(t *testing.T) {
	t.Parallel()
	ring := keyringtest.NewRing()
	key := ring.Make()
	files, err := filestore.Open(t.TempDir(), filestore.Options{NoSync: true, Keys: ring})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	if err := files.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	rec := &recorder{next: s3api.New(files, s3api.Options{})}
	srv := httptest.NewServer(rec)
	t.Cleanup(srv.Close)
	c := client(t, srv.URL)
	for _, id := range []string{key.ARN, ""} {
		rec.seen = nil
		for name, size := range map[string]int{"small": 10, "large": 17 << 20} {
			w, err := c.Create(t.Context(), objstore.Ref{Bucket: "bucket", Key: name}, objstore.Meta{SSEKMSKeyID: id})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(w, zeros{}, int64(size)); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		begun := map[string]int{}
		for _, r := range rec.seen {
			q := r.URL.Query()
			if q.Has("uploadId") { // parts, and the end: S3 refuses the headers there
				if r.Header.Get("X-Amz-Server-Side-Encryption") != "" {
					t.Errorf("%s %s has the header", r.Method, r.URL)
				}
				continue
			}
			begun[r.Method]++
			algorithm, name := r.Header.Get("X-Amz-Server-Side-Encryption"), r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")
			if id != "" && (algorithm != "aws:kms" || name != id) || id == "" && algorithm+name != "" {
				t.Errorf("%s %s has %q and %q, and the key is %q", r.Method, r.URL, algorithm, name, id)
			}
		}
		if begun["PUT"] != 1 || begun["POST"] != 1 {
			t.Errorf("seen were %v", begun)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
