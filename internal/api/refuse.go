package api

import (
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

// refuseModel finds what a model may not have yet.
func refuseModel(in *wire.CreateModelInput) error {
	var r refusals
	r.add(len(in.Containers) > 0, "Containers")
	r.add(in.InferenceExecutionConfig != nil, "InferenceExecutionConfig")
	r.add(in.VpcConfig != nil, "VpcConfig")
	r.add(value(in.EnableNetworkIsolation), "EnableNetworkIsolation")
	if c := in.PrimaryContainer; c != nil {
		r.add(c.ImageConfig != nil, "PrimaryContainer.ImageConfig")
		r.add(value(c.Mode) == "MultiModel", "PrimaryContainer.Mode=MultiModel")
		r.add(c.ModelDataSource != nil, "PrimaryContainer.ModelDataSource")
		r.add(len(c.AdditionalModelDataSources) > 0, "PrimaryContainer.AdditionalModelDataSources")
		r.add(c.ModelPackageName != nil, "PrimaryContainer.ModelPackageName")
		r.add(c.InferenceSpecificationName != nil, "PrimaryContainer.InferenceSpecificationName")
		r.add(c.MultiModelConfig != nil, "PrimaryContainer.MultiModelConfig")
		r.add(c.ContainerMetricsConfig != nil, "PrimaryContainer.ContainerMetricsConfig")
	}
	return r.err("CreateModel")
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
	r.add(value(in.TransformOutput.KmsKeyId) != "", "TransformOutput.KmsKeyId")
	r.add(value(in.TransformResources.VolumeKmsKeyId) != "", "TransformResources.VolumeKmsKeyId")
	r.add(in.TransformResources.TransformAmiVersion != nil, "TransformResources.TransformAmiVersion")
	return r.err("CreateTransformJob")
}

// value gives what a pointer points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
