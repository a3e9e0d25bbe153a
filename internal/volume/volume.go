// Package volume makes folders for data that must not reach a disk unencrypted
// (VolumeKmsKeyId): encrypted ones, whose data key a key service has wrapped, or
// ones in memory, whichever this host can do.
//
// A Volume holds nothing that outlives the server. Closing one destroys its key
// before its files; what a killed server left, Sweep unmounts and removes.
package volume

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// Choice says which kinds of volumes may be made.
type Choice string

// The choices. Auto prefers encryption to memory, which is scarce.
const (
	Auto      Choice = "auto"
	Encrypted Choice = "encrypted"
	Memory    Choice = "memory"
)

// Options are what a Host works with.
type Options struct {
	// Dir is an absolute folder that is the host's alone. It is made when missing.
	Dir    string
	Keys   keyring.Keyring
	Choice Choice
	// MemoryBytes bounds a volume that is in memory.
	MemoryBytes int64
	Log         *slog.Logger
}

// Host makes the volumes of one server. It is safe for concurrent use.
type Host struct {
	Options
	kinds []kind // the best first
}

// kind is a way to make a volume. Its methods are told the volume's home, a folder
// that is the volume's alone.
type kind interface {
	// possible gives nil, or why this host cannot make such volumes, for users.
	possible() error
	// mount makes an empty volume and gives the folder that its data goes to.
	mount(ctx context.Context, home string, key keyring.Secret) (dir string, err error)
	// stored reports whether the volume's bytes are on a disk, under the key.
	stored() bool
	// words say what the volume is.
	words() string
}

// New makes a Host. It makes nothing yet.
func New(o Options) *Host {
	h := &Host{Options: o}
	h.Dir = filepath.Clean(o.Dir)
	if o.Choice != Memory {
		h.kinds = append(h.kinds, encryptedKinds()...)
	}
	if o.Choice != Encrypted {
		h.kinds = append(h.kinds, memoryKinds(h.Dir, o.MemoryBytes)...)
	}
	return h
}

// Check gives an Unsupported error with all reasons when no kind of volume can be
// made here.
func (h *Host) Check() error {
	var reasons []string
	for _, k := range h.kinds {
		err := k.possible()
		if err == nil {
			return nil
		}
		reasons = append(reasons, err.Error())
	}
	if len(reasons) == 0 {
		reasons = append(reasons, "there is no way to make one on this operating system")
	}
	return fault.New(fault.Unsupported, "This server cannot make encrypted volumes: %s.", strings.Join(reasons, "; "))
}

// Volume is a folder for data. Close must be called.
type Volume struct {
	// Dir is the absolute path of the folder, open to its owner alone above it.
	Dir string
	// KeyARN names the key that wrapped the data key.
	KeyARN string

	home  string
	kind  kind
	why   []string // why it is no better kind
	guard *guard   // nil where the kernel bounds it
	once  sync.Once
	err   error
}

// names are those that volumes may have.
var names = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,126}$`)

// Open makes an empty volume under a key, over what a killed server left of one of
// the same name. Errors are for users; what the key service refuses is its error.
func (h *Host) Open(ctx context.Context, name string, key keyring.ID) (*Volume, error) {
	if !names.MatchString(name) {
		return nil, fault.New(fault.Internal, "%q cannot be the name of a volume", name)
	}
	if err := h.Check(); err != nil {
		return nil, err
	}
	bound := keyring.Context{"sagebrush:volume": name}
	data, err := h.Keys.GenerateDataKey(ctx, key, bound)
	if err != nil {
		return nil, err
	}
	defer data.Plaintext.Wipe()
	v := &Volume{KeyARN: data.KeyARN, home: filepath.Join(h.Dir, name)}
	for _, k := range h.kinds {
		if err = k.possible(); err == nil {
			if err = v.make(ctx, k, data, bound); err == nil {
				return v, nil
			}
			h.Log.Warn("a volume could not be made", "volume", name, "kind", k.words(), "error", err)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		v.why = append(v.why, err.Error())
	}
	return nil, fault.Wrap(fault.Unsupported, err, "This server cannot make an encrypted volume: %s.", strings.Join(v.why, "; "))
}

// make makes the volume as one of a kind, or leaves nothing.
func (v *Volume) make(ctx context.Context, k kind, data keyring.DataKey, c keyring.Context) (err error) {
	v.kind = k
	defer func() {
		if err != nil {
			err = errors.Join(err, v.destroy())
		}
	}()
	if err := v.destroy(); err != nil {
		return err
	}
	if err := os.MkdirAll(v.home, 0o700); err != nil {
		return err
	}
	if k.stored() {
		if err := writeKey(v.home, data, c); err != nil {
			return err
		}
	}
	if v.Dir, err = k.mount(ctx, v.home, data.Plaintext); err != nil {
		return err
	}
	if g, ok := k.(guarded); ok {
		v.guard = g.watch(v.Dir)
	}
	return nil
}

// keyFile holds the wrapped data key of a volume whose bytes are on a disk: while
// the file is there, whoever may use the key can open what a crash left.
const keyFile = "key.json"

func writeKey(home string, data keyring.DataKey, c keyring.Context) error {
	text, err := json.Marshal(struct {
		KeyARN  string
		Wrapped []byte
		Context keyring.Context
	}{data.KeyARN, data.Wrapped, c})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(home, keyFile), text, 0o600)
}

// String says what the volume is and why it is no better one, for the data-log.
func (v *Volume) String() string {
	text := "Models and data are " + v.kind.words()
	if len(v.why) > 0 {
		text += ", since " + strings.Join(v.why, "; ")
	}
	return text + ". The key is " + v.KeyARN + "."
}

// Over is closed when the volume holds more than it may. Of a volume whose bound
// the kernel keeps it is nil.
func (v *Volume) Over() <-chan struct{} {
	if v.guard == nil {
		return nil
	}
	return v.guard.over
}

// Close unmounts the volume and destroys its key and its files. It may be called
// twice.
func (v *Volume) Close() error {
	v.once.Do(func() {
		if v.guard != nil {
			v.guard.stop()
		}
		v.err = v.destroy()
	})
	return v.err
}

// destroy takes everything of the volume away, the wrapped key first: without it
// the rest is noise.
func (v *Volume) destroy() error {
	err := os.Remove(filepath.Join(v.home, keyFile))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, discard(v.home))
}

// discard unmounts what is in a home and removes the rest. What is mounted still
// is not removed file by file: it may be in use.
func discard(home string) error {
	if err := unmountAll(home); err != nil {
		return err
	}
	return errors.Join(removeShared(filepath.Dir(home), filepath.Base(home)), os.RemoveAll(home))
}

// Sweep takes away what an earlier server left. It is called once, before the
// first Open, when nothing of that server runs any more.
func (h *Host) Sweep() error {
	var errs []error
	left, err := os.ReadDir(h.Dir)
	if !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, name := range left {
		errs = append(errs, discard(filepath.Join(h.Dir, name.Name())))
	}
	return errors.Join(append(errs, removeShared(h.Dir, ""))...)
}
