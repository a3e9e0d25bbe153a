package dirstore_test

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/dirstore"
)

// write makes a file and its folders.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func keys(t testing.TB, s *dirstore.Store, prefix string) []string {
	t.Helper()
	var out []string
	for info, err := range s.List(t.Context(), "b", prefix) {
		if err != nil {
			t.Fatalf("List %q: %v", prefix, err)
		}
		out = append(out, info.Key)
	}
	return out
}

// put tries to write an object.
func put(t testing.TB, s *dirstore.Store, key, text string) error {
	t.Helper()
	w, err := s.Create(t.Context(), objstore.Ref{Bucket: "b", Key: key}, objstore.Meta{})
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	_, err = w.Commit()
	return err
}

// TestList covers BT-40 and BT-41 on plain files: keys in byte order, where "in-1"
// comes before what is in the folder "in".
func TestList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"in/a.csv", "in/b/c.csv", "in/.hidden", "in/_SUCCESS", "inner/b", "in-1", "in.csv", "in0", "other"} {
		write(t, filepath.Join(dir, name), name)
	}
	write(t, filepath.Join(dir, ".sagebrush-part-x"), "left behind by a crash")
	s := open(t, map[string]string{"b": dir})
	for _, c := range []struct {
		prefix string
		want   []string
	}{
		{"", []string{"in-1", "in.csv", "in/.hidden", "in/_SUCCESS", "in/a.csv", "in/b/c.csv", "in0", "inner/b", "other"}},
		{"in/", []string{"in/.hidden", "in/_SUCCESS", "in/a.csv", "in/b/c.csv"}},
		{"in", []string{"in-1", "in.csv", "in/.hidden", "in/_SUCCESS", "in/a.csv", "in/b/c.csv", "in0", "inner/b"}},
		{"in/b", []string{"in/b/c.csv"}},
		{"in/b/c.csv", []string{"in/b/c.csv"}},
		{"in/b/c.csv/", nil}, {"no/thing", nil}, {"../", nil}, {"/", nil}, {"in//", nil},
	} {
		if got := keys(t, s, c.prefix); !slices.Equal(got, c.want) {
			t.Errorf("List(%q)\n got %q\nwant %q", c.prefix, got, c.want)
		}
	}
}

// TestEscape tries to leave the folder by the text of a key and by links.
func TestEscape(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	dir := filepath.Join(outer, "dir")
	write(t, filepath.Join(outer, "secret"), "secret")
	write(t, filepath.Join(dir, "inside"), "inside")
	for link, to := range map[string]string{"link": "../secret", "good": "inside", "folder": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, map[string]string{"b": dir})
	for _, key := range []string{"../secret", "link", "folder/secret", "/etc/passwd", "./inside", "inside/", "a//b", "inside\x00"} {
		rc, err := s.Open(t.Context(), objstore.Ref{Bucket: "b", Key: key}, objstore.All)
		if err == nil {
			rc.Close()
			t.Errorf("%q was read", key)
		}
		if key == "link" || key == "inside/" || key == "./inside" {
			continue // writing over a link replaces the link; the others are below
		}
		if err := put(t, s, key, "x"); err == nil {
			t.Errorf("%q was written", key)
		}
	}
	if got, _ := os.ReadFile(filepath.Join(outer, "secret")); string(got) != "secret" {
		t.Errorf("the file outside now holds %q", got)
	}
	rc, err := s.Open(t.Context(), objstore.Ref{Bucket: "b", Key: "good"}, objstore.All)
	if err != nil {
		t.Fatalf("a link within the folder: %v", err)
	}
	rc.Close()
	var last error
	for _, err := range s.List(t.Context(), "b", "") {
		last = err
	}
	if !fault.Is(last, fault.Denied) || !strings.Contains(fault.TextOf(last), "symbolic link") {
		t.Errorf("listing a link that leads out gave %v", last)
	}
}

// TestCollision covers what a bucket can hold and a folder cannot.
func TestCollision(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "x")
	write(t, filepath.Join(dir, "folder/x"), "x")
	s := open(t, map[string]string{"b": dir})
	for _, key := range []string{"file/below", "folder", strings.Repeat("n", 300), ".sagebrush-part-x", "a/../b"} {
		if err := put(t, s, key, "y"); !fault.Is(err, fault.Invalid) {
			t.Errorf("writing %.20q gave %v", key, err)
		}
	}
	if got := keys(t, s, ""); !slices.Equal(got, []string{"file", "folder/x"}) {
		t.Errorf("left are %q", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

// TestSingleFile sees one file and not its neighbours, whatever their names.
func TestSingleFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "data.csv"), "1,2\n")
	write(t, filepath.Join(dir, "data.csv.out"), "an earlier result")
	if err := os.Symlink("data.csv", filepath.Join(dir, "today")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"data.csv", "today"} {
		s := open(t, map[string]string{"b": filepath.Join(dir, name)})
		if got := keys(t, s, "data.csv"); !slices.Equal(got, []string{"data.csv"}) {
			t.Errorf("%s: List gave %q", name, got)
		}
		if _, err := s.Stat(t.Context(), objstore.Ref{Bucket: "b", Key: "data.csv.out"}); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: the neighbour gave %v", name, err)
		}
		if err := put(t, s, "data.csv", "x"); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: writing gave %v", name, err)
		}
		if err := s.Delete(t.Context(), objstore.Ref{Bucket: "b", Key: "data.csv"}); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: deleting gave %v", name, err)
		}
	}
}

// TestDeleteFolders leaves no empty folders of its own, and the bucket's.
func TestDeleteFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, map[string]string{"b": dir})
	for _, key := range []string{"a/b/c", "a/d"} {
		if err := put(t, s, key, "x"); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a/b/c", "a/d", "a/d"} {
		if err := s.Delete(t.Context(), objstore.Ref{Bucket: "b", Key: key}); err != nil {
			t.Errorf("Delete %q: %v", key, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for path, kind := range map[string]fault.Kind{
		filepath.Join(t.TempDir(), "gone"): fault.NotFound,
		os.DevNull:                         fault.Invalid,
	} {
		if _, err := dirstore.New(map[string]string{"b": path}); !fault.Is(err, kind) {
			t.Errorf("New(%s) gave %v", path, err)
		}
	}
}
