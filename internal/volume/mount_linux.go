package volume

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unmountAll takes away whatever is mounted in a volume's home. What somebody still
// uses is detached: it goes when they let go.
func unmountAll(home string) error {
	view := filepath.Join(home, mountDir)
	for range 8 { // a mount may cover another
		mounted, err := isMounted(view)
		if err != nil || !mounted {
			return err
		}
		if err := unmountOne(view); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s is still mounted", view)
}

// unmountOne unmounts what is on top, with patience for what was closed just now.
func unmountOne(view string) error {
	err := unmountWith(view, 0, "-u")
	for pause := 10 * time.Millisecond; err != nil && pause < time.Second; pause *= 2 {
		time.Sleep(pause)
		err = unmountWith(view, 0, "-u")
	}
	if err != nil {
		err = unmountWith(view, unix.MNT_DETACH, "-uz")
	}
	return err
}

// unmountWith unmounts by the kernel as root, and else by FUSE's own program.
func unmountWith(view string, flags int, option string) error {
	err := unix.Unmount(view, flags|unix.UMOUNT_NOFOLLOW)
	if err == nil || !errors.Is(err, unix.EPERM) {
		return err
	}
	program, lerr := exec.LookPath("fusermount3")
	if lerr != nil {
		program = "fusermount"
	}
	if said, err := exec.Command(program, option, "--", view).CombinedOutput(); err != nil {
		return fmt.Errorf("%s cannot be unmounted: %w: %s", view, err, lastLine(string(said)))
	}
	return nil
}

// isMounted reports whether something is mounted at a path, also where what serves
// it is dead and the path cannot be looked at.
func isMounted(path string) (bool, error) {
	home, err := filepath.EvalSymlinks(filepath.Dir(path)) // as the kernel names it
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	path = filepath.Join(home, filepath.Base(path))
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && unescape(fields[4]) == path {
			return true, nil
		}
	}
	return false, lines.Err()
}

// unescape undoes the kernel's \ooo for blanks and backslashes in paths.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
