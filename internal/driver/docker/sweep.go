package docker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// leftovers is what is still to be removed because the engine was away when it
// should have been.
type leftovers struct {
	some atomic.Bool // anything at all, so that nobody waits for nothing
	mu   sync.Mutex
	// sweep: everything of this owner that is neither live nor in keep.
	sweep bool
	keep  []string
	// lost are instances that ended with the engine.
	lost map[string]bool
}

// Sweep implements driver.Driver. Containers that do not run are removed even if
// they are in keep, because nobody can adopt them. An engine that does not answer
// is no error: it is swept before anything else is asked of it.
func (d *Driver) Sweep(ctx context.Context, keep []string) error {
	d.leftovers.mu.Lock()
	d.leftovers.sweep, d.leftovers.keep = true, slices.Clone(keep)
	d.leftovers.some.Store(true)
	d.leftovers.mu.Unlock()
	err := d.tidy(ctx)
	if fault.Is(err, fault.Unavailable) {
		d.log.Warn("the Docker engine is looked through for leftovers when it answers", "error", err)
		return nil
	}
	return err
}

// settle removes what is left over, before anything else is asked of the engine.
// What cannot be removed now is tried again the next time.
func (d *Driver) settle(ctx context.Context) {
	if err := d.tidy(ctx); err != nil && !fault.Is(err, fault.Unavailable) {
		d.log.Warn("leftovers on the Docker engine cannot be removed", "error", err)
	}
}

// lose notes an instance of which something may survive on an engine that is away.
func (d *Driver) lose(id string) {
	d.leftovers.mu.Lock()
	defer d.leftovers.mu.Unlock()
	if d.leftovers.lost == nil {
		d.leftovers.lost = map[string]bool{}
	}
	d.leftovers.lost[id] = true
	d.leftovers.some.Store(true)
}

func (d *Driver) tidy(ctx context.Context) error {
	if !d.leftovers.some.Load() {
		return nil
	}
	l := &d.leftovers
	l.mu.Lock()
	defer l.mu.Unlock()
	found, err := d.list(ctx, "")
	if err != nil {
		return err
	}
	if err := d.clear(ctx, d.doomed(found)); err != nil {
		return err
	}
	l.sweep, l.keep = false, nil
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(l.lost, func(id string, _ bool) bool { _, live := d.live[id]; return !live })
	l.some.Store(len(l.lost) > 0)
	return nil
}

// doomed picks from what an owner has what is to go: all of the lost instances,
// and in a sweep whatever is neither live nor kept. leftovers.mu is held.
func (d *Driver) doomed(all found) found {
	l := &d.leftovers
	d.mu.Lock()
	defer d.mu.Unlock()
	stays := map[string]bool{}
	for _, c := range all.containers {
		id := c.Labels[labelInstance]
		if l.lost[id] || !l.sweep {
			continue
		}
		stays[id] = running(c.State) && slices.Contains(l.keep, id)
	}
	goes := func(id string) bool {
		_, live := d.live[id]
		return !live && (l.lost[id] || l.sweep && !stays[id])
	}
	var out found
	for _, c := range all.containers {
		if goes(c.Labels[labelInstance]) {
			out.containers = append(out.containers, c)
		}
	}
	for _, n := range all.networks {
		if goes(n.Labels[labelInstance]) {
			out.networks = append(out.networks, n)
		}
	}
	return out
}

// found is what an engine has of one owner.
type found struct {
	containers []container.Summary
	networks   []network.Summary
}

// list gives what the engine has of one instance, or with "" of this owner.
func (d *Driver) list(ctx context.Context, id string) (found, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	filters := client.Filters{}.Add("label", labelOwner+"="+d.owner)
	if id != "" {
		filters.Add("label", labelInstance+"="+id)
	}
	containers, err := d.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return found{}, d.failure(err, "the containers cannot be listed")
	}
	networks, err := d.engine.NetworkList(ctx, client.NetworkListOptions{Filters: filters})
	if err != nil {
		return found{}, d.failure(err, "the networks cannot be listed")
	}
	return found{containers.Items, networks.Items}, nil
}

// clear removes what was found. It goes on after an error.
func (d *Driver) clear(ctx context.Context, f found) error {
	var failed []error
	for _, c := range f.containers {
		d.log.Info("removing a container that was left", "instance", c.Labels[labelInstance], "state", c.State)
		failed = append(failed, d.removeContainer(ctx, c.ID))
	}
	for _, n := range f.networks {
		failed = append(failed, d.removeNetwork(ctx, n.ID))
	}
	return errors.Join(failed...)
}

func running(s container.ContainerState) bool {
	return s == container.StateRunning || s == container.StatePaused
}

// removeContainer ends a container by force and removes it with its anonymous
// volumes. One that is gone, or being removed, is fine.
func (d *Driver) removeContainer(ctx context.Context, container string) error {
	ctx, cancel := call(ctx)
	defer cancel()
	_, err := d.engine.ContainerRemove(ctx, container, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	if errdefs.IsConflict(err) { // somebody else removes it: wait for that
		gone := d.engine.ContainerWait(ctx, container, client.ContainerWaitOptions{Condition: waitRemoved})
		select {
		case <-gone.Result:
			return nil
		case err = <-gone.Error:
			if errdefs.IsNotFound(err) {
				return nil
			}
		}
	}
	return d.failure(err, "container %.12s cannot be removed", container)
}

const waitRemoved = container.WaitConditionRemoved

func (d *Driver) removeNetwork(ctx context.Context, id string) error {
	ctx, cancel := call(ctx)
	defer cancel()
	_, err := d.engine.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
	if err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	return d.failure(err, "network %.12s cannot be removed", id)
}
