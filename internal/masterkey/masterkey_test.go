package masterkey

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

func open(t *testing.T, s Source, former ...Source) *Ring {
	t.Helper()
	r, err := Open(s, former...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func value(b byte) Source {
	return Source{Value: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, Size))}
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	r := open(t, value(1))
	for _, secret := range [][]byte{nil, []byte("s"), bytes.Repeat([]byte("long"), 1000)} {
		sealed := r.Seal(secret, "a/1")
		if len(sealed) != len(secret)+Overhead {
			t.Errorf("%d bytes became %d", len(secret), len(sealed))
		}
		got, err := r.Open(sealed, "a/1")
		if err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%q, %v", got, err)
		}
		if again := r.Seal(secret, "a/1"); bytes.Equal(again, sealed) {
			t.Error("two seals are the same")
		}
		if _, err := r.Open(sealed, "a/2"); !fault.Is(err, fault.Internal) {
			t.Errorf("for another purpose: %v", err)
		}
		for i := range sealed {
			changed := bytes.Clone(sealed)
			changed[i] ^= 0x40
			if _, err := r.Open(changed, "a/1"); err == nil {
				t.Fatalf("byte %d is not authenticated", i)
			}
			if _, err := r.Open(sealed[:i], "a/1"); err == nil {
				t.Fatalf("the first %d bytes were opened", i)
			}
		}
	}
}

// What another key sealed is refused with the ids of both; a ring of both opens it.
func TestKeysDiffer(t *testing.T) {
	t.Parallel()
	a, b := open(t, value(1)), open(t, value(2))
	sealed := a.Seal([]byte("secret"), "p")
	_, err := b.Open(sealed, "p")
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), a.String()) || !strings.Contains(err.Error(), b.String()) {
		t.Errorf("%v names not both keys", err)
	}
	both := open(t, value(2), value(1))
	if got, err := both.Open(sealed, "p"); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if both.Current(sealed) || !a.Current(sealed) || !both.Current(both.Seal(nil, "")) || both.Current(nil) {
		t.Error("Current is wrong")
	}
	if !both.Changing() || a.Changing() || open(t, value(1), value(1)).Changing() {
		t.Error("Changing is wrong")
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "master.key")
	r := open(t, Source{File: file})
	sealed := r.Seal([]byte("secret"), "p")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if got, err := open(t, Source{File: file}).Open(sealed, "p"); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	// Rotated, both open; forgotten, only the new one does.
	if err := Rotate(file); err != nil {
		t.Fatal(err)
	}
	r = open(t, Source{File: file})
	if got, err := r.Open(sealed, "p"); err != nil || string(got) != "secret" || r.Current(sealed) || !r.Changing() {
		t.Errorf("%q, %v", got, err)
	}
	renewed := r.Seal([]byte("secret"), "p")
	if err := Forget(file); err != nil {
		t.Fatal(err)
	}
	r = open(t, Source{File: file})
	if _, err := r.Open(sealed, "p"); err == nil {
		t.Error("a forgotten key opened")
	}
	if _, err := r.Open(renewed, "p"); err != nil || r.Changing() {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".new-*")); len(left) > 0 {
		t.Errorf("%s is left", left)
	}
}

func TestFileIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := value(7).Value
	for name, tt := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"readable": {good, 0o640, "chmod 600"},
		"empty":    {" \n", 0o600, "is empty"},
		"short":    {base64.StdEncoding.EncodeToString([]byte("short")), 0o600, "32 bytes in base64"},
		"garbage":  {good + "\n" + good[:20] + "!", 0o600, "32 bytes in base64"},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(tt.text), tt.mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Source{File: file})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.TextOf(err), tt.want) || !strings.Contains(fault.TextOf(err), file) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(fmt.Sprintf("%v %+v", err, err), good[:12]) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
	if _, err := Open(Source{File: filepath.Join(dir, "no", "such", "folder")}); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	if err := Rotate(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there was rotated")
	}
	if _, err := Open(Source{Value: "AAAA"}); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "AAAA") {
		t.Error(err)
	}
}

func TestPassphrase(t *testing.T) {
	t.Parallel()
	salt := filepath.Join(t.TempDir(), "master.salt")
	s := Source{Passphrase: "correct horse battery", Salt: salt}
	sealed := open(t, s).Seal([]byte("secret"), "p")
	if got, err := open(t, s).Open(sealed, "p"); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	s.Passphrase += "!"
	if _, err := open(t, s).Open(sealed, "p"); err == nil {
		t.Error("another passphrase opened")
	}
	if _, err := Open(Source{Passphrase: "short", Salt: salt}); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
	for _, text := range []string{
		"{", `{"kdf":"argon2id"}`,
		`{"kdf":"argon2id","salt":"AAAAAAAAAAAAAAAAAAAAAA==","passes":1,"memoryKiB":65536,"threads":4}`,
		`{"kdf":"argon2id","salt":"AAAAAAAAAAAAAAAAAAAAAA==","passes":3,"memoryKiB":4000000000,"threads":4}`,
		`{"kdf":"scrypt","salt":"AAAAAAAAAAAAAAAAAAAAAA==","passes":3,"memoryKiB":65536,"threads":4}`,
	} {
		if err := os.WriteFile(salt, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(s); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), salt) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzOpen: whatever stands in the database, Open gives a fault and never panics.
func FuzzOpen(f *testing.F) {
	r, err := newRing([][]byte{bytes.Repeat([]byte{1}, Size)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Seal([]byte("x"), "p"), "p")
	f.Add([]byte{format}, "")
	f.Fuzz(func(t *testing.T, sealed []byte, purpose string) {
		secret, err := r.Open(sealed, purpose)
		if err == nil && string(secret) != "x" {
			t.Errorf("opened %x as %q", sealed, secret)
		}
		if err != nil && fault.TextOf(err) == "" {
			t.Errorf("no fault: %v", err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	r, err := newRing([][]byte{bytes.Repeat([]byte{1}, Size)})
	if err != nil {
		b.Fatal(err)
	}
	sealed := r.Seal(make([]byte, 32), "kms-key/us-east-1/0123")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open(sealed, "kms-key/us-east-1/0123"); err != nil {
			b.Fatal(err)
		}
	}
}
