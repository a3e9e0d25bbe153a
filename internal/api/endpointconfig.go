package api

import (
	"context"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/control"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

func (s *Server) createEndpointConfig(ctx context.Context, region string, in *wire.CreateEndpointConfigInput) (wire.Message, error) {
	if err := refuseEndpointConfig(in); err != nil {
		return nil, err
	}
	arn, err := s.Control.CreateEndpointConfig(ctx, key(region, in.EndpointConfigName), endpointConfigSpec(in), tagsOf(in.Tags))
	return &wire.CreateEndpointConfigOutput{EndpointConfigArn: &arn}, err
}

func (s *Server) describeEndpointConfig(ctx context.Context, region string, in *wire.DescribeEndpointConfigInput) (wire.Message, error) {
	c, err := s.Control.DescribeEndpointConfig(ctx, key(region, in.EndpointConfigName))
	return &wire.DescribeEndpointConfigOutput{
		EndpointConfigName:       &c.Name,
		EndpointConfigArn:        ref(s.Control.ARN(c.Key)),
		ProductionVariants:       wireVariants(c.Spec.Variants),
		ShadowProductionVariants: wireVariants(c.Spec.Shadows),
		DataCaptureConfig:        wireCapture(c.Spec.Capture),
		AsyncInferenceConfig:     wireAsync(c.Spec.Async),
		KmsKeyId:                 optional(c.Spec.KmsKeyID),
		ExecutionRoleArn:         optional(c.Spec.ExecutionRoleArn),
		CreationTime:             &c.Created,
	}, err
}

func (s *Server) listEndpointConfigs(ctx context.Context, region string, in *wire.ListEndpointConfigsInput) (wire.Message, error) {
	configs, next, err := s.Control.ListEndpointConfigs(ctx, control.List{
		Region: region, NameContains: value(in.NameContains),
		CreatedAfter: in.CreationTimeAfter, CreatedBefore: in.CreationTimeBefore,
		SortBy: value(in.SortBy), Ascending: value(in.SortOrder) == "Ascending",
		MaxResults: int(value(in.MaxResults)), NextToken: value(in.NextToken),
	})
	out := &wire.ListEndpointConfigsOutput{EndpointConfigs: []wire.EndpointConfigSummary{}, NextToken: optional(next)}
	for _, c := range configs {
		out.EndpointConfigs = append(out.EndpointConfigs, wire.EndpointConfigSummary{
			EndpointConfigName: &c.Name, EndpointConfigArn: ref(s.Control.ARN(c.Key)), CreationTime: &c.Created,
		})
	}
	return out, err
}

func (s *Server) deleteEndpointConfig(ctx context.Context, region string, in *wire.DeleteEndpointConfigInput) (wire.Message, error) {
	return nil, s.Control.DeleteEndpointConfig(ctx, key(region, in.EndpointConfigName))
}

// endpointConfigSpec converts CreateEndpointConfig's request, which has been
// validated.
func endpointConfigSpec(in *wire.CreateEndpointConfigInput) resource.EndpointConfigSpec {
	spec := resource.EndpointConfigSpec{
		Capture:          captureOf(in.DataCaptureConfig),
		Async:            asyncOf(in.AsyncInferenceConfig),
		KmsKeyID:         value(in.KmsKeyId),
		ExecutionRoleArn: value(in.ExecutionRoleArn),
	}
	for _, v := range in.ProductionVariants {
		spec.Variants = append(spec.Variants, variantOf(v))
	}
	for _, v := range in.ShadowProductionVariants {
		spec.Shadows = append(spec.Shadows, variantOf(v))
	}
	return spec
}

func variantOf(v wire.ProductionVariant) resource.ProductionVariant {
	out := resource.ProductionVariant{
		Name: value(v.VariantName), ModelName: value(v.ModelName),
		InstanceType: value(v.InstanceType), InitialCount: int(value(v.InitialInstanceCount)),
		InitialWeight:   1, // CP-41
		VolumeSizeInGB:  int(value(v.VolumeSizeInGB)),
		SSMAccess:       v.EnableSSMAccess,
		DownloadTimeout: time.Duration(value(v.ModelDataDownloadTimeoutInSeconds)) * time.Second,
		StartupTimeout:  time.Duration(value(v.ContainerStartupHealthCheckTimeoutInSeconds)) * time.Second,
	}
	if v.InitialVariantWeight != nil {
		out.InitialWeight = float64(*v.InitialVariantWeight)
	}
	if s := v.ServerlessConfig; s != nil {
		out.Serverless = &resource.Serverless{
			MemoryMB: int(value(s.MemorySizeInMB)), MaxConcurrency: int(value(s.MaxConcurrency)), Provisioned: int(value(s.ProvisionedConcurrency)),
		}
	}
	if m := v.ManagedInstanceScaling; m != nil {
		out.Scaling = &resource.InstanceScaling{Enabled: value(m.Status) == "ENABLED", Min: integer(m.MinInstanceCount), Max: integer(m.MaxInstanceCount)}
	}
	if r := v.RoutingConfig; r != nil {
		out.Routing = resource.RoutingStrategy(value(r.RoutingStrategy))
	}
	return out
}

// wireVariants echoes variants, with the default of the weight filled in (CP-43).
func wireVariants(all []resource.ProductionVariant) []wire.ProductionVariant {
	var out []wire.ProductionVariant
	for _, v := range all {
		out = append(out, wire.ProductionVariant{
			VariantName: ref(v.Name), ModelName: optional(v.ModelName), InstanceType: optional(v.InstanceType),
			InitialInstanceCount: positive(v.InitialCount), InitialVariantWeight: ref(float32(v.InitialWeight)),
			VolumeSizeInGB: positive(v.VolumeSizeInGB), EnableSSMAccess: v.SSMAccess,
			ModelDataDownloadTimeoutInSeconds:           positive(int(v.DownloadTimeout / time.Second)),
			ContainerStartupHealthCheckTimeoutInSeconds: positive(int(v.StartupTimeout / time.Second)),
			ServerlessConfig:                            wireServerless(v.Serverless),
			ManagedInstanceScaling:                      wireScaling(v.Scaling),
			RoutingConfig:                               wireRouting(v.Routing),
		})
	}
	return out
}

func wireServerless(s *resource.Serverless) *wire.ProductionVariantServerlessConfig {
	if s == nil {
		return nil
	}
	return &wire.ProductionVariantServerlessConfig{
		MemorySizeInMB: ref(int32(s.MemoryMB)), MaxConcurrency: ref(int32(s.MaxConcurrency)), ProvisionedConcurrency: positive(s.Provisioned),
	}
}

func wireScaling(s *resource.InstanceScaling) *wire.ProductionVariantManagedInstanceScaling {
	if s == nil {
		return nil
	}
	status := "DISABLED"
	if s.Enabled {
		status = "ENABLED"
	}
	return &wire.ProductionVariantManagedInstanceScaling{Status: &status, MinInstanceCount: integer32(s.Min), MaxInstanceCount: integer32(s.Max)}
}

func wireRouting(s resource.RoutingStrategy) *wire.ProductionVariantRoutingConfig {
	if s == "" {
		return nil
	}
	return &wire.ProductionVariantRoutingConfig{RoutingStrategy: ref(string(s))}
}

func captureOf(c *wire.DataCaptureConfig) *resource.DataCapture {
	if c == nil {
		return nil
	}
	out := &resource.DataCapture{
		Enabled:    c.EnableCapture == nil || *c.EnableCapture, // EP-50
		EnableSent: c.EnableCapture != nil,
		Percent:    int(value(c.InitialSamplingPercentage)), DestinationURI: value(c.DestinationS3Uri), KmsKeyID: value(c.KmsKeyId),
	}
	for _, o := range c.CaptureOptions {
		mode := value(o.CaptureMode)
		out.Modes = append(out.Modes, mode)
		out.Input = out.Input || mode != "Output"
		out.Output = out.Output || mode != "Input"
	}
	if h := c.CaptureContentTypeHeader; h != nil {
		out.CSV, out.JSON = h.CsvContentTypes, h.JsonContentTypes
	}
	return out
}

func wireCapture(c *resource.DataCapture) *wire.DataCaptureConfig {
	if c == nil {
		return nil
	}
	out := &wire.DataCaptureConfig{
		InitialSamplingPercentage: ref(int32(c.Percent)), DestinationS3Uri: ref(c.DestinationURI), KmsKeyId: optional(c.KmsKeyID),
	}
	if c.EnableSent {
		out.EnableCapture = ref(c.Enabled)
	}
	for _, mode := range c.Modes {
		out.CaptureOptions = append(out.CaptureOptions, wire.CaptureOption{CaptureMode: ref(mode)})
	}
	if c.CSV != nil || c.JSON != nil {
		out.CaptureContentTypeHeader = &wire.CaptureContentTypeHeader{CsvContentTypes: c.CSV, JsonContentTypes: c.JSON}
	}
	return out
}

func asyncOf(a *wire.AsyncInferenceConfig) *resource.AsyncInference {
	if a == nil {
		return nil
	}
	out := &resource.AsyncInference{}
	if o := a.OutputConfig; o != nil {
		out.OutputPath, out.FailurePath, out.KmsKeyID = value(o.S3OutputPath), value(o.S3FailurePath), value(o.KmsKeyId)
	}
	if c := a.ClientConfig; c != nil {
		out.MaxConcurrent = int(value(c.MaxConcurrentInvocationsPerInstance))
	}
	return out
}

func wireAsync(a *resource.AsyncInference) *wire.AsyncInferenceConfig {
	if a == nil {
		return nil
	}
	out := &wire.AsyncInferenceConfig{OutputConfig: &wire.AsyncInferenceOutputConfig{
		S3OutputPath: optional(a.OutputPath), S3FailurePath: optional(a.FailurePath), KmsKeyId: optional(a.KmsKeyID),
	}}
	if a.MaxConcurrent > 0 {
		out.ClientConfig = &wire.AsyncInferenceClientConfig{MaxConcurrentInvocationsPerInstance: ref(int32(a.MaxConcurrent))}
	}
	return out
}

// positive leaves a number out that was not sent.
func positive(n int) *int32 {
	if n == 0 {
		return nil
	}
	return ref(int32(n))
}
