package volume

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// ring is a keyring of one key.
type ring struct {
	err     error
	made    []keyring.Secret
	context keyring.Context
}

func (r *ring) Describe(context.Context, keyring.ID) (keyring.Key, error) {
	return keyring.Key{}, errors.New("not asked for")
}

func (r *ring) GenerateDataKey(_ context.Context, id keyring.ID, c keyring.Context) (keyring.DataKey, error) {
	if r.err != nil {
		return keyring.DataKey{}, r.err
	}
	key := keyring.Secret(bytes.Repeat([]byte{0xA7, 0x31}, keyring.DataKeySize/2))
	r.made, r.context = append(r.made, key), c
	return keyring.DataKey{KeyARN: "arn:" + id.Name, Plaintext: key, Wrapped: []byte("wrapped")}, nil
}

func (r *ring) Decrypt(context.Context, keyring.ID, []byte, keyring.Context) (keyring.Secret, error) {
	return nil, errors.New("not asked for")
}

const pattern = "a sentence that must not be found"

// newHost makes a Host whose only kind is one, or skips the test.
func newHost(t *testing.T, name string) (*Host, *ring) {
	t.Helper()
	r := &ring{}
	h := New(Options{Dir: filepath.Join(t.TempDir(), "volumes"), Keys: r, Choice: Auto, MemoryBytes: 8 << 20, Log: slog.New(slog.DiscardHandler)})
	i := slices.IndexFunc(h.kinds, func(k kind) bool { return strings.Contains(k.words(), name) })
	h.kinds = h.kinds[i : i+1]
	if err := h.Check(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := h.Sweep(); err != nil {
			t.Error(err)
		}
	})
	return h, r
}

// kindsHere are words of every kind that Linux may have.
var kindsHere = []string{"gocryptfs", "tmpfs of", "/dev/shm"}

// found reports whether a folder's files, what is mounted in it left out, hold a text.
func found(t *testing.T, dir, text string) bool {
	t.Helper()
	seen := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			mounted, err := isMounted(path)
			if mounted {
				return fs.SkipDir
			}
			return err
		}
		data, err := os.ReadFile(path)
		seen = seen || bytes.Contains(data, []byte(text)) || strings.Contains(path, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// Whatever the kind: what is written can be read, is not found beside the volume,
// and is gone with it, as is the wrapped key.
func TestVolume(t *testing.T) {
	t.Parallel()
	for _, name := range kindsHere {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, r := newHost(t, name)
			v, err := h.Open(t.Context(), "transform-1", keyring.ID{Name: "key"})
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			t.Log(v)
			file := filepath.Join(v.Dir, "folder", pattern)
			if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(strings.Repeat(pattern, 1000)), 0o644); err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), pattern) {
				t.Errorf("read back: %v", err)
			}
			if found(t, h.Dir, pattern) {
				t.Error("the pattern is beside the volume")
			}
			for _, secret := range []string{string(bytes.Repeat([]byte{0xA7, 0x31}, 16)), strings.Repeat("a731", 16)} {
				if found(t, h.Dir, secret) {
					t.Error("the data key is on disk")
				}
			}
			if stored := h.kinds[0].stored(); stored != found(t, h.Dir, `"arn:key"`) {
				t.Errorf("stored is %v, and the wrapped key is not where it says", stored)
			}
			if r.context["sagebrush:volume"] != "transform-1" {
				t.Errorf("the key is bound to %v", r.context)
			}
			if !bytes.Equal(r.made[0], make([]byte, keyring.DataKeySize)) {
				t.Error("the data key was not wiped")
			}
			if info, err := os.Stat(filepath.Join(h.Dir, "transform-1")); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the home has the mode %v, %v", info.Mode(), err)
			}
			for range 2 {
				if err := v.Close(); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Stat(v.Dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after the end: %v", err)
			}
			if left, err := os.ReadDir(h.Dir); err != nil || len(left) > 0 {
				t.Errorf("left are %v, %v", left, err)
			}
		})
	}
}

// What a killed server left is taken away, by Sweep or by an Open of the same name.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	for _, name := range kindsHere {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := newHost(t, name)
			for _, name := range []string{"one", "two"} {
				v, err := h.Open(t.Context(), name, keyring.ID{Name: "key"})
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(v.Dir, "file"), []byte(pattern), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			again := &Host{Options: h.Options, kinds: h.kinds}
			v, err := again.Open(t.Context(), "one", keyring.ID{Name: "key"})
			if err != nil {
				t.Fatal(err)
			}
			if files, err := os.ReadDir(v.Dir); err != nil || len(files) > 0 {
				t.Errorf("a new volume holds %v, %v", files, err)
			}
			if err := again.Sweep(); err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(h.Dir); err != nil || len(left) > 0 {
				t.Errorf("left are %v, %v", left, err)
			}
			if _, err := os.Stat(sharedRoot(h.Dir)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("in shared memory: %v", err)
			}
		})
	}
}

// What the key service refuses is the error, and nothing is made.
func TestKeyThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	h, r := newHost(t, "/dev/shm")
	r.err = keyring.Key{ARN: "arn:key", State: keyring.Disabled}.Usable()
	_, err := h.Open(t.Context(), "one", keyring.ID{Name: "key"})
	if !fault.Is(err, fault.Unusable) || fault.TextOf(err) != "DisabledException: arn:key is disabled." {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(h.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}

// cannot is a kind that fails.
type cannot struct{ possibly, mounting error }

func (c cannot) possible() error { return c.possibly }
func (c cannot) stored() bool    { return true }
func (c cannot) words() string   { return "nowhere" }
func (c cannot) mount(context.Context, string, keyring.Secret) (string, error) {
	return "", c.mounting
}

// The best kind that works is taken, and the volume says why it is no better one;
// where none works, all reasons are the error and nothing is left.
func TestChoiceOfKinds(t *testing.T) {
	t.Parallel()
	h, _ := newHost(t, "/dev/shm")
	works := h.kinds[0]
	bad := []kind{cannot{possibly: errors.New("it is not installed")}, cannot{mounting: errors.New("it failed")}}
	h.kinds = append(slices.Clone(bad), works)
	v, err := h.Open(t.Context(), "one", keyring.ID{Name: "key"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "Models and data are in memory only (a folder of at most 8 MB in /dev/shm), since it is not installed; it failed. The key is arn:key."; v.String() != want {
		t.Errorf("it says %q", v)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	h.kinds = bad
	_, err = h.Open(t.Context(), "one", keyring.ID{Name: "key"})
	if !fault.Is(err, fault.Unsupported) || !strings.HasSuffix(fault.TextOf(err), "it is not installed; it failed.") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(h.Dir); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	h.kinds = bad[:1]
	if err := h.Check(); !fault.Is(err, fault.Unsupported) || fault.TextOf(err) != "This server cannot make encrypted volumes: it is not installed." {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"", "../x", "a/b", "A", strings.Repeat("a", 128)} {
		if _, err := h.Open(t.Context(), name, keyring.ID{}); !fault.Is(err, fault.Internal) {
			t.Errorf("the name %q: %v", name, err)
		}
	}
}

// Memory is bounded: by the kernel, or by the guard who says when it is too much.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	much := make([]byte, 9<<20)
	t.Run("tmpfs", func(t *testing.T) {
		t.Parallel()
		h, _ := newHost(t, "tmpfs of")
		v, err := h.Open(t.Context(), "one", keyring.ID{Name: "key"})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if err := os.WriteFile(filepath.Join(v.Dir, "file"), much, 0o600); err == nil || v.Over() != nil {
			t.Errorf("9 MB of 8 were written: %v", err)
		}
	})
	t.Run("/dev/shm", func(t *testing.T) {
		t.Parallel()
		h, _ := newHost(t, "/dev/shm")
		v, err := h.Open(t.Context(), "one", keyring.ID{Name: "key"})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if err := os.WriteFile(filepath.Join(v.Dir, "file"), much, 0o600); err != nil {
			t.Fatal(err)
		}
		<-v.Over()
	})
}

func TestSwaps(t *testing.T) {
	t.Parallel()
	head := "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	for text, want := range map[string]string{
		"": "", head: "",
		head + "/dev/zram0                              partition\t8388604\t\t0\t\t100\n":                                                                     "",
		head + "/dev/zram0                              partition\t8388604\t\t0\t\t100\n/swapfile                               file\t\t2097148\t\t0\t\t-2\n": "/swapfile",
		head + "/dev/sda2\tpartition\n": "/dev/sda2",
	} {
		if got := swapIn(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestUnescape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{`/a\040b\134c`: `/a b\c`, "/a": "/a", `\04`: `\04`} {
		if got := unescape(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
