package instance

import (
	"syscall"
	"unsafe"
)

// The two calls of a small exchange tell the scheduler nothing: the socket does not
// block, so they are over in microseconds, and a scheduler that is told of each
// takes the processor away from its goroutine and wakes a thread for it.

// rawRead reads into p, which must not be empty.
func rawRead(fd int, p []byte) (int, error) {
	return rawCall(syscall.SYS_READ, fd, p)
}

// rawWrite writes p, which must be small and not empty.
func rawWrite(fd int, p []byte) (int, error) {
	return rawCall(syscall.SYS_WRITE, fd, p)
}

func rawCall(trap uintptr, fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
