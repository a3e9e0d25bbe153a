package control

import (
	"context"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

// CreateTransformJob checks what can be checked now, in the order of the real
// service, stores the job as InProgress and returns. The controller does the rest.
func (c *Control) CreateTransformJob(ctx context.Context, key resource.Key, spec resource.TransformSpec, tags []resource.Tag) (arn string, err error) {
	key.Kind = resource.KindTransformJob
	if err := checkTags(tags); err != nil {
		return "", err
	}
	if err := checkSpec(spec); err != nil {
		return "", err
	}
	c.fillIn(&spec, tags)
	modelKey := resource.Key{Region: key.Region, Kind: resource.KindModel, Name: spec.ModelName}
	var model resource.Model
	err = c.State.View(ctx, func(tx *state.Tx) (err error) {
		if _, err := tx.TransformJob(key); err == nil {
			return fault.New(fault.InUse, "")
		}
		model, err = tx.Model(modelKey)
		return err
	})
	if err != nil {
		return "", c.createError(err, key, modelKey)
	}
	if model.Spec.MultiModel() || model.Spec.Direct {
		return "", fault.New(fault.Invalid, "The model %q cannot be used in a transform job: Mode MultiModel and InferenceExecutionConfig Mode Direct are for endpoints, whose callers choose the model or the container.", c.ARN(modelKey))
	}
	if err := checkKey(ctx, c.ObjectKeys, key.Region, "TransformOutput.KmsKeyId", spec.Output.KmsKeyID); err != nil {
		return "", err
	}
	if err := c.checkVolume(ctx, key.Region, "VolumeKmsKeyId", spec.Resources.VolumeKmsKeyID, spec.Resources.InstanceType); err != nil {
		return "", err
	}
	if err := c.checkRoom(jobClaim(key, spec.Resources), spec.Resources.InstanceType, "transform job"); err != nil {
		return "", err
	}
	if err := c.checkInput(ctx, key.Region, model.Spec, spec.Input); err != nil {
		return "", err
	}
	now := c.Now()
	job := resource.TransformJob{
		Meta: resource.Meta{Key: key, Created: now, Modified: now, Tags: tags},
		Spec: spec, Model: model.Spec, Status: resource.JobInProgress,
	}
	err = c.State.Update(ctx, func(tx *state.Tx) error { return tx.CreateTransformJob(job) })
	if err != nil {
		return "", c.createError(err, key, modelKey)
	}
	return c.ARN(key), nil
}

// createError gives the real service's sentences for a taken name (BT-21) and a
// missing model (BT-20).
func (c *Control) createError(err error, job, model resource.Key) error {
	switch {
	case fault.Is(err, fault.InUse):
		return fault.New(fault.InUse, "Job name must be unique within an AWS account and region, and a job with this name already exists (%s)", c.ARN(job))
	case fault.Is(err, fault.NotFound):
		return fault.New(fault.NotFound, "Could not find model %q.", c.ARN(model))
	}
	return err
}

// fillIn resolves what depends on the server's settings, so that a job keeps its
// meaning when they change.
func (c *Control) fillIn(spec *resource.TransformSpec, tags []resource.Tag) {
	spec.Layout = resource.LayoutSingle
	spec.AlwaysNewline = c.AlwaysNewline
	if c.SeedCompat {
		spec.DefaultConcurrency = 1 // SD-8
		if spec.Output.AssembleWith == "" {
			spec.Layout = resource.LayoutParts // SD-5
		}
	}
	if v := (resource.Meta{Tags: tags}).TagValue(layoutTag); v != "" {
		spec.Layout = resource.OutputLayout(v)
	}
}

// checkSpec refuses combinations that the API model cannot express.
func checkSpec(spec resource.TransformSpec) error {
	if t := spec.Input.S3DataType; t != "S3Prefix" && t != "ManifestFile" { // BT-8, BT-46
		return fault.New(fault.Invalid, "Invalid S3DataType: %q is not supported by transform jobs. Use S3Prefix or ManifestFile.", t)
	}
	if _, err := objstore.ParseURI(spec.Input.S3URI); err != nil {
		return err
	}
	if _, err := objstore.ParseURI(spec.Output.S3OutputPath); err != nil {
		return err
	}
	payload := 6
	if spec.MaxPayloadInMB != nil {
		payload = *spec.MaxPayloadInMB
	}
	if n := spec.MaxConcurrentTransforms; n != nil && *n > 100 {
		return fault.New(fault.Invalid, "Invalid MaxConcurrentTransforms: it is %d, and may be 100 at the most.", *n)
	}
	if payload > 100 {
		return fault.New(fault.Invalid, "Invalid MaxPayloadInMB: it is %d, and may be 100 at the most.", payload)
	}
	if n := spec.MaxConcurrentTransforms; n != nil && *n*payload > 100 { // BT-5
		return fault.New(fault.Invalid, "Invalid MaxConcurrentTransforms and MaxPayloadInMB: their product is %d MB (%d times %d), and may be 100 MB at the most.", *n*payload, *n, payload)
	}
	streams := payload == 0 && (spec.Input.Split == "" || spec.Input.Split == resource.SplitNone || spec.BatchStrategy == resource.MultiRecord)
	if streams && spec.Output.AssembleWith == resource.AssembleRecordIO {
		return fault.New(fault.Unsupported, "Invalid AssembleWith: RecordIO needs the length of an answer before its bytes, and with MaxPayloadInMB 0 answers are streamed. Set MaxPayloadInMB, or BatchStrategy SingleRecord with a SplitType.")
	}
	return nil
}

// checkInput looks for at least one object, as the real service does before it
// accepts a job (BT-23). A manifest is only looked up, not read (BT-24).
func (c *Control) checkInput(ctx context.Context, region string, model resource.ModelSpec, in resource.TransformInput) error {
	ref, err := objstore.ParseURI(in.S3URI)
	if err == nil {
		ctx, err = c.as(ctx, model.ExecutionRoleArn)
	}
	if err != nil {
		return err
	}
	found := false
	if in.S3DataType == "ManifestFile" {
		_, err = c.Objects.Stat(ctx, ref)
		found = err == nil
	} else {
		for _, lerr := range c.Objects.List(ctx, ref.Bucket, ref.Key) {
			found, err = lerr == nil, lerr
			break
		}
	}
	if found {
		return nil
	}
	if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Denied) {
		return err
	}
	return fault.Wrap(fault.Invalid, err, "No S3 objects found under S3 URL %q given in input data source. Please ensure that the bucket exists in the selected region (%s), that objects exist under that S3 prefix, and that the role %q has \"s3:ListBucket\" permissions on bucket %q.",
		in.S3URI, region, model.ExecutionRoleArn, ref.Bucket)
}

// DescribeTransformJob reads a job.
func (c *Control) DescribeTransformJob(ctx context.Context, key resource.Key) (j resource.TransformJob, err error) {
	key.Kind = resource.KindTransformJob
	err = c.State.View(ctx, func(tx *state.Tx) error {
		j, err = tx.TransformJob(key)
		return err
	})
	return j, notFound(err, "Could not find requested job with name: %s", key.Name) // BT-153
}

// StopTransformJob asks a job to stop and returns at once. A job that is stopping
// already is no error (BT-154).
func (c *Control) StopTransformJob(ctx context.Context, key resource.Key) error {
	key.Kind = resource.KindTransformJob
	err := c.State.Update(ctx, func(tx *state.Tx) error {
		j, err := tx.TransformJob(key)
		if err != nil {
			return err
		}
		if j.Status.Terminal() { // BT-152
			return fault.New(fault.Invalid, "The request was rejected because the transform job is in status %s", j.Status)
		}
		if j.Status == resource.JobStopping {
			return nil
		}
		if j, err = j.Apply(resource.StopAsked{}, c.Now()); err != nil {
			return err
		}
		return tx.SaveTransformJob(j)
	})
	return notFound(err, "Could not find job to update with name: %s", key.Name) // BT-153
}

// Progress tells how far a job has come. While it runs here the figures are
// live; otherwise they are what its finished objects add up to.
func (c *Control) Progress(ctx context.Context, key resource.Key) (resource.TransformJob, transform.Snapshot, error) {
	j, err := c.DescribeTransformJob(ctx, key)
	if err != nil {
		return j, transform.Snapshot{}, err
	}
	if p := c.runs.progress(j.Key.Folded()); p != nil {
		return j, p.Snapshot(c.Now()), nil
	}
	p := &transform.Progress{}
	err = c.State.View(ctx, func(tx *state.Tx) error {
		totals, err := tx.ObjectTotals(j.Key)
		seed(p, totals)
		return err
	})
	return j, p.Snapshot(c.Now()), err
}

// seed sets a Progress to what earlier runs did.
func seed(p *transform.Progress, t state.ObjectTotals) {
	p.Objects.Store(t.Pending.Objects + t.Done.Objects + t.Failed.Objects)
	p.ObjectsDone.Store(t.Done.Objects)
	p.ObjectsFailed.Store(t.Failed.Objects)
	p.InputBytes.Store(t.Pending.Size + t.Done.Size + t.Failed.Size)
	p.InputBytesRead.Store(t.Done.Size + t.Failed.Size)
	p.Records.Store(t.Done.Records)
	p.Requests.Store(t.Done.Requests)
	p.Retries.Store(t.Done.Retries)
	p.BytesIn.Store(t.Done.BytesIn)
	p.BytesOut.Store(t.Done.BytesOut)
}
