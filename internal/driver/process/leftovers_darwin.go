package process

import (
	"context"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// killLeftovers kills the command's process group, if its leader is still the
// process that was recorded, and the shim. Without a leader nothing says whose
// the group is, and it is left alone.
func killLeftovers(ctx context.Context, rec record) error {
	if rec.Leader.alive() {
		_ = syscall.Kill(-rec.Leader.Pid, syscall.SIGKILL)
	}
	if rec.Shim.alive() {
		_ = syscall.Kill(rec.Shim.Pid, syscall.SIGKILL)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for rec.Leader.alive() || rec.Shim.alive() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fault.Wrap(fault.Internal, ctx.Err(), "its processes do not end although they were killed")
		}
	}
	return nil
}
