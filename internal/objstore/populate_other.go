//go:build !linux

package objstore

// populate does nothing where the kernel has no such advice.
func populate([]byte) {}
