package volume

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// encryptedKinds are the kinds that encrypt what is on a disk.
func encryptedKinds() []kind { return []kind{gocryptfs{program: "gocryptfs"}} }

// gocryptfs is an encrypted folder and the view of it that gocryptfs mounts with
// FUSE. Contents and names are encrypted; how many files there are, and how long
// they are, shows.
type gocryptfs struct{ program string }

const (
	cipherDir = "cipher"
	mountDir  = "mount"
)

// gocryptfsTime bounds a call of the program.
const gocryptfsTime = 30 * time.Second

func (gocryptfs) stored() bool  { return true }
func (gocryptfs) words() string { return "on an encrypted volume (gocryptfs)" }

func (g gocryptfs) possible() error {
	if _, err := exec.LookPath(g.program); err != nil {
		return errors.New("gocryptfs is not installed")
	}
	if err := unix.Access("/dev/fuse", unix.R_OK|unix.W_OK); err != nil {
		return errors.New("gocryptfs needs FUSE, and this server has no access to /dev/fuse")
	}
	return nil
}

// mount has gocryptfs make its folder and show it. The program goes on by itself
// until the view is unmounted.
func (g gocryptfs) mount(ctx context.Context, home string, key keyring.Secret) (string, error) {
	cipher, view := filepath.Join(home, cipherDir), filepath.Join(home, mountDir)
	for _, dir := range []string{cipher, view} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", err
		}
	}
	// The data key is random: stretching it, as is done with passwords, gains nothing.
	if err := g.run(ctx, key, "-init", "-q", "-scryptn", "10", "--", cipher); err != nil {
		return "", err
	}
	// Others than the mounting user are let in for containers, which have users of
	// their own; nobody else gets through home's mode. Not every host allows it.
	err := g.run(ctx, key, "-q", "-allow_other", "--", cipher, view)
	if err != nil && os.Geteuid() != 0 {
		err = g.run(ctx, key, "-q", "--", cipher, view)
	}
	if err != nil {
		return "", err
	}
	return view, os.Chmod(view, 0o755)
}

// run runs gocryptfs with the key on its standard input.
func (g gocryptfs) run(ctx context.Context, key keyring.Secret, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, gocryptfsTime)
	defer cancel()
	line := append([]byte(hex.EncodeToString(key)), '\n')
	defer clear(line)
	var said bytes.Buffer
	c := exec.CommandContext(ctx, g.program, args...)
	c.Env = []string{"PATH=" + os.Getenv("PATH")}
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(line), &said, &said
	c.WaitDelay = time.Second // should what goes on hold the pipes
	err := c.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return fmt.Errorf("gocryptfs failed (%w): %s", err, lastLine(said.String()))
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
