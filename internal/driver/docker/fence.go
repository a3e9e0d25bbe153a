package docker

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// errNoRight is raiseFence's answer to a process without CAP_NET_ADMIN.
var errNoRight = errors.New("changing the packet filter needs root, or the capability CAP_NET_ADMIN")

// fences is what a driver knows of the fence around its instances.
type fences struct {
	mu sync.Mutex
	// told is what became of the last one, so that it is said once.
	told string
	// helper is the outcome of the container that raised it, which is good as long as
	// the engine is the one of these facts: with it the machine may have been restarted.
	helper error
	of     *facts
}

// fence keeps instances from this machine, before one of them starts. Where it cannot,
// the operator is told once, and instances run all the same.
func (d *Driver) fence(ctx context.Context) {
	f := &d.fences
	f.mu.Lock()
	defer f.mu.Unlock()
	err := raiseFence()
	if errors.Is(err, errNoRight) && len(d.config.Fence) > 0 {
		d.mu.Lock()
		engine := d.facts
		d.mu.Unlock()
		if engine == nil || f.of != engine {
			f.helper, f.of = d.raiseByContainer(ctx), engine
			if ctx.Err() != nil {
				f.of = nil
			}
		}
		err = f.helper
	}
	if text := fmt.Sprint(err); text != f.told {
		f.told = text
		if err != nil {
			d.log.Warn("containers can reach services of this machine that listen on other addresses than the loopback's (docs/containers.md)", "error", err)
		}
	}
}

// FenceMain raises the fence and nothing else. It is what Config.Fence runs.
func FenceMain() error { return raiseFence() }

// fenceImage names the empty image whose containers get their program from outside.
const fenceImage = "sagebrush-empty:1"

// raiseByContainer has the engine run Config.Fence with the right that this process
// lacks, and with no other, in the machine's own network. Whoever may use an engine can
// do so; the rules need it because most servers of a single user are not root.
func (d *Driver) raiseByContainer(ctx context.Context) error {
	ctx, cancel := call(ctx)
	defer cancel()
	if err := d.runFence(ctx); err != nil {
		return fmt.Errorf("%w, and the container that should do it for this process failed: %w", errNoRight, err)
	}
	d.log.Info("a container with CAP_NET_ADMIN has raised the fence that keeps instances from this machine", "engine", d.host)
	return nil
}

// runFence runs the container to its end.
func (d *Driver) runFence(ctx context.Context) (err error) {
	if err := d.makeEmptyImage(ctx); err != nil {
		return err
	}
	made, err := d.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{
			Image: fenceImage, Entrypoint: []string{fenceProgram}, Cmd: d.config.Fence[1:],
			Labels: map[string]string{labelOwner: d.owner},
		},
		HostConfig: &container.HostConfig{
			NetworkMode: "host", UsernsMode: "host",
			CapDrop: []string{"ALL"}, CapAdd: []string{"NET_ADMIN"},
			SecurityOpt: []string{"no-new-privileges", "label=disable"}, ReadonlyRootfs: true,
			Mounts: needs(d.config.Fence[0]),
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.removeContainer(context.WithoutCancel(ctx), made.ID)) }()
	ended := d.engine.ContainerWait(ctx, made.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := d.engine.ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
		return err
	}
	select {
	case err := <-ended.Error:
		return err
	case end := <-ended.Result:
		if end.StatusCode != 0 {
			return fmt.Errorf("it exited with code %d: %s", end.StatusCode, d.lastWords(ctx, made.ID))
		}
		return nil
	}
}

// fenceProgram is where the container finds this binary.
const fenceProgram = "/sagebrush"

// makeEmptyImage gives the engine an image without any file, unless it has it.
func (d *Driver) makeEmptyImage(ctx context.Context) error {
	if _, err := d.engine.ImageInspect(ctx, fenceImage); err == nil {
		return nil
	}
	made, err := d.engine.ImageImport(ctx,
		client.ImageImportSource{Source: bytes.NewReader(make([]byte, 1024)), SourceName: "-"}, // the end of an archive
		fenceImage, client.ImageImportOptions{})
	if err != nil {
		return err
	}
	defer made.Close()
	_, err = io.Copy(io.Discard, made) // to its end: then it is made
	return err
}

// needs are the files that a program needs to run in an empty image: itself, and where
// the system's libraries are unless it was built without (CGO_ENABLED=0).
func needs(program string) []mount.Mount {
	all := []mount.Mount{{Type: mount.TypeBind, Source: program, Target: fenceProgram, ReadOnly: true}}
	f, err := elf.Open(program)
	if err != nil {
		return all // the engine says what is wrong with it
	}
	defer f.Close()
	if !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return all
	}
	for _, dir := range []string{"/lib", "/lib64", "/usr/lib"} {
		if _, err := os.Stat(dir); err == nil {
			all = append(all, mount.Mount{Type: mount.TypeBind, Source: dir, Target: dir, ReadOnly: true})
		}
	}
	return all
}

// lastWords is what a container that has ended printed, or why that is not known.
func (d *Driver) lastWords(ctx context.Context, container string) string {
	var printed bytes.Buffer
	if err := d.copyLog(ctx, container, newOutput(&printed, time.Time{}), false); err != nil {
		return said(err)
	}
	return said(errors.New(strings.TrimSpace(printed.String())))
}
