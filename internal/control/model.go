package control

import (
	"context"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// maxEnvironment bounds a model's Environment, in bytes (CC-45).
const maxEnvironment = 32 << 10

// CreateModel stores a model. Its artefact must exist (CP-35).
func (c *Control) CreateModel(ctx context.Context, key resource.Key, spec resource.ModelSpec, tags []resource.Tag) (arn string, err error) {
	key.Kind = resource.KindModel
	if err := checkTags(tags); err != nil {
		return "", err
	}
	if spec.Container.Image == "" {
		return "", fault.New(fault.Invalid, "Specify one of either Image and Model Data URL or ModelPackageName in container definition.") // CP-33
	}
	size := 0
	for name, value := range spec.Container.Environment {
		size += len(name) + len(value)
	}
	if size > maxEnvironment {
		return "", fault.New(fault.Invalid, "Invalid Environment: its names and values have %d bytes together, and may have %d.", size, maxEnvironment) // CC-45
	}
	if err := c.checkArtefact(ctx, key.Region, spec); err != nil {
		return "", err
	}
	now := c.Now()
	m := resource.Model{Meta: resource.Meta{Key: key, Created: now, Modified: now, Tags: tags}, Spec: spec}
	err = c.State.Update(ctx, func(tx *state.Tx) error { return tx.PutModel(m) })
	if fault.Is(err, fault.Exists) {
		return "", fault.New(fault.Exists, "Cannot create already existing model %q.", c.ARN(key)) // CP-32
	}
	return c.ARN(key), err
}

// checkArtefact looks the model's artefact up, as the real service does when the
// model is created (CP-35). A store that does not answer is no verdict: the job
// will see.
func (c *Control) checkArtefact(ctx context.Context, region string, spec resource.ModelSpec) error {
	uri := spec.Container.ModelDataURL
	if uri == "" {
		return nil
	}
	ref, err := objstore.ParseURI(uri)
	if err != nil {
		return err
	}
	if ref.Key == "" {
		return fault.New(fault.Invalid, "Could not access model data at %s. It names a bucket and no object; ModelDataUrl must name one .tar.gz object.", uri)
	}
	_, err = c.Objects.Stat(ctx, ref)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		return fault.Wrap(fault.Invalid, err, "Could not access model data at %s. Please ensure that the role %q exists and that its trust relationship policy allows the action \"sts:AssumeRole\" for the service principal \"sagemaker.amazonaws.com\". Also ensure that the role has \"s3:GetObject\" permissions and that the object is located in %s.", uri, spec.ExecutionRoleArn, region)
	}
	return nil
}

// DescribeModel reads a model.
func (c *Control) DescribeModel(ctx context.Context, key resource.Key) (m resource.Model, err error) {
	key.Kind = resource.KindModel
	err = c.State.View(ctx, func(tx *state.Tx) error {
		m, err = tx.Model(key)
		return err
	})
	return m, notFound(err, "Could not find model %q.", c.ARN(key))
}

// DeleteModel removes a model. Jobs that use it keep their copy (BT-34, CP-38).
func (c *Control) DeleteModel(ctx context.Context, key resource.Key) error {
	key.Kind = resource.KindModel
	err := c.State.Update(ctx, func(tx *state.Tx) error { return tx.DeleteModel(key) })
	return notFound(err, "Could not find model %q.", c.ARN(key))
}
