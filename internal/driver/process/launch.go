package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// maxReports bounds what a driver reads from a shim.
const maxReports = 64 << 10

// launch starts the shim and has it start the command. The ID is claimed; on
// success the instance owns it, otherwise everything is undone.
func (d *Driver) launch(ctx context.Context, spec driver.Spec, o startOrder) (*instance, error) {
	port, err := d.takePort()
	if err != nil {
		d.release(spec.ID, 0)
		return nil, err
	}
	i := &instance{
		d:    d,
		id:   spec.ID,
		port: port,
		rec:  record{ID: spec.ID, Token: newToken()},
		done: make(chan struct{}),
	}
	o.Env = append(o.Env, envPort+"="+strconv.Itoa(port), envToken+"="+i.rec.Token)
	if err := i.prepare(spec, &o); err != nil {
		i.tidy()
		d.release(spec.ID, port)
		return nil, err
	}
	if err := i.startShim(spec.Output); err != nil {
		i.tidy()
		d.release(spec.ID, port)
		return nil, err
	}
	if err := i.startCommand(ctx, spec, o); err != nil {
		i.abandon()
		return nil, err
	}
	d.mu.Lock()
	d.live[i.id] = i
	d.mu.Unlock()
	go i.supervise()
	return i, nil
}

// prepare writes the record and makes the cgroup, before anything runs.
func (i *instance) prepare(spec driver.Spec, o *startOrder) error {
	owner, err := identify(os.Getpid())
	if err != nil {
		return fault.Wrap(fault.Internal, err, "the server cannot identify its own process")
	}
	i.rec.Owner = owner
	i.rec.Cgroup, err = i.d.cgroup.create("sagebrush-"+i.id+"-"+i.rec.Token[:8], spec.MemoryBytes, spec.CPUs)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "the bounds of instance %s cannot be set", i.id)
	}
	o.Cgroup = i.rec.Cgroup
	return i.save()
}

func (i *instance) save() error {
	if err := i.d.records.save(i.rec); err != nil {
		return fault.Wrap(fault.Internal, err, "the record of instance %s cannot be written", i.id)
	}
	return nil
}

// startShim starts the supervisor with its three pipes.
func (i *instance) startShim(output io.Writer) error {
	var ours, theirs [3]*os.File // orders, reports, output
	var errs [3]error
	theirs[0], ours[0], errs[0] = os.Pipe()
	ours[1], theirs[1], errs[1] = os.Pipe()
	ours[2], theirs[2], errs[2] = os.Pipe()
	err := errors.Join(errs[:]...)
	if err == nil {
		argv := i.d.config.Shim
		i.shim = &exec.Cmd{
			Path:        argv[0],
			Args:        argv,
			Dir:         "/",
			Env:         []string{envToken + "=" + i.rec.Token},
			Stdin:       theirs[0],
			Stdout:      theirs[2],
			Stderr:      theirs[2],
			ExtraFiles:  []*os.File{theirs[1]},
			SysProcAttr: &syscall.SysProcAttr{Setsid: true}, // out of reach of the terminal's Ctrl-C
		}
		err = i.shim.Start()
	}
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		for _, f := range ours {
			f.Close()
		}
		return fault.Wrap(fault.Internal, err, "the supervisor of instance %s cannot be started", i.id)
	}
	i.orders, i.reports, i.outputFile = ours[0], ours[1], ours[2]
	i.decoder = json.NewDecoder(io.LimitReader(i.reports, maxReports))
	i.output = pump(i.outputFile, output, i.d.stall)
	return nil
}

// startCommand gives the order and waits for the answer. The end of ctx kills
// the shim, and with it the command.
func (i *instance) startCommand(ctx context.Context, spec driver.Spec, o startOrder) error {
	if p, err := identify(i.shim.Process.Pid); err == nil {
		i.rec.Shim = p
	}
	if err := i.save(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { i.shim.Process.Kill() })
	defer stop()
	var answer report
	err := i.send(o, time.Time{})
	if err == nil {
		err = i.decoder.Decode(&answer)
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("starting instance %s: %w", i.id, ctx.Err())
	case answer.Failed != nil:
		return i.refused(spec, o, *answer.Failed)
	case err != nil || answer.Started == nil:
		return fault.Wrap(fault.Internal, err, "the supervisor of instance %s ended before it started the command; see the instance's log", i.id)
	}
	if p, err := identify(answer.Started.Pid); err == nil {
		i.rec.Leader = p
	}
	return i.save()
}

// refused explains a command that the system did not start.
func (i *instance) refused(spec driver.Spec, o startOrder, f failedReport) error {
	errno := syscall.Errno(f.Errno)
	switch errno {
	case syscall.ENOENT, syscall.EACCES, syscall.ENOEXEC, syscall.ENOTDIR, syscall.EPERM:
		return fault.Wrap(fault.Invalid, errors.Join(driver.ErrNoImage, errors.New(f.Text)),
			"image %q cannot be run: its command %q in folder %q cannot be executed (%s); correct the runtime's images",
			spec.Image, o.Program, o.Dir, errno.Error())
	}
	return fault.Wrap(fault.Internal, errors.New(f.Text), "the command for image %q cannot be started on this machine", spec.Image)
}

// abandon ends a shim whose command was not started, or not in time.
func (i *instance) abandon() {
	i.shim.Process.Kill()
	i.finish(nil, i.shim.Wait())
}
