package filestore_test

import (
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/storetest"
)

func TestBuckets(t *testing.T) {
	t.Parallel()
	s, _ := open(t, filestore.Options{})
	ctx := t.Context()
	if err := s.CreateBucket(ctx, "bucket"); !fault.Is(err, fault.Exists) {
		t.Errorf("creating a bucket twice gave %v", err)
	}
	put(t, s, "a/b", "x")
	if err := s.DeleteBucket(ctx, "bucket"); !fault.Is(err, fault.Conflict) {
		t.Errorf("deleting a bucket with objects gave %v", err)
	}
	s.Delete(ctx, key("a/b"))
	if err := s.DeleteBucket(ctx, "bucket"); err != nil {
		t.Errorf("DeleteBucket: %v", err)
	}
	if err := s.DeleteBucket(ctx, "bucket"); !fault.Is(err, fault.NotFound) {
		t.Errorf("deleting a bucket twice gave %v", err)
	}
}

func TestCommitAfterTheBucketIsGone(t *testing.T) {
	t.Parallel()
	s, root := open(t, filestore.Options{})
	w, err := s.Create(t.Context(), key("late/k"), objstore.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); !fault.Is(err, fault.NotFound) {
		t.Errorf("Commit gave %v", err)
	}
	if n := unfinished(t, root); n != 0 {
		t.Errorf("%d unfinished files are left", n)
	}
}

// TestCreateIfAbsent lets many writers create one object; one may win.
func TestCreateIfAbsent(t *testing.T) {
	t.Parallel()
	s, root := open(t, filestore.Options{NoSync: true})
	taken := errors.New("taken")
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 16 {
		wg.Go(func() {
			w, err := s.NewWriter(t.Context(), key("k"), filestore.Attrs{})
			if err != nil {
				t.Error(err)
				return
			}
			_, err = w.CommitAs("etag", func(_ objstore.Info, exists bool) error {
				if exists {
					return taken
				}
				return nil
			})
			if err != nil && !errors.Is(err, taken) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			}
		})
	}
	wg.Wait()
	if n := unfinished(t, root); won != 1 || n != 0 {
		t.Errorf("%d writers won, %d files are left", won, n)
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	s, _ := open(t, filestore.Options{})
	src := put(t, s, "a", "bytes")
	got, err := s.Copy(t.Context(), key("a"), key("b/c"), filestore.Attrs{ContentType: "x/y"})
	if err != nil || got.ETag != src.ETag || got.Size != 5 {
		t.Errorf("Copy = %+v, %v", got, err)
	}
	o, err := s.Head(t.Context(), key("b/c"))
	if err != nil || o.Info.ContentType != "x/y" || len(o.Metadata) != 0 {
		t.Errorf("the copy is %+v, %v", o, err)
	}
	if _, err := s.Copy(t.Context(), key("none"), key("d"), filestore.Attrs{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("copying nothing gave %v", err)
	}
	if _, err := s.Copy(t.Context(), key("a"), key("a"), filestore.Attrs{ContentType: "new/type"}); err != nil {
		t.Errorf("copying onto itself: %v", err)
	}
	if err := s.SetAttrs(t.Context(), key("a"), func(a *filestore.Attrs) { a.Headers = map[string]string{"X": "y"} }); err != nil {
		t.Fatal(err)
	}
	if o, err = s.Head(t.Context(), key("a")); err != nil || o.Headers["X"] != "y" || o.Info.ContentType != "new/type" || o.ETag != src.ETag {
		t.Errorf("after SetAttrs the object is %+v, %v", o, err)
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	s, root := open(t, filestore.Options{})
	ctx := t.Context()
	id, err := s.NewUpload(ctx, key("big/file"), filestore.Attrs{ContentType: "a/b"})
	if err != nil {
		t.Fatal(err)
	}
	var parts []filestore.Part
	sum := md5.New()
	for _, n := range []int{1, 3, 7} {
		body := strings.Repeat(fmt.Sprint(n), 1000*n)
		if n == 3 { // replaced by the next try
			if _, err := s.PutPart(ctx, id, n, strings.NewReader("other"), 5); err != nil {
				t.Fatal(err)
			}
		}
		etag, err := s.PutPart(ctx, id, n, strings.NewReader(body), int64(len(body)))
		if err != nil || etag != fmt.Sprintf("%x", md5.Sum([]byte(body))) {
			t.Fatalf("PutPart = %q, %v", etag, err)
		}
		h := md5.Sum([]byte(body))
		sum.Write(h[:])
		parts = append(parts, filestore.Part{Number: n, ETag: etag})
	}
	if _, err := s.PutPart(ctx, id, 9, strings.NewReader("short"), 6); !errors.Is(err, filestore.ErrShortBody) {
		t.Errorf("a short part gave %v", err)
	}
	if _, err := s.PutPart(ctx, id, 9, strings.NewReader("longer"), 5); err == nil {
		t.Error("a part longer than announced was taken")
	}
	if n := unfinished(t, root); n != 3 {
		t.Errorf("%d files are there, want the three parts", n)
	}
	for want, bad := range map[error][]filestore.Part{
		filestore.ErrPartOrder: {parts[1], parts[0]},
		filestore.ErrBadPart:   {parts[0], {Number: 4, ETag: parts[1].ETag}},
	} {
		if _, err := s.CompleteUpload(ctx, id, bad, nil); !errors.Is(err, want) {
			t.Errorf("CompleteUpload gave %v, want %v", err, want)
		}
	}
	info, err := s.CompleteUpload(ctx, id, parts, nil)
	if err != nil || info.ETag != fmt.Sprintf("%x-3", sum.Sum(nil)) || info.Size != 11000 {
		t.Fatalf("CompleteUpload = %+v, %v", info, err)
	}
	rc, err := s.Open(ctx, key("big/file"), objstore.All)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if got, _ := io.ReadAll(rc); string(got) != strings.Repeat("1", 1000)+strings.Repeat("3", 3000)+strings.Repeat("7", 7000) {
		t.Error("the parts were joined wrongly")
	}
	if _, err := s.CompleteUpload(ctx, id, parts, nil); !errors.Is(err, filestore.ErrNoUpload) {
		t.Errorf("completing twice gave %v", err)
	}
	if n := unfinished(t, root); n != 0 {
		t.Errorf("%d unfinished files are left", n)
	}
}

func TestUploadsEnd(t *testing.T) {
	t.Parallel()
	s, root := open(t, filestore.Options{})
	ctx := t.Context()
	for _, end := range []func(id string) error{
		func(id string) error { return s.AbortUpload(ctx, id) },
		func(id string) error {
			if gone := s.ExpireUploads(ctx, time.Now().Add(-time.Hour)); len(gone) != 0 {
				t.Errorf("young uploads expired: %v", gone)
			}
			if gone := s.ExpireUploads(ctx, time.Now().Add(time.Hour)); gone[id] != key("k") {
				t.Errorf("expired are %v", gone)
			}
			return nil
		},
	} {
		id, err := s.NewUpload(ctx, key("k"), filestore.Attrs{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.PutPart(ctx, id, 1, strings.NewReader("part"), 4); err != nil {
			t.Fatal(err)
		}
		if err := end(id); err != nil {
			t.Fatal(err)
		}
		if _, err := s.PutPart(ctx, id, 2, strings.NewReader("part"), 4); !errors.Is(err, filestore.ErrNoUpload) {
			t.Errorf("a part after the end gave %v", err)
		}
		if n := unfinished(t, root); n != 0 {
			t.Errorf("%d unfinished files are left", n)
		}
	}
}

// TestWalkProperty compares every kind of query with a sorted model.
func TestWalkProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s, _ := open(t, filestore.Options{NoSync: true})
		keys := rapid.SliceOfNDistinct(storetest.Keys(), 0, 15, rapid.ID).Draw(rt, "keys")
		for _, k := range keys {
			put(t, s, k, "")
		}
		part := func(name string) string {
			k := storetest.Keys().Draw(rt, name)
			return k[:rapid.IntRange(0, len(k)).Draw(rt, name+" cut")]
		}
		q := filestore.Query{Prefix: part("prefix"), After: part("after"), Folders: rapid.Bool().Draw(rt, "folders")}
		if rapid.Bool().Draw(rt, "after is a key") && len(keys) > 0 {
			q.After = rapid.SampledFrom(keys).Draw(rt, "after key")
		}
		var got []string
		for e, err := range s.Walk(t.Context(), "bucket", q) {
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, fmt.Sprint(e.Folder, e.Key))
		}
		if want := model(keys, q); !slices.Equal(got, want) {
			rt.Fatalf("%+v over %q\n got %q\nwant %q", q, keys, got, want)
		}
	})
}

func model(keys []string, q filestore.Query) []string {
	var want []string
	for _, k := range slices.Sorted(slices.Values(keys)) {
		if !strings.HasPrefix(k, q.Prefix) || q.After != "" && k <= q.After {
			continue
		}
		folder := false
		if i := strings.IndexByte(k[len(q.Prefix):], '/'); q.Folders && i >= 0 {
			k, folder = k[:len(q.Prefix)+i+1], true
		}
		item := fmt.Sprint(folder, k)
		if folder && (k == q.After || slices.Contains(want, item)) {
			continue
		}
		want = append(want, item)
	}
	return want
}
