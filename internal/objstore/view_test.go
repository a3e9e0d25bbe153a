package objstore_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
)

// oneFile is a Filer whose only object is a file; its other methods are not called.
type oneFile struct {
	objstore.Store
	path string
}

func (o oneFile) OpenFile(context.Context, objstore.Ref, string) (*os.File, error) {
	return os.Open(o.path)
}

// view opens a View of a file with some bytes.
func view(t *testing.T, body []byte) (*objstore.View, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "object")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := objstore.NewView(t.Context(), oneFile{path: path}, objstore.Info{Ref: objstore.Ref{Bucket: "b", Key: "k"}, Size: int64(len(body))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v, path
}

// look copies a part of a window.
func look(w *objstore.Window, from, to int) (got []byte, err error) {
	err = w.Look(from, to, func(p []byte) { got = append(got, p...) })
	return got, err
}

func TestViewShowsAnyPart(t *testing.T) {
	t.Parallel()
	body := make([]byte, 5*os.Getpagesize()+7)
	for i := range body {
		body[i] = byte(i * 31)
	}
	v, path := view(t, body)
	// Another object that takes the name changes nothing.
	other := path + ".new"
	if err := os.WriteFile(other, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	for _, part := range [][2]int{{0, 1}, {1, 2}, {0, len(body)}, {os.Getpagesize(), 2 * os.Getpagesize()}, {os.Getpagesize() - 1, len(body)}} {
		want := body[part[0]:part[1]]
		w, err := v.Window(int64(part[0]), len(want))
		if err != nil {
			t.Fatal(err)
		}
		got, err := look(w, 0, len(want))
		if err != nil || !bytes.Equal(got, want) || !bytes.Equal(w.Bytes(), want) {
			t.Errorf("the window %v is not that part, %v", part, err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		buf := make([]byte, len(want))
		if n, err := v.ReadAt(buf, int64(part[0])); n < len(want) || !bytes.Equal(buf, want) {
			t.Errorf("ReadAt %v: %d bytes, %v", part, n, err)
		}
	}
}

// A file that somebody cuts short or writes to is a changed object, and no reason
// for the process to end.
func TestViewOfChangedFile(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("x"), 4*os.Getpagesize())
	v, path := view(t, body)
	w, err := v.Window(1, len(body)-1)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if got, err := look(w, 0, 9); err != nil || len(got) != 9 {
		t.Errorf("what is left: %q, %v", got, err)
	}
	if _, err := look(w, 0, len(body)-1); !fault.Is(err, fault.Conflict) {
		t.Errorf("a look at what is gone: %v", err)
	}
	if err := w.Close(); !fault.Is(err, fault.Conflict) {
		t.Errorf("Close of the window: %v", err)
	}
	if _, err := v.ReadAt(make([]byte, 20), 0); !fault.Is(err, fault.Conflict) {
		t.Errorf("ReadAt: %v", err)
	}

	v, path = view(t, body)
	if w, err = v.Window(0, len(body)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(body, '!'), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !fault.Is(err, fault.Conflict) {
		t.Errorf("Close after a change: %v", err)
	}
}

// A panic of who looks is not taken for a fault.
func TestLookPassesPanicsOn(t *testing.T) {
	t.Parallel()
	v, _ := view(t, []byte("x"))
	w, err := v.Window(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer func() {
		if got := recover(); got != "mine" {
			t.Errorf("recovered %v", got)
		}
	}()
	_ = w.Look(0, 1, func([]byte) { panic("mine") })
}

func TestNoView(t *testing.T) {
	t.Parallel()
	st := memstore.New("b")
	info := st.Put(objstore.Ref{Bucket: "b", Key: "k"}, "x")
	if _, err := objstore.NewView(t.Context(), st, info); !fault.Is(err, fault.Unsupported) {
		t.Errorf("of a store without files: %v", err)
	}
	path := filepath.Join(t.TempDir(), "object")
	if err := os.WriteFile(path, []byte("longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := objstore.NewView(t.Context(), oneFile{path: path}, info); !fault.Is(err, fault.Conflict) {
		t.Errorf("of another size: %v", err)
	}
}
