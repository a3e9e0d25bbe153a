package storetest

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// encrypt writes an object under the harness' key.
func (h Harness) encrypt(t testing.TB, key string, body []byte) objstore.Info {
	t.Helper()
	w, err := h.Store.Create(t.Context(), h.ref(key), objstore.Meta{ContentType: "text/csv", SSEKMSKeyID: h.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for rest := body; len(rest) > 0; { // in pieces that meet no boundary
		n := min(len(rest), 10_007)
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	info, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// testEncrypted has encrypted objects (BT-112) be like any others for who may use
// the key.
func testEncrypted(t *testing.T, h Harness) {
	if h.Claims {
		return
	}
	if h.Key == "" {
		_, err := h.Store.Create(t.Context(), h.ref("k"), objstore.Meta{SSEKMSKeyID: "alias/k"})
		wantKind(t, "Create of an encrypted object", err, fault.Unsupported)
		return
	}
	const unit = 64 << 10
	for _, size := range []int{0, 1, unit - 1, unit, unit + 1, 2 * unit, 20<<20 + 5} {
		key := fmt.Sprintf("e/%d", size)
		body := pattern(size)
		made := h.encrypt(t, key, body)
		seen, err := h.Store.Stat(t.Context(), h.ref(key))
		if err != nil || seen.Size != int64(size) || made.Size != int64(size) || seen.ContentType != "text/csv" || seen.ETag != made.ETag {
			t.Errorf("of %d bytes: Commit = %+v, Stat = %+v, %v", size, made, seen, err)
		}
		sum := md5.Sum(body)
		if strings.Contains(seen.ETag, hex.EncodeToString(sum[:])) {
			t.Errorf("of %d bytes: the ETag %s is the MD5 of what is encrypted", size, seen.ETag)
		}
		if got := h.get(t, key, objstore.All); !bytes.Equal(got, body) {
			t.Errorf("of %d bytes: read back are %d", size, len(got))
		}
		for _, off := range []int{1, unit - 1, unit, unit + 1, size / 2, size - 1, size} {
			if off < 0 || off > size {
				continue
			}
			for _, n := range []int{-1, 0, 1, unit, unit + 3} {
				end := size
				if n >= 0 {
					end = min(size, off+n)
				}
				if got := h.get(t, key, objstore.Range{Off: int64(off), N: int64(n), IfMatch: seen.ETag}); !bytes.Equal(got, body[off:end]) {
					t.Errorf("of %d bytes: %d from %d are %d", size, n, off, len(got))
				}
			}
		}
		_, err = h.tryGet(t.Context(), key, objstore.Range{Off: int64(size) + 1, N: -1})
		wantKind(t, "a range beyond the object", err, fault.Invalid)
	}
	for info, err := range h.Store.List(t.Context(), h.Bucket, "e/") {
		if err != nil || info.Key != fmt.Sprintf("e/%d", info.Size) {
			t.Errorf("listed are %+v, %v", info, err)
		}
	}
	if files, ok := h.Store.(objstore.Filer); ok {
		_, err := files.OpenFile(t.Context(), h.ref("e/1"), "")
		wantKind(t, "the file of an encrypted object", err, fault.Unsupported)
	}
}

// testKeyGone has a key that is disabled make objects unreadable, and nothing else.
func testKeyGone(t *testing.T, h Harness) {
	if h.Key == "" {
		return
	}
	h.encrypt(t, "k", pattern(100))
	h.put(t, "plain", []byte("plain"))
	h.Disable()
	_, err := h.tryGet(t.Context(), "k", objstore.All)
	wantKind(t, "reading without the key", err, fault.Denied)
	wantText(t, err, "s3://"+h.Bucket+"/k")
	w, err := h.Store.Create(t.Context(), h.ref("k2"), objstore.Meta{SSEKMSKeyID: h.Key})
	if err == nil { // a store may tell when it has something to send
		_, _ = io.WriteString(w, "x")
		_, err = w.Commit()
	}
	wantKind(t, "writing without the key", err, fault.Denied)
	if info, err := h.Store.Stat(t.Context(), h.ref("k")); err != nil || info.Size != 100 {
		t.Errorf("Stat without the key: %+v, %v", info, err)
	}
	if got := h.keys(t, ""); len(got) != 2 {
		t.Errorf("listed are %v", got)
	}
	if got := h.get(t, "plain", objstore.All); string(got) != "plain" {
		t.Errorf("the plain object is %q", got)
	}
	if err := h.Store.Delete(t.Context(), h.ref("k")); err != nil {
		t.Errorf("deleting without the key: %v", err)
	}
	if h.Uploads != nil && h.Uploads() > 0 {
		t.Errorf("%d uploads are left", h.Uploads())
	}
}
