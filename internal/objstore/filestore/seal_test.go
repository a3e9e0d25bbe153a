package filestore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/keyringtest"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// vault is a store with a keyring of one key, and the folder that it is in.
type vault struct {
	*Store
	root string
	ring *keyringtest.Ring
	key  keyring.Key
}

func openVault(t testing.TB) *vault {
	t.Helper()
	v := &vault{root: t.TempDir(), ring: keyringtest.NewRing()}
	v.key = v.ring.Make()
	s, err := Open(v.root, Options{NoSync: true, Keys: v.ring, Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.CreateBucket(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	v.Store = s
	return v
}

func at(key string) objstore.Ref { return objstore.Ref{Bucket: "b", Key: key} }

// write writes an object and gives what was committed.
func (v *vault) write(t testing.TB, key string, body []byte, e Encryption) objstore.Info {
	t.Helper()
	w, err := v.NewWriter(t.Context(), at(key), Attrs{Encryption: e})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	info, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func (v *vault) read(t testing.TB, key string) ([]byte, error) {
	t.Helper()
	r, err := v.Open(t.Context(), at(key), objstore.All)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (v *vault) mustRead(t testing.TB, key, want string) {
	t.Helper()
	if got, err := v.read(t, key); err != nil || string(got) != want {
		t.Errorf("%s holds %d bytes %.40q, %v", key, len(got), got, err)
	}
}

// encrypted tells how an object is encrypted.
func (v *vault) encrypted(t testing.TB, key string) Encryption {
	t.Helper()
	o, err := v.Head(t.Context(), at(key))
	if err != nil {
		t.Fatal(err)
	}
	return o.Encryption
}

// found reports whether any file under the root holds a text.
func (v *vault) found(t testing.TB, text string) (seen bool) {
	t.Helper()
	err := filepath.WalkDir(v.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
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

const secret = "what only the owner of the key may read"

func (v *vault) kms() Encryption { return Encryption{Algorithm: ByKMS, KeyID: v.key.ARN} }

// Nothing of an encrypted object can be found in the folder: not while it is
// written, nor in parts of an upload, nor afterwards.
func TestSealedIsNotFound(t *testing.T) {
	t.Parallel()
	v := openVault(t)
	w, err := v.NewWriter(t.Context(), at("whole"), Attrs{Encryption: v.kms()})
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat(secret, 10_000)
	if _, err := w.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if v.found(t, secret) {
		t.Error("it is found while it is written")
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	id, err := v.NewUpload(t.Context(), at("parts"), Attrs{Encryption: v.kms()})
	if err != nil {
		t.Fatal(err)
	}
	var parts []Part
	for n := range 3 {
		etag, err := v.PutPart(t.Context(), id, n+1, strings.NewReader(body), int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, Part{Number: n + 1, ETag: etag})
	}
	if v.found(t, secret) {
		t.Error("it is found in the parts of an upload")
	}
	o, err := v.CompleteUpload(t.Context(), id, parts, nil)
	if err != nil || o.Encryption != v.kms() || o.Size != int64(3*len(body)) || !strings.HasSuffix(o.ETag, "-3") {
		t.Errorf("completed is %+v, %v", o, err)
	}
	if v.found(t, secret) {
		t.Error("it is found when all is done")
	}
	v.mustRead(t, "whole", body)
	v.mustRead(t, "parts", body+body+body)
	v.write(t, "plain", []byte(secret), Encryption{})
	if !v.found(t, secret) || v.encrypted(t, "plain") != (Encryption{}) {
		t.Error("a plain object is not a plain file")
	}
}

// A part of an upload needs the key, too.
func TestUploadNeedsKey(t *testing.T) {
	t.Parallel()
	v := openVault(t)
	id, err := v.NewUpload(t.Context(), at("k"), Attrs{Encryption: v.kms()})
	if err != nil {
		t.Fatal(err)
	}
	v.ring.Set(v.key.ID, keyring.Disabled)
	if _, err := v.PutPart(t.Context(), id, 1, strings.NewReader("x"), 1); !fault.Is(err, fault.Denied) {
		t.Errorf("a part: %v", err)
	}
	var refusal *keyring.Error
	if _, err = v.NewUpload(t.Context(), at("k"), Attrs{Encryption: v.kms()}); !errors.As(err, &refusal) || refusal.Code != keyring.DisabledException {
		t.Errorf("another upload: %v", err)
	}
	if err := v.AbortUpload(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// Copies are encrypted as they are asked for, and bound to their own name.
func TestCopyEncrypts(t *testing.T) {
	t.Parallel()
	v := openVault(t)
	other := Encryption{Algorithm: ByKMS, KeyID: v.ring.Make().ARN}
	plain := v.write(t, "plain", []byte(secret), Encryption{})
	v.write(t, "sealed", []byte(secret), v.kms())
	for _, tt := range []struct {
		from, to string
		e, want  Encryption
	}{
		{"plain", "p-p", Encryption{}, Encryption{}}, {"plain", "p-s", v.kms(), v.kms()}, {"sealed", "s-p", Encryption{}, v.kms()},
		{"sealed", "s-s", other, other}, {"sealed", "sealed", other, other}, {"s-s", "s-s2", Encryption{}, other},
	} {
		o, err := v.Copy(t.Context(), at(tt.from), at(tt.to), Attrs{Encryption: tt.e})
		if err != nil || o.Encryption != tt.want || v.encrypted(t, tt.to) != tt.want || o.Size != int64(len(secret)) {
			t.Errorf("%s to %s is %+v, %v", tt.from, tt.to, o, err)
		}
		if same := o.ETag == plain.ETag; same != (tt.to == "p-p") {
			t.Errorf("%s to %s has the ETag %s", tt.from, tt.to, o.ETag)
		}
		v.mustRead(t, tt.to, secret)
	}
}

// What a bucket says counts where a writer says nothing, until the bucket goes.
func TestBucketEncryption(t *testing.T) {
	t.Parallel()
	v := openVault(t)
	if e, err := v.BucketEncryption(t.Context(), "b"); err != nil || e != (Encryption{}) {
		t.Errorf("at first %+v, %v", e, err)
	}
	if err := v.SetBucketEncryption(t.Context(), "b", v.kms()); err != nil {
		t.Fatal(err)
	}
	w, err := v.Store.Create(t.Context(), at("by default"), objstore.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, secret); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if e := v.encrypted(t, "by default"); e != v.kms() || v.found(t, secret) {
		t.Errorf("it is %+v", e)
	}
	other := Encryption{Algorithm: ByKMS, KeyID: v.ring.Make().ARN}
	v.write(t, "asked", nil, other)
	if e := v.encrypted(t, "asked"); e != other {
		t.Errorf("it is %+v", e)
	}
	for _, key := range []string{"by default", "asked"} {
		if err := v.Delete(t.Context(), at(key)); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.DeleteBucket(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if err := v.SetBucketEncryption(t.Context(), "b", v.kms()); !fault.Is(err, fault.NotFound) {
		t.Errorf("of no bucket: %v", err)
	}
	if err := v.CreateBucket(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if e, err := v.BucketEncryption(t.Context(), "b"); err != nil || e != (Encryption{}) {
		t.Errorf("a new bucket of the name has %+v, %v", e, err)
	}
}

// A file that was damaged, cut off or moved gives an error and no wrong byte.
func TestSealedDamage(t *testing.T) {
	t.Parallel()
	v := openVault(t)
	body := bytes.Repeat([]byte("0123456789abcdef"), 3*packageData/16)
	file := filepath.Join(v.root, "b", "k")
	for name, damage := range map[string]func(data []byte) []byte{
		"a bit":             func(d []byte) []byte { d[headerSize+packageSize+100] ^= 1; return d },
		"a package's head":  func(d []byte) []byte { d[headerSize+packageSize] ^= 1; return d },
		"its end":           func(d []byte) []byte { return d[:len(d)-1] },
		"its last package":  func(d []byte) []byte { return d[:headerSize+2*packageSize] },
		"packages exchange": func(d []byte) []byte { return swap(d) },
		"more":              func(d []byte) []byte { return append(d, make([]byte, 100)...) },
	} {
		v.write(t, "k", body, v.kms())
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, damage(data), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := v.read(t, "k")
		if err == nil || !bytes.HasPrefix(body, got) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	v.write(t, "k", body, v.kms())
	if err := os.Rename(file, filepath.Join(v.root, "b", "moved")); err != nil {
		t.Fatal(err)
	}
	if _, err := v.read(t, "moved"); !fault.Is(err, fault.Denied) {
		t.Errorf("under another name: %v", err)
	}
}

func swap(d []byte) []byte {
	a, b := d[headerSize:headerSize+packageSize], d[headerSize+packageSize:headerSize+2*packageSize]
	c := bytes.Clone(a)
	copy(a, b)
	copy(b, c)
	return d
}

// A copy of the folder without its attributes is worth as much.
func TestSealedWithoutAttributes(t *testing.T) {
	t.Parallel()
	v := openVault(t)
	v.write(t, "k", []byte(secret), v.kms())
	if err := unix.Removexattr(filepath.Join(v.root, "b", "k"), attrName); err != nil {
		t.Skip(err)
	}
	v.mustRead(t, "k", secret)
	o, err := v.Head(t.Context(), at("k"))
	if err != nil || o.Size != int64(len(secret)) || o.Encryption != v.kms() {
		t.Errorf("it is %+v, %v", o, err)
	}
	for info, err := range v.List(t.Context(), "b", "") {
		if err != nil || info.Size != int64(len(secret)) {
			t.Errorf("listed is %+v, %v", info, err)
		}
	}
}

// A plain object is one, whatever it begins with.
func TestPlainStaysPlain(t *testing.T) {
	t.Parallel()
	v := openVault(t)
	v.write(t, "sealed", []byte(secret), v.kms())
	raw, err := os.ReadFile(filepath.Join(v.root, "b", "sealed"))
	if err != nil {
		t.Fatal(err)
	}
	v.write(t, "backup", raw, Encryption{})
	v.mustRead(t, "backup", string(raw))
	if o, err := v.Head(t.Context(), at("backup")); err != nil || o.Size != int64(len(raw)) || o.Encryption != (Encryption{}) {
		t.Errorf("it is %+v, %v", o, err)
	}
	f, err := v.OpenFile(t.Context(), at("backup"), "")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// Without a key service nothing is encrypted, and nothing encrypted is read.
func TestNoKeyService(t *testing.T) {
	t.Parallel()
	v := openVault(t)
	v.write(t, "k", []byte(secret), v.kms())
	v.keys = nil
	if _, err := v.NewWriter(t.Context(), at("n"), Attrs{Encryption: v.kms()}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("writing: %v", err)
	}
	if _, err := v.read(t, "k"); !fault.Is(err, fault.Denied) {
		t.Errorf("reading: %v", err)
	}
}

// counter counts what is read of a file.
type counter struct {
	*os.File
	read int64
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.File.ReadAt(p, off)
	c.read += int64(n)
	return n, err
}

// A part of an encrypted object of 1 GiB costs the packages that hold it.
func TestRangedReadIsCheap(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it writes 1 GiB")
	}
	v := openVault(t)
	w, err := v.NewWriter(t.Context(), at("large"), Attrs{Encryption: v.kms()})
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 30
	block := make([]byte, 1<<20)
	for i := range size / len(block) {
		for k := 0; k < len(block); k += 8 {
			copy(block[k:], []byte{byte(i), byte(i >> 8), byte(k >> 3), byte(k >> 11), byte(k >> 19)})
		}
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := w.Commit(); err != nil || info.Size != size {
		t.Fatalf("%+v, %v", info, err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int64{1, 100, 4096, packageData, 1 << 20} {
		f, fi, err := v.openObject(at("large"))
		if err != nil {
			t.Fatal(err)
		}
		k, err := readSealing(f, fi.Size())
		if err != nil || k == nil {
			t.Fatal(k, err)
		}
		key, err := v.unseal(t.Context(), at("large"), k)
		if err != nil {
			t.Fatal(err)
		}
		c := &counter{File: f}
		off := random.Int64N(size - n)
		r, err := openSealed(context.Background(), at("large"), c, plainSize(fi.Size()), objstore.Range{Off: off, N: n}, key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || int64(len(got)) != n {
			t.Fatalf("%d from %d: %d bytes, %v", n, off, len(got), err)
		}
		for i, b := range got[:min(n, 4096)] {
			p := off + int64(i)
			mega, k := p>>20, p&(1<<20-1)&^7
			if want := []byte{byte(mega), byte(mega >> 8), byte(k >> 3), byte(k >> 11), byte(k >> 19), 0, 0, 0}[p&7]; b != want {
				t.Fatalf("byte %d is %d, want %d", p, b, want)
			}
		}
		r.Close()
		if most := (n/packageData + 2) * packageSize; c.read > most {
			t.Errorf("%d bytes from %d cost %d, and %d would do", n, off, c.read, most)
		}
	}
}

// Whatever a file holds, looking at it neither fails nor panics.
func FuzzSealing(f *testing.F) {
	k := &sealing{Algorithm: ByKMS, KeyARN: "arn", Wrapped: []byte("w")}
	head, err := k.header()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head)
	f.Add(append(head, make([]byte, packageSize)...))
	f.Add([]byte(sealMagic + "{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := readSealing(bytes.NewReader(data), int64(len(data)))
		if err != nil || k != nil && !bytes.HasPrefix(data, []byte(sealMagic)) {
			t.Errorf("%+v, %v", k, err)
		}
		r, err := openSealed(t.Context(), at("k"), nopCloser{bytes.NewReader(data)}, plainSize(int64(len(data))), objstore.All, make(keyring.Secret, 32))
		if err == nil {
			if got, err := io.ReadAll(r); err == nil && len(got) > 0 {
				t.Errorf("%d bytes were read of noise", len(got))
			}
		}
	})
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

// What encryption costs: the same object written and read plain and encrypted, on
// one core with -cpu 1.
func BenchmarkSealed(b *testing.B) {
	v := openVault(b)
	body := make([]byte, 64<<20)
	for name, e := range map[string]Encryption{"plain": {}, "encrypted": v.kms()} {
		b.Run("write/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				v.write(b, name, body, e)
			}
		})
		b.Run("read/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				r, err := v.Open(b.Context(), at(name), objstore.All)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(struct{ io.Writer }{io.Discard}, r); err != nil || n != int64(len(body)) {
					b.Fatal(n, err)
				}
				r.Close()
			}
		})
	}
}
