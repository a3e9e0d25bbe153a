package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// callTime bounds each call that is not a pull, a wait or a log. An engine that
// needs longer hangs.
const callTime = 60 * time.Second

func call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTime)
}

// facts is what the driver knows of an engine.
type facts struct {
	os, arch string // in Go's words
	cpus     int
	// survives: containers go on while the engine is restarted, as with live restore
	// and Podman.
	survives bool
}

// know asks the engine once, and again after it was away.
func (d *Driver) know(ctx context.Context) (facts, error) {
	d.mu.Lock()
	known := d.facts
	d.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	ctx, cancel := call(ctx)
	defer cancel()
	version, err := d.engine.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return facts{}, d.failure(err, "the Docker engine does not say what it is")
	}
	info, err := d.engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return facts{}, d.failure(err, "the Docker engine does not say what it has")
	}
	podman := slices.ContainsFunc(version.Components, func(c system.ComponentVersion) bool { return strings.Contains(c.Name, "Podman") })
	f := facts{os: version.Os, arch: version.Arch, cpus: info.Info.NCPU, survives: podman || info.Info.LiveRestoreEnabled}
	d.log.Info("docker runtime", "engine", d.host, "version", version.Version, "api", d.engine.ClientVersion(), "platform", f.os+"/"+f.arch)
	d.mu.Lock()
	d.facts = &f
	d.mu.Unlock()
	return f, nil
}

// forget has know ask again.
func (d *Driver) forget() {
	d.mu.Lock()
	d.facts = nil
	d.mu.Unlock()
}

// failure makes an error of the engine one for users: fault.Unavailable when it
// does not answer, else an internal one with the text and what the engine said.
func (d *Driver) failure(err error, format string, args ...any) error {
	if away(err) {
		d.forget()
		return fault.Wrap(fault.Unavailable, err, "the Docker engine at %s %s", d.host, absence(err))
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fault.Wrap(fault.Internal, err, "%s: the Docker engine says: %s", fmt.Sprintf(format, args...), said(err))
}

// away reports whether an error means that no engine answered, which says nothing
// about what was asked.
func away(err error) bool {
	var transport *url.Error
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return false
	case client.IsErrConnectionFailed(err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, context.DeadlineExceeded), errors.As(err, &transport), errors.As(err, &network):
		return true
	}
	return false
}

// refused reports whether nobody took the connection. One that was taken and broke
// may have been the last of an engine that stops, or the first of one that starts.
func refused(err error) bool {
	broke := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	return client.IsErrConnectionFailed(err) && !broke
}

// absence says in which way the engine does not answer and what to do about it.
func absence(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission), strings.Contains(err.Error(), "permission denied"):
		return "may not be used by this user: add the user that runs the server to the group that owns the socket, usually docker"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("has not answered for %v: look at its log, and restart it when it hangs", callTime)
	case errors.Is(err, fs.ErrNotExist), strings.Contains(err.Error(), "no such file"):
		return "does not run (there is no such socket): start it, or set DOCKER_HOST to one that runs"
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(err.Error(), "Is the docker daemon running"):
		return "does not run (the connection is refused): start it, or set DOCKER_HOST to one that runs"
	}
	return "does not answer: start it, or set DOCKER_HOST to one that runs"
}

// said is the engine's message without its preamble, bounded.
func said(err error) string {
	text := strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	if len(text) > 500 {
		text = text[:500] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}
