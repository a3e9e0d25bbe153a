// Package storetest is the suite that every objstore.Store must pass. A store's
// own test calls Run; what only that store can do it tests itself.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// Harness is one fresh store under test.
type Harness struct {
	Store objstore.Store
	// Bucket exists and is empty.
	Bucket string
	// Uploads counts what writers have left unfinished in the store; nil when the
	// store cannot tell.
	Uploads func() int
	// Key names an enabled key that objects can be encrypted under, and Disable
	// disables it. A store without one must refuse to encrypt.
	Key     string
	Disable func()
	// Claims has the store keep what it is told of keys without encrypting anything.
	Claims bool
}

// Run runs the whole suite, each topic on a store of its own that make gives.
func Run(t *testing.T, make func(t *testing.T) Harness) {
	topics := []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"stat", testStat}, {"read", testRead}, {"pinned", testPinned},
		{"write", testWrite}, {"large", testLarge}, {"atomicity", testAtomicity},
		{"delete", testDelete}, {"list", testList}, {"list property", testListProperty},
		{"odd keys", testOddKeys}, {"errors", testErrors}, {"cancel", testCancel},
		{"concurrency", testConcurrency}, {"resuming reader", testReader},
		{"file", testFile}, {"encrypted", testEncrypted}, {"encrypted, damaged key", testKeyGone},
	}
	for _, topic := range topics {
		t.Run(topic.name, func(t *testing.T) {
			t.Parallel()
			topic.test(t, make(t))
		})
	}
}

func (h Harness) ref(key string) objstore.Ref { return objstore.Ref{Bucket: h.Bucket, Key: key} }

// put writes an object whole.
func (h Harness) put(t testing.TB, key string, body []byte) objstore.Info {
	t.Helper()
	info, err := h.tryPut(t.Context(), key, body)
	if err != nil {
		t.Fatalf("writing %q: %v", key, err)
	}
	return info
}

func (h Harness) tryPut(ctx context.Context, key string, body []byte) (objstore.Info, error) {
	w, err := h.Store.Create(ctx, h.ref(key), objstore.Meta{})
	if err != nil {
		return objstore.Info{}, err
	}
	defer w.Abort()
	if _, err := w.Write(body); err != nil {
		return objstore.Info{}, err
	}
	return w.Commit()
}

// get reads a range.
func (h Harness) get(t testing.TB, key string, r objstore.Range) []byte {
	t.Helper()
	body, err := h.tryGet(t.Context(), key, r)
	if err != nil {
		t.Fatalf("reading %q %+v: %v", key, r, err)
	}
	return body
}

func (h Harness) tryGet(ctx context.Context, key string, r objstore.Range) ([]byte, error) {
	rc, err := h.Store.Open(ctx, h.ref(key), r)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(rc)
}

// keys lists.
func (h Harness) keys(t testing.TB, prefix string) []string {
	t.Helper()
	var keys []string
	for info, err := range h.Store.List(t.Context(), h.Bucket, prefix) {
		if err != nil {
			t.Fatalf("List %q: %v", prefix, err)
		}
		if info.Bucket != h.Bucket {
			t.Errorf("List gave the bucket %q", info.Bucket)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func wantKind(t testing.TB, doing string, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s gave %v (%v), want the kind %v", doing, err, fault.KindOf(err), kind)
	}
}

// wantText checks that a user can read in the error which object it is about.
func wantText(t testing.TB, err error, part string) {
	t.Helper()
	if !strings.Contains(fault.TextOf(err), part) {
		t.Errorf("the error's text %q does not name %q", fault.TextOf(err), part)
	}
}

func testStat(t *testing.T, h Harness) {
	ctx := t.Context()
	if _, err := h.Store.Stat(ctx, h.ref("")); err != nil {
		t.Errorf("Stat of the bucket: %v", err)
	}
	w, err := h.Store.Create(ctx, h.ref("in/a.csv"), objstore.Meta{ContentType: "text/csv", Metadata: map[string]string{"owner": "me"}})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "1,2,3\n")
	made, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	seen, err := h.Store.Stat(ctx, h.ref("in/a.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if seen.Ref != h.ref("in/a.csv") || seen.Size != 6 || seen.ContentType != "text/csv" || seen.Modified.IsZero() {
		t.Errorf("Stat = %+v", seen)
	}
	if made.ETag == "" || made.ETag != seen.ETag || strings.ContainsAny(seen.ETag, `"`) {
		t.Errorf("the ETag is %q after Commit and %q in Stat", made.ETag, seen.ETag)
	}
	if made.Ref != seen.Ref || made.Size != seen.Size || made.ContentType != seen.ContentType {
		t.Errorf("Commit = %+v, Stat = %+v", made, seen)
	}
}

func testRead(t *testing.T, h Harness) {
	body := []byte("0123456789")
	h.put(t, "d", body)
	h.put(t, "empty", nil)
	for _, c := range []struct {
		off, n int64
		want   string
	}{
		{0, -1, "0123456789"}, {0, 10, "0123456789"}, {0, 1, "0"}, {3, -1, "3456789"},
		{3, 4, "3456"}, {9, 1, "9"}, {8, 100, "89"}, {10, -1, ""}, {10, 5, ""}, {4, 0, ""},
	} {
		if got := h.get(t, "d", objstore.Range{Off: c.off, N: c.n}); string(got) != c.want {
			t.Errorf("range %d+%d = %q, want %q", c.off, c.n, got, c.want)
		}
	}
	if got := h.get(t, "empty", objstore.All); len(got) != 0 {
		t.Errorf("the empty object holds %q", got)
	}
	_, err := h.Store.Open(t.Context(), h.ref("d"), objstore.Range{Off: 11, N: -1})
	wantKind(t, "a range beyond the end", err, fault.Invalid)
}

func testPinned(t *testing.T, h Harness) {
	ctx := t.Context()
	old := h.put(t, "k", []byte("old bytes"))
	if got := h.get(t, "k", objstore.Range{Off: 4, N: -1, IfMatch: old.ETag}); string(got) != "bytes" {
		t.Errorf("the pinned read gave %q", got)
	}
	now := h.put(t, "k", []byte("new bytes"))
	if now.ETag == old.ETag {
		t.Fatal("the ETag did not change with the bytes")
	}
	for _, r := range []objstore.Range{{N: -1}, {Off: 2, N: 3}, {Off: 9, N: -1}, {N: 0}} {
		r.IfMatch = old.ETag
		_, err := h.Store.Open(ctx, h.ref("k"), r)
		wantKind(t, fmt.Sprintf("the read %+v of a changed object", r), err, fault.Conflict)
		wantText(t, err, "s3://"+h.Bucket+"/k")
	}
}

// testFile is for stores that keep files.
func testFile(t *testing.T, h Harness) {
	files, ok := h.Store.(objstore.Filer)
	if !ok {
		return
	}
	old := h.put(t, "k", []byte("old bytes"))
	f, err := files.OpenFile(t.Context(), h.ref("k"), old.ETag)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h.put(t, "k", []byte("new bytes"))
	if got, err := io.ReadAll(f); err != nil || string(got) != "old bytes" {
		t.Errorf("the file of an object that was replaced holds %q, %v", got, err)
	}
	_, err = files.OpenFile(t.Context(), h.ref("k"), old.ETag)
	wantKind(t, "the file of a changed object", err, fault.Conflict)
	_, err = files.OpenFile(t.Context(), h.ref("none"), "")
	wantKind(t, "the file of an object that is not there", err, fault.NotFound)
}

func testWrite(t *testing.T, h Harness) {
	ctx := t.Context()
	w, err := h.Store.Create(ctx, h.ref("w"), objstore.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for i := range 1000 {
		line := fmt.Appendf(nil, "line %d\n", i)
		if n, err := w.Write(line); n != len(line) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		want.Write(line)
		clear(line) // the store must not keep it
	}
	info, err := w.Commit()
	if err != nil || info.Size != int64(want.Len()) {
		t.Fatalf("Commit = %+v, %v", info, err)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("Write after Commit was accepted")
	}
	if _, err := w.Commit(); err == nil {
		t.Error("a second Commit was accepted")
	}
	if got := h.get(t, "w", objstore.All); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("read %d bytes that differ from the %d written", len(got), want.Len())
	}
}

// testLarge needs several parts where a store has parts.
func testLarge(t *testing.T, h Harness) {
	body := pattern(20<<20 + 17)
	info := h.put(t, "large", body)
	if info.Size != int64(len(body)) {
		t.Errorf("Commit gave the size %d", info.Size)
	}
	if got := h.get(t, "large", objstore.Range{N: -1, IfMatch: info.ETag}); !bytes.Equal(got, body) {
		t.Error("the large object came back different")
	}
	if got := h.get(t, "large", objstore.Range{Off: 8<<20 - 5, N: 10}); !bytes.Equal(got, body[8<<20-5:8<<20+5]) {
		t.Error("the range over the border of two parts came back different")
	}
}

// pattern gives bytes that repeat nowhere near a part's border.
func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// testAtomicity covers BT-106: nothing of an object is seen before its commit,
// and nothing of it stays after an abort.
func testAtomicity(t *testing.T, h Harness) {
	ctx := t.Context()
	for _, size := range []int{0, 10, 9 << 20} {
		key := fmt.Sprintf("size-%d", size)
		w, err := h.Store.Create(ctx, h.ref(key), objstore.Meta{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(pattern(size)); err != nil {
			t.Fatal(err)
		}
		if keys := h.keys(t, ""); len(keys) != 0 {
			t.Errorf("before the commit the bucket holds %q", keys)
		}
		_, err = h.Store.Stat(ctx, h.ref(key))
		wantKind(t, "Stat before the commit", err, fault.NotFound)
		if err := errors.Join(w.Abort(), w.Abort()); err != nil {
			t.Errorf("Abort twice: %v", err)
		}
		if _, err := w.Commit(); err == nil {
			t.Error("Commit after Abort was accepted")
		}
		if keys := h.keys(t, ""); len(keys) != 0 {
			t.Errorf("after the abort the bucket holds %q", keys)
		}
	}
	old := h.put(t, "kept", []byte("kept"))
	w, err := h.Store.Create(ctx, h.ref("kept"), objstore.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("lost"))
	w.Abort()
	if now, err := h.Store.Stat(ctx, h.ref("kept")); err != nil || now.ETag != old.ETag {
		t.Errorf("an aborted overwrite changed the object: %+v, %v", now, err)
	}
	if h.Uploads != nil && h.Uploads() != 0 {
		t.Errorf("%d unfinished uploads are left", h.Uploads())
	}
}

func testDelete(t *testing.T, h Harness) {
	ctx := t.Context()
	h.put(t, "a/b/c", []byte("x"))
	h.put(t, "a/d", []byte("y"))
	if err := h.Store.Delete(ctx, h.ref("a/b/c")); err != nil {
		t.Fatal(err)
	}
	if err := h.Store.Delete(ctx, h.ref("a/b/c")); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
	_, err := h.Store.Stat(ctx, h.ref("a/b/c"))
	wantKind(t, "Stat of a deleted object", err, fault.NotFound)
	if got := h.keys(t, ""); len(got) != 1 || got[0] != "a/d" {
		t.Errorf("left are %q", got)
	}
	h.put(t, "a/b", []byte("now an object where a folder was"))
	if got := h.get(t, "a/b", objstore.All); len(got) == 0 {
		t.Error("the object at a folder's place is empty")
	}
}

func testErrors(t *testing.T, h Harness) {
	ctx := t.Context()
	gone, nowhere := h.ref("no/such"), objstore.Ref{Bucket: "no-such-bucket", Key: "k"}
	_, err := h.Store.Stat(ctx, gone)
	wantKind(t, "Stat", err, fault.NotFound)
	wantText(t, err, gone.String())
	_, err = h.Store.Open(ctx, gone, objstore.All)
	wantKind(t, "Open", err, fault.NotFound)
	wantText(t, err, gone.String())
	_, err = h.Store.Stat(ctx, objstore.Ref{Bucket: nowhere.Bucket})
	wantKind(t, "Stat of a missing bucket", err, fault.NotFound)
	wantText(t, err, nowhere.Bucket)
	_, err = h.Store.Open(ctx, nowhere, objstore.All)
	wantKind(t, "Open in a missing bucket", err, fault.NotFound)
	_, err = h.Store.Create(ctx, nowhere, objstore.Meta{})
	wantKind(t, "Create in a missing bucket", err, fault.NotFound)
	n := 0
	for _, err := range h.Store.List(ctx, nowhere.Bucket, "") {
		wantKind(t, "List of a missing bucket", err, fault.NotFound)
		n++
	}
	if n != 1 {
		t.Errorf("List of a missing bucket yielded %d times", n)
	}
	_, err = h.Store.Open(ctx, h.ref(""), objstore.All)
	wantKind(t, "Open without a key", err, fault.Invalid)
	_, err = h.Store.Create(ctx, h.ref(""), objstore.Meta{})
	wantKind(t, "Create without a key", err, fault.Invalid)
}

func testCancel(t *testing.T, h Harness) {
	h.put(t, "k", pattern(48<<20)) // more than sockets hold on their own
	ctx, cancel := context.WithCancel(t.Context())
	rc, err := h.Store.Open(ctx, h.ref("k"), objstore.All)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	w, err := h.Store.Create(ctx, h.ref("late"), objstore.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = io.Copy(io.Discard, struct{ io.Reader }{rc})
	if err == nil || !errors.Is(err, context.Canceled) {
		t.Errorf("reading after the cancel gave %v", err)
	}
	_, werr := w.Write(pattern(9 << 20))
	_, cerr := w.Commit()
	if cerr == nil {
		t.Errorf("Commit after the cancel was accepted (Write gave %v)", werr)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after the cancel: %v", err)
	}
	if keys := h.keys(t, ""); len(keys) != 1 {
		t.Errorf("the bucket holds %q", keys)
	}
	if h.Uploads != nil && h.Uploads() != 0 {
		t.Errorf("%d unfinished uploads are left", h.Uploads())
	}
}

func testReader(t *testing.T, h Harness) {
	body := pattern(3<<20 + 1)
	info := h.put(t, "k", body)
	r := objstore.NewReader(t.Context(), h.Store, info, objstore.ReaderOptions{})
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("the reader gave %d bytes and %v", len(got), err)
	}
	h.put(t, "k", []byte("other"))
	_, err = io.ReadAll(objstore.NewReader(t.Context(), h.Store, info, objstore.ReaderOptions{}))
	wantKind(t, "reading an object that changed", err, fault.Conflict)
}
