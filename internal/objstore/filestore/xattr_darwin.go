package filestore

import (
	"errors"

	"golang.org/x/sys/unix"
)

// noAttr reports that a file has no such attribute or its file system none at all.
func noAttr(err error) bool {
	return errors.Is(err, unix.ENOATTR) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM)
}
