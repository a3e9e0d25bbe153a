package api

import (
	"github.com/sagebrush-ml/sagebrush/internal/policy"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// sageMakerNeeds says what the operations of SageMaker need: the resource that they
// name; for those that make one also the right to tag it, and to pass its role; for
// those that deploy also the endpoint configuration. Lists have no resource.
func (s *Server) sageMakerNeeds(c *call, in wire.Message) []need {
	on := func(kind resource.Kind, name *string, more ...policy.Attribute) []need {
		k := resource.Key{Region: c.region, Kind: kind, Name: value(name)}
		return []need{{resource: s.Control.ARN(k), tagged: &k, more: more}}
	}
	switch in := in.(type) {
	case *wire.CreateModelInput:
		return append(tagging(on(resource.KindModel, in.ModelName), in.Tags), s.passRole(in.ExecutionRoleArn)...)
	case *wire.DescribeModelInput:
		return on(resource.KindModel, in.ModelName)
	case *wire.DeleteModelInput:
		return on(resource.KindModel, in.ModelName)
	case *wire.CreateTransformJobInput:
		return tagging(on(resource.KindTransformJob, in.TransformJobName, s.jobMembers(c, in)...), in.Tags)
	case *wire.DescribeTransformJobInput:
		return on(resource.KindTransformJob, in.TransformJobName)
	case *wire.StopTransformJobInput:
		return on(resource.KindTransformJob, in.TransformJobName)
	case *wire.CreateEndpointConfigInput:
		own := tagging(on(resource.KindEndpointConfig, in.EndpointConfigName, s.configMembers(c, in)...), in.Tags)
		if in.ExecutionRoleArn == nil { // then it has those of its models
			return own
		}
		return append(own, s.passRole(in.ExecutionRoleArn)...)
	case *wire.DescribeEndpointConfigInput:
		return on(resource.KindEndpointConfig, in.EndpointConfigName)
	case *wire.DeleteEndpointConfigInput:
		return on(resource.KindEndpointConfig, in.EndpointConfigName)
	case *wire.CreateEndpointInput:
		return append(tagging(on(resource.KindEndpoint, in.EndpointName), in.Tags), on(resource.KindEndpointConfig, in.EndpointConfigName)...)
	case *wire.UpdateEndpointInput:
		return append(on(resource.KindEndpoint, in.EndpointName), on(resource.KindEndpointConfig, in.EndpointConfigName)...)
	case *wire.UpdateEndpointWeightsAndCapacitiesInput:
		return on(resource.KindEndpoint, in.EndpointName)
	case *wire.DescribeEndpointInput:
		return on(resource.KindEndpoint, in.EndpointName)
	case *wire.DeleteEndpointInput:
		return on(resource.KindEndpoint, in.EndpointName)
	case *wire.AddTagsInput:
		return s.onARN(in.ResourceArn, requestTags(tagsOf(in.Tags)))
	case *wire.DeleteTagsInput:
		return s.onARN(in.ResourceArn, many(tagKeys, in.TagKeys))
	case *wire.ListTagsInput:
		return s.onARN(in.ResourceArn, nil)
	}
	return everywhere()
}

// onARN is what an operation needs that names its resource by an ARN.
func (s *Server) onARN(arn *string, more []policy.Attribute) []need {
	n := need{resource: value(arn), more: more}
	if k, account, ok := resource.ParseARN(value(arn)); ok && account == s.Account {
		n.resource, n.tagged = s.Control.ARN(k), &k // as policies spell it
	}
	return []need{n}
}

// tagging adds what the tags of a request need: who makes a resource with tags must
// be allowed to tag it.
func tagging(made []need, tags []wire.Tag) []need {
	if len(tags) == 0 {
		return made
	}
	keys := requestTags(tagsOf(tags))
	for i := range made {
		made[i].more = append(made[i].more, keys...)
	}
	return append(made, need{action: "sagemaker:AddTags", resource: made[0].resource, more: keys})
}

// passRole is what a role in a request needs: nobody gives a job rights by a role
// that they may not pass. What has no role has the server's own rights, and needs the
// right to pass any role.
func (s *Server) passRole(arn *string) []need {
	role := "*"
	if value(arn) != "" {
		role = s.roleARN(*arn)
	}
	return []need{{
		action: "iam:PassRole", resource: role,
		more: []policy.Attribute{{Key: "iam:PassedToService", Value: "sagemaker.amazonaws.com"}},
	}}
}

// roleARN is the ARN that policies are asked with for a role: its own, if it exists.
func (s *Server) roleARN(arn string) string {
	if s.Identities != nil {
		if r, err := s.Identities.Role(arn); err == nil {
			return r.ARN
		}
	}
	return arn
}

// jobMembers are the condition keys of a transform job's members.
func (s *Server) jobMembers(c *call, in *wire.CreateTransformJobInput) []policy.Attribute {
	all := s.kmsKeys("sagemaker:VolumeKmsKey", c.region, in.TransformResources.VolumeKmsKeyId)
	all = append(all, s.kmsKeys("sagemaker:OutputKmsKey", c.region, in.TransformOutput.KmsKeyId, captureKey(in.DataCaptureConfig))...)
	return append(all, many("sagemaker:InstanceTypes", []string{value(in.TransformResources.InstanceType)})...)
}

func captureKey(d *wire.BatchDataCaptureConfig) *string {
	if d == nil {
		return nil
	}
	return d.KmsKeyId
}

// configMembers are the condition keys of an endpoint configuration's members.
func (s *Server) configMembers(c *call, in *wire.CreateEndpointConfigInput) []policy.Attribute {
	all := s.kmsKeys("sagemaker:VolumeKmsKey", c.region, in.KmsKeyId)
	var outputs []*string
	if d := in.DataCaptureConfig; d != nil {
		outputs = append(outputs, d.KmsKeyId)
	}
	if a := in.AsyncInferenceConfig; a != nil && a.OutputConfig != nil {
		outputs = append(outputs, a.OutputConfig.KmsKeyId)
	}
	all = append(all, s.kmsKeys("sagemaker:OutputKmsKey", c.region, outputs...)...)
	var types []string
	for _, variants := range [][]wire.ProductionVariant{in.ProductionVariants, in.ShadowProductionVariants} {
		for _, v := range variants {
			if v.InstanceType != nil {
				types = append(types, *v.InstanceType)
			}
		}
	}
	return append(all, many("sagemaker:InstanceTypes", types)...)
}
