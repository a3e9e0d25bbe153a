package capacity

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Host reads what this host has: CPUs and memory. There are no NVIDIA GPUs. How
// many instances may run is a setting, not a fact of the host.
func Host() (Resources, error) {
	bytes, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return Resources{}, fmt.Errorf("sysctl hw.memsize: %w", err)
	}
	return Resources{CPUs: float64(runtime.NumCPU()), MemoryBytes: int64(bytes)}, nil
}
