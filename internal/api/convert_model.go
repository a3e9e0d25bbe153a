package api

import (
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// modelSpec converts CreateModel's request, which has been validated.
func modelSpec(in *wire.CreateModelInput) resource.ModelSpec {
	spec := resource.ModelSpec{
		ExecutionRoleArn:       value(in.ExecutionRoleArn),
		EnableNetworkIsolation: value(in.EnableNetworkIsolation),
	}
	if c := in.PrimaryContainer; c != nil {
		spec.Container = container(c)
	}
	for i := range in.Containers {
		spec.Containers = append(spec.Containers, container(&in.Containers[i]))
	}
	if e := in.InferenceExecutionConfig; e != nil {
		spec.Direct = value(e.Mode) == "Direct"
	}
	return spec
}

func container(c *wire.ContainerDefinition) resource.Container {
	out := resource.Container{
		Image:         value(c.Image),
		Hostname:      value(c.ContainerHostname),
		ModelDataURL:  value(c.ModelDataUrl),
		Environment:   c.Environment,
		MultiModel:    value(c.Mode) == "MultiModel",
		Uncached:      c.MultiModelConfig != nil && value(c.MultiModelConfig.ModelCacheSetting) == "Disabled",
		PlatformImage: c.ImageConfig != nil,
	}
	if d := c.ModelDataSource; d != nil && d.S3DataSource != nil {
		data := modelData(d.S3DataSource)
		out.Data = &data
	}
	for _, e := range c.AdditionalModelDataSources {
		if e.S3DataSource != nil {
			out.Extra = append(out.Extra, resource.ExtraData{Channel: value(e.ChannelName), ModelData: modelData(e.S3DataSource)})
		}
	}
	return out
}

func modelData(d *wire.S3ModelDataSource) resource.ModelData {
	data := resource.ModelData{
		S3URI:  value(d.S3Uri),
		Prefix: value(d.S3DataType) == "S3Prefix",
		Gzip:   value(d.CompressionType) == "Gzip",
		ETag:   value(d.ETag),
	}
	if a := d.ModelAccessConfig; a != nil {
		data.AcceptEula = a.AcceptEula
	}
	return data
}

// describeModel converts a model to what DescribeModel echoes (CP-36).
func describeModel(m resource.Model, arn string) *wire.DescribeModelOutput {
	out := &wire.DescribeModelOutput{
		ModelName:              &m.Name,
		ModelArn:               &arn,
		ExecutionRoleArn:       optional(m.Spec.ExecutionRoleArn),
		CreationTime:           &m.Created,
		EnableNetworkIsolation: &m.Spec.EnableNetworkIsolation,
	}
	if len(m.Spec.Containers) == 0 {
		c := wireContainer(m.Spec.Container)
		out.PrimaryContainer = &c
		return out
	}
	for _, c := range m.Spec.Containers {
		out.Containers = append(out.Containers, wireContainer(c))
	}
	mode := "Serial"
	if m.Spec.Direct {
		mode = "Direct"
	}
	out.InferenceExecutionConfig = &wire.InferenceExecutionConfig{Mode: &mode}
	return out
}

// wireContainer echoes a container, with the defaults that the real service shows.
func wireContainer(c resource.Container) wire.ContainerDefinition {
	env := c.Environment
	if env == nil {
		env = map[string]string{} // echoed empty, as recorded from the real service
	}
	out := wire.ContainerDefinition{
		ContainerHostname: optional(c.Hostname),
		Image:             &c.Image,
		Mode:              ref("SingleModel"),
		ModelDataUrl:      optional(c.ModelDataURL),
		Environment:       env,
	}
	if c.MultiModel {
		out.Mode = ref("MultiModel")
		setting := "Enabled"
		if c.Uncached {
			setting = "Disabled"
		}
		out.MultiModelConfig = &wire.MultiModelConfig{ModelCacheSetting: &setting}
	}
	if c.PlatformImage {
		out.ImageConfig = &wire.ImageConfig{RepositoryAccessMode: ref("Platform")}
	}
	if c.Data != nil {
		out.ModelDataSource = &wire.ModelDataSource{S3DataSource: wireModelData(*c.Data)}
	}
	for _, e := range c.Extra {
		out.AdditionalModelDataSources = append(out.AdditionalModelDataSources, wire.AdditionalModelDataSource{ChannelName: ref(e.Channel), S3DataSource: wireModelData(e.ModelData)})
	}
	return out
}

func wireModelData(d resource.ModelData) *wire.S3ModelDataSource {
	kind, compression := "S3Object", "None"
	if d.Prefix {
		kind = "S3Prefix"
	}
	if d.Gzip {
		compression = "Gzip"
	}
	out := &wire.S3ModelDataSource{S3Uri: ref(d.S3URI), S3DataType: &kind, CompressionType: &compression, ETag: optional(d.ETag)}
	if d.AcceptEula != nil {
		out.ModelAccessConfig = &wire.ModelAccessConfig{AcceptEula: d.AcceptEula}
	}
	return out
}
