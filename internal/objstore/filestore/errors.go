package filestore

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

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
	case missing(err):
		return objstore.NotFound(ref, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(fault.Unavailable, err, "%s %s failed: disk full", doing, ref)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.Wrap(fault.Denied, err, "%s %s failed: the server may not use that file; check its owner and permissions", doing, ref)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fault.Wrap(fault.Unavailable, err, "%s %s failed: too many open files", doing, ref)
	case errors.Is(err, syscall.EIO):
		return fault.Wrap(fault.Unavailable, err, "%s %s failed: the disk reports an I/O error", doing, ref)
	}
	return fault.Wrap(fault.Internal, err, "%s %s failed in the file system", doing, ref)
}

// missing reports that no such file exists, or that its path leads through a
// file or out of the bucket by a symbolic link: no object is there either way.
func missing(err error) bool {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return true
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		// os.Root's refusals are the only path errors that no system call made.
		_, sys := pe.Err.(syscall.Errno)
		return !sys && !errors.Is(pe.Err, fs.ErrClosed)
	}
	return false
}

func notEmpty(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST)
}
