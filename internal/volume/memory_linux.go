package volume

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// memoryKinds are the kinds that keep everything in memory.
func memoryKinds(dir string, most int64) []kind {
	return []kind{tmpfs{most: most}, sharedMemory{root: sharedRoot(dir), most: most}}
}

// tmpfs is a file system in memory of the volume's own. It takes root to mount one.
type tmpfs struct{ most int64 }

func (tmpfs) stored() bool { return false }
func (t tmpfs) words() string {
	return fmt.Sprintf("in memory only (tmpfs of at most %d MB)", t.most>>20)
}

func (tmpfs) possible() error {
	if os.Geteuid() != 0 {
		return errors.New("only root can mount a tmpfs")
	}
	return nil
}

// mount keeps the pages out of swap space where there is any: it is a disk.
func (t tmpfs) mount(_ context.Context, home string, _ keyring.Secret) (string, error) {
	view := filepath.Join(home, mountDir)
	if err := os.Mkdir(view, 0o700); err != nil {
		return "", err
	}
	options := fmt.Sprintf("mode=0755,size=%d", t.most)
	swap := swapsTo()
	if swap != "" {
		options += ",noswap"
	}
	err := unix.Mount("sagebrush", view, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options)
	switch {
	case errors.Is(err, unix.EINVAL) && swap != "":
		return "", fmt.Errorf("this host swaps memory to %s, and its kernel cannot keep a tmpfs out of there", swap)
	case err != nil:
		return "", fmt.Errorf("a tmpfs cannot be mounted: %w", err)
	}
	return view, nil
}

// sharedMemory is a folder in /dev/shm, which is a tmpfs that everybody may use.
type sharedMemory struct {
	root string // of all volumes of a Host
	most int64
}

const sharedMemoryDir = "/dev/shm"

// sharedRoot is the folder in /dev/shm of a Host.
func sharedRoot(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(sharedMemoryDir, "sagebrush-"+hex.EncodeToString(sum[:8]))
}

func (sharedMemory) stored() bool { return false }
func (s sharedMemory) words() string {
	return fmt.Sprintf("in memory only (a folder of at most %d MB in /dev/shm)", s.most>>20)
}

func (s sharedMemory) possible() error {
	var at unix.Statfs_t
	if err := unix.Statfs(sharedMemoryDir, &at); err != nil || at.Type != unix.TMPFS_MAGIC {
		return errors.New("/dev/shm is not in memory here")
	}
	if swap := swapsTo(); swap != "" {
		return fmt.Errorf("this host swaps memory, /dev/shm too, to %s", swap)
	}
	if free := int64(at.Bavail) * at.Bsize; free < s.most {
		return fmt.Errorf("/dev/shm has %d MB left, and %d MB are wanted", free>>20, s.most>>20)
	}
	return nil
}

func (s sharedMemory) mount(_ context.Context, home string, _ keyring.Secret) (string, error) {
	if err := os.Mkdir(s.root, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if !ours(s.root) {
		return "", fmt.Errorf("%s belongs to somebody else", s.root)
	}
	if err := os.Chmod(s.root, 0o700); err != nil {
		return "", err
	}
	dir := filepath.Join(s.root, filepath.Base(home))
	return dir, os.Mkdir(dir, 0o755)
}

// ours reports whether a folder belongs to this server's user, and is no link:
// anybody may make something of that name in /dev/shm.
func ours(dir string) bool {
	var at unix.Stat_t
	err := unix.Lstat(dir, &at)
	return err == nil && at.Mode&unix.S_IFMT == unix.S_IFDIR && int(at.Uid) == os.Geteuid()
}

func (s sharedMemory) watch(dir string) *guard { return newGuard(dir, s.most) }

// removeShared removes a volume of a Host from /dev/shm, or with "" all of them.
func removeShared(dir, name string) error {
	root := sharedRoot(dir)
	if !ours(root) {
		return nil
	}
	err := os.RemoveAll(filepath.Join(root, name))
	_ = os.Remove(root) // unless there are more
	return err
}

// swapsTo names where this host swaps memory to, "" for nowhere. What is
// compressed and stays in memory (zram) does not count.
func swapsTo() string {
	text, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return ""
	}
	return swapIn(string(text))
}

// swapIn finds the first place in the text of /proc/swaps that is no memory.
func swapIn(text string) string {
	lines := strings.Split(text, "\n")
	for _, line := range lines[1:] {
		name, _, _ := strings.Cut(line, " ")
		name, _, _ = strings.Cut(name, "\t")
		if name != "" && !strings.HasPrefix(name, "/dev/zram") {
			return name
		}
	}
	return ""
}
