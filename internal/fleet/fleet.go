// Package fleet starts the instances that transform jobs and endpoints run on. An
// instance is what SageMaker calls one: a model's containers side by side, on the
// resources of an instance type, with the model's data in place.
//
// What is sent to an instance is the business of the rooms above; how a container
// runs is a driver's.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/modelcache"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Options are what a Fleet works with.
type Options struct {
	Driver driver.Driver
	Models *modelcache.Cache
	// Remap replaces the name of an image before the driver sees it; nil does not.
	Remap func(image string) string
	// Work is an absolute folder for the instances' own files.
	Work string
	// StopGrace is how long a container has between SIGTERM and SIGKILL (CC-27).
	StopGrace time.Duration
	// Patience is how long a runtime that does not answer is asked again, once it has
	// answered for the job or the variant. Before, it may just not be there.
	Patience time.Duration
	Log      *slog.Logger
	Now      func() time.Time
}

// Fleet is safe for concurrent use.
type Fleet struct {
	Options

	mu     sync.Mutex
	warm   []*warm // oldest first
	closed bool
	ending sync.WaitGroup
	kept   map[string]bool // instances of an earlier server that nobody took over yet
}

// New makes a Fleet. It starts nothing.
func New(o Options) *Fleet { return &Fleet{Options: o, kept: map[string]bool{}} }

// Sweep removes what an earlier server left behind, instances and their files, all
// but the instances in keep. It is called once, before the first Start.
func (f *Fleet) Sweep(ctx context.Context, keep []string) error {
	containers := make([]string, 0, len(keep))
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range keep {
		f.kept[id] = true
		for i := range resource.MaxContainers {
			containers = append(containers, containerID(id, i))
		}
	}
	err := f.Driver.Sweep(ctx, containers)
	names, rerr := os.ReadDir(f.Work)
	if errors.Is(rerr, os.ErrNotExist) {
		return err
	}
	errs := []error{err, rerr}
	for _, n := range names {
		if !f.kept[n.Name()] {
			errs = append(errs, os.RemoveAll(filepath.Join(f.Work, n.Name())))
		}
	}
	return errors.Join(errs...)
}

// took notes that an instance of an earlier server has an owner again, and reports
// whether it had none.
func (f *Fleet) took(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.kept[id]
	delete(f.kept, id)
	return kept
}

// Abandon ends an instance that Sweep kept and that nobody took over. Any other
// is left alone.
func (f *Fleet) Abandon(ctx context.Context, id string) error {
	if !f.took(id) {
		return nil
	}
	var errs []error
	for i := range resource.MaxContainers {
		h, err := f.Driver.Attach(ctx, driver.Spec{ID: containerID(id, i), Output: io.Discard, OutputSince: f.Now()})
		if errors.Is(err, driver.ErrNoInstance) {
			break
		}
		if err == nil {
			err = h.Stop(ctx, f.StopGrace)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, os.RemoveAll(filepath.Join(f.Work, id)))...)
}

// containerID names container i of an instance to the driver.
func containerID(id string, i int) string {
	if i == 0 {
		return id
	}
	return fmt.Sprintf("%s-c%d", id, i+1)
}

// maxID leaves room for containerID's ending in a driver's 63 characters.
const maxID = 58

// Blueprint is what all instances of a job or a variant share: the images, as they
// were resolved once (EP-22), and the model's data. Release gives the data back.
type Blueprint struct {
	fleet  *Fleet
	model  resource.ModelSpec
	images []driver.Image
	data   []*modelcache.Model // one for each container, nil for none that is shared
	dirs   []string            // of the model's data, one for each container, "" for none
	work   string              // where the instances have their folders
	// own has every instance fetch the model's data into its own folder, which it may
	// write to.
	own bool
	// sealed has nothing of the instances be anywhere else than below work.
	sealed bool
}

// Needs are what a Blueprint is prepared for.
type Needs struct {
	Model resource.ModelSpec
	// Pinned are images that were resolved before, one for each container; nil
	// resolves them anew.
	Pinned []resource.DeployedImage
	// Writable lets every instance write to a model folder of its own (CC-11).
	Writable bool
	// Sealed, unless "", is an absolute folder to which the model's data and all that
	// instances have on disk are confined. Such instances are not adopted and not kept
	// warm: the folder is the caller's to remove after Release.
	Sealed string
	// Report is told what is being waited for, in words; nil is nobody.
	Report func(what string)
}

// Prepare resolves and pulls the images and fetches the model's data. A runtime
// that does not answer is asked again for Patience. Errors are for users.
func (f *Fleet) Prepare(ctx context.Context, n Needs) (_ *Blueprint, err error) {
	b := &Blueprint{fleet: f, model: n.Model, own: n.Writable, work: f.Work}
	if n.Sealed != "" {
		b.sealed, b.work = true, filepath.Join(n.Sealed, "instances")
	}
	defer func() {
		if err != nil {
			b.Release()
		}
	}()
	if n.Report == nil {
		n.Report = func(string) {}
	}
	if err := b.prepareImages(ctx, n); err != nil {
		return nil, err
	}
	for i := range n.Model.All() {
		if err := b.prepareData(ctx, n, i); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// prepareData fetches the model's data of container i: into the cache, or into the
// folder that it is confined to.
func (b *Blueprint) prepareData(ctx context.Context, n Needs, i int) error {
	source, ok := n.Model.All()[i].Sources()[""]
	b.data, b.dirs = append(b.data, nil), append(b.dirs, "")
	if !ok || b.own {
		return nil
	}
	name := n.Model.ContainerName(i)
	n.Report("fetches the model data of container " + name)
	report := func(done, total int64) {
		n.Report(fmt.Sprintf("fetches the model data of container %s: %d of %d MB", name, done>>20, (total+1<<20-1)>>20))
	}
	if b.sealed {
		b.dirs[i] = filepath.Join(n.Sealed, fmt.Sprintf("model-%d", i+1))
		if err := os.MkdirAll(b.dirs[i], 0o755); err != nil {
			return err
		}
		return modelcache.Fetch(ctx, b.fleet.Models.Store, source, b.dirs[i], report)
	}
	m, err := b.fleet.Models.Get(ctx, source, report)
	if err == nil {
		b.data[i], b.dirs[i] = m, m.Dir
	}
	return err
}

func (b *Blueprint) prepareImages(ctx context.Context, n Needs) error {
	for i, c := range n.Model.All() {
		image := c.Image
		if b.fleet.Remap != nil {
			image = b.fleet.Remap(image)
		}
		want := image
		if i < len(n.Pinned) {
			want = n.Pinned[i].Resolved
		}
		var found driver.Image
		patience := b.fleet.Patience
		if n.Pinned == nil {
			patience = min(patience, firstPatience)
		}
		err := b.fleet.patiently(ctx, patience, n.Report, func() (err error) {
			found, err = b.fleet.Driver.Prepare(ctx, image, func(p driver.Pull) { n.Report("image " + image + ": " + p.String()) })
			return err
		})
		if err != nil {
			return err
		}
		if i < len(n.Pinned) {
			found.Resolved, found.At = want, n.Pinned[i].ResolvedAt
		}
		b.images = append(b.images, found)
	}
	return nil
}

// Images tells what was resolved, one for each container (EP-21). The name is the
// model's own, not what it was remapped to.
func (b *Blueprint) Images() []resource.DeployedImage {
	var all []resource.DeployedImage
	for i, c := range b.model.All() {
		all = append(all, resource.DeployedImage{Specified: c.Image, Resolved: b.images[i].Resolved, ResolvedAt: b.images[i].At})
	}
	return all
}

// Release gives the model's data back. Instances must have stopped. It may be
// called twice.
func (b *Blueprint) Release() {
	for _, m := range b.data {
		if m != nil {
			m.Release()
		}
	}
}

// firstPatience is how long a runtime that never answered is asked again.
const firstPatience = 5 * time.Second

// patiently repeats what a runtime did not answer, with growing pauses.
func (f *Fleet) patiently(ctx context.Context, patience time.Duration, report func(string), do func() error) error {
	deadline := f.Now().Add(patience)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := do()
		if !fault.Is(err, fault.Unavailable) || !f.Now().Before(deadline) || ctx.Err() != nil {
			return err
		}
		report("waits for the runtime: " + fault.TextOf(err))
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return context.Cause(ctx)
		}
	}
}
