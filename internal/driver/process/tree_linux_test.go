package process

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
)

// TestCommandPlace shows where the shim puts a command: a session and a process
// group of its own, a higher score for the kernel's OOM killer, and an output
// pipe that blocks.
func TestCommandPlace(t *testing.T) {
	t.Parallel()
	d := scriptDriver(t, `
		cut -d' ' -f1,5,6 /proc/$$/stat
		cat /proc/$$/oom_score_adj
		grep flags /proc/$$/fdinfo/1
		echo started; exec sleep 600`)
	i, out := runScript(t, d, "place")
	lines := strings.Split(out.String(), "\n")
	if ids := strings.Fields(lines[0]); len(ids) != 3 || ids[0] != ids[1] || ids[0] != ids[2] {
		t.Errorf("process, group and session are %q", lines[0])
	}
	if score, err := strconv.Atoi(lines[1]); err != nil || score < 0 {
		t.Errorf("OOM score %q", lines[1])
	} else if lines[1] != commandOOMScore {
		t.Logf("this machine does not let the shim raise the OOM score: %s", lines[1])
	}
	flags, err := strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(lines[2], "flags:")), 8, 64)
	const nonblocking = 0o4000
	if err != nil || flags&nonblocking != 0 {
		t.Errorf("output pipe: %q", lines[2])
	}
	if err := i.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

// TestCommandDetaches has a command that daemonises: its end is the instance's,
// and the daemon goes with it, as in a container.
func TestCommandDetaches(t *testing.T) {
	t.Parallel()
	d := scriptDriver(t, `(setsid sh -c 'trap "" TERM HUP; while :; do sleep 600; done' >/dev/null 2>&1 &) ; exit 0`)
	h, err := d.Start(t.Context(), driver.Spec{ID: "detach", Image: "script:1", ScratchDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	<-h.Done()
	if exit := h.Exit(); exit.Code != 0 || exit.Signal != "" {
		t.Errorf("exit %+v", exit)
	}
	noneLeft(t, h.(*instance).rec)
}

// TestCommandSuspended has a command that cannot react to SIGTERM.
func TestCommandSuspended(t *testing.T) {
	t.Parallel()
	i, _ := runScript(t, scriptDriver(t, `echo started; kill -STOP $$; exec sleep 600`), "suspended")
	leader := i.(*instance).rec.Leader.Pid
	eventually(t, "the command is suspended", func() bool {
		p, err := readProcess(leader)
		return err == nil && p.state == 'T'
	})
	if err := i.Stop(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if exit := i.Exit(); exit.Signal != "killed" {
		t.Errorf("exit %+v", exit)
	}
}
