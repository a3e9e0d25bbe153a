package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a program that runs until stop and says on standard output, in JSON,
// where it listens. What it prints on standard error is kept for its error.
type child struct {
	cmd *exec.Cmd
	out *json.Decoder
	err bytes.Buffer
}

// start starts a program and decodes the first value that it prints into hello.
// When ctx ends it gets SIGTERM, and SIGKILL if it does not heed that.
func start(ctx context.Context, hello any, env []string, program string, args ...string) (*child, error) {
	c := newChild(ctx, env, program, args)
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	if err := c.out.Decode(hello); err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not say where it listens: %w", program, err), c.stop(nil))
	}
	return c, nil
}

func newChild(ctx context.Context, env []string, program string, args []string) *child {
	c := &child{cmd: exec.CommandContext(ctx, program, args...)}
	c.cmd.Env = append(environment(), env...)
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = 40 * time.Second
	c.cmd.Stderr = &c.err
	return c
}

// startQuiet starts a program that says nothing.
func startQuiet(ctx context.Context, program string, args ...string) (*child, error) {
	c := newChild(ctx, nil, program, args)
	return c, c.cmd.Start()
}

// environment is this program's own without what would point sagebrush at
// another server or change its settings.
func environment() []string {
	var out []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "SAGEBRUSH_") {
			out = append(out, v)
		}
	}
	return out
}

// stop ends the program with SIGTERM and decodes what it prints last into last,
// if that is not nil.
func (c *child) stop(last any) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var printed error
	if last != nil {
		printed = c.out.Decode(last)
	}
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", c.cmd.Path, err, c.err.String())
	}
	return errors.Join(printed, err)
}

// close is stop in a defer: what the program says of its end goes to err.
func (c *child) close(err *error) { *err = errors.Join(*err, c.stop(nil)) }

// cpuSeconds is the CPU time that the program has used so far, its own children
// left out.
func (c *child) cpuSeconds() (float64, error) { return cpuSeconds(c.cmd.Process.Pid) }

// familySeconds is cpuSeconds of the program and its children that run.
func (c *child) familySeconds() (float64, error) {
	total, err := c.cpuSeconds()
	if err != nil {
		return 0, err
	}
	pid := c.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return total, nil // a kernel that does not tell them
	}
	for _, id := range strings.Fields(string(children)) {
		n, err := strconv.Atoi(id)
		if err != nil {
			return 0, err
		}
		seconds, err := cpuSeconds(n)
		if err != nil {
			return 0, err
		}
		total += seconds
	}
	return total, nil
}

func cpuSeconds(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything; fields 14 and 15 come after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticks, errors.Join(err1, err2)
}

// ticks is USER_HZ, which is 100 on every Linux that Go runs on.
const ticks = 100

// peakMiB is the largest resident size that the program has had.
func (c *child) peakMiB() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("the kernel does not tell VmHWM")
}
