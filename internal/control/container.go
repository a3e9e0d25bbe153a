package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

// errBroken ends a run because one of its instances never served.
var errBroken = errors.New("an instance did not start")

// runInstances starts the job's instances and lets them share its objects. One
// that never serves ends the run; one that dies leaves the rest to the others,
// and the job fails all the same (BT-36).
func (x *execution) runInstances(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	var once sync.Once
	for i := range x.job.Spec.Resources.InstanceCount {
		wait.Go(func() {
			err := x.runInstance(ctx, i, func() {
				once.Do(func() {
					x.progress.Start(x.Now())
					if err := x.apply(ctx, x.job.Key, resource.TransformStarted{}); err != nil {
						x.Log.Warn("the job's start was not recorded", "job", x.job.Name, "error", err)
					}
				})
			})
			if errors.Is(err, errBroken) {
				cancel(err)
			}
		})
	}
	wait.Wait()
	return nil
}

// runInstance is one instance from its start to its end. Its failures are noted
// with fail; the error only says whether the others should go on.
func (x *execution) runInstance(ctx context.Context, i int, serving func()) error {
	name := instanceName(x.Now())
	printed, err := x.Logs.Create(joblog.JobName(x.job.Key), name)
	if err != nil {
		x.fail(transform.AsFailure(err))
		return errBroken
	}
	defer printed.Close()
	log, err := x.Logs.Create(joblog.JobName(x.job.Key), name+"/data-log")
	if err != nil {
		x.fail(transform.AsFailure(err))
		return errBroken
	}
	defer log.Close()
	in, err := x.startInstance(ctx, i, printed)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		f := startFailure(err)
		x.say(log, f)
		x.fail(f)
		return errBroken
	}
	defer x.stopInstance(ctx, in)
	x.progress.Instances.Add(1)
	defer x.progress.Instances.Add(-1)
	serving()
	err = x.serve(ctx, i, in, log)
	if err != nil && ctx.Err() == nil {
		f := runFailure(in, err)
		x.say(log, f)
		x.fail(f)
	}
	return err
}

// stopInstance ends an instance: SIGTERM, the grace, SIGKILL (BT-150, CC-27). It
// goes on when the run is interrupted: that is when instances must be stopped.
func (x *execution) stopInstance(ctx context.Context, in *instance.Instance) {
	if err := in.Stop(context.WithoutCancel(ctx)); err != nil {
		x.Log.Warn("an instance did not stop cleanly", "job", x.job.Name, "error", err)
	}
}

// instanceName is a stream's name in the style of the real service:
// INSTANCE-EPOCH (OB-20).
func instanceName(now time.Time) string {
	id := strings.ReplaceAll(uuid.NewString(), "-", "")
	return "i-" + id[:17] + "-" + strconv.FormatInt(now.Unix(), 10)
}

// startInstance starts a container and waits until it serves.
func (x *execution) startInstance(ctx context.Context, i int, out io.Writer) (*instance.Instance, error) {
	scratch, err := x.work.sub(scratchDir(i))
	if err != nil {
		return nil, err
	}
	model, err := x.work.sub(modelDir)
	if err != nil {
		return nil, err
	}
	image := x.job.Model.Container.Image
	if x.Remap != nil {
		image = x.Remap(image)
	}
	return instance.Start(ctx, instance.Options{
		Driver: x.Driver,
		Spec: driver.Spec{
			ID:    "transform-" + strings.ToLower(uuid.NewString()),
			Image: image, Env: x.environment(),
			ModelDir: model, ScratchDir: scratch, Output: out,
		},
		ReadyTimeout:     x.ReadyTimeout,
		StopGrace:        max(x.StopGrace, time.Millisecond), // 0 is no grace, not the default
		Retry:            retry(x.job.Spec.ModelClient),
		MaxResponseBytes: x.MaxAnswerBytes,
	})
}

// environment is what the platform sets over the job's own variables, over the
// model's (CC-40, CC-41, CC-46), and the region, which both may override (CC-48).
func (x *execution) environment() map[string]string {
	s := x.job.Spec
	be := instance.BatchEnv{
		Model: x.job.Model.Container.Environment, Job: s.Environment,
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
func (x *execution) serve(ctx context.Context, i int, in *instance.Instance, log *joblog.Stream) error {
	offer, warnings := in.Parameters(ctx)
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
		Settings: settings, Store: x.Objects, Output: x.output, Invokers: invokers,
		Dead: in.Exited(), Scratch: scratch, Progress: x.progress,
		Report: func(o transform.Outcome) {
			x.report(o, log)
			if o.Err != nil && transform.AsFailure(o.Err).Class == transform.AlgorithmError {
				unanswered.Store(true)
			}
		},
	})
	err = r.Run(ctx, x.feed)
	if err == nil && unanswered.Load() && closed(in.Exited()) {
		err = transform.ErrInstanceGone // it died on the last object, and that explains the failure
	}
	return err
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
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

// report records the end of an object and says in the data-log why it failed.
func (x *execution) report(o transform.Outcome, log *joblog.Stream) {
	end := state.ObjectResult{Seq: o.Seq, State: state.ObjectDone, Counts: state.Counts(o.Counts)}
	if o.Err != nil {
		f := transform.AsFailure(o.Err)
		x.say(log, f)
		end.State, end.Class, end.Detail = state.ObjectFailed, string(f.Class), x.mask.text(f.Detail())
		x.Log.Warn("an object failed", "job", x.job.Name, "object", o.Ref.String(), "class", f.Class, "error", x.mask.text(f.Detail()))
		x.progress.ObjectsFailed.Add(1)
	} else {
		x.progress.ObjectsDone.Add(1)
	}
	x.record.add(end)
}

// note writes to the data-log, each line of the text in the form of BT-80.
func (x *execution) note(log *joblog.Stream, text string) {
	stamp := x.Now().UTC().Format("2006-01-02T15:04:05.000")
	for line := range strings.SplitSeq(x.mask.text(text), "\n") {
		log.Line(fmt.Sprintf("%s:[sagemaker logs]: %s", stamp, line))
	}
}

// say writes a failure to the data-log.
func (x *execution) say(log *joblog.Stream, f *transform.Failure) {
	for _, line := range f.LogLines() {
		x.note(log, line)
	}
}
