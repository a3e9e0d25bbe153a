package driver

import "syscall"

// ExitOfCode reads the exit code of a container, without its At. Runtimes report the
// end by a signal as 128 plus its number, as shells do for their children, so a
// program that exits with such a code by itself cannot be told apart. Those of signals
// that end servers in practice are taken for the signal.
func ExitOfCode(code int) Exit {
	switch s := syscall.Signal(code - 128); s {
	case syscall.SIGILL, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGTERM:
		return Exit{Code: -1, Signal: s.String()}
	}
	return Exit{Code: code}
}
