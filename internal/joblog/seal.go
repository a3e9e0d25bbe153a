package joblog

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// A sealed stream keeps its lines encrypted, each by itself, so that files are
// searched, followed, rotated and removed as any other's. A file of it begins with
// the wrapped key, and a line's text is that of
//
//	sealedMark BASE64(nonce, AES-256-GCM of the text, bound to the line's time)
//
// No other line has such characters: clean replaces them.
const (
	keyMark    = '\x02'
	sealedMark = '\x01'
)

// wrappedKey is the key of a file, as its first line has it.
type wrappedKey struct {
	Region, KeyARN string
	Wrapped        []byte
	Context        keyring.Context
}

// line is the first line of a file.
func (k wrappedKey) line() ([]byte, error) {
	text, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	line := base64.StdEncoding.AppendEncode([]byte{keyMark}, text)
	return append(line, '\n'), nil
}

// longestKey bounds the first line of a file of a sealed stream.
const longestKey = 16 << 10

// readKey reads the key of a file; ok is false when it is none of a sealed stream.
func readKey(f io.ReaderAt) (k wrappedKey, ok bool, err error) {
	head := make([]byte, longestKey)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return k, false, err
	}
	line, _, whole := bytes.Cut(head[:n], []byte{'\n'})
	if !whole || len(line) == 0 || line[0] != keyMark {
		return k, false, nil
	}
	text, err := base64.StdEncoding.AppendDecode(nil, line[1:])
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	return k, err == nil, err
}

// unwrapTime bounds the key service's answer to who reads a line.
const unwrapTime = 10 * time.Second

// open gives what seals and opens lines.
func (k wrappedKey) open(ctx context.Context, keys keyring.Keyring) (cipher.AEAD, error) {
	ctx, cancel := context.WithTimeout(ctx, unwrapTime)
	defer cancel()
	secret, err := keys.Decrypt(ctx, keyring.ID{Region: k.Region, Name: k.KeyARN}, k.Wrapped, k.Context)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	return newAEAD(secret)
}

func newAEAD(secret keyring.Secret) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// CreateSealed is Create for a stream whose lines are encrypted under a key. One
// that is there goes on with the key that it has. Errors of the key service are
// its own.
func (d *Dir) CreateSealed(ctx context.Context, in Place, stream string, id keyring.ID) (*Stream, error) {
	file, err := d.path(in.Group, in.Prefix+stream)
	if err != nil {
		return nil, err
	}
	if d.Keys == nil {
		return nil, errNoKeys
	}
	key, found, err := d.keyOf(file)
	if err != nil {
		return nil, err
	}
	var aead cipher.AEAD
	if found {
		aead, err = key.open(ctx, d.Keys)
	} else {
		key, aead, err = d.newKey(ctx, file, id)
	}
	if err != nil {
		return nil, err
	}
	head, err := key.line()
	if err != nil {
		return nil, err
	}
	if !found { // what is there is not sealed, and stays apart
		if _, err := os.Stat(file); err == nil {
			d.putAside(file)
		}
	}
	return d.begin(&Stream{dir: d, path: file, aead: aead, head: head}, in.Group)
}

// keyOf reads the key of a stream that is there.
func (d *Dir) keyOf(file string) (wrappedKey, bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return wrappedKey{}, false, ignoreMissing(err)
	}
	defer f.Close()
	return readKey(f)
}

// newKey has a data key made for a stream.
func (d *Dir) newKey(ctx context.Context, file string, id keyring.ID) (k wrappedKey, aead cipher.AEAD, err error) {
	rel, err := filepath.Rel(d.root, file)
	if err != nil {
		return k, nil, err
	}
	bound := keyring.Context{"sagebrush:log-stream": filepath.ToSlash(rel)}
	data, err := d.Keys.GenerateDataKey(ctx, id, bound)
	if err != nil {
		return k, nil, err
	}
	defer data.Plaintext.Wipe()
	aead, err = newAEAD(data.Plaintext)
	return wrappedKey{Region: id.Region, KeyARN: data.KeyARN, Wrapped: data.Wrapped, Context: bound}, aead, err
}

// seal gives a line's text as it is on disk.
func seal(aead cipher.AEAD, at Position, text []byte) []byte {
	sealed := aead.Seal(nil, nil, text, at.bytes())
	return base64.RawStdEncoding.AppendEncode([]byte{sealedMark}, sealed)
}

// bytes are what a sealed line is bound to.
func (p Position) bytes() []byte { return p.Time().AppendFormat(nil, stampLayout) }

// opener gives texts of the lines of one file; a nil one as they are on disk.
type opener struct {
	keys   keyring.Keyring
	f      io.ReaderAt // the whole file
	opened bool
	aead   cipher.AEAD
	err    error
}

// text gives a line's text. What cannot be opened is a sentence that says why.
func (o *opener) text(at Position, raw []byte) string {
	if o == nil || len(raw) == 0 || raw[0] != sealedMark {
		return string(raw)
	}
	if !o.opened {
		o.opened = true
		o.aead, o.err = o.find()
	}
	if o.err != nil {
		return fmt.Sprintf("(this line is encrypted and cannot be read: %s)", reasonOf(o.err))
	}
	sealed, err := base64.RawStdEncoding.AppendDecode(nil, raw[1:])
	if err == nil {
		sealed, err = o.aead.Open(sealed[:0], nil, sealed, at.bytes())
	}
	if err != nil {
		return "(this line is encrypted and cannot be read: it was changed)"
	}
	return string(sealed)
}

// errNoKeys is a sealed stream in a Dir that has no Keys.
var errNoKeys = fault.New(fault.Unavailable, "this server has no key service")

func (o *opener) find() (cipher.AEAD, error) {
	if o.keys == nil {
		return nil, errNoKeys
	}
	key, ok, err := readKey(o.f)
	if err != nil || !ok {
		return nil, errors.Join(fault.New(fault.Internal, "its file has no key"), err)
	}
	return key.open(context.Background(), o.keys)
}

func reasonOf(err error) string {
	if text := fault.TextOf(err); text != "" {
		return text
	}
	return "the key service does not answer"
}
