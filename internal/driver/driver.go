// Package driver says what a runtime must supply to run model containers:
// start one, find it again, wait for its end, stop it. It knows nothing of the
// HTTP that a container speaks; that is the room instance.
//
// The drivers live in the folders below (process, fake, later docker and kube)
// and all pass the suite in drivertest. Only the room daemon names them.
package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrNoInstance is what Attach answers for an ID that the driver does not run.
var ErrNoInstance = errors.New("no such instance")

// ErrNoImage marks an image that the driver cannot find or may not run. The
// error that wraps it says which and what to do.
var ErrNoImage = errors.New("image cannot be run")

// Spec is everything a driver is told about an instance. It is a value: a
// driver keeps no reference to its maps after Start returns.
type Spec struct {
	// ID names the instance: [a-z0-9-]{1,63}, unique on the host, chosen by the
	// caller so that it finds the instance again after a crash.
	ID string
	// Image is the container image as the model names it, after remapping.
	Image string
	// Args become the container's arguments: "serve" (CC-1).
	Args []string
	// Env is the whole environment that the platform and the user set, without
	// what only the driver can know (the port, the model folder's place).
	Env map[string]string
	// ModelDir is the absolute host folder that appears as /opt/ml/model,
	// read-only where the driver can (CC-11). "" means no artefacts.
	ModelDir string
	// ScratchDir is an absolute, private, existing host folder that the instance
	// may fill; the caller removes it after Stop.
	ScratchDir string
	// Output receives what the instance prints, stdout and stderr interleaved as
	// they come. Writes are serialised by the driver. It must not block for long.
	Output io.Writer
	// MemoryBytes and CPUs bound the instance where the driver can; 0 is no bound.
	MemoryBytes int64
	CPUs        float64
}

// Exit is how an instance ended.
type Exit struct {
	// Code is the exit code, or -1 when a signal ended it.
	Code int
	// Signal names the signal that ended it ("killed", "terminated"), or is "".
	Signal string
	// OOM reports that the kernel ended it for want of memory, as far as known.
	OOM bool
	// At is when the end was seen.
	At time.Time
}

// String says how the instance ended, as the predicate of a sentence.
func (e Exit) String() string {
	text := fmt.Sprintf("exited with code %d", e.Code)
	switch {
	case e.Signal != "":
		text = fmt.Sprintf("was ended by the signal %q", e.Signal)
	case e.Code < 0:
		text = "ended"
	}
	if e.OOM {
		text += " because it ran out of memory"
	}
	return text
}

// Driver starts instances. It is safe for concurrent use.
type Driver interface {
	// Start starts an instance and returns once its process exists, long before
	// it serves. A second Start with the ID of a live instance is an error.
	// ctx bounds the start only: its end does not stop the instance.
	Start(ctx context.Context, spec Spec) (Handle, error)
	// Attach finds an instance that outlived the server, or answers an error that
	// wraps ErrNoInstance. Drivers whose instances die with the server always do.
	Attach(ctx context.Context, id string) (Handle, error)
	// Sweep stops every instance that an earlier server left behind and that is
	// not in keep. It is called once, before the first Start.
	Sweep(ctx context.Context, keep []string) error
}

// Handle is one instance. It is safe for concurrent use.
type Handle interface {
	// ID is the Spec's.
	ID() string
	// Addr is the host:port where the instance's server listens or will listen.
	Addr() string
	// Done is closed when the instance has ended; Exit is valid from then on.
	Done() <-chan struct{}
	// Exit tells how it ended. Before Done is closed its result is meaningless.
	Exit() Exit
	// Stop asks the instance to end (SIGTERM), ends it by force after grace
	// (SIGKILL, CC-27), and returns when it and all its children are gone. It may
	// be called twice and after the end. When ctx ends first it uses force at once.
	Stop(ctx context.Context, grace time.Duration) error
}
