package artefact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// entry is one header and body of an archive under test.
type entry struct {
	name string
	kind byte // 0 is a file, or a folder when the name ends in a slash
	mode int64
	body string
	link string
	pax  map[string]string
}

func (e entry) header() *tar.Header {
	h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.body)), Linkname: e.link, PAXRecords: e.pax}
	if e.kind == 0 {
		h.Typeflag = tar.TypeReg
		if strings.HasSuffix(e.name, "/") {
			h.Typeflag = tar.TypeDir
		}
	}
	if e.kind == tar.TypeXGlobalHeader {
		return &tar.Header{Typeflag: e.kind, PAXRecords: e.pax}
	}
	if e.mode == 0 {
		h.Mode = 0o600
	}
	return h
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(e.header()); err != nil {
			t.Fatalf("header %q: %v", e.name, err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func archive(t testing.TB, entries ...entry) []byte { return gz(t, tarOf(t, entries...)) }

// tree lists what lies below dir: mode, then content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += " " + string(b)
		}
		rel, _ := filepath.Rel(dir, p)
		got[rel] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestUnpack proves CC-10 and CC-13: what is at the root of the archive is at
// the root of the folder, whatever the archive's modes are.
func TestUnpack(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		entries []entry
		want    map[string]string
	}{
		{"empty archive", nil, map[string]string{}},
		{"files at the root", []entry{{name: "model.bin", body: "m"}, {name: "b", body: ""}},
			map[string]string{"model.bin": "-rw-r--r-- m", "b": "-rw-r--r-- "}},
		{"leading dot and root folder", []entry{{name: "./"}, {name: "./code/"}, {name: "./code/inference.py", body: "x"}},
			map[string]string{"code": "drwxr-xr-x", "code/inference.py": "-rw-r--r-- x"}},
		{"implied folders", []entry{{name: "1/variables/data", body: "v"}},
			map[string]string{"1": "drwxr-xr-x", "1/variables": "drwxr-xr-x", "1/variables/data": "-rw-r--r-- v"}},
		{"modes are normalised", []entry{{name: "d/", mode: 0o1000}, {name: "d/run", mode: 0o6711, body: "#!"}, {name: "d/open", mode: 0o666, body: "o"}},
			map[string]string{"d": "drwxr-xr-x", "d/run": "-rwxr-xr-x #!", "d/open": "-rw-r--r-- o"}},
		{"the last of two files wins", []entry{{name: "a", mode: 0o755, body: "long first"}, {name: "./a", body: "2"}},
			map[string]string{"a": "-rw-r--r-- 2"}},
		{"a folder twice", []entry{{name: "d/"}, {name: "d/x", body: "x"}, {name: "d/"}, {name: "e/"}, {name: "d/y", body: "y"}},
			map[string]string{"d": "drwxr-xr-x", "d/x": "-rw-r--r-- x", "d/y": "-rw-r--r-- y", "e": "drwxr-xr-x"}},
		{"pax global headers are ignored", []entry{
			{kind: tar.TypeXGlobalHeader, pax: map[string]string{"comment": "c"}}, {name: "a", body: "a"}},
			map[string]string{"a": "-rw-r--r-- a"}},
		{"odd but harmless names", []entry{{name: "..a/b..", body: "1"}, {name: "x//y", body: "2"}, {name: "ü \n", body: "3"}},
			map[string]string{"..a": "drwxr-xr-x", "..a/b..": "-rw-r--r-- 1", "x": "drwxr-xr-x", "x/y": "-rw-r--r-- 2", "ü \n": "-rw-r--r-- 3"}},
		{"longest element", []entry{{name: strings.Repeat("n", 255), body: "1"}},
			map[string]string{strings.Repeat("n", 255): "-rw-r--r-- 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			packed := archive(t, tt.entries...)
			stats, err := Unpack(context.Background(), iotest.OneByteReader(bytes.NewReader(packed)), dir, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tree(t, dir)); diff != "" {
				t.Errorf("unpacked (-want +got):\n%s", diff)
			}
			if stats.ArchiveBytes != int64(len(packed)) {
				t.Errorf("ArchiveBytes = %d, want %d", stats.ArchiveBytes, len(packed))
			}
		})
	}
}

func TestUnpackStats(t *testing.T) {
	t.Parallel()
	got, err := Unpack(context.Background(), bytes.NewReader(archive(t,
		entry{name: "a/b/c", body: "12345"}, entry{name: "d", body: "678"})), t.TempDir(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got.ArchiveBytes = 0
	if want := (Stats{Files: 2, Dirs: 2, Bytes: 8}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestUnpackMembers shows that gzip members follow one another, cut anywhere.
func TestUnpackMembers(t *testing.T) {
	t.Parallel()
	plain := tarOf(t, entry{name: "a", body: strings.Repeat("a", 3000)}, entry{name: "b", body: "b"})
	packed := append(gz(t, plain[:700]), gz(t, nil)...)
	packed = append(packed, gz(t, plain[700:])...)
	dir := t.TempDir()
	if _, err := Unpack(context.Background(), bytes.NewReader(packed), dir, Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, dir); len(got) != 2 || got["b"] != "-rw-r--r-- b" {
		t.Errorf("unpacked %v", got)
	}
}

// TestUnpackRefuses holds one attack a line; CC-12 is the links.
func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("p/", 40)
	tests := []struct {
		name    string
		entries []entry
		limits  Limits
		want    string
	}{
		{"absolute", []entry{{name: "/etc/passwd", body: "x"}}, Limits{}, "absolute path"},
		{"absolute folder", []entry{{name: "/"}}, Limits{}, "absolute path"},
		{"dot dot", []entry{{name: "../x", body: "x"}}, Limits{}, `".."`},
		{"dot dot inside", []entry{{name: "a/../../x", body: "x"}}, Limits{}, `".."`},
		{"dot dot that stays", []entry{{name: "a/../x", body: "x"}}, Limits{}, `".."`},
		{"dot dot folder", []entry{{name: "../"}}, Limits{}, `".."`},
		{"symbolic link", []entry{{name: "l", kind: tar.TypeSymlink, link: "model"}}, Limits{}, "symbolic link"},
		{"file through a link", []entry{{name: "l", kind: tar.TypeSymlink, link: "/tmp"}, {name: "l/x", body: "x"}}, Limits{}, "symbolic link"},
		{"hard link", []entry{{name: "a"}, {name: "h", kind: tar.TypeLink, link: "a"}}, Limits{}, "hard link"},
		{"character device", []entry{{name: "d", kind: tar.TypeChar}}, Limits{}, "is a device"},
		{"block device", []entry{{name: "d", kind: tar.TypeBlock}}, Limits{}, "is a device"},
		{"named pipe", []entry{{name: "f", kind: tar.TypeFifo}}, Limits{}, "named pipe"},
		{"unknown type", []entry{{name: "u", kind: 'Z'}}, Limits{}, "neither a file nor a folder"},
		{"file, then folder", []entry{{name: "a", body: "x"}, {name: "a/"}}, Limits{}, `folder "a", which is a file`},
		{"folder, then file", []entry{{name: "a/"}, {name: "a", body: "x"}}, Limits{}, "is a file here and a folder elsewhere"},
		{"implied folder, then file", []entry{{name: "a/b", body: "x"}, {name: "a", body: "x"}}, Limits{}, "is a file here and a folder elsewhere"},
		{"file, then file below", []entry{{name: "a", body: "x"}, {name: "a/b", body: "x"}}, Limits{}, `folder "a", which is a file`},
		{"file, then file far below", []entry{{name: "a", body: "x"}, {name: "a/b/c/d", body: "x"}}, Limits{}, "below a path that is a file"},
		{"file named dot", []entry{{name: ".", body: "x"}}, Limits{}, "file without a name"},
		{"long element", []entry{{name: "d/" + strings.Repeat("n", 256), body: "x"}}, Limits{}, "path element of 256 bytes"},
		{"long path", []entry{{name: strings.Repeat(strings.Repeat("n", 99)+"/", 40) + "x"}}, Limits{}, "path of 4001 bytes"},
		{"deep path", []entry{{name: long + long + long + "x"}}, Limits{}, "lies 121 folders deep"},
		{"too many entries", []entry{{name: "a"}, {name: "b"}, {name: "c"}}, Limits{Entries: 2}, "more than 2 files and folders"},
		{"too many implied folders", []entry{{name: "a/b/c/d"}}, Limits{Entries: 2}, "more than 2 files and folders"},
		{"too many duplicates", []entry{{name: "d/"}, {name: "d/"}, {name: "d/"}, {name: "d/"}, {name: "d/"}}, Limits{Entries: 2}, "more than 2 files and folders"},
		{"too many files of one name", []entry{{name: "d"}, {name: "d"}, {name: "d"}}, Limits{Entries: 2}, "more than 2 files and folders"},
		{"one large file", []entry{{name: "a", body: "1234567890"}}, Limits{FileBytes: 9}, "file of 10 bytes; the limit for one file is 9"},
		{"too large together", []entry{{name: "a", body: noise(5000)}, {name: "b", body: noise(5000)}}, Limits{Bytes: 8000}, "more than 8000 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			outer := t.TempDir()
			dir := filepath.Join(outer, "model")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			_, err := Unpack(context.Background(), bytes.NewReader(archive(t, tt.entries...)), dir, tt.limits)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.TextOf(err), tt.want) {
				t.Fatalf("error %v (%v), want one that says %q", err, fault.KindOf(err), tt.want)
			}
			if !strings.Contains(fault.TextOf(err), "entry") {
				t.Errorf("error %v does not name the entry", err)
			}
			if left, _ := os.ReadDir(outer); len(left) != 1 {
				t.Errorf("something was written beside the folder: %v", left)
			}
		})
	}
}

// TestUnpackNUL writes the name by hand: the tar package refuses to.
func TestUnpackNUL(t *testing.T) {
	t.Parallel()
	u := &unpacker{entry: "a\x00b"}
	if _, err := u.cleanName("a\x00b"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "NUL") {
		t.Errorf("error %v", err)
	}
}

// TestUnpackRatio feeds a bomb: a large file of zeros from almost nothing.
func TestUnpackRatio(t *testing.T) {
	t.Parallel()
	packed := archive(t, entry{name: "bomb", body: strings.Repeat("\x00", 4<<20)})
	if _, err := Unpack(context.Background(), bytes.NewReader(packed), t.TempDir(), Limits{Ratio: 100}); err != nil {
		t.Errorf("below the floor: %v", err)
	}
	_, err := Unpack(context.Background(), bytes.NewReader(packed), t.TempDir(), Limits{Ratio: 100, RatioFloor: 1 << 20})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), `"bomb" makes the archive unpack to more than 100 times its size`) {
		t.Errorf("above the floor: %v", err)
	}
}

// TestUnpackTrailingBomb hides the growth behind the end of the tar.
func TestUnpackTrailingBomb(t *testing.T) {
	t.Parallel()
	packed := gz(t, append(tarOf(t, entry{name: "a"}), make([]byte, 100_000)...))
	_, err := Unpack(context.Background(), bytes.NewReader(packed), t.TempDir(), Limits{Bytes: 50_000})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "its end makes the archive unpack to more than 50000 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestUnpackOtherFormats(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, content, want string }{
		{"nothing", "", "is empty"},
		{"one byte", "\x1f", "unknown format"},
		{"zip", "PK\x03\x04 and so on", "a zip file"},
		{"plain tar", string(tarOf(t, entry{name: "a"})), "a tar that is not compressed"},
		{"zstd", "\x28\xb5\x2f\xfd....", "zstd-compressed"},
		{"text", "hello, this is a model", "unknown format"},
		{"gzip of text", string(gz(t, []byte(strings.Repeat("a,b,c\n", 500)))), "is gzip but holds no tar"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Unpack(context.Background(), strings.NewReader(tt.content), t.TempDir(), Limits{})
			if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.TextOf(err), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
}

// noise is text that hardly compresses, so that a cut hits a body.
func noise(n int) string {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return string(b)
}

func TestUnpackDamaged(t *testing.T) {
	t.Parallel()
	whole := archive(t, entry{name: "first", body: "1"}, entry{name: "weights", body: noise(50_000)}, entry{name: "last", body: "3"})
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-6] ^= 1 // in the CRC
	plain := tarOf(t, entry{name: "first", body: "1"}, entry{name: "weights", body: noise(50_000)})
	tests := []struct {
		name    string
		content []byte
		want    []string
	}{
		{"header only", whole[:5], []string{"cut off before its first entry"}},
		{"in a body", whole[:30_000], []string{"cut off", `"weights"`, "near byte 30000 of the archive"}},
		{"before the checksum", whole[:len(whole)-8], []string{"cut off after its last entry"}},
		{"wrong checksum", flipped, []string{"damaged after its last entry"}},
		{"garbage after the end", append(bytes.Clone(whole), "garbage beyond"...), []string{"damaged after its last entry"}},
		{"tar cut in a body", gz(t, plain[:10_000]), []string{"cut off", `"weights"`, "byte 10000 unpacked"}},
		{"tar cut in a header", gz(t, plain[:1_200]), []string{"cut off", `"first"`}},
		{"deflate damaged", append(bytes.Clone(whole[:20_000]), make([]byte, 30_000)...), []string{`"weights"`, "upload it again"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Unpack(context.Background(), bytes.NewReader(tt.content), t.TempDir(), Limits{})
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("error %v, want an invalid archive", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(fault.TextOf(err), want) {
					t.Errorf("text %q does not say %q", fault.TextOf(err), want)
				}
			}
		})
	}
}

// TestUnpackSource shows that a broken connection is not a broken archive.
func TestUnpackSource(t *testing.T) {
	t.Parallel()
	whole := archive(t, entry{name: "weights", body: noise(400_000)})
	broken := errors.New("connection reset")
	for _, cut := range []int{0, 1, 5, 300_000} {
		r := io.MultiReader(bytes.NewReader(whole[:cut]), iotest.ErrReader(broken))
		_, err := Unpack(context.Background(), r, t.TempDir(), Limits{})
		if !errors.Is(err, broken) || !fault.Is(err, fault.Unavailable) {
			t.Errorf("cut at %d: error %v", cut, err)
		}
	}
	denied := fault.New(fault.Denied, "no")
	_, err := Unpack(context.Background(), iotest.ErrReader(denied), t.TempDir(), Limits{})
	if !fault.Is(err, fault.Denied) {
		t.Errorf("the source's kind is lost: %v", err)
	}
}

func TestUnpackCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	whole := archive(t, entry{name: "weights", body: noise(2_000_000)})
	head := readerFunc(func(p []byte) (int, error) { cancel(); return 0, nil })
	r := io.MultiReader(bytes.NewReader(whole[:400_000]), io.LimitReader(head, 1))
	_, err := Unpack(ctx, r, t.TempDir(), Limits{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestUnpackFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Unpack(context.Background(), bytes.NewReader(archive(t)), filepath.Join(dir, "none"), Limits{}); !fault.Is(err, fault.Internal) {
		t.Errorf("missing folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(context.Background(), bytes.NewReader(archive(t)), dir, Limits{}); !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("full folder: %v", err)
	}
}

// TestUnpackRace plants a link in the folder while the archive is unpacked: the
// files must not follow it out.
func TestUnpackRace(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	whole := archive(t, entry{name: "first", body: noise(600_000)}, entry{name: "code/x", body: "x"})
	planted := false
	plant := readerFunc(func([]byte) (int, error) {
		if !planted {
			planted = true
			if err := os.Symlink(outside, filepath.Join(dir, "code")); err != nil {
				t.Error(err)
			}
		}
		return 0, io.EOF
	})
	r := io.MultiReader(bytes.NewReader(whole[:550_000]), plant, bytes.NewReader(whole[550_000:]))
	if _, err := Unpack(context.Background(), r, dir, Limits{}); err == nil {
		t.Error("no error for a folder that is a link")
	}
	if left, _ := os.ReadDir(outside); len(left) != 0 {
		t.Errorf("written outside: %v", left)
	}
}

// FuzzUnpack is best run with -fuzzminimizetime 5x: gzip makes the coverage of
// equal inputs differ, and the minimizer would take all the time.
func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(f, entry{name: "a/b", body: "x"}, entry{name: "c/", mode: 0o7777}), true)
	f.Add(tarOf(f, entry{name: "../a"}, entry{name: "l", kind: tar.TypeSymlink, link: "/etc"}), true)
	f.Add(tarOf(f, entry{name: strings.Repeat("n", 300), body: "long"}), true)
	f.Add(archive(f, entry{name: "a/b", body: "x"}), false)
	f.Fuzz(func(t *testing.T, content []byte, compress bool) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "model")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if compress {
			content = gz(t, content)
		}
		limits := Limits{Bytes: 1 << 20, Entries: 200}
		stats, err := Unpack(context.Background(), bytes.NewReader(content), dir, limits)
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Fatalf("an archive must never be more than invalid: %v", err)
		}
		if stats.Bytes > limits.Bytes || stats.Files+stats.Dirs > limits.Entries+1 {
			t.Fatalf("limits passed: %+v", stats)
		}
		if left, _ := os.ReadDir(outer); len(left) != 1 {
			t.Fatalf("written outside: %v", left)
		}
		for name, text := range tree(t, dir) {
			if !strings.HasPrefix(text, "-rw-r--r-- ") && !strings.HasPrefix(text, "-rwxr-xr-x ") && text != "drwxr-xr-x" {
				t.Fatalf("%q is %s", name, text)
			}
		}
	})
}

func BenchmarkUnpack(b *testing.B) {
	packed := archive(b, entry{name: "weights", body: noise(32 << 20)})
	b.SetBytes(32 << 20)
	for b.Loop() {
		if _, err := Unpack(context.Background(), bytes.NewReader(packed), b.TempDir(), Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnpackSmallFiles(b *testing.B) {
	entries := make([]entry, 2000)
	for i := range entries {
		entries[i] = entry{name: "d/" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + "/" + string(rune('a'+i/100)) + noiseName(i), body: "small"}
	}
	packed := archive(b, entries...)
	for b.Loop() {
		if _, err := Unpack(context.Background(), bytes.NewReader(packed), b.TempDir(), Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func noiseName(i int) string {
	return strings.ToLower(string([]byte{byte('A' + i%26), byte('A' + i/26%26), byte('A' + i/676%26)}))
}

func TestDiskErrors(t *testing.T) {
	t.Parallel()
	u := &unpacker{entry: "weights", stats: Stats{Bytes: 77}}
	tests := []struct {
		cause error
		kind  fault.Kind
		want  string
	}{
		{syscall.ENOSPC, fault.Internal, `full: 77 bytes were unpacked when entry "weights"`},
		{syscall.EDQUOT, fault.Internal, "full"},
		{syscall.EILSEQ, fault.Invalid, `cannot hold the name of entry "weights"`},
		{syscall.EIO, fault.Internal, `entry "weights" of the model archive cannot be written`},
	}
	for _, tt := range tests {
		err := u.disk(&fs.PathError{Op: "write", Path: "/private/path", Err: tt.cause})
		if !fault.Is(err, tt.kind) || !strings.Contains(fault.TextOf(err), tt.want) || !errors.Is(err, tt.cause) {
			t.Errorf("%v became %v", tt.cause, err)
		}
		if strings.Contains(fault.TextOf(err), "private") {
			t.Errorf("the text shows a path of the host: %s", fault.TextOf(err))
		}
	}
}
