package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Image maps the images that match a pattern to a local command.
type Image struct {
	// Pattern is an image's full name, in which each * stands for any run of
	// characters, as in "*.dkr.ecr.*.amazonaws.com/sagemaker-xgboost:*".
	Pattern string
	// Command is the program and its first arguments; the Spec's follow (CC-1).
	// The program is a path, or a name that is looked up in the server's PATH. It
	// must listen on SAGEMAKER_BIND_TO_PORT instead of 8080.
	Command []string
	// Dir is the working folder; "" is the instance's scratch folder.
	Dir string
	// Env adds variables as ENV does in an image: the Spec overrides them.
	Env map[string]string
}

// Prepare implements driver.Driver. The digest of ResolvedImage is that of the
// program's file: it changes when what runs does, and is read at each call.
func (d *Driver) Prepare(ctx context.Context, name string, _ func(driver.Pull)) (driver.Image, error) {
	image, program, err := d.lookup(name)
	if err != nil {
		return driver.Image{}, err
	}
	sum, err := digest(ctx, program)
	if err != nil {
		return driver.Image{}, unusable(name, image, err)
	}
	return driver.Image{Specified: name, Resolved: repository(name) + "@sha256:" + sum, At: time.Now()}, nil
}

// Maps reports whether the driver has a command for an image.
func (d *Driver) Maps(name string) bool {
	for _, image := range d.config.Images {
		if match(image.Pattern, name) {
			return true
		}
	}
	return false
}

// digest is the SHA-256 of a file, in hexadecimal.
func digest(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	for {
		if _, err := io.CopyN(h, f, 4<<20); errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		} else if err != nil {
			return "", err
		}
		if err := ctx.Err(); err != nil {
			return "", fmt.Errorf("reading %s: %w", path, err)
		}
	}
}

// lookup finds the command for an image and the program's absolute path.
func (d *Driver) lookup(name string) (Image, string, error) {
	for _, image := range d.config.Images {
		if !match(image.Pattern, name) {
			continue
		}
		program, err := findProgram(image)
		if err != nil {
			return Image{}, "", unusable(name, image, err)
		}
		return image, program, nil
	}
	return Image{}, "", fault.Wrap(fault.Invalid, driver.ErrNoImage,
		"image %q cannot be run: the process runtime has no command for it; add an entry with this name, or a pattern such as %q, and a command to the runtime's images, or use a runtime that runs containers",
		name, suggest(name))
}

// unusable is an image whose command cannot be started.
func unusable(name string, image Image, err error) error {
	program := ""
	if len(image.Command) > 0 {
		program = image.Command[0]
	}
	return fault.Wrap(fault.Invalid, errors.Join(driver.ErrNoImage, err),
		"image %q cannot be run: the process runtime maps it (pattern %q) to the command %q, which %s; correct the runtime's images",
		name, image.Pattern, program, explain(err))
}

func explain(err error) string {
	switch {
	case errors.Is(err, errNoCommand):
		return "is empty"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, exec.ErrNotFound):
		return "does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "may not be executed"
	}
	return "cannot be executed"
}

var errNoCommand = errors.New("no command")

func findProgram(image Image) (string, error) {
	if len(image.Command) == 0 || image.Command[0] == "" {
		return "", errNoCommand
	}
	name := image.Command[0]
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(image.Dir, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// suggest gives the pattern for any tag of the same image.
func suggest(name string) string { return repository(name) + ":*" }

// repository is an image's name without its tag or digest.
func repository(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	return name
}

// match reports whether name fits a pattern, whose only special character is *.
func match(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], after
	}
}
