package process

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// instance is one command with its shim. It implements driver.Handle.
type instance struct {
	d    *Driver
	id   string
	port int
	rec  record
	shim *exec.Cmd

	reports, outputFile *os.File
	decoder             *json.Decoder
	output              *outputPump

	mu     sync.Mutex // guards orders, the shim's standard input and lifeline
	orders *os.File

	done chan struct{}
	exit driver.Exit
}

// ID implements driver.Handle.
func (i *instance) ID() string { return i.id }

// Addr implements driver.Handle.
func (i *instance) Addr() string { return address(i.port) }

// Inside implements driver.Handle: a process sees the host's folders.
func (i *instance) Inside(path string) string { return path }

// Leaving implements driver.Handle: nobody but the server ends a process.
func (i *instance) Leaving() <-chan struct{} { return nil }

// Done implements driver.Handle.
func (i *instance) Done() <-chan struct{} { return i.done }

// Exit implements driver.Handle.
func (i *instance) Exit() driver.Exit {
	select {
	case <-i.done:
		return i.exit
	default:
		return driver.Exit{}
	}
}

// Stop implements driver.Handle. It fails only when something survives force.
func (i *instance) Stop(ctx context.Context, grace time.Duration) error {
	select {
	case <-i.done:
		return nil
	default:
	}
	i.stop(max(grace, 0))
	select {
	case <-i.done:
		return nil
	case <-ctx.Done():
	}
	i.stop(0)
	force := time.NewTimer(forceWait)
	defer force.Stop()
	select {
	case <-i.done:
		return nil
	case <-force.C:
	}
	i.shim.Process.Kill() // supervise then looks for what it left
	return fault.Wrap(fault.Internal, ctx.Err(), "instance %s does not end although it was killed", i.id)
}

// stop asks the shim. A failure means that the shim is going, and supervise sees
// to the rest.
func (i *instance) stop(grace time.Duration) {
	if err := i.send(stopOrder{Grace: grace}, time.Now().Add(time.Second)); err != nil {
		i.d.log.Debug("stop order not delivered", "instance", i.id, "error", err)
	}
}

// send gives the shim one order. A zero deadline is none.
func (i *instance) send(order any, deadline time.Time) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.orders.SetWriteDeadline(deadline); err != nil {
		return err
	}
	return json.NewEncoder(i.orders).Encode(order)
}

// supervise waits for the end. It owns the instance's goroutines and files.
func (i *instance) supervise() {
	var last report
	if err := i.decoder.Decode(&last); err != nil {
		last.Ended = nil
	}
	cause := i.shim.Wait()
	if last.Ended == nil {
		i.d.log.Warn("the supervisor of an instance ended early", "instance", i.id, "cause", cause)
	}
	i.finish(last.Ended, cause)
}

// finish makes sure that nothing is left once the shim is gone, and publishes
// the exit. A shim that did not report was killed, and could not clean up.
func (i *instance) finish(ended *endedReport, cause error) {
	if ended == nil {
		ctx, cancel := context.WithTimeout(context.Background(), forceWait)
		if err := killLeftovers(ctx, i.rec); err != nil {
			i.d.log.Error("an instance may have left processes", "instance", i.id, "error", err)
		}
		cancel()
	}
	if !i.output.wait(i.outputFile, i.d.drain) {
		i.d.log.Warn("the last output of an instance was not taken in time", "instance", i.id)
	} else if i.output.err != nil {
		i.d.log.Warn("the output of an instance was lost", "instance", i.id, "error", i.output.err)
	}
	i.exit = exitOf(ended, cause)
	i.exit.OOM = i.d.cgroup.outOfMemory(i.rec.Cgroup)
	i.exit.At = time.Now()
	i.mu.Lock()
	i.orders.Close()
	i.mu.Unlock()
	i.reports.Close()
	i.tidy()
	i.d.release(i.id, i.port)
	close(i.done)
}

// tidy removes the record and the cgroup of an instance of which nothing runs.
// What stays is removed by a later Sweep.
func (i *instance) tidy() {
	err := i.d.cgroup.remove(i.rec.Cgroup)
	if err == nil {
		err = i.d.records.remove(i.rec)
	}
	if err != nil {
		i.d.log.Warn("the traces of an instance cannot be removed", "instance", i.id, "error", err)
	}
}

// exitOf tells the command's end, or the shim's when that is all one knows.
func exitOf(ended *endedReport, shim error) driver.Exit {
	if ended == nil {
		signal := syscall.SIGKILL
		var exit *exec.ExitError
		if errors.As(shim, &exit) {
			if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
				signal = ws.Signal()
			}
		}
		return driver.Exit{Code: -1, Signal: signal.String()}
	}
	if ended.Signal != 0 {
		return driver.Exit{Code: -1, Signal: syscall.Signal(ended.Signal).String()}
	}
	return driver.Exit{Code: ended.Code}
}
