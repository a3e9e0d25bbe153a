// Package fake is a driver whose instances are servers within the test's own
// process: each Start asks a function for a Script and acts it out. It passes the
// suite in drivertest and is meant for the tests of the rooms above.
package fake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Script is what one instance does. The zero Script starts at once, answers 200
// to GET /ping and 404 to everything else, and ends when it is stopped.
type Script struct {
	// StartError makes Start fail with it.
	StartError error
	// Handler makes the instance's server; nil is the one above. Its requests end
	// when the instance does, and it must return soon after.
	Handler func(*Container) http.Handler
	// Main runs beside the server from the start, for what a program does without
	// being asked; nil is nothing. Its return does not end the instance, but the
	// end waits for it: it must return soon after Killed is closed.
	Main func(*Container)
	// ReadyAfter is how long the server answers 503 to everything.
	ReadyAfter time.Duration
	// End makes the instance end by itself; nil is never.
	End *End
	// IgnoreTerm makes SIGTERM do nothing but close Terminated.
	IgnoreTerm bool
}

// End is an end that was planned.
type End struct {
	// After is the time from the start.
	After time.Duration
	// Exit is how; its At is set by the driver.
	Exit driver.Exit
}

// Driver implements driver.Driver. What it does not find in use on the host it
// does not know: each Driver has its own instances.
type Driver struct {
	script func(driver.Spec) (Script, error)

	mu      sync.Mutex
	live    map[string]*Container // a nil Container is one that is being started
	started []driver.Spec
}

// New makes a driver that asks script at each Start; its error fails the Start.
// It may be called from several goroutines at once.
func New(script func(driver.Spec) (Script, error)) *Driver {
	return &Driver{script: script, live: map[string]*Container{}}
}

// Images is a script function with one Script for each image name. Other names
// answer an error that wraps driver.ErrNoImage.
func Images(scripts map[string]Script) func(driver.Spec) (Script, error) {
	scripts = maps.Clone(scripts)
	return func(spec driver.Spec) (Script, error) {
		s, ok := scripts[spec.Image]
		if !ok {
			return Script{}, fault.Wrap(fault.Invalid, driver.ErrNoImage, "image %q cannot be run: the fake runtime has no script for it", spec.Image)
		}
		return s, nil
	}
}

// Started lists the Specs of all successful Starts in order.
func (d *Driver) Started() []driver.Spec {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.started)
}

// Live lists the IDs of the instances that have not ended, sorted.
func (d *Driver) Live() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for id, c := range d.live {
		if c != nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Leave has the runtime want an instance gone, while it goes on as before. It may
// be called twice, and for an instance that has ended.
func (d *Driver) Leave(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.live[id]; c != nil {
		c.leaveOnce.Do(func() { close(c.leaving) })
	}
}

var validID = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

// Prepare implements driver.Driver: every image is there. Whether it has a script
// shows at Start.
func (d *Driver) Prepare(_ context.Context, image string, _ func(driver.Pull)) (driver.Image, error) {
	sum := sha256.Sum256([]byte(image))
	name, _, _ := strings.Cut(image, "@")
	return driver.Image{Specified: image, Resolved: name + "@sha256:" + hex.EncodeToString(sum[:]), At: time.Now()}, nil
}

// Start implements driver.Driver.
func (d *Driver) Start(ctx context.Context, spec driver.Spec) (driver.Handle, error) {
	if !validID.MatchString(spec.ID) {
		return nil, fault.New(fault.Internal, "instance ID %q is not of the form [a-z0-9-]{1,63}", spec.ID)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("starting instance %s: %w", spec.ID, err)
	}
	spec.Args, spec.Env = slices.Clone(spec.Args), maps.Clone(spec.Env)
	if err := d.claim(spec.ID); err != nil {
		return nil, err
	}
	c, err := d.begin(spec)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		delete(d.live, spec.ID)
		return nil, err
	}
	d.live[spec.ID] = c
	d.started = append(d.started, spec)
	go c.run()
	return handle{c}, nil
}

func (d *Driver) claim(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, taken := d.live[id]; taken {
		return fault.New(fault.Exists, "instance %s is running already", id)
	}
	d.live[id] = nil
	return nil
}

// begin makes an instance that listens; run makes it serve.
func (d *Driver) begin(spec driver.Spec) (*Container, error) {
	script, err := d.script(spec)
	if err == nil {
		err = script.StartError
	}
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "no free port on this machine")
	}
	env := maps.Clone(spec.Env)
	if env == nil {
		env = map[string]string{}
	}
	env["SAGEMAKER_BIND_TO_PORT"] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	env["SAGEBRUSH_BIND_HOST"] = "127.0.0.1"
	if spec.ModelDir != "" {
		env["SM_MODEL_DIR"] = spec.ModelDir
	}
	return newContainer(d, spec, script, env, l), nil
}

// Attach implements driver.Driver: no instance outlives the test.
func (d *Driver) Attach(_ context.Context, spec driver.Spec) (driver.Handle, error) {
	return nil, fmt.Errorf("fake instance %q: %w", spec.ID, driver.ErrNoInstance)
}

// Sweep implements driver.Driver: there is never an earlier server.
func (d *Driver) Sweep(context.Context, []string) error { return nil }

// forget frees an ID.
func (d *Driver) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.live, id)
}
