package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Labels of everything that the driver makes.
const (
	labelOwner    = "sagebrush.owner"    // the hash of Config.Owner
	labelInstance = "sagebrush.instance" // the Spec's ID
	labelImage    = "sagebrush.image"    // the Spec's image, for people
)

// port is where a container listens (CC-20).
const port = 8080

// envPort tells it so (CC-43).
const envPort = "SAGEMAKER_BIND_TO_PORT"

// keptCapabilities are what servers need that start as root and hand their work
// to another user, as nginx does: open and give away files, change the user, and
// signal the processes of that user.
var keptCapabilities = []string{"CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID"}

// folder is a host folder and where a container sees it.
type folder struct {
	host, inside string
	readOnly     bool
}

// folders lists what a Spec has a container see. The scratch folder is not among
// them: /tmp is the container's own, except with a read-only root.
func folders(spec driver.Spec) []folder {
	var all []folder
	for _, f := range []folder{
		{spec.ModelDir, driver.ModelPath, !spec.WritableModel},
		{spec.ModelsDir, driver.ModelsPath, !spec.WritableModel},
		{spec.ExtraDir, driver.ExtraPath, true},
	} {
		if f.host != "" {
			all = append(all, f)
		}
	}
	return all
}

// name is what the container and the network of an instance are called.
func (d *Driver) name(id string) string { return "sagebrush-" + d.owner[:8] + "-" + id }

// create makes the network and the container of an instance. What an earlier one
// of the same ID left is removed, unless it runs.
func (d *Driver) create(ctx context.Context, spec driver.Spec, img *client.ImageInspectResult, f facts) (*instance, error) {
	i, err := d.tryCreate(ctx, spec, img, f)
	if !errors.Is(err, errTaken) {
		return i, err
	}
	found, lerr := d.list(ctx, spec.ID)
	if lerr != nil {
		return nil, lerr
	}
	for _, c := range found.containers {
		if running(c.State) {
			return nil, fault.New(fault.Exists, "instance %s is running already", spec.ID)
		}
	}
	if err := d.clear(ctx, found); err != nil {
		return nil, err
	}
	return d.tryCreate(ctx, spec, img, f)
}

// errTaken says that something of the instance's name is there.
var errTaken = errors.New("the name is taken")

func (d *Driver) tryCreate(ctx context.Context, spec driver.Spec, img *client.ImageInspectResult, f facts) (*instance, error) {
	i := d.newInstance(spec.ID, "")
	scratch, err := d.scratch(spec, img)
	if err != nil {
		return nil, err
	}
	i.folders, i.sealed = append(folders(spec), scratch...), spec.Sealed
	labels := maps.Clone(spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{labelOwner: d.owner, labelInstance: spec.ID, labelImage: spec.Image})
	direct, err := d.makeNetwork(ctx, i, spec, labels)
	if err != nil {
		if !errors.Is(err, errTaken) {
			i.undo()
		}
		return nil, err
	}
	ctx, cancel := call(ctx)
	defer cancel()
	made, err := d.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name:       d.name(spec.ID),
		Config:     d.containerConfig(spec, img.ID, labels),
		HostConfig: d.hostConfig(spec, i, f, direct),
	})
	if err != nil {
		if errdefs.IsConflict(err) {
			i.remove()
			return nil, errTaken
		}
		i.undo()
		return nil, d.startFailure(spec, err)
	}
	for _, w := range made.Warnings {
		d.log.Warn("the Docker engine warns about an instance", "instance", spec.ID, "warning", w)
	}
	i.container = made.ID
	return i, nil
}

// containerConfig is what runs: the image's own entry point with the Spec's
// arguments (CC-1), without a health check, which SageMaker does not run.
func (d *Driver) containerConfig(spec driver.Spec, imageID string, labels map[string]string) *container.Config {
	env := maps.Clone(spec.Env)
	if env == nil {
		env = map[string]string{}
	}
	env[envPort] = fmt.Sprint(port)
	c := &container.Config{
		Image:        imageID,
		Cmd:          spec.Args,
		Hostname:     spec.Hostname,
		Labels:       labels,
		ExposedPorts: network.PortSet{tcp(port): {}},
		Healthcheck:  &container.HealthConfig{Test: []string{"NONE"}},
	}
	for _, key := range slices.Sorted(maps.Keys(env)) {
		c.Env = append(c.Env, key+"="+env[key])
	}
	return c
}

func tcp(number uint16) network.Port {
	p, _ := network.PortFrom(number, network.TCP)
	return p
}

// hostConfig is what the container may do.
func (d *Driver) hostConfig(spec driver.Spec, i *instance, f facts, direct bool) *container.HostConfig {
	no, pids := false, d.config.PidsLimit
	h := &container.HostConfig{
		NetworkMode:    container.NetworkMode(i.network),
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		CapDrop:        []string{"ALL"},
		CapAdd:         slices.Concat(keptCapabilities, d.config.Capabilities),
		SecurityOpt:    []string{"no-new-privileges"},
		ReadonlyRootfs: d.readOnly(spec),
		ShmSize:        spec.ShmBytes,
		Init:           &no, // CC-2
		LogConfig:      container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "64m", "max-file": "2"}},
		Resources: container.Resources{
			Memory:     spec.MemoryBytes,
			MemorySwap: spec.MemoryBytes,
			PidsLimit:  &pids,
		},
	}
	if spec.Sealed {
		seal(h)
	}
	if d.readOnly(spec) {
		h.Tmpfs = map[string]string{"/run": "mode=0755,size=64m"}
	}
	if spec.CPUs > 0 && (f.cpus == 0 || spec.CPUs < float64(f.cpus)) { // engines refuse more than they have
		h.NanoCPUs = int64(spec.CPUs * 1e9)
	}
	if len(spec.GPUs) > 0 {
		h.DeviceRequests = []container.DeviceRequest{{DeviceIDs: spec.GPUs, Capabilities: [][]string{{"gpu"}}}}
	}
	if spec.Isolated {
		// Engines before 26 pass names on to the host's resolvers even from a network
		// without a way out. Nothing listens there.
		h.DNS = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	if !direct {
		h.PortBindings = network.PortMap{tcp(port): {{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}}
	}
	for _, m := range i.folders {
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeBind, Source: m.host, Target: m.inside, ReadOnly: m.readOnly})
	}
	return h
}

// startFailure explains why an engine did not make or start a container.
func (d *Driver) startFailure(spec driver.Spec, err error) error {
	text := err.Error()
	program := strings.Join(spec.Args, " ")
	switch {
	case away(err):
	case strings.Contains(text, "executable file not found"), strings.Contains(text, "no such file or directory") && strings.Contains(text, "exec"):
		return noImage(err, spec.Image,
			"its program cannot be started (%s); an image without ENTRYPOINT must have a program named %q, and an ENTRYPOINT must name a program that is in the image", said(err), program)
	case strings.Contains(text, "permission denied") && strings.Contains(text, "exec"):
		return noImage(err, spec.Image, "its program is not executable (%s); set its mode when the image is built (chmod +x)", said(err))
	case strings.Contains(text, "exec format error"):
		return noImage(err, spec.Image, "its program is not one for this machine, or a script without #! line (%s)", said(err))
	case strings.Contains(text, "No such image"), strings.Contains(text, "no such image"):
		return noImage(err, spec.Image, "the engine at %s does not have it any more; pull or load it", d.host)
	case strings.Contains(text, "could not select device driver"), strings.Contains(text, "nvidia"):
		return fault.Wrap(fault.Invalid, err, "image %q needs GPUs and the Docker engine cannot give them (%s); install the NVIDIA container toolkit on the engine's machine", spec.Image, said(err))
	case strings.Contains(text, "bind source path does not exist"):
		return fault.Wrap(fault.Internal, err, "the Docker engine at %s does not see the server's folders (%s): the server and the engine must run on the same files", d.host, said(err))
	case strings.Contains(text, "no space left on device"):
		return fault.Wrap(fault.Internal, err, "image %q cannot be started: the disk of the Docker engine is full; free some of it (docker system df)", spec.Image)
	}
	return d.failure(err, "a container of image %q cannot be started", spec.Image)
}
