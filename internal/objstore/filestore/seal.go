package filestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/minio/sio"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// Algorithm is how an object is encrypted, as S3 spells it.
type Algorithm string

// The algorithms. Both are AES-256-GCM under a data key of the object's own; they
// differ in whose key has wrapped it.
const (
	// Unencrypted is a plain file.
	Unencrypted Algorithm = ""
	// ByServer is SSE-S3: the server's own key (alias/aws/s3).
	ByServer Algorithm = "AES256"
	// ByKMS is SSE-KMS: a named key, or alias/aws/s3.
	ByKMS Algorithm = "aws:kms"
)

// Encryption says how an object is, or is to be, encrypted.
type Encryption struct {
	Algorithm Algorithm
	// KeyID names the key: of an object its ARN, of one to be made whatever a key may
	// be named by, and with ByKMS "" for alias/aws/s3.
	KeyID string
}

// ownKey is the key that the server makes for S3 itself.
const ownKey = "alias/aws/s3"

// A sealed file begins with a header of a fixed length: sealMagic, one line of
// JSON, zeros. Behind it is the object in the DARE 2.0 format (github.com/minio/sio):
// packages of 64 KiB, each encrypted and authenticated by itself, so that any part
// can be read alone. Everything that it takes to read the object, but the key
// service, is in the file, so that a copy that loses attributes is worth as much.
const (
	sealMagic  = "%sagebrush sealed 1\n"
	headerSize = 4096

	packageData = 64 << 10           // bytes of an object in a package
	packageSize = packageData + 2*16 // with its header and tag
)

// sealing is what the header of a sealed file says.
type sealing struct {
	Algorithm Algorithm `json:"alg"`
	KeyARN    string    `json:"key"`
	Wrapped   []byte    `json:"wrapped"`
}

func (k *sealing) encryption() Encryption { return Encryption{Algorithm: k.Algorithm, KeyID: k.KeyARN} }

// header encodes the header.
func (k *sealing) header() ([]byte, error) {
	js, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	h := append(append([]byte(sealMagic), js...), '\n')
	if len(h) > headerSize {
		return nil, fault.New(fault.Invalid, "the wrapped data key and the name of its key are longer than a file's header")
	}
	return append(h, make([]byte, headerSize-len(h))...), nil
}

// readSealing reads the header of a file; nil when it is a plain one.
func readSealing(f io.ReaderAt, size int64) (*sealing, error) {
	if size < headerSize {
		return nil, nil
	}
	h := make([]byte, len(sealMagic), headerSize)
	if _, err := f.ReadAt(h, 0); err != nil || string(h) != sealMagic {
		return nil, ignoreEOF(err)
	}
	h = h[:headerSize]
	if _, err := f.ReadAt(h, 0); err != nil {
		return nil, ignoreEOF(err)
	}
	line, zeros, _ := bytes.Cut(h[len(sealMagic):], []byte{'\n'})
	k := &sealing{}
	if json.Unmarshal(line, k) != nil || len(bytes.Trim(zeros, "\x00")) > 0 || k.Algorithm == Unencrypted || k.KeyARN == "" {
		return nil, nil
	}
	return k, nil
}

// ignoreEOF forgives that a file has become shorter.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// sealingOf reads how the open file of an object is sealed; nil when it is a plain
// one. What a client has stored as a plain object is one, whatever it begins with.
func (s *Store) sealingOf(ref objstore.Ref, f *os.File, fi fs.FileInfo) (*sealing, error) {
	k, err := readSealing(f, fi.Size())
	if k == nil || err != nil {
		return nil, err
	}
	rec, err := s.readRecord(ref, f, fi, make([]byte, 1024))
	if err != nil {
		return nil, err
	}
	if _, _, sealed, ok := decodeRecord(rec, fi); ok && !sealed {
		return nil, nil
	}
	return k, nil
}

// plainSize is the size of the object in a sealed file of a size.
func plainSize(file int64) int64 {
	n, err := sio.DecryptedSize(uint64(max(0, file-headerSize)))
	if err != nil { // it was cut off, which reading will show
		return max(0, file-headerSize)
	}
	return int64(n)
}

// contextOf says which object a data key is for, as S3 does: a file that is moved to
// another name cannot be read there.
func contextOf(ref objstore.Ref) keyring.Context {
	return keyring.Context{"aws:s3:arn": "arn:aws:s3:::" + ref.Bucket + "/" + ref.Key}
}

// keyID is a key's name with its region, which an ARN says itself.
func (s *Store) keyID(name string) keyring.ID {
	id := keyring.ID{Region: s.region, Name: name}
	if parts := strings.SplitN(name, ":", 6); len(parts) == 6 && parts[0] == "arn" {
		id.Region = parts[3]
	}
	return id
}

// seal makes a data key for an object; nil when it is not to be encrypted.
func (s *Store) seal(ctx context.Context, ref objstore.Ref, e Encryption) (*sealing, keyring.Secret, error) {
	if e.Algorithm == Unencrypted {
		return nil, nil, nil
	}
	name := e.KeyID
	if name == "" || e.Algorithm == ByServer {
		name = ownKey
	}
	if s.keys == nil {
		return nil, nil, fault.New(fault.Unsupported, "%s cannot be encrypted: this server has no key service", ref)
	}
	data, err := s.keys.GenerateDataKey(ctx, s.keyID(name), contextOf(ref))
	if err != nil {
		return nil, nil, keyError(ref, "writing", name, err)
	}
	return &sealing{Algorithm: e.Algorithm, KeyARN: data.KeyARN, Wrapped: data.Wrapped}, data.Plaintext, nil
}

// unseal unwraps the data key of an object.
func (s *Store) unseal(ctx context.Context, ref objstore.Ref, k *sealing) (keyring.Secret, error) {
	if s.keys == nil {
		return nil, fault.New(fault.Denied, "%s is encrypted, and this server has no key service", ref)
	}
	secret, err := s.keys.Decrypt(ctx, s.keyID(k.KeyARN), k.Wrapped, contextOf(ref))
	return secret, keyError(ref, "reading", k.KeyARN, err)
}

// keyError turns a refusal of the key service into one that the seam promises. The
// refusal itself stays in the chain.
func keyError(ref objstore.Ref, doing, key string, err error) error {
	if err == nil {
		return nil
	}
	switch kind := fault.KindOf(err); kind {
	case fault.Unavailable, fault.Throttled, fault.Internal:
		return fault.Wrap(fault.Unavailable, err, "%s %s failed: the key service did not answer for %s", doing, ref, key)
	}
	return fault.Wrap(fault.Denied, err, "%s %s was denied: the key %s cannot be used: %s", doing, ref, key, fault.TextOf(err))
}

// cipher is how sio is to be used.
func cipher(secret keyring.Secret) sio.Config {
	return sio.Config{MinVersion: sio.Version20, MaxVersion: sio.Version20, Key: secret}
}

// sealWriter begins a sealed file: what is written to the result is encrypted, and
// is whole when that is closed.
func sealWriter(f io.Writer, k *sealing, secret keyring.Secret) (io.WriteCloser, error) {
	head, err := k.header()
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(head); err != nil {
		return nil, err
	}
	return sio.EncryptWriter(struct{ io.Writer }{f}, cipher(secret)) // which would close a Closer
}

// etag gives the ETag of an object that is to have one: with ByKMS it is none that
// can be had from the bytes, as in S3.
func (e Encryption) etag(etag string) string {
	if e.Algorithm != ByKMS {
		return etag
	}
	if _, parts, ok := strings.Cut(etag, "-"); ok {
		return newID() + "-" + parts
	}
	return newID()
}
