package daemon

import (
	"context"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/capacity"
	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/docker"
	"github.com/sagebrush-ml/sagebrush/internal/driver/kube"
	"github.com/sagebrush-ml/sagebrush/internal/driver/process"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/s3store"
	"github.com/sagebrush-ml/sagebrush/internal/s3api"
)

// openObjects opens the store that jobs read and write, and the embedded S3's
// handler when that store is the embedded one.
func (d *Daemon) openObjects(ctx context.Context) (objstore.Store, http.Handler, error) {
	if d.Objects != nil {
		return d.Objects, nil, nil
	}
	c := d.Config
	endpoint := c.S3Endpoint
	if endpoint == "" && c.S3 != "embedded" {
		endpoint = os.Getenv("AWS_ENDPOINT_URL_S3")
	}
	if c.S3 == "remote" || c.S3 == "auto" && endpoint != "" {
		s, err := s3store.New(ctx, s3store.Config{Endpoint: endpoint, Region: c.Region})
		if err != nil {
			return nil, nil, err
		}
		d.closers = append(d.closers, s.Close)
		return s, nil, nil
	}
	s, err := filestore.Open(filepath.Join(d.data, "s3"), filestore.Options{NoSync: c.Ephemeral, Keys: d.keyring, Region: c.Region})
	if err != nil {
		return nil, nil, err
	}
	d.closers = append(d.closers, s.Close)
	return s, s3api.New(s, s3api.Options{Region: c.Region, Logger: d.Log, Allow: api.Allow}), nil
}

// builtIn are the images that Sagebrush brings along, by their own name and by
// the names under which AWS publishes the same algorithm.
func builtIn(self []string) []process.Image {
	xgboost := append(slices.Clone(self), "modelserver", "xgboost")
	var images []process.Image
	for _, pattern := range []string{
		"sagebrush/xgboost", "sagebrush/xgboost:*",
		"*.dkr.ecr.*.amazonaws.com/sagemaker-xgboost:*",
		"*.dkr.ecr.*.amazonaws.com/xgboost:*",
	} {
		images = append(images, process.Image{Pattern: pattern, Command: xgboost})
	}
	return images
}

// openDriver makes the runtimes and the choice between them: an image that is built
// in or mapped to a command runs as a process, any other on Docker, unless the
// setting says that all run on one of them.
func (d *Daemon) openDriver() (driver.Driver, error) {
	c := d.Config
	processes := d.openProcesses()
	switch c.Runtime {
	case "process":
		return processes, nil
	case "kubernetes":
		return d.openPods()
	}
	subnets, err := netip.ParsePrefix(c.DockerSubnets)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the setting docker-subnets, %q, is no IP prefix such as 198.18.0.0/15", c.DockerSubnets)
	}
	containers, err := docker.New(docker.Config{
		Host: c.DockerHost, Owner: d.data, Capabilities: c.DockerCapabilities,
		ReadOnlyRoot: c.DockerReadOnly, PidsLimit: int64(c.DockerPids), Emulation: c.DockerEmulation,
		Subnets: subnets, ReachHost: c.DockerReachHost,
		Fence: append(slices.Clone(d.Self), "fence"), Log: d.Log,
	})
	if err != nil {
		return nil, err
	}
	d.closers = append(d.closers, containers.Close)
	if c.Runtime == "docker" {
		return containers, nil
	}
	return driver.ByImage(
		driver.Choice{Driver: processes, Takes: processes.Maps},
		driver.Choice{Driver: containers, Takes: func(string) bool { return true }},
	), nil
}

// openPods makes the Kubernetes driver. What an InstanceType means in the cluster
// follows what it means here: where the pool reserves, the scheduler does.
func (d *Daemon) openPods() (driver.Driver, error) {
	c := d.Config
	pods, err := kube.New(kube.Config{
		Kubeconfig: c.KubeConfig, Context: c.KubeContext, Namespace: c.KubeNamespace,
		Owner: d.data, Data: d.data, Volumes: c.KubeData, Reserve: c.Capacity != "share", Log: d.Log,
	})
	if err != nil {
		return nil, err
	}
	d.closers = append(d.closers, pods.Close)
	return pods, nil
}

// openProcesses makes the process driver; the user's images come before ours.
func (d *Daemon) openProcesses() *process.Driver {
	var images []process.Image
	for _, i := range d.Config.Images {
		images = append(images, process.Image{Pattern: i.Image, Command: i.Command, Dir: i.Dir, Env: i.Env})
	}
	return process.New(process.Config{
		Images:   append(images, builtIn(d.Self)...),
		Shim:     append(slices.Clone(d.Self), "shim"),
		StateDir: filepath.Join(d.data, "run"),
		Log:      d.Log,
	})
}

// openCapacity makes the pool of this host's resources, as the settings have them.
func openCapacity(c config.Config) (*capacity.Pool, error) {
	host, err := capacity.Host()
	if err != nil {
		return nil, err
	}
	host.Instances = c.MaxInstances
	if c.HostCPUs > 0 {
		host.CPUs = float64(c.HostCPUs)
	}
	if c.HostMemoryMB > 0 {
		host.MemoryBytes = int64(c.HostMemoryMB) << 20
	}
	if c.HostGPUs >= 0 {
		host.GPUs = c.HostGPUs
	}
	return capacity.New(capacity.Policy(c.Capacity), host)
}

// remap makes the function that replaces image names, first match first.
func remap(table []config.Remap) func(image string) string {
	return func(image string) string {
		for _, r := range table {
			if globMatch(r.From, image) {
				return r.To
			}
		}
		return image
	}
}

// globMatch matches a name against a pattern in which * stands for any text.
func globMatch(pattern, name string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if !strings.HasPrefix(name, first) {
		return false
	}
	name = name[len(first):]
	parts := strings.Split(rest, "*")
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, parts[len(parts)-1])
}
