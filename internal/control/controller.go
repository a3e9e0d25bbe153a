package control

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

// Why a run was ended before its time.
var (
	errHalted   = errors.New("the job was asked to stop")
	errShutdown = errors.New("the server is stopping")
)

// reconcile looks at one job or endpoint and does what Plan says. It never waits: a run goes
// on in a goroutine and comes back as a new look at its job.
func (c *Control) reconcile(ctx context.Context, key resource.Key) (again time.Duration, err error) {
	if key.Kind == resource.KindEndpoint {
		return c.reconcileEndpoint(ctx, key)
	}
	j, err := c.DescribeTransformJob(ctx, key)
	if fault.Is(err, fault.NotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	d := transform.Plan(j, c.runs.observe(key))
	switch d.Action {
	case transform.Run:
		c.runs.start(ctx, key, func(ctx context.Context, r *run) *transform.Result {
			return c.execute(ctx, j, r)
		}, func() { c.loop.Add(key) })
	case transform.Halt:
		c.runs.halt(key)
	}
	if d.Event == nil {
		return 0, nil
	}
	if err := c.apply(ctx, key, d.Event); err != nil {
		return 0, err
	}
	c.runs.forget(key, c.Now())
	return 0, nil
}

// apply moves a job by an event, in one transaction.
func (c *Control) apply(ctx context.Context, key resource.Key, e resource.TransformEvent) error {
	return c.State.Update(ctx, func(tx *state.Tx) error {
		j, err := tx.TransformJob(key)
		if err != nil {
			return err
		}
		before := j.Status
		if j, err = j.Apply(e, c.Now()); err != nil {
			return err
		}
		if j.Status != before {
			c.Log.Info("transform job moved", "job", key.Name, "from", before, "to", j.Status, "reason", loggable(j, j.FailureReason))
		}
		return tx.SaveTransformJob(j)
	})
}

// runs are the runs of jobs in this process: at most one for a job.
type runs struct {
	mu   sync.Mutex
	all  map[resource.Key]*run
	past []LiveJob // the last ones that ended, for whoever looks seldom
	wait sync.WaitGroup
}

// LiveJob is a job with the figures of its run in this process.
type LiveJob struct {
	Key resource.Key
	transform.Snapshot
}

// maxPast is how many jobs that are over keep their figures.
const maxPast = 32

// LiveJobs gives the figures of the jobs that run here and of the last ones that
// did.
func (c *Control) LiveJobs() []LiveJob {
	c.runs.mu.Lock()
	defer c.runs.mu.Unlock()
	jobs := slices.Clone(c.runs.past)
	for key, one := range c.runs.all {
		jobs = append(jobs, LiveJob{Key: key, Snapshot: one.progress.Snapshot(c.Now())})
	}
	return jobs
}

// run is one attempt to carry a job out.
type run struct {
	cancel   context.CancelCauseFunc
	live     bool
	result   *transform.Result // nil when it was interrupted
	progress *transform.Progress
	waits    *waits
}

func newRuns() *runs { return &runs{all: map[resource.Key]*run{}} }

// start begins a run unless the job has one. ended is called when it is over.
func (r *runs) start(ctx context.Context, key resource.Key, do func(context.Context, *run) *transform.Result, ended func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all[key] != nil {
		return
	}
	// The run outlives the look at its job that began it, and ends by shutdown.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	one := &run{cancel: cancel, live: true, progress: &transform.Progress{}, waits: newWaits()}
	r.all[key] = one
	r.wait.Go(func() {
		defer cancel(nil)
		result := do(ctx, one)
		r.mu.Lock()
		one.live, one.result = false, result
		r.mu.Unlock()
		ended()
	})
}

// observe says what Plan wants to know of a job's run.
func (r *runs) observe(key resource.Key) transform.Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.all[key]
	switch {
	case one == nil:
		return transform.Observation{}
	case one.live:
		return transform.Observation{Running: true}
	case one.result == nil:
		delete(r.all, key) // it was interrupted, and may begin again
		return transform.Observation{}
	}
	return transform.Observation{Ended: one.result}
}

// halt interrupts a run because its job was asked to stop.
func (r *runs) halt(key resource.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.all[key]; one != nil {
		one.cancel(errHalted)
	}
}

// forget drops the run of a job that is over, all but its last figures.
func (r *runs) forget(key resource.Key, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.all[key]; one != nil {
		r.past = append(r.past, LiveJob{Key: key, Snapshot: one.progress.Snapshot(now)})
		r.past = r.past[max(0, len(r.past)-maxPast):]
	}
	delete(r.all, key)
}

// progress gives the live figures of a job, nil when it has no run here.
func (r *runs) progress(key resource.Key) *transform.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.all[key]; one != nil {
		return one.progress
	}
	return nil
}

// waiting gives what a job's run waits for, nil when it has no run here.
func (r *runs) waiting(key resource.Key) *waits {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.all[key]; one != nil && one.live {
		return one.waits
	}
	return nil
}

// shutdown interrupts all runs and waits until their instances have stopped.
func (r *runs) shutdown() {
	r.mu.Lock()
	for _, one := range r.all {
		one.cancel(errShutdown)
	}
	r.mu.Unlock()
	r.wait.Wait()
}
