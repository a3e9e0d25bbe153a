package control

import (
	"context"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// maxEnvironment bounds a model's Environment, in bytes (CC-45).
const maxEnvironment = 32 << 10

// CreateModel stores a model. Its data must exist (CP-35).
func (c *Control) CreateModel(ctx context.Context, key resource.Key, spec resource.ModelSpec, tags []resource.Tag) (arn string, err error) {
	key.Kind = resource.KindModel
	if err := checkTags(tags); err != nil {
		return "", err
	}
	if err := checkModel(spec); err != nil {
		return "", err
	}
	as, err := c.as(ctx, spec.ExecutionRoleArn)
	if err != nil {
		return "", err
	}
	for i := range spec.All() {
		if err := c.checkArtefacts(as, key.Region, spec, i); err != nil {
			return "", err
		}
	}
	now := c.Now()
	m := resource.Model{Meta: resource.Meta{Key: key, Created: now, Modified: now, Tags: tags}, Spec: spec}
	err = c.State.Update(ctx, func(tx *state.Tx) error { return tx.PutModel(m) })
	if fault.Is(err, fault.Exists) {
		return "", fault.New(fault.Exists, "Cannot create already existing model %q.", c.ARN(key)) // CP-32
	}
	return c.ARN(key), err
}

// checkModel refuses what the API's shapes cannot express.
func checkModel(spec resource.ModelSpec) error {
	named, multi := 0, 0
	names := map[string]bool{}
	all := spec.All()
	for i, c := range all {
		if err := checkContainer(c); err != nil {
			return err
		}
		if c.Hostname != "" {
			named++
			names[c.Hostname] = true
		}
		if c.MultiModel {
			multi++
		}
		if c.Data != nil && c.MultiModel {
			return fault.New(fault.Invalid, "Container %s has ModelDataSource, which cannot be used with Mode MultiModel. Use ModelDataUrl.", spec.ContainerName(i)) // CC-15
		}
	}
	switch {
	case multi > 1: // CC-80
		return fault.New(fault.Invalid, "%d containers have Mode MultiModel, and one may have it.", multi)
	case len(spec.Containers) > 0 && named > 0 && named < len(all): // CC-73
		return fault.New(fault.Invalid, "%d of %d containers have a ContainerHostname. Give all of them one, or none.", named, len(all))
	case len(spec.Containers) > 0 && len(names) < named:
		return fault.New(fault.Invalid, "Two containers have the same ContainerHostname.")
	case spec.Direct && named == 0: // CC-75
		return fault.New(fault.Invalid, "InferenceExecutionConfig.Mode is Direct, and then every container needs a ContainerHostname.")
	}
	return nil
}

func checkContainer(c resource.Container) error {
	if c.Image == "" {
		return fault.New(fault.Invalid, "Specify one of either Image and Model Data URL or ModelPackageName in container definition.") // CP-33
	}
	size := 0
	for name, value := range c.Environment {
		size += len(name) + len(value)
	}
	if size > maxEnvironment {
		return fault.New(fault.Invalid, "Invalid Environment: its names and values have %d bytes together, and may have %d.", size, maxEnvironment) // CC-45
	}
	switch {
	case c.Data != nil && c.ModelDataURL != "": // CC-14
		return fault.New(fault.Invalid, "Specify either ModelDataUrl or ModelDataSource in container definition, not both.")
	case c.MultiModel && c.ModelDataURL == "": // CC-80
		return fault.New(fault.Invalid, "A container with Mode MultiModel needs a ModelDataUrl: the S3 prefix under which its models are.")
	}
	channels := map[string]bool{}
	for _, e := range c.Extra {
		if e.Channel == "." || e.Channel == ".." || channels[e.Channel] {
			return fault.New(fault.Invalid, "The ChannelName %q of AdditionalModelDataSources is given twice or is not a name that a folder may have.", e.Channel)
		}
		channels[e.Channel] = true
	}
	for _, d := range c.Sources() {
		if d.Prefix && !strings.HasSuffix(d.S3URI, "/") { // CC-14
			return fault.New(fault.Invalid, "The S3Uri %q has the S3DataType S3Prefix and must end in a slash.", d.S3URI)
		}
	}
	return nil
}

// checkArtefacts looks the data of container i up, as the real service does when
// the model is created (CP-35). A store that does not answer is no verdict: the
// job will see.
func (c *Control) checkArtefacts(ctx context.Context, region string, spec resource.ModelSpec, i int) error {
	container := spec.All()[i]
	if container.MultiModel { // its models may come later
		_, err := objstore.ParseURI(container.ModelDataURL)
		return err
	}
	for _, d := range container.Sources() {
		if err := c.checkArtefact(ctx, region, spec, d); err != nil {
			return err
		}
	}
	return nil
}

func (c *Control) checkArtefact(ctx context.Context, region string, spec resource.ModelSpec, d resource.ModelData) error {
	ref, err := objstore.ParseURI(d.S3URI)
	if err != nil {
		return err
	}
	if ref.Key == "" && !d.Prefix {
		return fault.New(fault.Invalid, "Could not access model data at %s. It names a bucket and no object; ModelDataUrl must name one .tar.gz object.", d.S3URI)
	}
	if d.Prefix {
		err = fault.New(fault.NotFound, "no objects are there")
		for _, lerr := range c.Objects.List(ctx, ref.Bucket, ref.Key) {
			err = lerr
			break
		}
	} else {
		_, err = c.Objects.Stat(ctx, ref)
	}
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		return fault.Wrap(fault.Invalid, err, "Could not access model data at %s. Please ensure that the role %q exists and that its trust relationship policy allows the action \"sts:AssumeRole\" for the service principal \"sagemaker.amazonaws.com\". Also ensure that the role has \"s3:GetObject\" permissions and that the object is located in %s.", d.S3URI, spec.ExecutionRoleArn, region)
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
