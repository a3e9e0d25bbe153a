package api

import (
	"context"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// bind makes an operation of a typed function: the body is decoded and validated
// before the function sees it.
func bind[T any, P interface {
	*T
	wire.Message
}](do func(ctx context.Context, region string, in P) (wire.Message, error)) operation {
	return operation{
		decode: func(body []byte) (wire.Message, error) {
			in, err := wire.Decode[T, P](body)
			if err != nil {
				return nil, err
			}
			return P(in), nil
		},
		serve: func(ctx context.Context, region string, in wire.Message) (wire.Message, error) {
			return do(ctx, region, in.(P))
		},
	}
}

// sageMaker is the table of all operations that are served.
func (s *Server) sageMaker() map[string]operation {
	return map[string]operation{
		"CreateModel":                        bind(s.createModel),
		"DescribeModel":                      bind(s.describeModel),
		"ListModels":                         bind(s.listModels),
		"DeleteModel":                        bind(s.deleteModel),
		"CreateTransformJob":                 bind(s.createTransformJob),
		"DescribeTransformJob":               bind(s.describeTransformJob),
		"ListTransformJobs":                  bind(s.listTransformJobs),
		"StopTransformJob":                   bind(s.stopTransformJob),
		"CreateEndpointConfig":               bind(s.createEndpointConfig),
		"DescribeEndpointConfig":             bind(s.describeEndpointConfig),
		"ListEndpointConfigs":                bind(s.listEndpointConfigs),
		"DeleteEndpointConfig":               bind(s.deleteEndpointConfig),
		"CreateEndpoint":                     bind(s.createEndpoint),
		"DescribeEndpoint":                   bind(s.describeEndpoint),
		"ListEndpoints":                      bind(s.listEndpoints),
		"UpdateEndpoint":                     bind(s.updateEndpoint),
		"DeleteEndpoint":                     bind(s.deleteEndpoint),
		"UpdateEndpointWeightsAndCapacities": bind(s.updateEndpointWeightsAndCapacities),
		"AddTags":                            bind(s.addTags),
		"ListTags":                           bind(s.listTags),
		"DeleteTags":                         bind(s.deleteTags),
	}
}

// key names a resource of a request; control sets its kind.
func key(region string, name *string) resource.Key {
	return resource.Key{Region: region, Name: value(name)}
}

func (s *Server) createModel(ctx context.Context, region string, in *wire.CreateModelInput) (wire.Message, error) {
	if err := refuseModel(in); err != nil {
		return nil, err
	}
	arn, err := s.Control.CreateModel(ctx, key(region, in.ModelName), modelSpec(in), tagsOf(in.Tags))
	return &wire.CreateModelOutput{ModelArn: &arn}, err
}

func (s *Server) describeModel(ctx context.Context, region string, in *wire.DescribeModelInput) (wire.Message, error) {
	m, err := s.Control.DescribeModel(ctx, key(region, in.ModelName))
	return describeModel(m, s.Control.ARN(m.Key)), err
}

func (s *Server) listModels(ctx context.Context, region string, in *wire.ListModelsInput) (wire.Message, error) {
	models, next, err := s.Control.ListModels(ctx, modelList(in, region))
	out := &wire.ListModelsOutput{Models: []wire.ModelSummary{}, NextToken: optional(next)}
	for _, m := range models {
		out.Models = append(out.Models, wire.ModelSummary{ModelName: &m.Name, ModelArn: ref(s.Control.ARN(m.Key)), CreationTime: &m.Created})
	}
	return out, err
}

func (s *Server) deleteModel(ctx context.Context, region string, in *wire.DeleteModelInput) (wire.Message, error) {
	return nil, s.Control.DeleteModel(ctx, key(region, in.ModelName))
}

func (s *Server) createTransformJob(ctx context.Context, region string, in *wire.CreateTransformJobInput) (wire.Message, error) {
	if err := refuseJob(in); err != nil {
		return nil, err
	}
	arn, err := s.Control.CreateTransformJob(ctx, key(region, in.TransformJobName), transformSpec(in), tagsOf(in.Tags))
	return &wire.CreateTransformJobOutput{TransformJobArn: &arn}, err
}

func (s *Server) describeTransformJob(ctx context.Context, region string, in *wire.DescribeTransformJobInput) (wire.Message, error) {
	j, err := s.Control.DescribeTransformJob(ctx, key(region, in.TransformJobName))
	return describeJob(j, s.Control.ARN(j.Key)), err
}

func (s *Server) listTransformJobs(ctx context.Context, region string, in *wire.ListTransformJobsInput) (wire.Message, error) {
	jobs, next, err := s.Control.ListTransformJobs(ctx, jobList(in, region))
	out := &wire.ListTransformJobsOutput{TransformJobSummaries: []wire.TransformJobSummary{}, NextToken: optional(next)}
	for _, j := range jobs {
		out.TransformJobSummaries = append(out.TransformJobSummaries, summarizeJob(j, s.Control.ARN(j.Key)))
	}
	return out, err
}

func (s *Server) stopTransformJob(ctx context.Context, region string, in *wire.StopTransformJobInput) (wire.Message, error) {
	return nil, s.Control.StopTransformJob(ctx, key(region, in.TransformJobName))
}

func (s *Server) addTags(ctx context.Context, _ string, in *wire.AddTagsInput) (wire.Message, error) {
	tags, err := s.Control.AddTags(ctx, value(in.ResourceArn), tagsOf(in.Tags))
	return &wire.AddTagsOutput{Tags: wireTags(tags)}, err
}

// listTags answers all tags at once: a resource has at most 50, which is the
// smallest page that may be asked for (CP-20). So there never is a token.
func (s *Server) listTags(ctx context.Context, _ string, in *wire.ListTagsInput) (wire.Message, error) {
	if in.NextToken != nil {
		return nil, wire.Errorf(wire.ValidationException, "The NextToken is not one that this list gave. Begin again without it.")
	}
	tags, err := s.Control.ListTags(ctx, value(in.ResourceArn))
	return &wire.ListTagsOutput{Tags: wireTags(tags)}, err
}

func (s *Server) deleteTags(ctx context.Context, _ string, in *wire.DeleteTagsInput) (wire.Message, error) {
	return &wire.DeleteTagsOutput{}, s.Control.DeleteTags(ctx, value(in.ResourceArn), in.TagKeys)
}
