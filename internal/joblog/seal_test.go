package joblog

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/keyringtest"
)

// sealed makes a Dir with a keyring of one key.
func sealed(t testing.TB, limits Limits) (*Dir, *keyringtest.Ring, keyring.Key) {
	r := keyringtest.NewRing()
	d := dir(t, limits)
	d.Keys = r
	return d, r, r.Make()
}

func createSealed(t testing.TB, d *Dir, stream string, k keyring.Key) *Stream {
	t.Helper()
	s, err := d.CreateSealed(t.Context(), job, stream, keyring.ID{Region: "us-east-1", Name: k.ID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// onDisk reports whether the files of a Dir hold a text.
func onDisk(t testing.TB, d *Dir, text string) (seen bool) {
	t.Helper()
	err := filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		seen = seen || bytes.Contains(data, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// A sealed stream reads as any other and holds nothing that can be read beside it,
// also where it goes on under another server.
func TestSealedStream(t *testing.T) {
	t.Parallel()
	d, r, k := sealed(t, Limits{})
	s := createSealed(t, d, "i-1", k)
	s.Line("the first secret line")
	s.Line("")
	s.Write([]byte("\x01AAAA\x02\nno end"))
	s.Close()
	again := New(d.root, Limits{}, fixed)
	again.Keys = r
	s = createSealed(t, again, "i-1", r.Make()) // goes on with the key that it has
	s.Line("the last secret line")
	s.Close()
	want := []string{"the first secret line", "", "\uFFFDAAAA\uFFFD", "no end", "the last secret line"}
	if got := texts(read(t, again, job.Group, Range{}, "Nightly/i-1")); !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	last, err := again.Tail(job.Group, "Nightly/i-1", Range{}, 2, 1<<20)
	if err != nil || !slices.Equal(texts(last), want[3:]) {
		t.Errorf("the last lines are %q, %v", texts(last), err)
	}
	if first, end, ok, err := again.Bounds(job.Group, "Nightly/i-1"); !ok || err != nil || end <= first || first != At(fixed()) {
		t.Errorf("it goes from %v to %v, %v, %v", first, end, ok, err)
	}
	if onDisk(t, d, "secret line") || onDisk(t, d, "no end") {
		t.Error("a line is on disk as it was printed")
	}
	plain := create(t, d, job, "i-2")
	plain.Line("secret line")
	if plain.Close(); !onDisk(t, d, "secret line") {
		t.Error("what is not sealed is not found, so that the test shows nothing")
	}
}

// Without the key there are lines that say why, and streams are not begun.
func TestSealedStreamWithoutKey(t *testing.T) {
	t.Parallel()
	d, r, k := sealed(t, Limits{})
	s := createSealed(t, d, "i-1", k)
	s.Line("one")
	s.Close()
	r.Set(k.ID, keyring.Disabled)
	want := "(this line is encrypted and cannot be read: DisabledException: " + k.ARN + " is disabled.)"
	if got := texts(read(t, d, job.Group, Range{}, "Nightly/i-1")); !slices.Equal(got, []string{want}) {
		t.Errorf("lines %q", got)
	}
	for _, stream := range []string{"i-1", "i-2"} {
		if _, err := d.CreateSealed(t.Context(), job, stream, keyring.ID{Name: k.ID}); !fault.Is(err, fault.Unusable) {
			t.Errorf("%s: %v", stream, err)
		}
	}
	r.Set(k.ID, keyring.Enabled)
	if got := texts(read(t, d, job.Group, Range{}, "Nightly/i-1")); !slices.Equal(got, []string{"one"}) {
		t.Errorf("lines %q", got)
	}
	d.Keys = nil
	if got := texts(read(t, d, job.Group, Range{}, "Nightly/i-1")); len(got) != 1 || strings.Contains(got[0], "one") {
		t.Errorf("lines %q", got)
	}
	if _, err := d.CreateSealed(t.Context(), job, "i-1", keyring.ID{Name: k.ID}); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

// Lines are found in files that were put aside, however the stream is read, and
// what was printed before it was sealed stays beside.
func TestSealedStreamRotates(t *testing.T) {
	t.Parallel()
	d, _, k := sealed(t, Limits{Stream: 1 << 30})
	before := create(t, d, job, "i-1")
	before.Line("before")
	before.Close()
	s := createSealed(t, d, "i-1", k)
	want := []string{"before"}
	for i := range 500 {
		line := fmt.Sprintf("%d %s", i, strings.Repeat("x", lineBytes/2))
		s.Line(line)
		want = append(want, line)
	}
	s.Write([]byte("\xff" + strings.Repeat("é\xff", lineBytes/3) + "\n"))
	want = append(want, "\uFFFD"+strings.Repeat("é\uFFFD", lineBytes/3))
	if files := segments(s.path); len(files) < 2 {
		t.Fatalf("only the files %v", files)
	}
	if got := texts(read(t, d, job.Group, Range{}, "Nightly/i-1")); !slices.Equal(got, want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
	last, err := d.Tail(job.Group, "Nightly/i-1", Range{}, len(want), 1<<30)
	if err != nil || !slices.Equal(texts(last), want) {
		t.Errorf("backward %d lines, want %d: %v", len(last), len(want), err)
	}
	if onDisk(t, d, strings.Repeat("x", 100)) {
		t.Error("a line is on disk as it was printed")
	}
}

// A line that was changed or moved is not shown.
func TestSealedLineIsBound(t *testing.T) {
	t.Parallel()
	d, _, k := sealed(t, Limits{})
	s := createSealed(t, d, "i-1", k)
	s.Line("one")
	s.Line("two")
	path := s.path
	s.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")
	n := len(stampLayout)
	lines[1], lines[2] = lines[1][:n]+lines[2][n:], lines[2][:n]+lines[1][n:]
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, l := range read(t, d, job.Group, Range{}, "Nightly/i-1") {
		if l.Text != "(this line is encrypted and cannot be read: it was changed)" {
			t.Errorf("shown is %q", l.Text)
		}
	}
}

// Whatever stands in a file, reading it does not fail.
func FuzzKey(f *testing.F) {
	f.Add([]byte("\x02e30=\n2026-11-24T07:30:00.123456Z \x01AAAA\n"))
	f.Add([]byte("\x02\n2026-11-24T07:30:00.123456Z \x01\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := opener{keys: keyringtest.NewRing(), f: bytes.NewReader(data)}
		if text := o.text(0, []byte("\x01AAAA")); !strings.HasPrefix(text, "(this line") {
			t.Errorf("it is read as %q", text)
		}
	})
}
