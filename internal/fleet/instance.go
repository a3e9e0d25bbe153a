package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/modelcache"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Order is one instance to start.
type Order struct {
	// ID names the instance: [a-z0-9-], at most 58 characters, unique on the host.
	ID string
	// Env gives a container's environment, but for what only the fleet knows.
	Env func(c resource.Container) map[string]string
	// Output gives the place of what container i prints. since is the time of the
	// last line that it holds already, for an instance that is adopted.
	Output func(i int) (w io.Writer, since time.Time)
	// MemoryBytes, CPUs, GPUs and ShmBytes are what all containers together may use.
	MemoryBytes int64
	CPUs        float64
	ShmBytes    int64
	GPUs        []string
	// Labels describe the instance to whoever looks at the runtime.
	Labels map[string]string
	// Held asks the runtime to wait with taking the instance away until it was
	// replaced: the caller watches Leaving.
	Held bool
	// ReadyTimeout is how long the containers may take to be ready (CC-22, CC-23).
	ReadyTimeout time.Duration
	// Retry is the policy of the connections to the containers.
	Retry instance.RetryPolicy
	// MaxResponseBytes bounds an answer that is held in memory.
	MaxResponseBytes int64
	// Report is told what is being waited for; nil is nobody.
	Report func(what string)
}

// Instance is a model's containers, side by side.
type Instance struct {
	// ID is the Order's.
	ID         string
	blueprint  *Blueprint
	containers []*instance.Instance
	models     []string // the folder of each multi-model container, "" for others
	dir        string
	outlets    []*outlet
	like       likeness
	reusable   bool                // whether like is known
	held       []*modelcache.Model // what it reads beyond its blueprint's life
	leaving    chan struct{}       // closed when the runtime wants the first container gone
	exited     chan struct{}       // closed when the first container has ended
	first      func() int          // which that was
}

// Launch starts the containers, or adopts those that outlived the server, or takes
// an instance that was kept warm, and returns before they serve. The caller calls
// WaitReady and must call Stop, or Keep. What it gives may have another ID than the
// Order's: that of a warm instance.
func (b *Blueprint) Launch(ctx context.Context, o Order) (_ *Instance, err error) {
	if len(o.ID) > maxID {
		return nil, fault.New(fault.Internal, "instance ID %q is too long", o.ID)
	}
	if o.Report == nil {
		o.Report = func(string) {}
	}
	in := &Instance{ID: o.ID, blueprint: b, dir: filepath.Join(b.work, o.ID), leaving: make(chan struct{}), exited: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.Stop(context.WithoutCancel(ctx)))
		}
	}()
	known := b.fleet.took(o.ID)
	if in.like, in.reusable = b.likenessOf(o); in.reusable && !known {
		if w := b.fleet.takeWarm(b, o, in.like); w != nil {
			return w, nil
		}
	}
	all := b.model.All()
	for i, c := range all {
		spec, err := b.spec(ctx, in, o, i, c, len(all))
		if err != nil {
			return nil, err
		}
		var started *instance.Instance
		err = b.fleet.patiently(ctx, b.fleet.Patience, o.Report, func() (err error) {
			started, err = instance.Launch(ctx, instance.Options{
				Driver: b.fleet.Driver, Spec: spec, Adopt: !b.sealed,
				ReadyTimeout: o.ReadyTimeout, StopGrace: max(b.fleet.StopGrace, time.Millisecond), // 0 is no grace, not the default
				Retry: o.Retry, MaxResponseBytes: o.MaxResponseBytes,
			})
			return err
		})
		if err != nil {
			return nil, err
		}
		in.containers = append(in.containers, started)
	}
	in.watch()
	return in, nil
}

// spec is what the driver is told of container i.
func (b *Blueprint) spec(ctx context.Context, in *Instance, o Order, i int, c resource.Container, of int) (driver.Spec, error) {
	to, since := o.Output(i)
	out := &outlet{to: to}
	in.outlets = append(in.outlets, out)
	share := float64(of)
	spec := driver.Spec{
		ID: containerID(o.ID, i), Image: b.images[i].Specified, Resolved: b.images[i].Resolved,
		Env: o.Env(c), Hostname: c.Hostname, Output: out, OutputSince: since,
		MemoryBytes: int64(float64(o.MemoryBytes) / share), CPUs: o.CPUs / share, ShmBytes: o.ShmBytes, GPUs: o.GPUs,
		Isolated: b.model.EnableNetworkIsolation, Sealed: b.sealed, Labels: o.Labels, Held: o.Held,
	}
	if of > 1 {
		spec.Env["SAGEMAKER_SAFE_PORT_RANGE"] = safePorts(i)
	}
	var err error
	if spec.ScratchDir, err = in.folder("scratch", i); err != nil {
		return spec, err
	}
	if err := b.placeData(ctx, in, &spec, i, c); err != nil {
		return spec, err
	}
	models := ""
	if c.MultiModel {
		spec.Env["SAGEMAKER_MULTI_MODEL"] = "true" // CC-42
		if models, err = in.folder("models", i); err != nil {
			return spec, err
		}
		spec.ModelsDir = models
	}
	in.models = append(in.models, models)
	return spec, nil
}

// placeData puts the model's data and that of its channels where the container finds
// it. A model without data gets no folder, which would hide what its image may have
// in the same place (CC-10).
func (b *Blueprint) placeData(ctx context.Context, in *Instance, spec *driver.Spec, i int, c resource.Container) (err error) {
	spec.ModelDir = b.dirs[i]
	for channel, source := range c.Sources() {
		switch {
		case channel != "":
			if spec.ExtraDir, err = in.folder("extra", i); err != nil {
				return err
			}
			err = in.fetch(ctx, source, filepath.Join(spec.ExtraDir, channel))
		case b.own:
			spec.WritableModel = true
			if spec.ModelDir, err = in.folder("model", i); err != nil {
				return err
			}
			err = in.fetch(ctx, source, spec.ModelDir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fetch fetches data into a folder of the instance's own, over what an instance
// of this name that did not live on may have left there.
func (in *Instance) fetch(ctx context.Context, source resource.ModelData, dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return err
	}
	return modelcache.Fetch(ctx, in.blueprint.fleet.Models.Store, source, dir, nil)
}

// folder makes a folder of container i.
func (in *Instance) folder(name string, i int) (string, error) {
	dir := filepath.Join(in.dir, fmt.Sprintf("%s-%d", name, i+1))
	return dir, os.MkdirAll(dir, 0o755)
}

// safePorts are ports that container i may open without meeting its siblings
// (CC-44), where containers share the host's.
func safePorts(i int) string {
	const first, each = 21000, 100
	return fmt.Sprintf("%d-%d", first+i*each, first+(i+1)*each-1)
}

// watch notes the first container that is to leave, and the first that ends.
func (in *Instance) watch() {
	var once, leaves sync.Once
	which := 0
	for i, c := range in.containers {
		go func() { // it ends with the container
			select {
			case <-c.Leaving():
				leaves.Do(func() { close(in.leaving) })
			case <-c.Exited():
			}
			<-c.Exited()
			once.Do(func() {
				which = i
				close(in.exited)
			})
		}()
	}
	in.first = func() int { <-in.exited; return which }
}

// WaitReady returns when every container is ready. Its error names all that are
// not (CC-73); the instance is left as it is.
func (in *Instance) WaitReady(ctx context.Context) error {
	errs := make([]error, len(in.containers))
	var wait sync.WaitGroup
	for i, c := range in.containers {
		wait.Go(func() { errs[i] = c.WaitReady(ctx) })
	}
	wait.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var failed []string
	for i, err := range errs {
		if err != nil {
			failed = append(failed, in.Name(i))
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case len(in.containers) == 1:
		return errs[0]
	}
	return &NotReadyError{Containers: failed, Errs: errs}
}

// NotReadyError is an instance of several containers of which some are not ready.
type NotReadyError struct {
	// Containers are their names.
	Containers []string
	Errs       []error
}

// Error names the containers and tells what each did.
func (e *NotReadyError) Error() string {
	var why []string
	for _, err := range e.Errs {
		if err != nil {
			why = append(why, err.Error())
		}
	}
	return fmt.Sprintf("the containers %s did not pass the ping health check: %s", strings.Join(e.Containers, ", "), strings.Join(why, "; "))
}

// Unwrap gives the errors of the containers.
func (e *NotReadyError) Unwrap() []error { return e.Errs }

// Containers are the instance's containers in the model's order.
func (in *Instance) Containers() []*instance.Instance { return in.containers }

// Name is the name of container i (CC-73).
func (in *Instance) Name(i int) string { return in.blueprint.model.ContainerName(i) }

// Model is the model that the instance serves.
func (in *Instance) Model() resource.ModelSpec { return in.blueprint.model }

// ModelsDir is the folder that a multi-model container sees as /opt/ml/models.
func (in *Instance) ModelsDir(i int) string { return in.models[i] }

// Exited is closed when any of the containers has ended: the instance then serves
// no more.
func (in *Instance) Exited() <-chan struct{} { return in.exited }

// Leaving is closed when the runtime wants any of the containers gone while they
// still serve.
func (in *Instance) Leaving() <-chan struct{} { return in.leaving }

// Healthy pings all containers once and reports whether all answered 200.
func (in *Instance) Healthy(ctx context.Context) bool {
	for _, c := range in.containers {
		if !c.Healthy(ctx) {
			return false
		}
	}
	return true
}

// Gone reports whether any of the containers has ended. It may be true a moment
// before Exited is closed.
func (in *Instance) Gone() bool {
	for _, c := range in.containers {
		select {
		case <-c.Exited():
			return true
		default:
		}
	}
	return false
}

// Ended tells which container ended first and how. It waits for Exited.
func (in *Instance) Ended() (name string, exit driver.Exit, tail string) {
	i := in.first()
	return in.Name(i), in.containers[i].Exit(), in.containers[i].Tail()
}

// Waiting says how far the containers are on their way to being ready.
func (in *Instance) Waiting() string {
	var parts []string
	for i, c := range in.containers {
		p := c.Progress()
		switch {
		case p.Ready:
			continue
		case p.Pings == 0:
			parts = append(parts, "container "+in.Name(i)+" was started and is not pinged yet")
		default:
			parts = append(parts, fmt.Sprintf("container %s: ping %d was answered with %s", in.Name(i), p.Pings, p.LastAnswer))
		}
	}
	return strings.Join(parts, "; ")
}

// Stop ends all containers at once (CC-27) and removes the instance's files. It
// may be called twice.
func (in *Instance) Stop(ctx context.Context) error {
	errs := make([]error, len(in.containers), len(in.containers)+1)
	var wait sync.WaitGroup
	for i, c := range in.containers {
		wait.Go(func() { errs[i] = c.Stop(ctx) })
	}
	wait.Wait()
	for _, m := range in.held {
		m.Release()
	}
	return errors.Join(append(errs, os.RemoveAll(in.dir))...)
}
