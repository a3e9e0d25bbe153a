package masterkey

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Source says where master keys come from. Value goes before Passphrase, and
// Passphrase before File.
type Source struct {
	// File holds keys in base64, one a line, the current one first. It is made with
	// a fresh key when it is not there. Only its owner may be able to read it.
	File string
	// Value is a key in base64, such as an environment variable has.
	Value string
	// Passphrase is stretched to a key by argon2id. Salt is the file of the salt and
	// the costs, which are no secret; it is made when it is not there, and the
	// passphrase is of no use without it.
	Passphrase string
	Salt       string
}

// Open reads the current keys and, after them, those of former sources.
func Open(current Source, former ...Source) (*Ring, error) {
	var masters [][]byte
	for _, s := range append([]Source{current}, former...) {
		keys, err := s.read()
		if err != nil {
			return nil, err
		}
		masters = append(masters, keys...)
	}
	return newRing(masters)
}

func (s Source) read() ([][]byte, error) {
	switch {
	case s.Value != "":
		k, err := decode(s.Value)
		if err != nil {
			return nil, fault.New(fault.Invalid, "The master key that was given is not %d bytes in base64. Make one with: head -c %d /dev/urandom | base64", Size, Size)
		}
		return [][]byte{k}, nil
	case s.Passphrase != "":
		k, err := stretch(s.Passphrase, s.Salt)
		return [][]byte{k}, err
	}
	keys, err := readFile(s.File)
	if errors.Is(err, fs.ErrNotExist) {
		k := generate()
		return [][]byte{k}, writeFile(s.File, k)
	}
	return keys, err
}

// Rotate puts a fresh key before those of a file. What is sealed opens as before;
// seal it anew, then Forget.
func Rotate(file string) error {
	keys, err := readFile(file)
	if err != nil {
		return err
	}
	return writeFile(file, slices.Insert(keys, 0, generate())...)
}

// Forget leaves only the current key of a file. What is still sealed under another
// is lost.
func Forget(file string) error {
	keys, err := readFile(file)
	if err != nil {
		return err
	}
	return writeFile(file, keys[0])
}

// decode reads a key in base64.
func decode(text string) ([]byte, error) {
	k, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err == nil && len(k) != Size {
		err = errors.New("wrong length")
	}
	return k, err
}

// readFile reads the keys of a file. That it does not exist can be seen by
// errors.Is.
func readFile(file string) (keys [][]byte, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The file of the master key, %s, cannot be read.", file)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fault.New(fault.Invalid, "The file of the master key, %s, has the mode %04o, so that others than its owner can reach it. Run: chmod 600 %s", file, mode, file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The file of the master key, %s, cannot be read.", file)
	}
	for _, line := range strings.Fields(string(data)) {
		k, err := decode(line)
		if err != nil {
			// The cause would repeat a part of the key.
			return nil, fault.New(fault.Invalid, "The file of the master key, %s, has a line that is not %d bytes in base64.", file, Size)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fault.New(fault.Invalid, "The file of the master key, %s, is empty. Restore it: without it what is sealed is lost.", file)
	}
	return keys, nil
}

// writeFile replaces a file of keys at once.
func writeFile(file string, keys ...[]byte) error {
	var text strings.Builder
	for _, k := range keys {
		text.WriteString(base64.StdEncoding.EncodeToString(k) + "\n")
	}
	if err := replace(file, []byte(text.String())); err != nil {
		return fault.Wrap(fault.Unavailable, err, "The file of the master key, %s, cannot be written.", file)
	}
	return nil
}

// replace writes a file that only its owner can read; it is there whole or not at
// all, also after a loss of power.
func replace(file string, data []byte) error {
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// costs are those of argon2id, with the salt.
type costs struct {
	KDF       string `json:"kdf"`
	Salt      []byte `json:"salt"`
	Passes    uint32 `json:"passes"`
	MemoryKiB uint32 `json:"memoryKiB"`
	Threads   uint8  `json:"threads"`
}

// The costs of a new salt are the second recommendation of RFC 9106; a stored
// file may ask for more, within bounds.
const (
	passes, maxPasses       = 3, 64
	memoryKiB, maxMemoryKiB = 64 << 10, 4 << 20
	threads                 = 4
	saltSize                = 16
	// minPassphrase is in bytes. No stretching makes a short one good.
	minPassphrase = 16
)

// stretch makes a key of a passphrase.
func stretch(passphrase, file string) ([]byte, error) {
	if len(passphrase) < minPassphrase {
		return nil, fault.New(fault.Invalid, "The passphrase of the master key is shorter than %d characters.", minPassphrase)
	}
	c, err := readCosts(file)
	if err != nil {
		return nil, err
	}
	return argon2.IDKey([]byte(passphrase), c.Salt, c.Passes, c.MemoryKiB, c.Threads, Size), nil
}

func readCosts(file string) (c costs, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		c = costs{KDF: "argon2id", Salt: make([]byte, saltSize), Passes: passes, MemoryKiB: memoryKiB, Threads: threads}
		rand.Read(c.Salt) // It never fails: crypto/rand ends the program instead.
		if data, err = json.Marshal(c); err == nil {
			err = replace(file, append(data, '\n'))
		}
		if err != nil {
			return c, fault.Wrap(fault.Unavailable, err, "The salt of the master key cannot be written to %s.", file)
		}
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err == nil && (c.KDF != "argon2id" || len(c.Salt) < saltSize || c.Passes < passes || c.Passes > maxPasses ||
		c.MemoryKiB < memoryKiB || c.MemoryKiB > maxMemoryKiB || c.Threads == 0) {
		err = errors.New("its costs are out of bounds")
	}
	if err != nil {
		return c, fault.Wrap(fault.Invalid, err, "The salt of the master key in %s cannot be used. Restore the file: the passphrase is of no use without it.", file)
	}
	return c, nil
}
