package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// tree is the command and all its descendants. The shim is their reaper: what
// loses its parent becomes the shim's child, wherever it moved to. When the shim
// has no child left, nothing of the tree is left.
type tree struct {
	leader     int
	leaderGone chan struct{}
	gone       chan struct{}

	// mu keeps reaping and signalling apart: a pid that is not reaped cannot be
	// given to another process meanwhile.
	mu     sync.Mutex
	reaped bool // the leader is
	status syscall.WaitStatus
}

// commandOOMScore makes the kernel prefer commands to the server when it must
// end something.
const commandOOMScore = "500"

// startTree runs on the locked main thread, so that Pdeathsig means the shim.
func startTree(o startOrder) (*tree, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the reaper: %w", err)
	}
	sys := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if o.Cgroup != "" {
		group, err := os.Open(o.Cgroup)
		if err != nil {
			return nil, err
		}
		defer group.Close()
		sys.UseCgroupFD, sys.CgroupFD = true, int(group.Fd())
	}
	restore := raiseOOMScore()
	pid, err := startCommand(o, sys)
	restore()
	if err != nil {
		return nil, err
	}
	t := &tree{leader: pid, leaderGone: make(chan struct{}), gone: make(chan struct{})}
	go t.reap()
	return t, nil
}

// raiseOOMScore sets the score that a child inherits. It is a hint: where the
// system does not allow it, nothing changes.
func raiseOOMScore() (restore func()) {
	const file = "/proc/self/oom_score_adj"
	old, err := os.ReadFile(file)
	if err != nil || os.WriteFile(file, []byte(commandOOMScore), 0) != nil {
		return func() {}
	}
	return func() { _ = os.WriteFile(file, old, 0) }
}

// reap collects children until there are none.
func (t *tree) reap() {
	defer close(t.gone)
	for {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT|unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return // ECHILD
		}
		t.reapOne()
	}
}

func (t *tree) reapOne() {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ws syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG|syscall.WALL, nil)
	if err == nil && pid == t.leader && !t.reaped {
		t.reaped, t.status = true, ws
		close(t.leaderGone)
	}
}

// terminate asks the leader's process group to end.
func (t *tree) terminate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.reaped {
		_ = syscall.Kill(-t.leader, syscall.SIGTERM)
	}
}

// kill ends the shim's own children by force. Their children become the shim's
// and are met by the next call: parents go first, so that none can replace its
// children, and only pids that cannot be used again are signalled.
func (t *tree) kill() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.reaped {
		_ = syscall.Kill(-t.leader, syscall.SIGKILL)
	}
	self := os.Getpid()
	for _, p := range processes() {
		if p.parent == self && p.state != 'Z' {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

// ended is the leader's end. It is valid once gone is closed.
func (t *tree) ended() *endedReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	return endOf(t.status)
}

// procEntry is one line of the system's table of processes.
type procEntry struct {
	pid, parent int
	state       byte
	start       uint64 // clock ticks since the boot
}

// processes lists what /proc shows. Entries that vanish meanwhile are left out.
func processes() []procEntry {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // as far as it could be read
	var found []procEntry
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil {
			found = append(found, p)
		}
	}
	return found
}

// readProcess parses /proc/PID/stat. The second field, the program's name in
// parentheses, may hold anything, so the parse starts after the last one.
func readProcess(pid int) (procEntry, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procEntry{}, err
	}
	return parseStat(pid, string(data))
}

func parseStat(pid int, stat string) (procEntry, error) {
	malformed := fmt.Errorf("process %d: the system's description is malformed", pid)
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	// Fields count from the third, the state; the start time is the 22nd.
	if len(fields) < 20 {
		return procEntry{}, malformed
	}
	parent, err1 := strconv.Atoi(fields[1])
	start, err2 := strconv.ParseUint(fields[19], 10, 64)
	if err1 != nil || err2 != nil {
		return procEntry{}, malformed
	}
	return procEntry{pid: pid, parent: parent, state: fields[0][0], start: start}, nil
}

// startTime tells processes of one number apart.
func startTime(pid int) (uint64, error) {
	p, err := readProcess(pid)
	return p.start, err
}

// bootID names this run of the system.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
