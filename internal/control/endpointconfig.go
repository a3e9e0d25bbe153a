package control

import (
	"context"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// CreateEndpointConfig stores a configuration. Its models must exist (CP-42).
func (c *Control) CreateEndpointConfig(ctx context.Context, key resource.Key, spec resource.EndpointConfigSpec, tags []resource.Tag) (arn string, err error) {
	key.Kind = resource.KindEndpointConfig
	if err := checkTags(tags); err != nil {
		return "", err
	}
	if err := checkEndpointConfig(spec); err != nil {
		return "", err
	}
	if _, err := c.as(ctx, spec.ExecutionRoleArn); err != nil {
		return "", err
	}
	var types []string
	for _, v := range allVariants(spec) {
		types = append(types, v.InstanceType)
	}
	if err := c.checkVolume(ctx, key.Region, "KmsKeyId", spec.KmsKeyID, types...); err != nil { // CP-40
		return "", err
	}
	if err := c.checkObjectKeys(ctx, key.Region, spec); err != nil {
		return "", err
	}
	now := c.Now()
	config := resource.EndpointConfig{Meta: resource.Meta{Key: key, Created: now, Modified: now, Tags: tags}, Spec: spec}
	err = c.State.Update(ctx, func(tx *state.Tx) error {
		for _, v := range allVariants(spec) {
			if _, err := c.modelOf(tx, key.Region, v); err != nil {
				return err
			}
		}
		return tx.PutEndpointConfig(config)
	})
	if fault.Is(err, fault.Exists) {
		return "", fault.New(fault.Exists, "Cannot create already existing endpoint configuration %q.", c.ARN(key)) // CP-42
	}
	return c.ARN(key), err
}

// checkObjectKeys refuses keys of captured data and of answers that cannot be used.
func (c *Control) checkObjectKeys(ctx context.Context, region string, s resource.EndpointConfigSpec) error {
	if s.Capture != nil {
		if err := checkKey(ctx, c.ObjectKeys, region, "DataCaptureConfig.KmsKeyId", s.Capture.KmsKeyID); err != nil {
			return err
		}
	}
	if s.Async != nil {
		return checkKey(ctx, c.ObjectKeys, region, "AsyncInferenceConfig.OutputConfig.KmsKeyId", s.Async.KmsKeyID)
	}
	return nil
}

func allVariants(s resource.EndpointConfigSpec) []resource.ProductionVariant {
	return append(s.Variants[:len(s.Variants):len(s.Variants)], s.Shadows...)
}

// modelOf reads a variant's model, or gives the real service's sentence (CP-42).
func (c *Control) modelOf(tx *state.Tx, region string, v resource.ProductionVariant) (resource.ModelSpec, error) {
	key := resource.Key{Region: region, Kind: resource.KindModel, Name: v.ModelName}
	m, err := tx.Model(key)
	return m.Spec, notFound(err, "Could not find model %q.", c.ARN(key))
}

// checkEndpointConfig refuses what the API's shapes cannot express.
func checkEndpointConfig(s resource.EndpointConfigSpec) error {
	seen := map[string]bool{}
	for _, v := range allVariants(s) {
		if seen[v.Name] {
			return fault.New(fault.Invalid, "The variant name %q is given twice.", v.Name)
		}
		seen[v.Name] = true
		if err := checkVariant(v); err != nil {
			return err
		}
	}
	if len(s.Shadows) > 0 && (len(s.Shadows) > 1 || len(s.Variants) > 1) { // CP-40, EP-36
		return fault.New(fault.Invalid, "With ShadowProductionVariants there may be one production variant and one shadow; there are %d and %d.", len(s.Variants), len(s.Shadows))
	}
	if s.Capture != nil {
		if _, err := objstore.ParseURI(s.Capture.DestinationURI); err != nil {
			return err
		}
	}
	return checkAsync(s)
}

func checkAsync(s resource.EndpointConfigSpec) error {
	if s.Async == nil {
		return nil
	}
	if s.Async.OutputPath == "" {
		return fault.New(fault.Invalid, "AsyncInferenceConfig.OutputConfig.S3OutputPath is missing, and the answers of asynchronous requests need a place.")
	}
	for _, uri := range []string{s.Async.OutputPath, s.Async.FailurePath} {
		if uri == "" {
			continue
		}
		if _, err := objstore.ParseURI(uri); err != nil {
			return err
		}
	}
	return nil
}

func checkVariant(v resource.ProductionVariant) error {
	switch sv := v.Serverless; {
	case v.ModelName == "":
		return fault.New(fault.Unsupported, "Variant %s has no ModelName, which is for inference components, and these are not supported by this version of Sagebrush.", v.Name)
	case sv == nil && (v.InstanceType == "" || v.InitialCount == 0):
		return fault.New(fault.Invalid, "Variant %s needs an InstanceType and an InitialInstanceCount, or a ServerlessConfig.", v.Name)
	case sv != nil && (v.InstanceType != "" || v.InitialCount != 0 || v.Scaling != nil):
		return fault.New(fault.Invalid, "Variant %s has a ServerlessConfig, and then it cannot have an InstanceType, an InitialInstanceCount or ManagedInstanceScaling.", v.Name)
	case sv != nil && sv.MemoryMB%1024 != 0: // CP-41
		return fault.New(fault.Invalid, "Variant %s has a MemorySizeInMB of %d, and it must be a multiple of 1024.", v.Name, sv.MemoryMB)
	case sv != nil && sv.Provisioned > sv.MaxConcurrency:
		return fault.New(fault.Invalid, "Variant %s has a ProvisionedConcurrency of %d, and its MaxConcurrency is %d.", v.Name, sv.Provisioned, sv.MaxConcurrency)
	}
	if s := v.Scaling; s != nil && s.Min != nil && s.Max != nil && *s.Min > *s.Max {
		return fault.New(fault.Invalid, "Variant %s has a MinInstanceCount of %d, which is more than its MaxInstanceCount of %d.", v.Name, *s.Min, *s.Max)
	}
	return nil
}

// DescribeEndpointConfig reads a configuration.
func (c *Control) DescribeEndpointConfig(ctx context.Context, key resource.Key) (config resource.EndpointConfig, err error) {
	key.Kind = resource.KindEndpointConfig
	err = c.State.View(ctx, func(tx *state.Tx) error {
		config, err = tx.EndpointConfig(key)
		return err
	})
	return config, notFound(err, "Could not find endpoint configuration %q.", c.ARN(key))
}

// DeleteEndpointConfig removes a configuration. Endpoints that use it go on
// (CP-45).
func (c *Control) DeleteEndpointConfig(ctx context.Context, key resource.Key) error {
	key.Kind = resource.KindEndpointConfig
	err := c.State.Update(ctx, func(tx *state.Tx) error { return tx.DeleteEndpointConfig(key) })
	return notFound(err, "Could not find endpoint configuration %q.", c.ARN(key))
}

// ListEndpointConfigs gives a page of configurations (CP-44) and the token of the
// next.
func (c *Control) ListEndpointConfigs(ctx context.Context, l List) ([]resource.EndpointConfig, string, error) {
	return list(ctx, c, l, (*state.Tx).ListEndpointConfigs)
}
