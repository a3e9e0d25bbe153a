package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

func TestObjectPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key    string
		beside bool
		want   string
	}{
		{"a.csv", false, "a.csv"},
		{"in/a.csv", false, "in/a.csv"},
		{"50%/a", false, "50%/a"},
		{"a", true, "%=a"},
		{"in/a", true, "in/%=a"},
		{"a/", false, "a/%~"},
		{"a//b", false, "a/%~/b"},
		{"../x", false, "%~../x"},
		{".", false, "%~."},
		{"%~x", false, "%~%25~x"},
		{"%=x", true, "%=%25=x"},
		{"a\x00b", false, "%~a%00b"},
		{strings.Repeat("n", 255), false, strings.Repeat("n", 255)},
		{strings.Repeat("n", 256), false, "%+" + strings.Repeat("n", 253) + "/%~nnn"},
		{strings.Repeat("n", 255), true, "%+" + strings.Repeat("n", 253) + "/%=nn"},
	} {
		if got := objectPath(c.key, c.beside); got != c.want {
			t.Errorf("objectPath(%q, %v) = %q, want %q", c.key, c.beside, got, c.want)
		}
	}
}

// FuzzSegment checks that every segment has one place and every place gives
// its segment back.
func FuzzSegment(f *testing.F) {
	for _, seg := range []string{"", "a", "..", "%~", "%", "a\x00", strings.Repeat("é", 300), strings.Repeat("%", 700), strings.Repeat("x", 254) + "é", strings.Repeat("\x80", 600)} {
		f.Add(seg)
	}
	f.Fuzz(func(t *testing.T, seg string) {
		if strings.Contains(seg, "/") || len(seg) > MaxKey {
			t.Skip()
		}
		for _, beside := range []bool{false, true} {
			p := segmentPath(seg, beside)
			if !fs.ValidPath(p) && strings.ToValidUTF8(p, "") == p || path.Clean(p) != p {
				t.Fatalf("%q is no path", p)
			}
			names := strings.Split(p, "/")
			joined := ""
			for i, name := range names {
				if len(name) > maxName || name == "" || strings.IndexByte(name, 0) >= 0 {
					t.Fatalf("%q is no file name", name)
				}
				mark, rest := markOf(name)
				if i < len(names)-1 && mark != markContinue || i == len(names)-1 && mark == markContinue {
					t.Fatalf("%q has wrong marks", p)
				}
				joined += rest
			}
			if mark, _ := markOf(names[len(names)-1]); mark != "" {
				var ok bool
				if joined, ok = unescape(joined); !ok {
					t.Fatalf("%q does not decode", p)
				}
			}
			if joined != seg {
				t.Fatalf("%q became %q and came back as %q", seg, p, joined)
			}
		}
	})
}

func TestFailed(t *testing.T) {
	t.Parallel()
	ref := objstore.Ref{Bucket: "bucket", Key: "k"}
	for _, c := range []struct {
		err  error
		kind fault.Kind
		text string
	}{
		{syscall.ENOSPC, fault.Unavailable, "disk full"},
		{syscall.EDQUOT, fault.Unavailable, "disk full"},
		{syscall.EIO, fault.Unavailable, "I/O error"},
		{syscall.EACCES, fault.Denied, "permissions"},
		{syscall.ENOENT, fault.NotFound, "does not exist"},
		{syscall.EINVAL, fault.Internal, "file system"},
	} {
		err := failed(ref, "writing", &fs.PathError{Op: "write", Path: "/secret/place", Err: c.err})
		text := fault.TextOf(err)
		if fault.KindOf(err) != c.kind || !strings.Contains(text, c.text) || !strings.Contains(text, ref.String()) {
			t.Errorf("%v gave %v %q", c.err, fault.KindOf(err), text)
		}
		if strings.Contains(text, "/secret") || !errors.Is(err, c.err) {
			t.Errorf("%v: the text must not show paths and the cause must stay: %q", c.err, text)
		}
	}
}

// FuzzRecord feeds what may lie in an attribute that others can write.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("etag 1 2\n{}"))
	f.Add([]byte("etag 1 2 sealed\n{}"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, rec []byte) {
		fi := fakeInfo{size: 1}
		if etag, _, _, ok := decodeRecord(rec, fi); ok && !strings.HasPrefix(string(rec), fmt.Sprintf("%s 1 ", etag)) {
			t.Errorf("%q gave the ETag %q", rec, etag)
		}
	})
}

type fakeInfo struct {
	fs.FileInfo
	size int64
}

func (f fakeInfo) Size() int64        { return f.size }
func (f fakeInfo) ModTime() time.Time { return time.Unix(0, 2) }
