// Package kube runs images as pods of a Kubernetes cluster.
//
// Every instance is one pod of one container, named after it and labelled with the
// server's owner from the first call on. So a server that was killed at any point
// finds what it left: Attach adopts what runs, Sweep removes the rest. Pods outlive
// the server and the API server; how they see the server's folders is in volumes.go,
// what they may do in pod.go, and what the driver refuses in refuse.go.
//
// Pods belong to a config map that stands for the server, so that the tools of the
// cluster take them for managed: `kubectl drain` evicts them without force. A
// disruption budget has evictions of held instances wait (driver.Spec.Held); the node
// that is cordoned for them is what closes Leaving.
//
// The server reaches pods by their addresses: it runs in the cluster's network.
package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Config is what a Driver needs to know.
type Config struct {
	// Kubeconfig is the file that says where the cluster is. "" is KUBECONFIG, else
	// ~/.kube/config, else the account of the pod that the server runs in.
	Kubeconfig string
	// Context is one of the kubeconfig; "" is its current one.
	Context string
	// Namespace is where pods run; "" is the context's, or the server's own.
	Namespace string
	// Owner names the server for ever, usually by its data folder. Servers with other
	// owners in the same namespace leave each other alone.
	Owner string
	// Data is the absolute folder in which all folders of Specs lie, and Volumes how
	// pods see it: "host" or "claim:NAME" (volumes.go).
	Data    string
	Volumes string
	// Reserve has the scheduler reserve what bounds an instance. Otherwise instances
	// share a node as they share a machine: they are bounded, and reserve nothing.
	Reserve bool
	// Log receives what an operator should know; nil discards it.
	Log *slog.Logger
}

// Driver runs instances as pods. It implements driver.Driver.
type Driver struct {
	config    Config
	log       *slog.Logger
	owner     string // the hash that labels carry
	host      string // the API server's address, for people
	namespace string
	volumes   volumes
	limits    limits

	clients clients
	close   func() // closes their connections; nil has none

	pods, nodes cache.SharedIndexInformer

	// life ends with Close; handlers counts the goroutines that it ends.
	life     context.Context
	end      context.CancelFunc
	handlers sync.WaitGroup

	// settling is held while what Sweep could not do is done: nothing is started
	// meanwhile that would be taken for a leftover.
	settling sync.Mutex

	mu     sync.Mutex
	live   map[string]*instance // by ID; nil is one that is being started
	sights map[string]*sight    // by the pod's name
	looks  map[string]*look     // by the image's name
	local  map[string]bool      // images that have no digest of a registry
	// unswept, unless nil, is what Sweep was to keep when nobody answered.
	unswept []string
}

// New makes a driver. It does not wait for the API server, which may come up later.
func New(c Config) (*Driver, error) {
	v, err := parseVolumes(c.Volumes, c.Data)
	if err != nil {
		return nil, err
	}
	to, err := connect(c)
	if err != nil {
		return nil, err
	}
	d := newDriver(c, to, v)
	d.observe()
	return d, nil
}

// newDriver makes a driver that sees nothing yet.
func newDriver(c Config, to connection, v volumes) *Driver {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	sum := sha256.Sum256([]byte(c.Owner))
	d := &Driver{
		config: c, log: c.Log, owner: hex.EncodeToString(sum[:8]),
		host: to.host, namespace: to.namespace, clients: to.clients, close: to.close,
		volumes: v, limits: defaultLimits(),
		live: map[string]*instance{}, sights: map[string]*sight{}, looks: map[string]*look{}, local: map[string]bool{},
	}
	d.life, d.end = context.WithCancel(context.Background())
	return d
}

// Close lets go of the cluster and of the instances without ending them: a later
// server can adopt them. Their handles tell nothing more.
func (d *Driver) Close() error {
	d.end()
	d.handlers.Wait()
	if d.close != nil {
		d.close()
	}
	return nil
}

// Start implements driver.Driver.
func (d *Driver) Start(ctx context.Context, spec driver.Spec) (driver.Handle, error) {
	if err := d.refuse(spec); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("starting instance %s: %w", spec.ID, err)
	}
	if err := d.settle(ctx); err != nil {
		return nil, err
	}
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

// launch does what Start promises for an ID that is claimed.
func (d *Driver) launch(ctx context.Context, spec driver.Spec) (*instance, error) {
	anchor, err := d.anchor(ctx)
	if err == nil && spec.Held {
		err = d.protect(ctx, anchor)
	}
	if err != nil {
		return nil, err
	}
	pod, err := d.podOf(spec, d.startable(spec), anchor)
	if err != nil {
		return nil, err
	}
	made, err := d.create(ctx, spec.ID, pod)
	if err != nil {
		return nil, err
	}
	i := d.newInstance(spec.ID, made)
	if err := i.awaitStart(ctx, spec.Image); err != nil {
		i.discard()
		return nil, err
	}
	i.begin(spec.Output, time.Time{})
	return i, nil
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

// Attach implements driver.Driver. A pod that does not run, or not for long any more,
// is no instance.
func (d *Driver) Attach(ctx context.Context, spec driver.Spec) (driver.Handle, error) {
	if err := d.settle(ctx); err != nil {
		return nil, err
	}
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
	found, err := d.list(ctx, spec.ID)
	if err != nil {
		return nil, err
	}
	for _, pod := range found {
		if !serves(&pod) {
			continue
		}
		i := d.newInstance(spec.ID, &pod)
		i.locate(&pod)
		i.begin(spec.Output, spec.OutputSince)
		return i, nil
	}
	return nil, fmt.Errorf("no pod of instance %q runs: %w", spec.ID, driver.ErrNoInstance)
}
