package api

import (
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/control"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// transformSpec converts CreateTransformJob's request, which has been validated.
func transformSpec(in *wire.CreateTransformJobInput) resource.TransformSpec {
	src := in.TransformInput.DataSource.S3DataSource
	spec := resource.TransformSpec{
		ModelName:               value(in.ModelName),
		MaxConcurrentTransforms: integer(in.MaxConcurrentTransforms),
		MaxPayloadInMB:          integer(in.MaxPayloadInMB),
		BatchStrategy:           resource.BatchStrategy(value(in.BatchStrategy)),
		Environment:             in.Environment,
		Input: resource.TransformInput{
			S3DataType:  value(src.S3DataType),
			S3URI:       value(src.S3Uri),
			ContentType: in.TransformInput.ContentType,
			Compression: value(in.TransformInput.CompressionType),
			Split:       resource.SplitType(value(in.TransformInput.SplitType)),
		},
		Output: resource.TransformOutput{
			S3OutputPath: value(in.TransformOutput.S3OutputPath),
			Accept:       in.TransformOutput.Accept,
			AssembleWith: resource.AssembleType(value(in.TransformOutput.AssembleWith)),
			KmsKeyID:     value(in.TransformOutput.KmsKeyId),
		},
		Resources: resource.TransformResources{
			InstanceType:   value(in.TransformResources.InstanceType),
			InstanceCount:  int(value(in.TransformResources.InstanceCount)),
			VolumeKmsKeyID: value(in.TransformResources.VolumeKmsKeyId),
		},
	}
	if m := in.ModelClientConfig; m != nil {
		spec.ModelClient = &resource.ModelClientConfig{
			InvocationsTimeoutInSeconds: integer(m.InvocationsTimeoutInSeconds),
			InvocationsMaxRetries:       integer(m.InvocationsMaxRetries),
		}
	}
	return spec
}

// describeJob converts a job to what DescribeTransformJob answers: defaults that
// the real service echoes are filled in (BT-161), others are left out (BT-162).
func describeJob(j resource.TransformJob, arn string) *wire.DescribeTransformJobOutput {
	s := j.Spec
	out := &wire.DescribeTransformJobOutput{
		TransformJobName:        &j.Name,
		TransformJobArn:         &arn,
		TransformJobStatus:      ref(string(j.Status)),
		FailureReason:           optional(j.FailureReason),
		ModelName:               &s.ModelName,
		MaxConcurrentTransforms: integer32(s.MaxConcurrentTransforms),
		MaxPayloadInMB:          integer32(s.MaxPayloadInMB),
		BatchStrategy:           optional(string(s.BatchStrategy)),
		Environment:             s.Environment,
		TransformInput: &wire.TransformInput{
			DataSource:      &wire.TransformDataSource{S3DataSource: &wire.TransformS3DataSource{S3DataType: &s.Input.S3DataType, S3Uri: &s.Input.S3URI}},
			ContentType:     s.Input.ContentType,
			CompressionType: ref(orNone(s.Input.Compression)),
			SplitType:       ref(orNone(string(s.Input.Split))),
		},
		TransformOutput: &wire.TransformOutput{
			S3OutputPath: &s.Output.S3OutputPath,
			Accept:       s.Output.Accept,
			AssembleWith: ref(orNone(string(s.Output.AssembleWith))),
			KmsKeyId:     &s.Output.KmsKeyID,
		},
		TransformResources: &wire.TransformResources{
			InstanceType:   &s.Resources.InstanceType,
			InstanceCount:  ref(int32(s.Resources.InstanceCount)),
			VolumeKmsKeyId: optional(s.Resources.VolumeKmsKeyID),
		},
		DataProcessing:     &wire.DataProcessing{InputFilter: ref("$"), OutputFilter: ref("$"), JoinSource: ref("None")},
		CreationTime:       &j.Created,
		TransformStartTime: moment(j.Started),
		TransformEndTime:   moment(j.Ended),
	}
	if m := s.ModelClient; m != nil {
		out.ModelClientConfig = &wire.ModelClientConfig{
			InvocationsTimeoutInSeconds: integer32(m.InvocationsTimeoutInSeconds),
			InvocationsMaxRetries:       integer32(m.InvocationsMaxRetries),
		}
	}
	return out
}

// summarizeJob converts a job to a line of ListTransformJobs (BT-163).
func summarizeJob(j resource.TransformJob, arn string) wire.TransformJobSummary {
	return wire.TransformJobSummary{
		TransformJobName:   &j.Name,
		TransformJobArn:    &arn,
		CreationTime:       &j.Created,
		TransformEndTime:   moment(j.Ended),
		LastModifiedTime:   &j.Modified,
		TransformJobStatus: ref(string(j.Status)),
		FailureReason:      optional(j.FailureReason),
	}
}

// jobList converts ListTransformJobs' request.
func jobList(in *wire.ListTransformJobsInput, region string) control.List {
	return control.List{
		Region: region, NameContains: value(in.NameContains), Status: value(in.StatusEquals),
		CreatedAfter: in.CreationTimeAfter, CreatedBefore: in.CreationTimeBefore,
		ModifiedAfter: in.LastModifiedTimeAfter, ModifiedBefore: in.LastModifiedTimeBefore,
		SortBy: value(in.SortBy), Ascending: value(in.SortOrder) == "Ascending",
		MaxResults: int(value(in.MaxResults)), NextToken: value(in.NextToken),
	}
}

// modelList converts ListModels' request.
func modelList(in *wire.ListModelsInput, region string) control.List {
	return control.List{
		Region: region, NameContains: value(in.NameContains),
		CreatedAfter: in.CreationTimeAfter, CreatedBefore: in.CreationTimeBefore,
		SortBy: value(in.SortBy), Ascending: value(in.SortOrder) == "Ascending",
		MaxResults: int(value(in.MaxResults)), NextToken: value(in.NextToken),
	}
}

// tagsOf converts a request's tags.
func tagsOf(in []wire.Tag) []resource.Tag {
	var tags []resource.Tag
	for _, t := range in {
		tags = append(tags, resource.Tag{Key: value(t.Key), Value: value(t.Value)})
	}
	return tags
}

// wireTags converts stored tags; no tags are an empty list, not an absent one.
func wireTags(tags []resource.Tag) []wire.Tag {
	out := make([]wire.Tag, 0, len(tags))
	for _, t := range tags {
		out = append(out, wire.Tag{Key: &t.Key, Value: &t.Value})
	}
	return out
}

// orNone gives the API's default of an enum that was not sent.
func orNone(s string) string {
	if s == "" {
		return "None"
	}
	return s
}

func ref[T any](v T) *T { return &v }

// optional leaves an empty string out (clients show it, if it comes).
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// moment leaves a time out that has not come.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func integer(p *int32) *int {
	if p == nil {
		return nil
	}
	return ref(int(*p))
}

func integer32(p *int) *int32 {
	if p == nil {
		return nil
	}
	return ref(int32(*p))
}
