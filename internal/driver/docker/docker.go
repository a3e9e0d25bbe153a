// Package docker runs images as containers of a Docker engine, over the Engine
// API: Docker 20.10 (API 1.41) to today, and Podman's compatible socket.
//
// Every instance is one container on a network of its own, both named after it
// and labelled with the server's owner from the first call on. So a server that
// was killed at any point finds what it left: Attach adopts what runs, Sweep
// removes the rest. The engine must see the server's folders under their own
// paths; in practice it runs on the same machine.
//
// What a container may do is in create.go, what it can reach in network.go.
package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Config is what a Driver needs to know.
type Config struct {
	// Host is the engine's address, such as unix:///var/run/docker.sock. "" is
	// DOCKER_HOST, else the current context of the Docker configuration, else the
	// usual socket. TLS comes from DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or from
	// the context.
	Host string
	// Owner names the server for ever, usually by its data folder. Servers with
	// other owners on the same engine leave each other alone.
	Owner string
	// Subnets is where the networks of instances get their addresses, eight of them
	// each. The zero prefix is 198.18.0.0/15, which no network outside uses.
	Subnets netip.Prefix
	// Capabilities are kept in addition to those of every container: CHOWN,
	// DAC_OVERRIDE, KILL, SETGID and SETUID.
	Capabilities []string
	// ReadOnlyRoot makes the container's own files read-only. The scratch folder is
	// then /tmp, and /run is in memory. Few images are made for it.
	ReadOnlyRoot bool
	// PidsLimit bounds an instance's processes and threads; 0 is 8192.
	PidsLimit int64
	// Emulation lets images of another architecture start, which is right where the
	// kernel has an interpreter for them.
	Emulation bool
	// ReachHost lets containers connect to services of this machine, and to the
	// link-local addresses where a cloud hands out this machine's credentials. Isolated
	// ones stay isolated.
	ReachHost bool
	// Fence is the command that runs FenceMain, an absolute path first. Where this process
	// may not change the packet filter, the engine is asked to run it in a container that
	// may. Without it, nobody does then.
	Fence []string
	// Log receives what an operator should know; nil discards it.
	Log *slog.Logger
}

// Driver runs instances as containers. It implements driver.Driver.
type Driver struct {
	config Config
	log    *slog.Logger
	owner  string // the hash that labels carry
	engine *client.Client
	host   string // the engine's address, for people
	limits limits

	// life ends with Close; handlers counts the goroutines that it ends.
	life     context.Context
	end      context.CancelFunc
	handlers sync.WaitGroup

	mu    sync.Mutex
	live  map[string]*instance // nil is one that is being started
	pulls map[string]*pull
	facts *facts // nil when the engine must be asked
	reach reach

	leftovers leftovers
	fences    fences
}

// New makes a driver. It does not talk to the engine, which may come up later.
func New(c Config) (*Driver, error) {
	engine, host, err := connect(c.Host)
	if err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if !c.Subnets.IsValid() {
		c.Subnets = netip.MustParsePrefix("198.18.0.0/15")
	}
	if !c.Subnets.Addr().Is4() || c.Subnets.Bits() > subnetBits {
		return nil, fault.New(fault.Invalid, "the addresses for Docker networks, %s, must be an IPv4 prefix of at most %d bits", c.Subnets, subnetBits)
	}
	if c.PidsLimit == 0 {
		c.PidsLimit = 8192
	}
	sum := sha256.Sum256([]byte(c.Owner))
	d := &Driver{
		config: c,
		log:    c.Log,
		owner:  hex.EncodeToString(sum[:8]),
		engine: engine,
		host:   host,
		limits: defaultLimits(),
		live:   map[string]*instance{},
		pulls:  map[string]*pull{},
	}
	d.life, d.end = context.WithCancel(context.Background())
	return d, nil
}

// Close lets go of the engine and of the instances without ending them: a later
// server can adopt them. Their handles tell nothing more.
func (d *Driver) Close() error {
	d.end()
	d.handlers.Wait()
	return d.engine.Close()
}

// validID is the form of a Spec's ID. An ID becomes part of names.
var validID = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

// Start implements driver.Driver.
func (d *Driver) Start(ctx context.Context, spec driver.Spec) (driver.Handle, error) {
	if err := check(spec); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("starting instance %s: %w", spec.ID, err)
	}
	d.settle(ctx)
	if err := d.claim(ctx, spec.ID); err != nil {
		return nil, err
	}
	i, err := d.launch(ctx, spec)
	if err != nil {
		d.release(spec.ID)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("starting instance %s: %w", spec.ID, ctx.Err())
		}
		return nil, err // not i: a nil pointer is no nil Handle
	}
	return i, nil
}

func check(spec driver.Spec) error {
	if !validID.MatchString(spec.ID) {
		return fault.New(fault.Internal, "instance ID %q is not of the form [a-z0-9-]{1,63}", spec.ID)
	}
	for _, f := range folders(spec) {
		if !filepath.IsAbs(f.host) {
			return fault.New(fault.Internal, "the folder for %s of instance %s is not an absolute path", f.inside, spec.ID)
		}
	}
	return nil
}

// launch does what Start promises for an ID that is claimed.
func (d *Driver) launch(ctx context.Context, spec driver.Spec) (*instance, error) {
	facts, err := d.know(ctx)
	if err != nil {
		return nil, err
	}
	img, err := d.startable(ctx, spec, facts)
	if err != nil {
		return nil, err
	}
	i, err := d.create(ctx, spec, img, facts)
	if err != nil {
		return nil, err
	}
	if err := d.run(ctx, spec, i); err != nil {
		if i.attached != nil {
			i.attached.Close()
		}
		i.remove()
		return nil, err
	}
	i.begin(spec.Output, time.Time{})
	return i, nil
}

// run starts a container that exists and learns its address.
func (d *Driver) run(ctx context.Context, spec driver.Spec, i *instance) error {
	ctx, cancel := call(ctx)
	defer cancel()
	if i.sealed {
		if err := d.attach(ctx, i); err != nil {
			return err
		}
	}
	if _, err := d.engine.ContainerStart(ctx, i.container, client.ContainerStartOptions{}); err != nil {
		return d.startFailure(spec, err)
	}
	found, err := d.engine.ContainerInspect(ctx, i.container, client.ContainerInspectOptions{})
	if err != nil {
		return d.failure(err, "the state of instance %s cannot be read", i.id)
	}
	return i.locate(found.Container)
}

// claim reserves an ID until release. An instance that has ended gives way.
func (d *Driver) claim(ctx context.Context, id string) error {
	for {
		d.mu.Lock()
		i, taken := d.live[id]
		if !taken {
			d.live[id] = nil
		}
		d.mu.Unlock()
		if !taken {
			return nil
		}
		if i == nil || !i.hasEnded() {
			return fault.New(fault.Exists, "instance %s is running already", id)
		}
		i.leave()
		select {
		case <-i.gone:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the end of an earlier instance %s: %w", id, ctx.Err())
		}
	}
}

func (d *Driver) release(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.live, id)
}

// Attach implements driver.Driver. A container that does not run any more is no
// instance: what ended it, perhaps the engine, nobody can tell.
func (d *Driver) Attach(ctx context.Context, spec driver.Spec) (driver.Handle, error) {
	d.settle(ctx)
	if err := d.claim(ctx, spec.ID); err != nil {
		return nil, err
	}
	i, err := d.adopt(ctx, spec)
	if err != nil {
		d.release(spec.ID)
		return nil, err
	}
	return i, nil
}

func (d *Driver) adopt(ctx context.Context, spec driver.Spec) (*instance, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	found, err := d.list(ctx, spec.ID)
	if err != nil {
		return nil, err
	}
	for _, c := range found.containers {
		if !running(c.State) {
			continue
		}
		full, err := d.engine.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		if err != nil {
			return nil, d.failure(err, "the state of instance %s cannot be read", spec.ID)
		}
		i := d.newInstance(spec.ID, c.ID)
		if err := i.locate(full.Container); err != nil {
			return nil, err
		}
		i.begin(spec.Output, spec.OutputSince)
		return i, nil
	}
	return nil, fmt.Errorf("no container of instance %q runs: %w", spec.ID, driver.ErrNoInstance)
}
