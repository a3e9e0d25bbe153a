//go:build !unix

package state

import "github.com/sagebrush-ml/sagebrush/internal/fault"

type fileLock struct{}

func lockFile(path string) (*fileLock, error) {
	return nil, fault.New(fault.Unsupported, "This system has no file locks that Sagebrush knows how to use, so %s cannot be locked.", path)
}

func (*fileLock) unlock() error { return nil }
