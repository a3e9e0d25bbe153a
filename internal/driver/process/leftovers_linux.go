package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

const (
	// shimWait is how long a shim may take to notice that its tree is gone.
	shimWait = 2 * time.Second
	// sweepEvery is how often the table of processes is read while killing.
	sweepEvery = 20 * time.Millisecond
)

// killLeftovers kills every process that carries the record's token, and their
// descendants, and returns when there is none. The shim goes last: as long as it
// lives, it adopts what loses its parent.
func killLeftovers(ctx context.Context, rec record) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	shimUntil := time.Now().Add(shimWait)
	for {
		shim, others := leftovers(rec)
		if len(others) == 0 && shim == nil {
			return nil
		}
		for _, p := range others {
			killIfSame(p)
		}
		if shim != nil && len(others) == 0 && time.Now().After(shimUntil) {
			killIfSame(*shim)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fault.Wrap(fault.Internal, ctx.Err(), "%d of its processes do not end although they were killed", len(others))
		}
	}
}

// leftovers finds the record's shim and the rest of its tree.
func leftovers(rec record) (shim *procEntry, others []procEntry) {
	mark := fmt.Appendf(nil, "%s=%s", envToken, rec.Token)
	all := processes()
	ours := map[int]bool{}
	for _, p := range all {
		ours[p.pid] = p.state != 'Z' && carries(p.pid, mark)
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !ours[p.pid] && p.state != 'Z' && ours[p.parent] {
				ours[p.pid], grown = true, true
			}
		}
	}
	for _, p := range all {
		switch {
		case !ours[p.pid] || p.pid == os.Getpid():
		case p.pid == rec.Shim.Pid && p.start == rec.Shim.Start:
			shim = &p
		default:
			others = append(others, p)
		}
	}
	return shim, others
}

// carries reports whether a process was started with a variable.
func carries(pid int, variable []byte) bool {
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false // gone, or another user's
	}
	for v := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(v, variable) {
			return true
		}
	}
	return false
}

// killIfSame kills the process that was seen, and no later one of its number:
// the handle is opened first and holds on to whatever has the number then.
func killIfSame(p procEntry) {
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return
	}
	defer handle.Release()
	if start, err := startTime(p.pid); err == nil && start == p.start {
		_ = handle.Signal(syscall.SIGKILL)
	}
}
