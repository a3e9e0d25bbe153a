package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/fleet"
	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
	"github.com/sagebrush-ml/sagebrush/internal/volume"
)

// execution is one run of one job: what its parts share.
type execution struct {
	*Control
	job      resource.TransformJob
	output   objstore.Ref
	volume   *volume.Volume // nil without VolumeKmsKeyId
	work     workspace
	progress *transform.Progress
	waits    *waits
	record   *recorder
	feed     *feed
	mask     *joblog.Masker
	// blueprint is what the job's instances are made of.
	blueprint *fleet.Blueprint
	// lost says that a runtime went away under the job.
	lost atomic.Bool

	mu     sync.Mutex
	broken []*transform.Failure // of instances, in the order they came
}

// execute carries a job out, or goes on where an earlier server left it, and
// gives the result; nil when ctx ended first, or when a runtime went away: the job
// is then taken up again. In the order of BT-32.
func (c *Control) execute(ctx context.Context, j resource.TransformJob, r *run) *transform.Result {
	environments := []map[string]string{j.Spec.Environment}
	for _, container := range j.Model.All() {
		environments = append(environments, container.Environment)
	}
	x := &execution{Control: c, job: j, progress: r.progress, waits: r.waits, mask: newMasker(environments...)}
	err := x.run(ctx)
	x.abandon(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if x.lost.Load() {
		c.Log.Warn("the runtime of a transform job stopped; the job is taken up again", "job", j.Name)
		return nil
	}
	result, rerr := x.result(ctx)
	if err = errors.Join(err, rerr); err != nil {
		f := transform.AsFailure(err)
		level := slog.LevelInfo // the user's or the model's own
		if f.Class == transform.InternalError {
			level = slog.LevelError
		}
		c.Log.Log(ctx, level, "transform job failed", "job", j.Name, "error", loggable(j, x.mask.Text(err.Error())))
		x.fail(f)
	}
	if len(x.broken) > 0 {
		result.Worst = graver(result.Worst, x.broken[0])
	}
	if result.Worst != nil {
		result.Worst.Text = x.mask.Text(result.Worst.Text)
		result.Worst.Whole = x.mask.Text(result.Worst.Whole)
	}
	return &result
}

// graver tells the graver of an object's failure and an instance's (BT-92), and
// both where they are of one class: the one says where, the other why.
func graver(object, broken *transform.Failure) *transform.Failure {
	switch {
	case object == nil || broken.Class.Graver(object.Class):
		return broken
	case object.Class.Graver(broken.Class) || broken.Whole != "":
		return object
	}
	both := *object
	both.Text = object.Text + ". Then " + broken.Text
	return &both
}

// fail notes that the job cannot succeed, whatever its objects do.
func (x *execution) fail(f *transform.Failure) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.broken = append(x.broken, f)
}

// run is the whole path: wait for room, look at both ends, prepare, move.
func (x *execution) run(ctx context.Context) (err error) {
	room, err := x.takeRoom(ctx)
	if err != nil {
		return err
	}
	defer room.Release()
	if ctx, err = x.as(ctx, x.job.Model.ExecutionRoleArn); err != nil {
		return err
	}
	if x.output, err = objstore.ParseURI(x.job.Spec.Output.S3OutputPath); err != nil {
		return err
	}
	if _, err := x.Objects.Stat(ctx, objstore.Ref{Bucket: x.output.Bucket}); err != nil {
		return fault.Wrap(fault.KindOf(err), err, "the output cannot be written to %s: %s", x.job.Spec.Output.S3OutputPath, fault.TextOf(err))
	}
	if x.volume, err = x.openVolume(ctx, x.job.Region, instanceID(x.job, 0), x.job.Spec.Resources.VolumeKmsKeyID); err != nil {
		return err
	}
	defer x.closeVolume(x.volume)
	if x.work, err = openWorkspace(x.workRoot(), x.job.Key); err != nil {
		return err
	}
	defer x.work.remove()
	if err := x.list(ctx); err != nil {
		return err
	}
	if err := x.prepare(ctx); err != nil {
		return err
	}
	defer x.blueprint.Release()
	x.feed = newFeed(x.State, x.job.Key, x.job.InputBucket)
	x.record = newRecorder(ctx, x.State, x.job.Key)
	defer func() { err = errors.Join(err, x.record.close()) }()
	return x.runInstances(ctx, room)
}

// workRoot is where the job's workspace is.
func (x *execution) workRoot() string {
	if x.volume != nil {
		return filepath.Join(x.volume.Dir, "job")
	}
	return x.Work
}

// abandon ends the instances of an earlier server that this run did not come to
// take over.
func (x *execution) abandon(ctx context.Context) {
	for i := range x.job.Spec.Resources.InstanceCount {
		if err := x.Fleet.Abandon(context.WithoutCancel(ctx), instanceID(x.job, i)); err != nil {
			x.Log.Warn("an instance of an earlier server was not ended", "job", x.job.Name, "error", err)
		}
	}
}

// prepare resolves the images, once for the job's life, and fetches the model.
func (x *execution) prepare(ctx context.Context) (err error) {
	defer x.waits.set("model", "")
	x.blueprint, err = x.Fleet.Prepare(ctx, fleet.Needs{
		Model: x.job.Model, Pinned: x.job.Images,
		Writable: x.job.TagValue(writableTag) == "true", Sealed: x.sealed(),
		Report: func(what string) { x.waits.set("model", what) },
	})
	if err != nil || x.job.Images != nil {
		return err
	}
	if err = x.apply(ctx, x.job.Key, resource.ImagesResolved{Images: x.blueprint.Images()}); err != nil {
		x.blueprint.Release()
	}
	return err
}

// sealed is the folder that the job's data is confined to, or "".
func (x *execution) sealed() string {
	if x.volume == nil {
		return ""
	}
	return x.volume.Dir
}

// listBatch is how many objects are recorded in one transaction.
const listBatch = 1000

// list records the job's input, object by object, once. A listing that was cut
// short is begun anew, so that the job sees the input at one time.
func (x *execution) list(ctx context.Context) error {
	x.waits.set("input", "lists the input")
	defer x.waits.set("input", "")
	if !x.job.Listed {
		if err := x.listAnew(ctx); err != nil {
			return err
		}
	}
	return x.State.View(ctx, func(tx *state.Tx) error {
		totals, err := tx.ObjectTotals(x.job.Key)
		seed(x.progress, totals)
		return err
	})
}

// listAnew lists the input from its beginning.
func (x *execution) listAnew(ctx context.Context) error {
	bucket := ""
	var batch []state.Object
	fresh := true
	flush := func() error {
		if len(batch) == 0 && !fresh {
			return nil
		}
		err := x.State.Update(ctx, func(tx *state.Tx) error {
			if fresh {
				if err := tx.ClearObjects(x.job.Key); err != nil {
					return err
				}
			}
			_, err := tx.AddObjects(x.job.Key, batch)
			return err
		})
		batch, fresh = batch[:0], false
		return err
	}
	err := transform.List(ctx, x.Objects, x.job.Spec.Input, func(o transform.Object) error {
		bucket = o.Bucket
		batch = append(batch, state.Object{Key: o.Key, Rel: o.Rel, Size: o.Size, ETag: o.ETag, Modified: o.Modified})
		if len(batch) < listBatch {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	if bucket == "" {
		return fault.New(fault.Invalid, "no objects are left under %s: they were there when the job was created", x.job.Spec.Input.S3URI)
	}
	x.job.InputBucket = bucket
	return x.apply(ctx, x.job.Key, resource.InputListed{Bucket: bucket})
}

// result adds up what became of the objects, in this run and in earlier ones.
func (x *execution) result(ctx context.Context) (r transform.Result, err error) {
	err = x.State.View(ctx, func(tx *state.Tx) error {
		totals, err := tx.ObjectTotals(x.job.Key)
		if err != nil {
			return err
		}
		r.Objects = totals.Pending.Objects + totals.Done.Objects + totals.Failed.Objects
		r.Failed = totals.Failed.Objects
		failed, err := tx.FailedObjects(x.job.Key, listBatch)
		for _, o := range failed {
			if c := transform.Class(o.Class); r.Worst == nil || c.Graver(r.Worst.Class) {
				r.Worst = &transform.Failure{Class: c, Text: o.Detail}
			}
		}
		if pending := totals.Pending.Objects; err == nil && r.Worst == nil && pending > 0 && len(x.broken) == 0 {
			err = fmt.Errorf("%d objects were left over", pending)
		}
		return err
	})
	return r, err
}
