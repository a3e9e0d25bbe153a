package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/capacity"
	"github.com/sagebrush-ml/sagebrush/internal/fleet"
	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

var (
	// errBroken ends a run because one of its instances never served.
	errBroken = errors.New("an instance did not start")
	// errLost ends a run because the runtime of an instance went away. The job is
	// taken up again, as after a restart of the server.
	errLost = errors.New("the runtime of an instance stopped")
)

// runInstances starts the job's instances and lets them share its objects. One
// that never serves ends the run; one that dies leaves the rest to the others,
// and the job fails all the same (BT-36).
func (x *execution) runInstances(ctx context.Context, room *capacity.Grant) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	var once sync.Once
	stop := x.watchVolume(ctx, cancel)
	defer stop()
	for i, share := range room.Instances() {
		wait.Go(func() {
			err := x.runInstance(ctx, i, place{share, room.Note}, func() {
				once.Do(func() {
					x.progress.Start(x.Now())
					if err := x.apply(ctx, x.job.Key, resource.TransformStarted{}); err != nil {
						x.Log.Warn("the job's start was not recorded", "job", x.job.Name, "error", err)
					}
				})
			})
			if errors.Is(err, errLost) {
				x.lost.Store(true)
			}
			if errors.Is(err, errBroken) || errors.Is(err, errLost) {
				cancel(err)
			}
		})
	}
	wait.Wait()
	return nil
}

// watchVolume ends the run when its volume holds too much, until the returned
// function is called.
func (x *execution) watchVolume(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	if x.volume == nil || x.volume.Over() == nil {
		return func() {}
	}
	ctx, end := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case <-ctx.Done():
		case <-x.volume.Over():
			err := errOver(x.volume)
			x.fail(transform.AsFailure(err))
			cancel(err)
		}
	})
	return func() {
		end()
		wait.Wait()
	}
}

// place is what an instance may use of this host, and what it lacks of its type.
type place struct {
	*capacity.Instance
	note string
}

// runInstance is one instance from its start to its end. Its failures are noted
// with fail; the error only says whether the others should go on.
func (x *execution) runInstance(ctx context.Context, i int, at place, serving func()) (err error) {
	l, err := x.openLogs(ctx, i)
	if err != nil {
		x.fail(transform.AsFailure(err))
		return errBroken
	}
	defer l.close()
	for _, what := range []string{at.note, lacks(x.job.Spec.Resources.InstanceType), x.volumeNote()} {
		if what != "" {
			x.note(l.data, what)
		}
	}
	in, err := x.startInstance(ctx, i, at, l)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if lost(in, err) {
		return errLost
	}
	if err != nil {
		f := startFailure(err)
		x.say(l.data, f)
		x.fail(f)
		return errBroken
	}
	defer func() {
		if err != nil || ctx.Err() != nil || !x.Fleet.Keep(in, x.keepWarm()) {
			x.stopInstance(ctx, in)
		}
	}()
	x.progress.Instances.Add(1)
	defer x.progress.Instances.Add(-1)
	serving()
	err = x.serve(ctx, i, in, l.data)
	if err != nil && ctx.Err() == nil {
		if lost(in, err) {
			return errLost
		}
		f := runFailure(in, err)
		x.say(l.data, f)
		x.fail(f)
	}
	return err
}

// volumeNote says what the job's volume is, "" where it has none.
func (x *execution) volumeNote() string {
	if x.volume == nil {
		return ""
	}
	return x.volume.String()
}

// keepWarm is how long the job's instances are kept for a job that is just alike.
func (x *execution) keepWarm() time.Duration {
	if d, err := time.ParseDuration(x.job.TagValue(keepAliveTag)); err == nil {
		return d
	}
	return x.WarmTime
}

// stopInstance ends an instance: SIGTERM, the grace, SIGKILL (BT-150, CC-27). It
// goes on when the run is interrupted: that is when instances must be stopped.
func (x *execution) stopInstance(ctx context.Context, in *fleet.Instance) {
	x.waits.set(in.ID, "waits for its containers to end")
	defer x.waits.set(in.ID, "")
	if err := in.Stop(context.WithoutCancel(ctx)); err != nil {
		x.Log.Warn("an instance did not stop cleanly", "job", x.job.Name, "error", err)
	}
}

// instanceID names instance i of a job: the same after a restart of the server,
// so that a container which outlived it is found, and another for another job of
// the same name.
func instanceID(j resource.TransformJob, i int) string {
	k := j.Key.Folded()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d/%d", k.Region, k.Name, j.Created.UnixNano(), i))
	return "transform-" + hex.EncodeToString(sum[:12])
}

// streamName is the log stream of an instance in the style of the real service:
// INSTANCE-EPOCH (OB-20).
func streamName(j resource.TransformJob, i int) string {
	id := strings.TrimPrefix(instanceID(j, i), "transform-")
	return "i-" + id[:17] + "-" + strconv.FormatInt(j.Created.Unix(), 10)
}

// startInstance starts an instance, or adopts it, and waits until it serves. One
// that does not is stopped.
func (x *execution) startInstance(ctx context.Context, i int, at place, l *logs) (*fleet.Instance, error) {
	id := instanceID(x.job, i)
	x.waits.set(id, "starts its containers")
	say := func(what string) { x.waits.set(id, what) }
	defer x.waits.set(id, "")
	in, err := x.blueprint.Launch(ctx, fleet.Order{
		ID:     id,
		Env:    x.environment,
		Output: l.container,
		Labels: map[string]string{
			"sagebrush.transform-job": x.job.Name,
			"sagebrush.region":        x.job.Region,
		},
		CPUs: at.CPUs, MemoryBytes: at.MemoryBytes, ShmBytes: shmOf(at.MemoryBytes), GPUs: gpuNames(at.GPUs),
		ReadyTimeout:     x.ReadyTimeout,
		Retry:            retry(x.job.Spec.ModelClient),
		MaxResponseBytes: x.MaxAnswerBytes,
		Report:           say,
	})
	if err != nil {
		return nil, err
	}
	x.waits.live(id, in.Waiting)
	if err := in.WaitReady(ctx); err != nil {
		// The job's end must not deprive the container of its grace.
		return nil, errors.Join(err, in.Stop(context.WithoutCancel(ctx)))
	}
	return in, nil
}

// environment is what the platform sets over the job's own variables, over the
// model's (CC-40, CC-41, CC-46), and the region, which both may override (CC-48).
func (x *execution) environment(c resource.Container) map[string]string {
	s := x.job.Spec
	be := instance.BatchEnv{
		Model: c.Environment, Job: s.Environment,
		MaxConcurrentTransforms: s.MaxConcurrentTransforms, MaxPayloadInMB: s.MaxPayloadInMB,
	}
	if s.BatchStrategy != "" {
		be.BatchStrategy = transform.ContainerStrategy(s.BatchStrategy)
	}
	env := map[string]string{"AWS_REGION": x.job.Region, "AWS_DEFAULT_REGION": x.job.Region}
	maps.Copy(env, be.Map())
	return env
}

// retry is the job's ModelClientConfig, with the defaults of BT-4.
func retry(m *resource.ModelClientConfig) instance.RetryPolicy {
	p := instance.RetryPolicy{Timeout: defaultInvocationTimeout, MaxRetries: defaultInvocationRetries}
	if m != nil && m.InvocationsTimeoutInSeconds != nil {
		p.Timeout = time.Duration(*m.InvocationsTimeoutInSeconds) * time.Second
	}
	if m != nil && m.InvocationsMaxRetries != nil {
		p.MaxRetries = *m.InvocationsMaxRetries
	}
	return p
}

// The defaults of ModelClientConfig (BT-4).
const (
	defaultInvocationTimeout = 600 * time.Second
	defaultInvocationRetries = 3
)

// serve moves objects through an instance until there are none left.
func (x *execution) serve(ctx context.Context, i int, in *fleet.Instance, log *joblog.Stream) error {
	offer, warnings := in.Containers()[0].Parameters(ctx)
	settings := transform.Resolve(x.job.Spec, transform.Suggested{
		MaxConcurrentTransforms: offer.MaxConcurrentTransforms,
		MaxPayloadInMB:          offer.MaxPayloadInMB,
		BatchStrategy:           strategyOf(offer.BatchStrategy),
	})
	x.note(log, settings.String())
	for _, w := range warnings {
		x.note(log, w)
	}
	scratch, err := x.work.sub(scratchDir(i))
	if err != nil {
		return err
	}
	invokers := make([]transform.Invoker, settings.Concurrent)
	for k := range invokers {
		v := x.newInvoker(in)
		defer v.close()
		invokers[k] = v
	}
	var unanswered atomic.Bool
	r := transform.NewRunner(transform.Options{
		Settings: settings, Store: x.Objects, Output: x.output, OutputKey: x.objectKey(x.job.Region, x.job.Spec.Output.KmsKeyID), Invokers: invokers,
		Dead: in.Exited(), Scratch: scratch, Progress: x.progress,
		Report: func(o transform.Outcome) {
			x.report(o, log)
			if o.Err != nil && transform.AsFailure(o.Err).Class == transform.AlgorithmError {
				unanswered.Store(true)
			}
		},
	})
	err = r.Run(ctx, x.feed)
	if err == nil && unanswered.Load() && in.Gone() {
		err = transform.ErrInstanceGone // it died on the last object, and that explains the failure
	}
	return err
}

// strategyOf reads a strategy as containers spell it (CC-30).
func strategyOf(s *string) resource.BatchStrategy {
	switch {
	case s == nil:
		return ""
	case *s == instance.SingleRecord:
		return resource.SingleRecord
	}
	return resource.MultiRecord
}
