// Package control holds the operations of the control plane and the controller
// that carries jobs out. An operation commits a row and returns; the controller
// looks at the row and at the world and does what is missing, as often as it
// takes. Stop, Describe and List never touch the engine.
//
// It knows resources, not wire shapes: the room api converts.
package control

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/capacity"
	"github.com/sagebrush-ml/sagebrush/internal/fleet"
	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/router"
	"github.com/sagebrush-ml/sagebrush/internal/state"
	"github.com/sagebrush-ml/sagebrush/internal/volume"
)

// Options are what a Control works with. None may be changed afterwards.
type Options struct {
	// Account is the account number of ARNs.
	Account string
	// SeedCompat gives the behaviour of 2018-08-30 where it differs (SD-4, SD-5, SD-8).
	SeedCompat bool
	// AlwaysNewline is the other reading of BT-109.
	AlwaysNewline bool
	// Capacity says which instances may run on this host, and when.
	Capacity *capacity.Pool
	// MaxAnswerBytes bounds a container's answer.
	MaxAnswerBytes int64
	ReadyTimeout   time.Duration
	StopGrace      time.Duration

	// StartupTimeout is how long a container of an endpoint may take to be ready
	// where its variant does not say (CC-22).
	StartupTimeout time.Duration
	// DrainTime is how long requests may take to end on an instance that goes.
	DrainTime time.Duration
	// InvokeTimeout, InvokeBytes and InvokeWaiting are the limits of requests to
	// endpoints (RT-1, RT-7), and how many may wait for an instance.
	InvokeTimeout time.Duration
	InvokeBytes   int64
	InvokeWaiting int
	// WarmTime is how long instances of jobs are kept for the next job; 0 is not.
	WarmTime time.Duration
	// WakeWait is how long a request waits for an instance that is on its way, and
	// KeepAlive how long a variant that may sleep stays awake unused.
	WakeWait, KeepAlive time.Duration
	// ScalingPeriod is how often variants that are scaled are measured and decided
	// upon.
	ScalingPeriod time.Duration

	// As makes a context in which Objects are read and written with a role's rights. It
	// fails for a role that there is not (CP-34). Nil has no roles.
	As func(ctx context.Context, role string) (context.Context, error)

	Router  *router.Router
	State   *state.Store
	Objects objstore.Store
	// Fleet starts the instances of jobs.
	Fleet *fleet.Fleet
	Logs  *joblog.Dir
	// Keys are the keys that VolumeKmsKeyId and its like name, and Volumes makes what
	// they are for.
	Keys keyring.Keyring
	// ObjectKeys are the keys under which Objects encrypts; nil where these are
	// another service's, which looks for itself when it is written to.
	ObjectKeys keyring.Keyring
	Volumes    *volume.Host
	// Work is an absolute folder for what running jobs need on disk.
	Work string
	Log  *slog.Logger
	Now  func() time.Time
}

// Control serves operations and runs jobs. It is safe for concurrent use.
type Control struct {
	Options
	loop    *reconcile.Loop[resource.Key]
	runs    *runs
	hosting *hosting
	scaling *scaling
	tokens  tokens
	// readLoad is readRouter, but in tests.
	readLoad func(region, endpoint, variant string) (reading, bool)
}

// New makes a Control. Nothing runs before Run is called, but operations may be.
func New(ctx context.Context, o Options) (*Control, error) {
	secret, err := o.State.Secret(ctx, "next-token")
	if err != nil {
		return nil, err
	}
	o.Work = filepath.Clean(o.Work)
	c := &Control{
		Options: o,
		tokens:  tokens{secret: secret},
	}
	c.runs, c.hosting, c.scaling, c.readLoad = newRuns(), newHosting(), newScaling(), c.readRouter
	c.loop = reconcile.New(reconcile.Options[resource.Key]{
		Func: c.reconcile,
		Log:  o.Log,
	})
	return c, c.resumeHosting(ctx)
}

// Run carries jobs out until ctx ends. It returns when every run has stopped its
// instances; jobs that were under way are picked up by the next Run.
func (c *Control) Run(ctx context.Context) error {
	active, err := c.activeJobs(ctx)
	if err != nil {
		return err
	}
	var keep []string
	for _, j := range active {
		if j.Status != resource.JobInProgress || j.Spec.Resources.VolumeKmsKeyID != "" {
			continue // a volume goes with its server, and its instances with it
		}
		for i := range j.Spec.Resources.InstanceCount {
			keep = append(keep, instanceID(j, i))
		}
	}
	hosted, err := c.sweepable(ctx)
	if err != nil {
		return err
	}
	keep = append(keep, hosted...)
	if err := c.Fleet.Sweep(ctx, keep); err != nil {
		return err
	}
	if err := c.Volumes.Sweep(); err != nil {
		c.Log.Warn("volumes of an earlier server were not all removed", "error", err)
	}
	cancel := c.State.Watch(func(keys []resource.Key) {
		for _, k := range keys {
			switch k.Kind {
			case resource.KindTransformJob, resource.KindEndpoint:
				c.loop.Add(k.Folded())
			case resource.KindScalableTarget: // its endpoint goes by it
				if name, _, ok := resource.ParseScalableName(k.Name); ok {
					c.loop.Add(resource.Key{Region: k.Region, Kind: resource.KindEndpoint, Name: name}.Folded())
				}
			}
		}
	})
	defer cancel()
	if active, err = c.activeJobs(ctx); err != nil { // also those that came meanwhile
		return err
	}
	for _, j := range active {
		c.loop.Add(j.Key.Folded())
	}
	endpoints, err := c.endpointKeys(ctx)
	if err != nil {
		return err
	}
	for _, k := range endpoints {
		c.loop.Add(k)
	}
	var scaler sync.WaitGroup
	scaler.Go(func() { c.scale(ctx) })
	c.loop.Run(ctx)
	scaler.Wait()
	c.hosting.end()
	c.runs.shutdown()
	c.hosting.shutdown()
	c.hosting.releaseAll(c)
	c.Fleet.Close()
	return nil
}

// activeJobs are the jobs that an earlier server did not end.
func (c *Control) activeJobs(ctx context.Context) (jobs []resource.TransformJob, err error) {
	err = c.State.View(ctx, func(tx *state.Tx) error {
		keys, err := tx.ActiveTransformJobs()
		for _, k := range keys {
			j, err := tx.TransformJob(k)
			if err != nil {
				return err
			}
			jobs = append(jobs, j)
		}
		return err
	})
	return jobs, err
}

// endpointKeys are all endpoints.
func (c *Control) endpointKeys(ctx context.Context) (keys []resource.Key, err error) {
	err = c.State.View(ctx, func(tx *state.Tx) error {
		keys, err = tx.EndpointKeys()
		return err
	})
	return keys, err
}

// as is As, and for what has no role ctx as it is: the server's own rights.
func (c *Control) as(ctx context.Context, role string) (context.Context, error) {
	if c.As == nil || role == "" {
		return ctx, nil
	}
	return c.As(ctx, role)
}

// ARN gives the ARN of a key in this server's account.
func (c *Control) ARN(k resource.Key) string { return k.ARN(c.Account) }

// Ready reports whether the store answers.
func (c *Control) Ready(ctx context.Context) error {
	return c.State.View(ctx, func(*state.Tx) error { return nil })
}
