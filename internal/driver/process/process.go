// Package process runs an image as a local process: a table in the
// configuration maps the image's name to a command, and the command is given
// what a container would get (CC-1, CC-7, CC-20, CC-43).
//
// Every instance has a supervisor, the shim: a second process of the same
// binary (ShimMain) between the server and the command. It notices when the
// server dies, however it dies, and then ends the whole tree below it, so an
// instance never outlives its server. On Linux that includes children that moved
// to another session; on other systems it is the command's process group.
//
// There is no isolation beyond that: the command sees the host's files, network
// and processes, the model folder at its place on the host and not read-only.
// Those who need walls use the Docker or the Kubernetes driver.
package process

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Config is what a Driver needs to know.
type Config struct {
	// Images maps image names to commands. The first pattern that matches counts.
	Images []Image
	// Shim is the command that ends up in ShimMain, usually the server's own
	// binary and the word "shim". The first element is an absolute path.
	Shim []string
	// StateDir is an absolute folder for the records of what runs. It is made when
	// missing. Servers may share it: each leaves alone what a living one owns.
	StateDir string
	// Cgroup is the absolute folder of a cgroup v2 that was delegated to the
	// server and holds no processes itself. In it, each instance gets a group with
	// the Spec's bounds. "" means that memory and CPUs are not bounded.
	Cgroup string
	// Log receives what an operator should know; nil discards it.
	Log *slog.Logger
}

// Driver runs instances as processes. It has no Close: the instances end when
// they are stopped or when the server's process does.
type Driver struct {
	config  Config
	log     *slog.Logger
	records records
	cgroup  cgroupParent
	// stall and drain bound how long a slow Output can hold up an instance.
	stall, drain time.Duration

	mu    sync.Mutex
	live  map[string]*instance // a nil instance is one that is being started
	ports map[int]bool
}

const (
	// outputStall is how long an instance waits for an Output that takes nothing.
	outputStall = 5 * time.Second
	// outputDrain is how long the end of an instance waits for its last output.
	outputDrain = 5 * time.Second
	// forceWait is how long Stop waits after force before it says so.
	forceWait = 10 * time.Second
)

// New makes a driver. It starts nothing, and it reports once in the log which
// bounds it can enforce.
func New(c Config) *Driver {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &Driver{
		config:  c,
		log:     log,
		records: records{dir: c.StateDir},
		cgroup:  openCgroup(c.Cgroup),
		stall:   outputStall,
		drain:   outputDrain,
		live:    map[string]*instance{},
		ports:   map[int]bool{},
	}
	if c.Cgroup != "" && d.cgroup.dir == "" {
		log.Warn("the process runtime cannot bound its instances", "limits", d.Limits())
	} else {
		log.Info("process runtime", "limits", d.Limits())
	}
	return d
}

// Limits says in a few words which of the Spec's bounds the driver enforces.
func (d *Driver) Limits() string { return d.cgroup.limits }

// validID is the form of a Spec's ID. An ID becomes part of file names.
var validID = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

// Start implements driver.Driver. An image that is not in the table, or whose
// command does not exist, is a fault.Invalid that wraps driver.ErrNoImage.
func (d *Driver) Start(ctx context.Context, spec driver.Spec) (driver.Handle, error) {
	if err := check(spec); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("starting instance %s: %w", spec.ID, err)
	}
	order, err := d.order(spec)
	if err != nil {
		return nil, err
	}
	if err := d.claim(spec.ID); err != nil {
		return nil, err
	}
	i, err := d.launch(ctx, spec, order)
	if err != nil {
		return nil, err // not i: a nil pointer is no nil Handle
	}
	return i, nil
}

// Attach implements driver.Driver: no instance outlives its server.
func (d *Driver) Attach(_ context.Context, spec driver.Spec) (driver.Handle, error) {
	return nil, fmt.Errorf("process instance %q ended with the server that started it: %w", spec.ID, driver.ErrNoInstance)
}

func check(spec driver.Spec) error {
	switch {
	case !validID.MatchString(spec.ID):
		return fault.New(fault.Internal, "instance ID %q is not of the form [a-z0-9-]{1,63}", spec.ID)
	case !filepath.IsAbs(spec.ScratchDir):
		return fault.New(fault.Internal, "instance %s has no absolute scratch folder", spec.ID)
	case spec.ModelDir != "" && !filepath.IsAbs(spec.ModelDir):
		return fault.New(fault.Internal, "the model folder of instance %s is not an absolute path", spec.ID)
	case spec.Isolated:
		return fault.New(fault.Unsupported, "EnableNetworkIsolation needs a runtime with networks of its own, and image %q runs as a process of this machine; run it with Docker, or leave the isolation out", spec.Image)
	}
	return nil
}

// claim reserves an ID until release.
func (d *Driver) claim(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, taken := d.live[id]; taken {
		return fault.New(fault.Exists, "instance %s is running already", id)
	}
	d.live[id] = nil
	return nil
}

// release gives an ID and a port back; port 0 is none.
func (d *Driver) release(id string, port int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.live, id)
	delete(d.ports, port)
}
