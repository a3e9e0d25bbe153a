// Package driver says what a runtime must supply to run model containers:
// start one, find it again, wait for its end, stop it. It knows nothing of the
// HTTP that a container speaks; that is the room instance.
//
// The drivers live in the folders below (process, docker, kube, fake)
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
	// Resolved is Prepare's Image.Resolved, and pins what is started (EP-22). ""
	// has Start find the image by its name; it does not pull then.
	Resolved string
	// Args become the container's arguments: "serve" (CC-1).
	Args []string
	// Env is the whole environment that the platform and the user set, without
	// what only the driver can know (the port, the model folder's place).
	Env map[string]string
	// Hostname is the instance's host name where the driver can give it one
	// (CC-4); "" is the driver's choice.
	Hostname string
	// ModelDir is the absolute host folder that appears as /opt/ml/model,
	// read-only where the driver can (CC-11). "" means no artefacts.
	ModelDir string
	// WritableModel lets the instance write to its model folder, for images that
	// repack there. The folder must then be the instance's own.
	WritableModel bool
	// ModelsDir is the absolute host folder that appears as /opt/ml/models, where
	// the caller unpacks models while the instance runs (CC-82). "" is none.
	ModelsDir string
	// ExtraDir is the absolute host folder that appears, read-only, as
	// /opt/ml/additional-model-data-sources (CC-16). "" is none.
	ExtraDir string
	// ScratchDir is an absolute, private, existing host folder that the instance
	// may fill; the caller removes it after Stop.
	ScratchDir string
	// Output receives what the instance prints, stdout and stderr interleaved as
	// they come. Writes are serialised by the driver. It must not block for long.
	Output io.Writer
	// OutputSince is for Attach: what was printed up to this moment was received
	// already. The zero time receives everything that is kept.
	OutputSince time.Time
	// MemoryBytes and CPUs bound the instance where the driver can; 0 is no bound.
	MemoryBytes int64
	CPUs        float64
	// ShmBytes is the size of /dev/shm where the driver makes one; 0 is its default.
	ShmBytes int64
	// GPUs names the host's devices that the instance may use, as nvidia-smi numbers
	// them. A driver that cannot give them refuses.
	GPUs []string
	// Isolated cuts the instance off from every network; only its own port stays
	// reachable for the server (CC-6). A driver that cannot refuses.
	Isolated bool
	// Sealed confines what the driver gives the instance to write to, and what it
	// keeps of its output, to memory, the Spec's folders and Output. It stops an
	// instance from writing elsewhere as far as the driver isolates at all.
	Sealed bool
	// Held asks a runtime that takes instances away, as for the maintenance of a
	// machine, to wait: the caller replaces the instance once Leaving is closed, and
	// stops it. A driver whose runtime does no such thing has nothing to do.
	Held bool
	// Labels describe the instance to whoever looks at the runtime; a driver that
	// has no place for them drops them.
	Labels map[string]string
}

// Where a container finds what the platform gives it (CC-10, CC-16, CC-81).
const (
	ModelPath  = "/opt/ml/model"
	ModelsPath = "/opt/ml/models"
	ExtraPath  = "/opt/ml/additional-model-data-sources"
)

// Image is what Prepare found.
type Image struct {
	// Specified is the name that was asked for.
	Specified string
	// Resolved names exactly what will run: repository@sha256:digest (EP-21).
	Resolved string
	// At is when it was resolved.
	At time.Time
	// Labels are the image's own (CC-71, CC-80). They are the driver's memory: read only.
	Labels map[string]string
}

// Pull is how far the download of an image is.
type Pull struct {
	// Done and Total count bytes of the layers that are known so far; Total 0 is
	// not known yet.
	Done, Total int64
	// Text says what the runtime does, for people.
	Text string
}

// String is for people: "pulls it: 43 %".
func (p Pull) String() string {
	switch {
	case p.Total > 0:
		return fmt.Sprintf("pulls it: %d %% of %d MB", 100*p.Done/p.Total, (p.Total+1<<20-1)>>20)
	case p.Text != "":
		return p.Text
	}
	return "pulls it"
}

// Exit is how an instance ended.
type Exit struct {
	// Code is the exit code, or -1 when a signal ended it.
	Code int
	// Signal names the signal that ended it ("killed", "terminated"), or is "".
	Signal string
	// OOM reports that the kernel ended it for want of memory, as far as known.
	OOM bool
	// Lost reports that the runtime itself went away, and the instance with it as
	// far as anybody knows, or that it took the instance away. It is nobody's fault: another may be started once the
	// runtime is back.
	Lost bool
	// At is when the end was seen.
	At time.Time
}

// String says how the instance ended, as the predicate of a sentence.
func (e Exit) String() string {
	text := fmt.Sprintf("exited with code %d", e.Code)
	switch {
	case e.Lost:
		text = "was lost, because its runtime stopped or took it away"
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
//
// An error of the kind fault.Unavailable says that the runtime does not answer
// and that the call may be repeated; one that wraps ErrNoImage, that the image is
// at fault. The texts of both are for users.
type Driver interface {
	// Prepare finds an image and makes it ready to start: it is pulled when it is
	// missing. report, unless nil, is told how far that is, from one goroutine at a
	// time. Several calls for one image share one pull.
	Prepare(ctx context.Context, image string, report func(Pull)) (Image, error)
	// Start starts an instance and returns once its process exists, long before
	// it serves. A second Start with the ID of a live instance is an error.
	// ctx bounds the start only: its end does not stop the instance.
	Start(ctx context.Context, spec Spec) (Handle, error)
	// Attach finds the instance spec.ID that outlived the server, or answers an
	// error that wraps ErrNoInstance. Of spec it heeds ID, Output and OutputSince.
	// Drivers whose instances die with the server always answer that error.
	Attach(ctx context.Context, spec Spec) (Handle, error)
	// Sweep stops every instance that an earlier server of the same owner left
	// behind and that is not in keep. It is called once, before the first Start.
	Sweep(ctx context.Context, keep []string) error
}

// Handle is one instance. It is safe for concurrent use.
type Handle interface {
	// ID is the Spec's.
	ID() string
	// Addr is the host:port where the instance's server listens or will listen.
	Addr() string
	// Inside gives the path under which the instance sees one of the Spec's folders,
	// or something in it, whose absolute path on the host is given.
	Inside(path string) string
	// Done is closed when the instance has ended; Exit is valid from then on.
	Done() <-chan struct{}
	// Exit tells how it ended. Before Done is closed its result is meaningless.
	Exit() Exit
	// Leaving is closed when the runtime wants the instance gone while it still
	// serves: whoever needs it starts another one and stops it. It never opens again,
	// and is nil where the runtime wants no such thing.
	Leaving() <-chan struct{}
	// Stop asks the instance to end (SIGTERM), ends it by force after grace
	// (SIGKILL, CC-27), and returns when it and all its children are gone. It may
	// be called twice and after the end. When ctx ends first it uses force at once.
	Stop(ctx context.Context, grace time.Duration) error
}
