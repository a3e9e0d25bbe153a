package capacity

import (
	"os"
	"runtime"
)

// Host reads what this host has, or this process may use of it: CPUs, memory and
// NVIDIA GPUs. How many instances may run is a setting, not a fact of the host.
func Host() (Resources, error) { return readLinux(os.DirFS("/"), runtime.NumCPU()) }
