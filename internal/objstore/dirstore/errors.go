package dirstore

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// committing is what a writer does when a name must be free for it.
const committing = "committing"

// failed turns an error of the file system into one that the seam promises. An
// error that has a kind already passes.
func failed(ref objstore.Ref, doing string, err error) error {
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.Unavailable, err, "%s %s was interrupted", doing, ref)
	case missing(err) && doing != committing:
		return objstore.NotFound(ref, err)
	case escapes(err):
		return fault.Wrap(fault.Denied, err, "%s %s is refused: a symbolic link leads out of the folder; copy the file in instead", doing, ref)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.Wrap(fault.Denied, err, "%s %s was denied by the file system; check owner and permissions", doing, ref)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(fault.Unavailable, err, "%s %s failed: the disk is full", doing, ref)
	case collides(err):
		return fault.Wrap(fault.Invalid, err, "%s %s failed: no file can have this name here, because of its length or because a file and a folder would share it", doing, ref)
	}
	return objstore.Unavailable(ref, doing, err)
}

// missing reports that no such file exists, or that its path leads through a file.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// collides reports that a file and a folder want one name, or a name too long.
func collides(err error) bool {
	for _, e := range []error{syscall.EISDIR, syscall.ENOTDIR, syscall.EEXIST, syscall.ENOTEMPTY, syscall.ENAMETOOLONG} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// escapes reports os.Root's refusal of a path that leads out. It is the only
// path error that no system call made.
func escapes(err error) bool {
	var pe *fs.PathError
	if !errors.As(err, &pe) || errors.Is(err, fs.ErrClosed) {
		return false
	}
	var sys syscall.Errno
	return !errors.As(pe.Err, &sys) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission)
}
