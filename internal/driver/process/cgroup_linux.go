package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupParent is the delegated folder below which each instance gets a group.
// The zero value has none, and its methods do nothing.
type cgroupParent struct {
	dir         string
	controllers []string // of memory, cpu and pids, those that groups below have
	limits      string   // for people
}

const (
	// maxTasks bounds the processes and threads of an instance.
	maxTasks = 16384
	// cpuPeriod is the kernel's usual period in microseconds.
	cpuPeriod = 100_000
	// groupWait is how long the kernel may take to empty a killed group.
	groupWait = 2 * time.Second
)

// openCgroup looks at the folder and hands the controllers that it has to the
// groups below.
func openCgroup(dir string) cgroupParent {
	if dir == "" {
		return cgroupParent{limits: "none (no cgroup is configured)"}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return cgroupParent{limits: fmt.Sprintf("none (%s: %v)", dir, err)}
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return cgroupParent{limits: fmt.Sprintf("none (%s is not a cgroup v2)", dir)}
	}
	control := filepath.Join(dir, "cgroup.subtree_control")
	var on []string
	for _, c := range []string{"memory", "cpu", "pids"} {
		_ = os.WriteFile(control, []byte("+"+c), 0) // what worked is read below
	}
	enabled, err := os.ReadFile(control)
	if err == nil {
		err = unix.Access(dir, unix.W_OK)
	}
	if err != nil {
		return cgroupParent{limits: fmt.Sprintf("none (%s: %v)", dir, err)}
	}
	for _, c := range strings.Fields(string(enabled)) {
		if slices.Contains([]string{"memory", "cpu", "pids"}, c) {
			on = append(on, c)
		}
	}
	p := cgroupParent{dir: dir, controllers: on, limits: "cgroup v2: " + strings.Join(on, ", ")}
	if len(on) == 0 {
		p.limits = "none (the cgroup has none of the controllers memory, cpu and pids)"
	}
	return p
}

// create makes a group with bounds and gives its folder; "" without a parent. A
// bound that is 0, or whose controller is missing, is not set.
func (p cgroupParent) create(name string, memoryBytes int64, cpus float64) (string, error) {
	if p.dir == "" {
		return "", nil
	}
	dir := filepath.Join(p.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	for _, s := range p.settings(memoryBytes, cpus) {
		if err := os.WriteFile(filepath.Join(dir, s.file), []byte(s.value), 0); err != nil {
			return dir, err
		}
	}
	return dir, nil
}

type groupSetting struct{ file, value string }

func (p cgroupParent) settings(memoryBytes int64, cpus float64) []groupSetting {
	var list []groupSetting
	if slices.Contains(p.controllers, "memory") && memoryBytes > 0 {
		list = append(list,
			groupSetting{"memory.max", strconv.FormatInt(memoryBytes, 10)},
			groupSetting{"memory.oom.group", "1"}) // all of it or nothing
	}
	if slices.Contains(p.controllers, "cpu") && cpus > 0 {
		quota := max(int64(cpus*cpuPeriod), 1000) // the kernel takes no less
		list = append(list, groupSetting{"cpu.max", fmt.Sprintf("%d %d", quota, cpuPeriod)})
	}
	if slices.Contains(p.controllers, "pids") {
		list = append(list, groupSetting{"pids.max", strconv.Itoa(maxTasks)})
	}
	return list
}

// outOfMemory reports whether the kernel killed something in the group for want
// of memory.
func (p cgroupParent) outOfMemory(dir string) bool {
	if dir == "" {
		return false
	}
	data, err := os.ReadFile(filepath.Join(dir, "memory.events"))
	return err == nil && killsIn(data) > 0
}

func killsIn(memoryEvents []byte) int {
	lines := bufio.NewScanner(bytes.NewReader(memoryEvents))
	for lines.Scan() {
		if count, ok := strings.CutPrefix(lines.Text(), "oom_kill "); ok {
			n, err := strconv.Atoi(count)
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// remove kills what is in a group and removes it. The group may be gone already.
func (p cgroupParent) remove(dir string) error {
	if dir == "" {
		return nil
	}
	// Only kernels from 5.14 on have the file; the shim has killed all before.
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for until := time.Now().Add(groupWait); ; <-tick.C {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(until) {
			return err
		}
	}
}
