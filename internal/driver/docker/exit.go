package docker

import (
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
)

// exitOf reads a container's exit code. An engine reports the end by a signal as
// 128 plus its number, as shells do for their children, so a program that exits
// with such a code by itself cannot be told apart. Those of signals that end
// servers in practice are taken for the signal.
func exitOf(code int) driver.Exit {
	switch s := syscall.Signal(code - 128); s {
	case syscall.SIGILL, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGTERM:
		return driver.Exit{Code: -1, Signal: s.String()}
	}
	return driver.Exit{Code: code}
}
