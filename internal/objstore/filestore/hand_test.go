package filestore_test

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
)

func key(k string) objstore.Ref { return objstore.Ref{Bucket: "bucket", Key: k} }

func put(t testing.TB, s *filestore.Store, k, body string) objstore.Info {
	t.Helper()
	w, err := s.NewWriter(t.Context(), key(k), filestore.Attrs{ContentType: "text/csv", Metadata: map[string]string{"owner": "me"}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	info, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func list(t testing.TB, s *filestore.Store, prefix string) []string {
	t.Helper()
	var keys []string
	for info, err := range s.List(t.Context(), "bucket", prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func write(t testing.TB, name, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

// edit writes a file as a user does some seconds after the store wrote it.
func edit(t testing.TB, name, body string, after time.Duration) {
	t.Helper()
	write(t, name, body)
	at := time.Now().Add(after * time.Second)
	if err := os.Chtimes(name, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestObjectsArePlainFiles(t *testing.T) {
	t.Parallel()
	s, root := open(t, filestore.Options{})
	put(t, s, "in/a.csv", "1,2\n")
	got, err := os.ReadFile(filepath.Join(root, "bucket", "in", "a.csv"))
	if err != nil || string(got) != "1,2\n" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

func TestFilesMadeByHandAreObjects(t *testing.T) {
	t.Parallel()
	s, root := open(t, filestore.Options{})
	write(t, filepath.Join(root, "bucket", "drop", "in.json"), `{"a":1}`)
	write(t, filepath.Join(root, "Other_Bucket", "x"), "x")
	o, err := s.Head(t.Context(), key("drop/in.json"))
	if err != nil {
		t.Fatal(err)
	}
	if o.Size != 7 || o.Info.ContentType != "application/json" || !strings.HasSuffix(o.ETag, "-1") || len(o.ETag) != 34 {
		t.Errorf("Head = %+v", o)
	}
	if got := list(t, s, ""); !slices.Equal(got, []string{"drop/in.json"}) {
		t.Errorf("List = %q", got)
	}
	buckets, err := s.Buckets(t.Context())
	if err != nil || len(buckets) != 2 || buckets[0].Name != "Other_Bucket" {
		t.Errorf("Buckets = %+v, %v", buckets, err)
	}
}

func TestEditedFileHasANewETag(t *testing.T) {
	t.Parallel()
	for _, o := range []filestore.Options{{}, {NoAttributes: true}} {
		s, root := open(t, o)
		old := put(t, s, "a.csv", "before")
		file := filepath.Join(root, "bucket", "a.csv")
		edit(t, file, "after!", 1) // in place, of the same size
		now, err := s.Stat(t.Context(), key("a.csv"))
		if err != nil || now.ETag == old.ETag {
			t.Fatalf("the ETag after an edit is %q, before %q; %v", now.ETag, old.ETag, err)
		}
		again, _ := s.Stat(t.Context(), key("a.csv"))
		if again.ETag != now.ETag {
			t.Error("the derived ETag is not stable")
		}
		_, err = s.Open(t.Context(), key("a.csv"), objstore.Range{N: -1, IfMatch: old.ETag})
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("a pinned read of an edited file gave %v", err)
		}
		edit(t, file, "afters", 2)
		if last, _ := s.Stat(t.Context(), key("a.csv")); last.ETag == now.ETag {
			t.Error("a second edit did not change the ETag")
		}
	}
}

func TestDescriptionSurvivesReopening(t *testing.T) {
	t.Parallel()
	for _, o := range []filestore.Options{{}, {NoAttributes: true}} {
		root := t.TempDir()
		s, err := filestore.Open(root, o)
		if err != nil {
			t.Fatal(err)
		}
		s.CreateBucket(t.Context(), "bucket")
		made := put(t, s, "a", "x")
		put(t, s, "a/b", "moves a beside the folder")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = filestore.Open(root, filestore.Options{}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Head(t.Context(), key("a"))
		if err != nil || got.ETag != made.ETag || got.Info.ContentType != "text/csv" || got.Metadata["owner"] != "me" {
			t.Errorf("%+v: Head = %+v, %v", o, got, err)
		}
		s.Close()
	}
}

func TestLargeMetadata(t *testing.T) {
	t.Parallel()
	s, _ := open(t, filestore.Options{})
	long := strings.Repeat("m", 20_000) // more than ext4 keeps in attributes
	w, err := s.NewWriter(t.Context(), key("k"), filestore.Attrs{Metadata: map[string]string{"long": long}})
	if err != nil {
		t.Fatal(err)
	}
	made, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Head(t.Context(), key("k"))
	if err != nil || got.Metadata["long"] != long || got.ETag != made.ETag {
		t.Errorf("Head gave %d bytes of metadata, ETag %q, %v", len(got.Metadata["long"]), got.ETag, err)
	}
}

func TestLinksLeadNowhere(t *testing.T) {
	t.Parallel()
	s, root := open(t, filestore.Options{})
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "secret")
	write(t, filepath.Join(root, "other", "x"), "another bucket's")
	bucket := filepath.Join(root, "bucket")
	for name, target := range map[string]string{
		"file": filepath.Join(outside, "secret"), "dir": outside, "up": "../other", "self": "self", "tmp": "../.sagebrush",
	} {
		if err := os.Symlink(target, filepath.Join(bucket, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []string{"file", "dir/secret", "up/x", "self", "tmp/lock", "../other/x", "dir"} {
		if _, err := s.Open(t.Context(), key(k), objstore.All); !fault.Is(err, fault.NotFound) {
			t.Errorf("Open %q gave %v", k, err)
		}
	}
	for _, k := range []string{"dir/new", "up/new", "tmp/new"} {
		w, err := s.Create(t.Context(), key(k), objstore.Meta{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(); err == nil {
			t.Errorf("an object was written through the link of %q", k)
		}
		if err := s.Delete(t.Context(), key(k)); err != nil {
			t.Errorf("Delete %q: %v", k, err)
		}
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("List follows links: %q", got)
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 1 {
		t.Errorf("outside there are now %v", entries)
	}
	if n := unfinished(t, root); n != 0 {
		t.Errorf("%d unfinished files are left", n)
	}
}

func TestReservedFolderIsNoBucket(t *testing.T) {
	t.Parallel()
	s, _ := open(t, filestore.Options{})
	for _, bucket := range []string{".sagebrush", "..", ".", "", "a/b", "bucket/..", "-x"} {
		if ok, err := s.HasBucket(t.Context(), bucket); ok || err != nil {
			t.Errorf("HasBucket(%q) = %v, %v", bucket, ok, err)
		}
		if err := s.CreateBucket(t.Context(), bucket); !fault.Is(err, fault.Invalid) {
			t.Errorf("CreateBucket(%q) = %v", bucket, err)
		}
		_, err := s.Stat(t.Context(), objstore.Ref{Bucket: bucket, Key: "lock"})
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("Stat in %q = %v", bucket, err)
		}
	}
}

func TestThingsThatAreNoFiles(t *testing.T) {
	t.Parallel()
	s, root := open(t, filestore.Options{})
	if err := syscall.Mkfifo(filepath.Join(root, "bucket", "pipe"), 0o644); err != nil {
		t.Skip(err)
	}
	if err := os.Mkdir(filepath.Join(root, "bucket", "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "bucket", "%~notours"), "x")
	write(t, filepath.Join(root, "bucket", "%=bad%zz"), "x")
	for _, k := range []string{"pipe", "empty", "notours"} {
		if _, err := s.Open(t.Context(), key(k), objstore.All); !fault.Is(err, fault.NotFound) {
			t.Errorf("Open %q gave %v", k, err)
		}
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("List = %q", got)
	}
	if _, err := s.Create(t.Context(), key("pipe/x"), objstore.Meta{}); err != nil {
		t.Fatal(err)
	}
	w, _ := s.Create(t.Context(), key("pipe/x"), objstore.Meta{})
	if _, err := w.Commit(); !fault.Is(err, fault.Denied) {
		t.Errorf("an object below a pipe gave %v", err)
	}
}

func TestFileThatShrinksIsNoEnd(t *testing.T) {
	t.Parallel()
	s, root := open(t, filestore.Options{})
	put(t, s, "k", strings.Repeat("x", 1000))
	for _, copyTo := range []bool{false, true} {
		rc, err := s.Open(t.Context(), key("k"), objstore.Range{N: 800})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(root, "bucket", "k"), 500); err != nil {
			t.Fatal(err)
		}
		var r io.Reader = rc
		if !copyTo {
			r = struct{ io.Reader }{rc}
		}
		n, err := io.Copy(io.Discard, r)
		if n != 500 || !fault.Is(err, fault.Unavailable) {
			t.Errorf("read %d bytes and %v", n, err)
		}
		rc.Close()
		write(t, filepath.Join(root, "bucket", "k"), strings.Repeat("x", 1000))
	}
}

func TestLeftoversOfTheDead(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	alive, err := filestore.Open(root, filestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	alive.CreateBucket(t.Context(), "bucket")
	w, err := alive.Create(t.Context(), key("mine"), objstore.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(root, ".sagebrush", "tmp", "dead", "half")
	write(t, dead, "half an object")
	write(t, filepath.Join(filepath.Dir(dead), "lock"), "")
	second, err := filestore.Open(root, filestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := os.Stat(filepath.Dir(dead)); !os.IsNotExist(err) {
		t.Errorf("the dead process's files are still there: %v", err)
	}
	if _, err := w.Commit(); err != nil {
		t.Errorf("a living store's unfinished file was swept: %v", err)
	}
	if _, err := second.Stat(t.Context(), key("mine")); err != nil {
		t.Errorf("the other store does not see the object: %v", err)
	}
}
