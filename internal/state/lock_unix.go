//go:build unix

package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// fileLock keeps a second server out of a data folder. The kernel drops it when
// the process ends, however it ends, so a crash leaves nothing to clean up.
type fileLock struct{ f *os.File }

// lockFile takes the lock at once or says who has it. The file stays when the
// lock is given up: removing it would let two servers lock two files of one name.
func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "The lock file %s cannot be opened. Check the permissions of the data folder.", path)
	}
	err = flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := lockHolder(f)
		f.Close()
		return nil, fault.Wrap(fault.Unavailable, err, "Another Sagebrush server%s uses this data folder (%s is locked). Stop it, or use another data folder.", holder, path)
	}
	if err != nil {
		f.Close()
		return nil, fault.Wrap(fault.Unavailable, err, "The lock file %s cannot be locked. The data folder must be on a local disk.", path)
	}
	// Who holds the lock is only a hint for people, so a failure to write it is not one.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	return &fileLock{f}, nil
}

// flock repeats the call when a signal interrupted it.
func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// lockHolder gives " (process N)" when the lock file says so.
func lockHolder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 20))
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

func (l *fileLock) unlock() error { return l.f.Close() }
