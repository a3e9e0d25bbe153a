package modelcache

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// put stores an object.
func put(t *testing.T, s objstore.Store, key string, body []byte) {
	t.Helper()
	w, err := s.Create(t.Context(), objstore.Ref{Bucket: "b", Key: key}, objstore.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// archive is a .tar.gz with one file.
func archive(name, body string) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	_ = w.WriteHeader(&tar.Header{Name: name, Size: int64(len(body)), Mode: 0o644})
	_, _ = w.Write([]byte(body))
	_ = w.Close()
	_ = z.Close()
	return out.Bytes()
}

func open(t *testing.T, store objstore.Store, dir string, bytes int64) *Cache {
	t.Helper()
	c, err := Open(Options{Dir: dir, Store: store, Bytes: bytes, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := remove(dir); err != nil {
			t.Error(err)
		}
	})
	return c
}

func store(t *testing.T) objstore.Store {
	t.Helper()
	return memstore.New("b")
}

// CC-14: what each form of ModelDataSource puts where, and what it refuses.
func TestFetch(t *testing.T) {
	t.Parallel()
	s := store(t)
	put(t, s, "m/model.tar.gz", archive("weights", "w"))
	put(t, s, "p/config.json", []byte("{}"))
	put(t, s, "p/sub/deep/weights", []byte("ww"))
	put(t, s, "z/only.tar.gz", archive("a/b", "x"))
	put(t, s, "z/readme", nil)
	put(t, s, "two/a.tar.gz", archive("a", "x"))
	put(t, s, "two/b.tar.gz", archive("a", "x"))
	put(t, s, "clash/weights", nil)
	put(t, s, "clash/weights/part1", nil)
	put(t, s, "folder/x/", nil)
	put(t, s, "dots/../../etc/passwd", nil)
	put(t, s, "long/"+strings.Repeat("n", 256), nil)
	cases := []struct {
		source resource.ModelData
		files  map[string]string
		fails  string
	}{
		{resource.ModelData{S3URI: "s3://b/m/model.tar.gz", Gzip: true}, map[string]string{"weights": "w"}, ""},
		{resource.ModelData{S3URI: "s3://b/p/config.json"}, map[string]string{"config.json": "{}"}, ""},
		{resource.ModelData{S3URI: "s3://b/p/", Prefix: true}, map[string]string{"config.json": "{}", "sub/deep/weights": "ww"}, ""},
		{resource.ModelData{S3URI: "s3://b/z/", Prefix: true, Gzip: true}, map[string]string{"a/b": "x"}, ""},
		{resource.ModelData{S3URI: "s3://b/two/", Prefix: true, Gzip: true}, nil, "2 objects end in .tar.gz"},
		{resource.ModelData{S3URI: "s3://b/none/", Prefix: true}, nil, "no objects are there"},
		{resource.ModelData{S3URI: "s3://b/none"}, nil, "does not exist"},
		{resource.ModelData{S3URI: "s3://b/p/config.json", Gzip: true}, nil, "not a gzip-compressed tar"},
		{resource.ModelData{S3URI: "s3://b/p/config.json", ETag: "other"}, nil, "its ETag is"},
		{resource.ModelData{S3URI: "s3://b/clash/", Prefix: true}, nil, `"weights" is a file and a folder`},
		{resource.ModelData{S3URI: "s3://b/folder/", Prefix: true}, nil, "is not a name that a file may have"},
		{resource.ModelData{S3URI: "s3://b/dots/", Prefix: true}, nil, "is not a name that a file may have"},
		{resource.ModelData{S3URI: "s3://b/long/", Prefix: true}, nil, "is not a name that a file may have"},
	}
	for i, c := range cases {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			err := Fetch(t.Context(), s, c.source, dir, nil)
			if c.fails != "" {
				if err == nil || !strings.Contains(fault.TextOf(err), c.fails) || !strings.Contains(fault.TextOf(err), c.source.S3URI) {
					t.Errorf("error %v, want one with %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, body := range c.files {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != body {
					t.Errorf("%s: %q, %v", name, got, err)
				}
			}
		})
	}
}

// countingStore counts the objects that were opened.
type countingStore struct {
	objstore.Store
	mu    sync.Mutex
	opens int
}

func (s *countingStore) Open(ctx context.Context, ref objstore.Ref, r objstore.Range) (io.ReadCloser, error) {
	s.mu.Lock()
	s.opens++
	s.mu.Unlock()
	return s.Store.Open(ctx, ref, r)
}

// The same bytes are downloaded once, by whoever asks and after a restart; other
// bytes under the same name are another folder.
func TestShared(t *testing.T) {
	t.Parallel()
	s := &countingStore{Store: store(t)}
	put(t, s, "m.tar.gz", archive("w", "1"))
	source := resource.ModelData{S3URI: "s3://b/m.tar.gz", Gzip: true}
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, s, dir, 1<<20)
	models := make([]*Model, 8)
	var wait sync.WaitGroup
	for i := range models {
		wait.Go(func() {
			m, err := c.Get(t.Context(), source, nil)
			if err != nil {
				t.Error(err)
				return
			}
			models[i] = m
		})
	}
	wait.Wait()
	for _, m := range models {
		if m.Dir != models[0].Dir {
			t.Errorf("folders %s and %s", m.Dir, models[0].Dir)
		}
		m.Release()
		m.Release()
	}
	if s.opens != 1 {
		t.Errorf("%d downloads", s.opens)
	}
	again := open(t, s, dir, 1<<20)
	m, err := again.Get(t.Context(), source, nil)
	if err != nil || s.opens != 1 {
		t.Fatalf("after a restart: %v, %d downloads", err, s.opens)
	}
	put(t, s, "m.tar.gz", archive("w", "2"))
	n, err := again.Get(t.Context(), source, nil)
	if err != nil || n.Dir == m.Dir {
		t.Fatalf("new bytes gave %v, %v", n, err)
	}
	for want, of := range map[string]*Model{"1": m, "2": n} {
		if got, err := os.ReadFile(filepath.Join(of.Dir, "w")); err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}

// What is in use stays, what is not goes when it is too much, the oldest first.
func TestEviction(t *testing.T) {
	t.Parallel()
	s := store(t)
	c := open(t, s, filepath.Join(t.TempDir(), "cache"), 2500)
	get := func(n int) *Model {
		t.Helper()
		key := fmt.Sprint("m", n)
		put(t, s, key, make([]byte, 1000))
		m, err := c.Get(t.Context(), resource.ModelData{S3URI: "s3://b/" + key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	there := func(m *Model) bool { _, err := os.Stat(m.Dir); return err == nil }
	used, old, young := get(1), get(2), get(3)
	old.Release()
	young.Release()
	last := get(4)
	if !there(used) || there(old) || !there(young) || !there(last) {
		t.Errorf("used %v, old %v, young %v, last %v", there(used), there(old), there(young), there(last))
	}
}

// A failed or interrupted download leaves nothing and does not spoil the next.
func TestFailure(t *testing.T) {
	t.Parallel()
	s := store(t)
	put(t, s, "bad.tar.gz", []byte("not gzip"))
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, s, dir, 1<<20)
	source := resource.ModelData{S3URI: "s3://b/bad.tar.gz", Gzip: true}
	if _, err := c.Get(t.Context(), source, nil); !fault.Is(err, fault.Invalid) {
		t.Fatalf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	put(t, s, "m", make([]byte, 100))
	if _, err := c.Get(ctx, resource.ModelData{S3URI: "s3://b/m"}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	m, err := c.Get(t.Context(), resource.ModelData{S3URI: "s3://b/m"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Release()
}
