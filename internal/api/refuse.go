package api

import (
	"fmt"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// refusals collects the members of a request that Sagebrush does not act on yet.
// They are refused by name, all at once: nothing that a user asks for is ignored.
type refusals []string

// add notes a member when it was sent.
func (r *refusals) add(sent bool, member string) {
	if sent {
		*r = append(*r, member)
	}
}

// err is the ValidationException that names them, or nil.
func (r refusals) err(operation string) error {
	switch len(r) {
	case 0:
		return nil
	case 1:
		return fault.New(fault.Unsupported, "%s: %s is not supported by this version of Sagebrush. Remove it from the request.", operation, r[0])
	}
	return fault.New(fault.Unsupported, "%s: %s are not supported by this version of Sagebrush. Remove them from the request.", operation, strings.Join(r, ", "))
}

// refuseModel finds what a model may not have yet, and what excludes each other.
func refuseModel(in *wire.CreateModelInput) error {
	if in.PrimaryContainer != nil && len(in.Containers) > 0 {
		return fault.New(fault.Invalid, "Specify either PrimaryContainer or Containers, not both.") // CP-30
	}
	var r refusals
	r.add(in.VpcConfig != nil, "VpcConfig")
	if c := in.PrimaryContainer; c != nil {
		r.container("PrimaryContainer", c)
	}
	for i := range in.Containers {
		r.container(fmt.Sprintf("Containers[%d]", i), &in.Containers[i])
	}
	if err := r.err("CreateModel"); err != nil {
		return err
	}
	if in.InferenceExecutionConfig != nil && len(in.Containers) == 0 {
		return fault.New(fault.Invalid, "InferenceExecutionConfig is for models with Containers, and this one has none.")
	}
	return nil
}

// container notes what a container may not have.
func (r *refusals) container(at string, c *wire.ContainerDefinition) {
	if ic := c.ImageConfig; ic != nil {
		r.add(value(ic.RepositoryAccessMode) == "Vpc", at+".ImageConfig.RepositoryAccessMode=Vpc")
		r.add(ic.RepositoryAuthConfig != nil, at+".ImageConfig.RepositoryAuthConfig")
	}
	r.add(c.ModelPackageName != nil, at+".ModelPackageName")
	r.add(c.InferenceSpecificationName != nil, at+".InferenceSpecificationName")
	r.add(c.ContainerMetricsConfig != nil, at+".ContainerMetricsConfig")
	r.add(c.MultiModelConfig != nil && value(c.Mode) != "MultiModel", at+".MultiModelConfig without Mode=MultiModel")
	if d := c.ModelDataSource; d != nil && d.S3DataSource != nil {
		r.modelData(at+".ModelDataSource.S3DataSource", d.S3DataSource)
	}
	for i, d := range c.AdditionalModelDataSources {
		if d.S3DataSource != nil {
			r.modelData(fmt.Sprintf("%s.AdditionalModelDataSources[%d].S3DataSource", at, i), d.S3DataSource)
		}
	}
}

// modelData notes what a source of model data may not have.
func (r *refusals) modelData(at string, d *wire.S3ModelDataSource) {
	r.add(d.HubAccessConfig != nil, at+".HubAccessConfig")
	r.add(d.ManifestS3Uri != nil, at+".ManifestS3Uri")
	r.add(d.ManifestEtag != nil, at+".ManifestEtag")
}

// refuseJob finds what a transform job may not have yet. Values that say nothing,
// as some clients always send them, are accepted: filters of "$", no join, an
// empty key.
func refuseJob(in *wire.CreateTransformJobInput) error {
	var r refusals
	if d := in.DataProcessing; d != nil {
		r.add(value(d.InputFilter) != "" && *d.InputFilter != "$", "DataProcessing.InputFilter")
		r.add(value(d.OutputFilter) != "" && *d.OutputFilter != "$", "DataProcessing.OutputFilter")
		r.add(value(d.JoinSource) == "Input", "DataProcessing.JoinSource=Input")
	}
	r.add(in.DataCaptureConfig != nil, "DataCaptureConfig")
	r.add(in.ExperimentConfig != nil, "ExperimentConfig")
	r.add(in.TransformResources.TransformAmiVersion != nil, "TransformResources.TransformAmiVersion")
	return r.err("CreateTransformJob")
}

// refuseEndpointConfig finds what an endpoint configuration may not have yet.
func refuseEndpointConfig(in *wire.CreateEndpointConfigInput) error {
	var r refusals
	r.add(in.ExplainerConfig != nil, "ExplainerConfig")
	r.add(in.VpcConfig != nil, "VpcConfig")
	r.add(value(in.EnableNetworkIsolation), "EnableNetworkIsolation")
	r.add(in.MetricsConfig != nil, "MetricsConfig")
	if a := in.AsyncInferenceConfig; a != nil && a.OutputConfig != nil {
		r.add(a.OutputConfig.NotificationConfig != nil, "AsyncInferenceConfig.OutputConfig.NotificationConfig")
	}
	for i := range in.ProductionVariants {
		r.variant(fmt.Sprintf("ProductionVariants[%d]", i), &in.ProductionVariants[i])
	}
	for i := range in.ShadowProductionVariants {
		r.variant(fmt.Sprintf("ShadowProductionVariants[%d]", i), &in.ShadowProductionVariants[i])
	}
	return r.err("CreateEndpointConfig")
}

// variant notes what a variant may not have.
func (r *refusals) variant(at string, v *wire.ProductionVariant) {
	r.add(len(v.InstancePools) > 0, at+".InstancePools")
	r.add(v.VariantInstanceProvisionTimeoutInSeconds != nil, at+".VariantInstanceProvisionTimeoutInSeconds")
	r.add(v.AcceleratorType != nil, at+".AcceleratorType")
	r.add(v.CoreDumpConfig != nil, at+".CoreDumpConfig")
	r.add(value(v.EnableSSMAccess), at+".EnableSSMAccess")
	r.add(v.InferenceAmiVersion != nil, at+".InferenceAmiVersion")
	r.add(v.CapacityReservationConfig != nil, at+".CapacityReservationConfig")
	if m := v.ManagedInstanceScaling; m != nil {
		r.add(m.ScaleInPolicy != nil, at+".ManagedInstanceScaling.ScaleInPolicy")
	}
}

// value gives what a pointer points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
