package process

import (
	"encoding/json"
	"errors"
	"fmt"

	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// orphanGrace is what a tree gets to end by itself when its server is gone.
	orphanGrace = 5 * time.Second
	// signalGrace is the grace when the shim itself is asked to end (CC-27).
	signalGrace = 30 * time.Second
	// killEvery is how often the shim looks for what has survived.
	killEvery = 10 * time.Millisecond
	// openFiles is the number of files that a command may open, as far as the
	// system's hard limit allows.
	openFiles = 65536
)

// ShimMain is the supervisor's main function: the program calls it when it is
// started as Config.Shim, with the arguments that follow, and exits with its
// result. It must run on the main goroutine, before anything else is started.
//
// It runs one command and stays until nothing of the command's tree is left. The
// tree ends when the command does, on a stop order, on SIGTERM, SIGINT or SIGHUP
// to the shim, and when the server goes away.
func ShimMain(args []string) int {
	if len(args) != 0 || !isPipe(0) || !isPipe(reportFD) {
		fmt.Fprintln(os.Stderr, "this command is started by the server only")
		return 2
	}
	// The command dies with the thread that started it (tree_linux.go).
	runtime.LockOSThread()
	for fd := range reportFD + 1 {
		_ = syscall.SetNonblock(fd, false) // the command inherits 1 and 2
	}
	closeOnExec()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	in := json.NewDecoder(os.Stdin)
	out := json.NewEncoder(os.NewFile(reportFD, "reports"))
	var o startOrder
	if err := in.Decode(&o); err != nil {
		return 1 // the server is gone already
	}
	t, err := startTree(o)
	if err != nil {
		var errno syscall.Errno
		errors.As(err, &errno)
		_ = out.Encode(report{Failed: &failedReport{Errno: int(errno), Text: err.Error()}})
		return 1
	}
	// A server that is gone shows at the other pipe, too.
	_ = out.Encode(report{Started: &startedReport{Pid: t.leader}})
	guard(t, readStops(in), signals)
	_ = out.Encode(report{Ended: t.ended()})
	return 0
}

func isPipe(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}

// closeOnExec keeps what the shim itself inherited from reaching the command.
func closeOnExec() {
	names, err := filepath.Glob("/dev/fd/*")
	if err != nil {
		return
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(filepath.Base(name)); err == nil && fd >= reportFD {
			unix.CloseOnExec(fd)
		}
	}
}

// readStops passes the graces of stop orders on. It closes the channel when the
// server is gone.
func readStops(in *json.Decoder) <-chan time.Duration {
	stops := make(chan time.Duration)
	go func() {
		defer close(stops)
		for {
			var o stopOrder
			if err := in.Decode(&o); err != nil {
				return
			}
			stops <- o.Grace
		}
	}()
	return stops
}

// guard returns when the tree is gone. The first request to stop sends SIGTERM; a
// later one can only bring force nearer.
func guard(t *tree, stops <-chan time.Duration, signals <-chan os.Signal) {
	force := time.NewTimer(time.Hour)
	force.Stop()
	defer force.Stop()
	var deadline time.Time
	end := func(grace time.Duration) {
		at := time.Now().Add(grace)
		if deadline.IsZero() && grace > 0 {
			t.terminate()
		}
		if deadline.IsZero() || at.Before(deadline) {
			deadline = at
			force.Reset(grace)
		}
	}
	leaderGone := t.leaderGone
	for {
		select {
		case <-t.gone:
			return
		case grace, ok := <-stops:
			if !ok {
				stops, grace = nil, orphanGrace
			}
			end(grace)
		case <-signals:
			end(signalGrace)
		case <-leaderGone:
			leaderGone = nil
			end(0) // as a container ends with its first process
		case <-force.C:
			t.kill()
			force.Reset(killEvery)
		}
	}
}

// startCommand is what all systems share of starting the tree.
func startCommand(o startOrder, sys *syscall.SysProcAttr) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	if err := raiseLimits(); err != nil {
		return 0, err
	}
	sys.Setsid = true
	pid, err := syscall.ForkExec(o.Program, o.Argv, &syscall.ProcAttr{
		Dir:   o.Dir,
		Env:   o.Env,
		Files: []uintptr{null.Fd(), 1, 2},
		Sys:   sys,
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", o.Program, err)
	}
	return pid, nil
}

// raiseLimits sets what the command inherits: no core files, and more open files
// than the modest default of most systems.
func raiseLimits() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	files.Cur = min(files.Max, openFiles)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}

// endOf translates a wait status.
func endOf(ws syscall.WaitStatus) *endedReport {
	if ws.Signaled() {
		return &endedReport{Code: -1, Signal: int(ws.Signal())}
	}
	return &endedReport{Code: ws.ExitStatus()}
}
