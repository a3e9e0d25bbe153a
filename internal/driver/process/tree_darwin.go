package process

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tree is the command and its process group. Without the reaper that Linux has,
// children that moved to another session are not seen.
type tree struct {
	leader     int
	leaderGone chan struct{}
	gone       chan struct{}
	status     syscall.WaitStatus // valid once leaderGone is closed
}

func startTree(o startOrder) (*tree, error) {
	if o.Cgroup != "" {
		return nil, errors.New("this system has no cgroups")
	}
	pid, err := startCommand(o, &syscall.SysProcAttr{})
	if err != nil {
		return nil, err
	}
	t := &tree{leader: pid, leaderGone: make(chan struct{}), gone: make(chan struct{})}
	go t.reap()
	return t, nil
}

// reap waits for the leader, then for its group. The group's number stays in use
// as long as it has a member.
func (t *tree) reap() {
	defer close(t.gone)
	for {
		_, err := syscall.Wait4(t.leader, &t.status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	close(t.leaderGone)
	for syscall.Kill(-t.leader, syscall.SIGKILL) == nil {
		time.Sleep(killEvery)
	}
}

func (t *tree) terminate() { _ = syscall.Kill(-t.leader, syscall.SIGTERM) }

func (t *tree) kill() {
	select {
	case <-t.leaderGone: // reap sees to the rest
	default:
		_ = syscall.Kill(-t.leader, syscall.SIGKILL)
	}
}

func (t *tree) ended() *endedReport { return endOf(t.status) }

// startTime tells processes of one number apart, in microseconds.
func startTime(pid int) (uint64, error) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return 0, err
	}
	at := info.Proc.P_starttime
	return uint64(at.Sec)*1_000_000 + uint64(at.Usec), nil
}

// bootID is not needed where start times are absolute.
func bootID() string { return "" }
