package s3store_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/s3store"
	"github.com/sagebrush-ml/sagebrush/internal/s3api"
)

var ref = objstore.Ref{Bucket: "bucket", Key: "k"}

// flaky serves S3 but lets meddle see each request first; it answers true when
// it has dealt with it.
func flaky(t *testing.T, meddle func(http.ResponseWriter, *http.Request) bool) (*s3store.Store, served, string) {
	t.Helper()
	good, root := serve(t)
	inner := s3api.New(good.files, s3api.Options{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !meddle(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	c, err := s3store.New(t.Context(), s3store.Config{
		Endpoint: srv.URL, Region: "us-east-1", AccessKeyID: "key", SecretAccessKey: "secret",
	}.Hasty(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, good, root
}

// failing answers the first n requests that match with a status.
func failing(n int32, status int, match func(*http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	var left atomic.Int32
	left.Store(n)
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !match(r) || left.Add(-1) < 0 {
			return false
		}
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		return true
	}
}

func has(method, query string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == method && (query == "" || r.URL.Query().Has(query)) && strings.Count(r.URL.Path, "/") > 1
	}
}

func write(t *testing.T, s objstore.Store, body []byte) error {
	t.Helper()
	w, err := s.Create(t.Context(), ref, objstore.Meta{})
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(body); err != nil {
		return err
	}
	_, err = w.Commit()
	return err
}

func TestTransientFailuresAreRepeated(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"put": failing(3, 503, has("PUT", "")), "part": failing(3, 500, has("PUT", "partNumber")),
		"begin": failing(3, 503, has("POST", "uploads")), "complete": failing(3, 503, has("POST", "uploadId")),
		"get": failing(3, 502, has("GET", "")), "throttled": failing(3, 429, has("PUT", "")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, root := flaky(t, meddle)
			for _, size := range []int{3, 9 << 20} {
				body := bytes.Repeat([]byte("x"), size)
				if err := write(t, c, body); err != nil {
					t.Fatalf("writing %d bytes: %v", size, err)
				}
				info, err := c.Stat(t.Context(), ref)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(objstore.NewReader(t.Context(), c, info, objstore.ReaderOptions{}))
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("read %d of %d bytes, %v", len(got), size, err)
				}
			}
			if n := unfinished(t, root); n != 0 {
				t.Errorf("%d unfinished files are left", n)
			}
		})
	}
}

// TestFailedUploadLeavesNothing covers BT-106: on an error the multipart upload
// is aborted.
func TestFailedUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, match := range map[string]func(*http.Request) bool{
		"part": has("PUT", "partNumber"), "begin": has("POST", "uploads"), "complete": has("POST", "uploadId"), "put": has("PUT", ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, good, root := flaky(t, failing(1000, 503, match))
			size := 20 << 20
			if name == "put" {
				size = 3
			}
			if err := write(t, c, make([]byte, size)); !fault.Is(err, fault.Unavailable) {
				t.Errorf("writing gave %v", err)
			}
			if _, err := good.files.Stat(t.Context(), ref); !fault.Is(err, fault.NotFound) {
				t.Errorf("the object is there: %v", err)
			}
			if n := unfinished(t, root); n != 0 {
				t.Errorf("%d unfinished files are left", n)
			}
		})
	}
}

// TestLostAnswerOfComplete: the upload was completed, but nobody heard of it.
func TestLostAnswerOfComplete(t *testing.T) {
	t.Parallel()
	good, _ := serve(t)
	// Behind a restart the server does not know the completed upload any more.
	handlers := []http.Handler{s3api.New(good.files, s3api.Options{}), s3api.New(good.files, s3api.Options{})}
	var once sync.Once
	var now atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lost := false
		if has("POST", "uploadId")(r) {
			once.Do(func() {
				handlers[0].ServeHTTP(httptest.NewRecorder(), r)
				now.Store(1)
				lost = true
			})
		}
		if lost {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		handlers[now.Load()].ServeHTTP(w, r)
	}))
	defer srv.Close()
	c, err := s3store.New(t.Context(), s3store.Config{Endpoint: srv.URL, Region: "us-east-1", AccessKeyID: "k", SecretAccessKey: "s"}.Hasty(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := write(t, c, make([]byte, 9<<20)); err != nil {
		t.Errorf("Commit: %v", err)
	}
}

// TestBodyBreaksOff: reads that end early or stand still are fault.Unavailable,
// and NewReader goes on where they ended.
func TestBodyBreaksOff(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("0123456789"), 100_000)
	for name, fail := range map[string]func(*http.Request){
		"cut":   func(*http.Request) { panic(http.ErrAbortHandler) },
		"still": func(r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			c, good, _ := flaky(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != "GET" || tries.Add(1) > 2 {
					return false
				}
				w.Header().Set("Content-Length", "1000000")
				w.Write(body[:1000])
				http.NewResponseController(w).Flush()
				fail(r)
				return true
			})
			if err := write(t, good.files, body); err != nil {
				t.Fatal(err)
			}
			rc, err := c.Open(t.Context(), ref, objstore.All)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, rc); !fault.Is(err, fault.Unavailable) {
				t.Errorf("the broken body gave %v", err)
			}
			rc.Close()
			tries.Store(1)
			info, err := c.Stat(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(objstore.NewReader(t.Context(), c, info, objstore.ReaderOptions{Backoff: time.Millisecond}))
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("the resuming reader gave %d bytes and %v", len(got), err)
			}
		})
	}
}

func TestGzipIsNotInflated(t *testing.T) {
	t.Parallel()
	s, _ := serve(t)
	w, err := s.files.NewWriter(t.Context(), ref, filestore.Attrs{Headers: map[string]string{"Content-Encoding": "gzip"}})
	if err != nil {
		t.Fatal(err)
	}
	const raw = "\x1f\x8b not really"
	io.WriteString(w, raw)
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	rc, err := s.client.Open(t.Context(), ref, objstore.All)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if got, err := io.ReadAll(rc); err != nil || string(got) != raw {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]fault.Kind{
		301: fault.Invalid, 400: fault.Invalid, 401: fault.Denied, 403: fault.Denied, 404: fault.NotFound, 409: fault.Conflict,
		429: fault.Unavailable, 500: fault.Unavailable, 501: fault.Unsupported, 503: fault.Unavailable, 507: fault.Unavailable,
	} {
		c, _, _ := flaky(t, failing(1000, status, func(*http.Request) bool { return true }))
		if _, err := c.Stat(t.Context(), ref); fault.KindOf(err) != want {
			t.Errorf("%d gave %v: %v", status, fault.KindOf(err), err)
		}
	}
}

// A store sends its reader to another address of its own, and nowhere else: no service of
// our network is asked for whoever answers as the store.
func TestRedirectsStayWithTheStore(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		io.WriteString(w, "what is inside")
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{other.URL + "/latest/meta-data", strings.Replace(other.URL, "http:", "https:", 1) + "/x", "//" + strings.TrimPrefix(other.URL, "http://") + "/x", "file:///etc/passwd"} {
			c, _, _ := flaky(t, func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Location", to)
				w.WriteHeader(status)
				return true
			})
			if r, err := c.Open(t.Context(), ref, objstore.All); err == nil {
				text, _ := io.ReadAll(r)
				r.Close()
				t.Errorf("%d to %s gave %q", status, to, text)
			}
			if err := write(t, c, []byte("x")); err == nil {
				t.Errorf("%d to %s: written", status, to)
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("another server was asked %d times", n)
	}
	var sent atomic.Bool
	c, good, _ := flaky(t, func(w http.ResponseWriter, r *http.Request) bool {
		if sent.Swap(true) {
			return false
		}
		w.Header().Set("Location", r.URL.Path+"?"+r.URL.RawQuery)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	})
	if err := write(t, good.files, []byte("x")); err != nil {
		t.Fatal(err)
	}
	r, err := c.Open(t.Context(), ref, objstore.All)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "x" {
		t.Errorf("its own redirect: %q %v", text, err)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	url := srv.URL
	srv.Close()
	c, err := s3store.New(t.Context(), s3store.Config{Endpoint: url, Region: "us-east-1", AccessKeyID: "key", SecretAccessKey: "hush"}.Hasty(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Open(t.Context(), ref, objstore.All)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.TextOf(err), ref.String()) {
		t.Errorf("got %v", err)
	}
	if strings.Contains(err.Error(), "hush") {
		t.Error("the error holds the secret")
	}
	if errors.Is(err, io.EOF) {
		t.Error("a refused connection looks like the end of an object")
	}
}

// TestPartsHoldFiveTebibytes: 10,000 parts are S3's limit, 5 GiB a part's.
func TestPartsHoldFiveTebibytes(t *testing.T) {
	t.Parallel()
	sum := 0
	for n := 1; n <= 10_000; n++ {
		size := s3store.PartSize(n)
		if size < 5<<20 || size > 5<<30 {
			t.Fatalf("part %d has %d bytes", n, size)
		}
		sum += size
	}
	if sum < 5<<40 {
		t.Errorf("all parts hold %d bytes", sum)
	}
}
