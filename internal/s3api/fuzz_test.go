package s3api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/s3api"
)

// port is a handler over an embedded store with the bucket "bucket" and an object "k" of
// 100 bytes in it.
func port(f *testing.F) http.Handler {
	f.Helper()
	store, err := filestore.Open(filepath.Join(f.TempDir(), "s3"), filestore.Options{NoSync: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { store.Close() })
	h := s3api.New(store, s3api.Options{Region: "eu-west-1"})
	for _, path := range []string{"/bucket", "/bucket/k"} {
		if w := ask(h, "PUT", path, nil, kilo(100)); w.Code != 200 {
			f.Fatal(w.Code, w.Body)
		}
	}
	return h
}

// kilo gives bytes that tell their place.
func kilo(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func ask(h http.Handler, method, path string, head http.Header, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body))) // as net/http leaves it
	for name, values := range head {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Whatever stands in the XML of a request, the answer is none of a broken server, and
// the object is still there unless the request names it.
func FuzzXML(f *testing.F) {
	for i, body := range []string{
		`<Delete><Object><Key>none</Key></Object><Quiet>true</Quiet></Delete>`,
		`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"x"</ETag></Part></CompleteMultipartUpload>`,
		`<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`,
		`<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>`,
		`<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>`,
	} {
		f.Add(i, []byte(body))
	}
	f.Add(0, []byte(`<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>`))
	f.Add(0, []byte(strings.Repeat("<a>", 10_000)))
	h := port(f)
	f.Fuzz(func(t *testing.T, kind int, body []byte) {
		requests := []struct{ method, path string }{
			{"POST", "/bucket?delete="}, {"POST", "/bucket/m?uploadId=1"}, {"PUT", "/bucket?encryption="}, {"PUT", "/bucket"}, {"PUT", "/bucket/k?tagging="}, {"PUT", "/bucket?versioning="},
		}
		r := requests[uint(kind)%uint(len(requests))]
		w := ask(h, r.method, r.path, nil, body)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s %s: %d %s", r.method, r.path, w.Code, w.Body)
		}
		if ask(h, "HEAD", "/bucket/k", nil, nil).Code != 200 && !bytes.Contains(body, []byte("k")) && !bytes.Contains(body, []byte("&#")) {
			t.Error("the object is gone")
		}
		ask(h, "PUT", "/bucket/k", nil, kilo(100))
		ask(h, "DELETE", "/bucket?encryption=", nil, nil)
	})
}

// A range is answered with its bytes, with the whole object, or with a refusal.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-9", "bytes=-10", "bytes=90-", "bytes=5-200", "bytes=100-", "bytes=1-2,4-5", "bytes=-0", "bytes=9223372036854775807-", "bytes=2-1", "lines=1-2", "bytes = 1 - 2", "bytes=-9223372036854775808"} {
		f.Add(s)
	}
	h := port(f)
	f.Fuzz(func(t *testing.T, text string) {
		for _, method := range []string{"GET", "HEAD"} {
			w := ask(h, method, "/bucket/k", http.Header{"Range": {text}}, nil)
			got, whole := w.Body.Bytes(), kilo(100)
			switch w.Code {
			case http.StatusOK:
				if method == "GET" && !bytes.Equal(got, whole) {
					t.Errorf("%d bytes of 100 for %q", len(got), text)
				}
			case http.StatusPartialContent:
				var first, last, size int
				if _, err := fmt.Sscanf(w.Header().Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err != nil || size != 100 || first < 0 || last >= size || first > last {
					t.Fatalf("%q gives %q", text, w.Header().Get("Content-Range"))
				}
				if method == "GET" && !bytes.Equal(got, whole[first:last+1]) {
					t.Errorf("%q gives %v, and says that it is %d to %d", text, got, first, last)
				}
			default:
				if w.Code/100 != 4 && w.Code != http.StatusNotImplemented { // several ranges at once
					t.Errorf("%q: %d", text, w.Code)
				}
			}
		}
	})
}

// What a copy reads is what its permission was asked for.
func FuzzCopySource(f *testing.F) {
	for _, s := range []string{"bucket/k", "/bucket/k", "bucket/%6b", "bucket/k?versionId=null", "//bucket/k", "bucket//k", "bucket/../bucket/k", "http://x/bucket/k", "bucket%2fk", "other/k", "%62ucket/k", "bucket/k%3f"} {
		f.Add(s)
	}
	store, err := filestore.Open(filepath.Join(f.TempDir(), "s3"), filestore.Options{NoSync: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { store.Close() })
	open := s3api.New(store, s3api.Options{})
	for _, path := range []string{"/bucket", "/bucket/k", "/other", "/other/k"} {
		if w := ask(open, "PUT", path, nil, []byte(path)); w.Code != 200 {
			f.Fatal(w.Code, w.Body)
		}
	}
	var asked []string
	h := s3api.New(store, s3api.Options{Allow: recording(&asked)})
	f.Fuzz(func(t *testing.T, source string) {
		asked = nil
		w := ask(h, "PUT", "/bucket/copy", http.Header{"X-Amz-Copy-Source": {source}}, nil)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Errorf("%q: %d %s", source, w.Code, w.Body)
		}
		if w.Code != 200 || source == "" {
			return
		}
		got := ask(open, "GET", "/bucket/copy", nil, nil)
		text, err := io.ReadAll(got.Body)
		want := "s3:GetObject arn:aws:s3:::" + strings.TrimPrefix(string(text), "/")
		if err != nil || !strings.Contains(strings.Join(asked, "\n"), want) {
			t.Errorf("%q copied %q, and %q was asked for", source, text, asked)
		}
		ask(open, "DELETE", "/bucket/copy", nil, nil)
	})
}

// recording allows everything, and notes it.
func recording(asked *[]string) func(ctx context.Context, action, resource string) error {
	return func(_ context.Context, action, resource string) error {
		*asked = append(*asked, action+" "+resource)
		return nil
	}
}
