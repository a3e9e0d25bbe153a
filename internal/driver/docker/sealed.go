package docker

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// A sealed container (driver.Spec.Sealed) has a read-only root, and the scratch
// folder for /tmp and for every volume that its image declares, which the engine
// would otherwise put on its own disk. The engine keeps no log of it and writes no
// core: what it prints comes over a connection that is made before it starts, and
// what is printed while that connection is broken is lost.

// readOnly reports whether the container's own files cannot be written to.
func (d *Driver) readOnly(spec driver.Spec) bool { return d.config.ReadOnlyRoot || spec.Sealed }

// scratch makes the places in the scratch folder that a container sees.
func (d *Driver) scratch(spec driver.Spec, img *client.ImageInspectResult) ([]folder, error) {
	if !d.readOnly(spec) || spec.ScratchDir == "" {
		return nil, nil
	}
	all := []folder{{host: spec.ScratchDir, inside: "/tmp"}}
	if spec.Sealed && img.Config != nil {
		for n, inside := range slices.Sorted(maps.Keys(img.Config.Volumes)) {
			if inside = filepath.Clean("/" + inside); inside != "/tmp" {
				all = append(all, folder{host: filepath.Join(spec.ScratchDir, fmt.Sprintf("volume-%d", n+1)), inside: inside})
			}
		}
	}
	for _, f := range all {
		err := os.MkdirAll(f.host, 0o777)
		if err == nil {
			err = os.Chmod(f.host, 0o777|os.ModeSticky)
		}
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "the scratch folder of instance %s cannot be opened to its container", spec.ID)
		}
	}
	return all, nil
}

// seal has the engine keep nothing of what the container prints or leaves.
func seal(h *container.HostConfig) {
	h.LogConfig = container.LogConfig{Type: "none"}
	h.Ulimits = append(h.Ulimits, &container.Ulimit{Name: "core"})
}

// attach connects to what a sealed container prints.
func (d *Driver) attach(ctx context.Context, i *instance) error {
	made, err := d.engine.ContainerAttach(ctx, i.container, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return d.failure(err, "the output of instance %s cannot be had", i.id)
	}
	i.attached = &made.HijackedResponse
	return nil
}

// copyAttached copies what a sealed container prints until it ends or the
// connection breaks.
func (d *Driver) copyAttached(ctx context.Context, i *instance, o *output) error {
	if i.attached == nil {
		if err := d.attach(ctx, i); err != nil {
			return err
		}
	}
	made := i.attached
	i.attached = nil
	stop := context.AfterFunc(ctx, made.Close)
	defer func() {
		stop()
		made.Close()
	}()
	return o.copy(made.Reader)
}
