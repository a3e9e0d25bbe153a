package capacity

import (
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// readLinux reads what a process may use of a Linux host, with root as its file
// system: the machine's memory and processors (online), or less where a cgroup of
// the process says so, and the NVIDIA devices.
func readLinux(root fs.FS, online int) (Resources, error) {
	total, err := memTotal(root)
	if err != nil {
		return Resources{}, err
	}
	limit := cgroupLimits(root)
	return Resources{
		CPUs:        min(float64(online), limit.cpus),
		MemoryBytes: min(total, limit.memory),
		GPUs:        nvidiaDevices(root),
	}, nil
}

// memTotal reads the memory of the machine.
func memTotal(root fs.FS) (int64, error) {
	const file = "proc/meminfo"
	b, err := fs.ReadFile(root, file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err == nil && kb > 0 && kb < math.MaxInt64>>10 {
				return kb << 10, nil
			}
		}
	}
	return 0, fmt.Errorf("/%s has no MemTotal", file)
}

// limits are those of cgroups; infinite, or the largest number, where there are none.
type limits struct {
	cpus   float64
	memory int64
}

// cgroupLimits reads the limits of the process's cgroups and of all above them,
// version 2 and 1. In a container the path that the kernel tells may not be
// visible, but the folder at the top is then the container's own.
func cgroupLimits(root fs.FS) limits {
	l := limits{math.Inf(1), math.MaxInt64}
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return l
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3) // id:controllers:path
		if len(f) != 3 {
			continue
		}
		mount := path.Join("sys/fs/cgroup", f[1]) // f[1] is empty in version 2
		for dir := path.Clean("/" + f[2]); ; dir = path.Dir(dir) {
			l = l.lower(root, path.Join(mount, dir), strings.Split(f[1], ","))
			if dir == "/" {
				break
			}
		}
	}
	return l
}

// lower applies the limits of one cgroup.
func (l limits) lower(root fs.FS, dir string, controllers []string) limits {
	if slices.Contains(controllers, "") { // version 2
		l.quota(words(root, dir, "cpu.max"))
		l.bytes(words(root, dir, "memory.max"))
	}
	if slices.Contains(controllers, "cpu") {
		l.quota(append(words(root, dir, "cpu.cfs_quota_us"), words(root, dir, "cpu.cfs_period_us")...))
	}
	if slices.Contains(controllers, "memory") {
		l.bytes(words(root, dir, "memory.limit_in_bytes"))
	}
	return l
}

// quota applies microseconds of CPU time in a period. "max" and -1 are none.
func (l *limits) quota(w []string) {
	if len(w) != 2 {
		return
	}
	quota, err1 := strconv.ParseInt(w[0], 10, 64)
	period, err2 := strconv.ParseInt(w[1], 10, 64)
	if err1 == nil && err2 == nil && quota > 0 && period > 0 {
		l.cpus = min(l.cpus, float64(quota)/float64(period))
	}
}

// bytes applies a limit of memory. "max" is none.
func (l *limits) bytes(w []string) {
	if len(w) != 1 {
		return
	}
	if n, err := strconv.ParseInt(w[0], 10, 64); err == nil && n > 0 {
		l.memory = min(l.memory, n)
	}
}

// words reads a small file; none where it is not there.
func words(root fs.FS, dir, name string) []string {
	b, err := fs.ReadFile(root, path.Join(dir, name))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b))
}

// nvidiaDevices counts the GPUs whose devices a process can open. Before their
// first use the devices may not be there, and the driver's list counts; in a
// container that list may name more than its devices.
func nvidiaDevices(root fs.FS) int {
	n := 0
	entries, _ := fs.ReadDir(root, "dev") // what cannot be read has none
	for _, e := range entries {
		if number, ok := strings.CutPrefix(e.Name(), "nvidia"); ok {
			if _, err := strconv.ParseUint(number, 10, 16); err == nil {
				n++
			}
		}
	}
	if n == 0 {
		entries, _ = fs.ReadDir(root, "proc/driver/nvidia/gpus")
		n = len(entries)
	}
	return n
}
