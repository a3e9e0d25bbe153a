package wire

import "testing"

func BenchmarkDecodeCreateTransformJob(b *testing.B) {
	text := []byte(createTransformJob)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode[CreateTransformJobInput](text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnmarshalCreateTransformJob(b *testing.B) {
	text := []byte(createTransformJob)
	b.ReportAllocs()
	for b.Loop() {
		if err := unmarshal(text, new(CreateTransformJobInput)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeDescribeTransformJob(b *testing.B) {
	var out DescribeTransformJobOutput
	if err := DecodeInto([]byte(describeTransformJob), &out); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], &out)
	}
}

// BenchmarkCompilePatterns is what the first requests pay once in all.
func BenchmarkCompilePatterns(b *testing.B) {
	for b.Loop() {
		for i := range patterns {
			p := Pattern{Expr: patterns[i].Expr, Deny: patterns[i].Deny}
			p.compile()
		}
	}
}

// createTransformJob is an ordinary request, about as long as real ones are.
const createTransformJob = `{
  "TransformJobName": "Batch-Transform-2022-04-18-00-26-41",
  "ModelName": "pytorch-inference-2022-04-18-00-26-40-883",
  "MaxConcurrentTransforms": 4,
  "ModelClientConfig": {"InvocationsTimeoutInSeconds": 600, "InvocationsMaxRetries": 1},
  "MaxPayloadInMB": 6,
  "BatchStrategy": "MultiRecord",
  "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_REGION": "us-west-2"},
  "TransformInput": {
    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://sagemaker-us-west-2-000000000000/input/"}},
    "ContentType": "text/csv", "CompressionType": "None", "SplitType": "Line"
  },
  "TransformOutput": {"S3OutputPath": "s3://sagemaker-us-west-2-000000000000/output", "Accept": "text/csv", "AssembleWith": "Line"},
  "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2},
  "Tags": [{"Key": "team", "Value": "forecast"}]
}`

// describeTransformJob is the answer to it, once the job is done.
const describeTransformJob = `{
  "TransformJobName": "Batch-Transform-2022-04-18-00-26-41",
  "TransformJobArn": "arn:aws:sagemaker:us-west-2:000000000000:transform-job/batch-transform-2022-04-18-00-26-41",
  "TransformJobStatus": "Completed",
  "ModelName": "pytorch-inference-2022-04-18-00-26-40-883",
  "MaxConcurrentTransforms": 4,
  "ModelClientConfig": {"InvocationsTimeoutInSeconds": 600, "InvocationsMaxRetries": 1},
  "MaxPayloadInMB": 6,
  "BatchStrategy": "MultiRecord",
  "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_REGION": "us-west-2"},
  "TransformInput": {
    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://sagemaker-us-west-2-000000000000/input/"}},
    "ContentType": "text/csv", "CompressionType": "None", "SplitType": "Line"
  },
  "TransformOutput": {"S3OutputPath": "s3://sagemaker-us-west-2-000000000000/output", "Accept": "text/csv", "AssembleWith": "Line", "KmsKeyId": ""},
  "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2},
  "CreationTime": 1650241569.032, "TransformStartTime": 1650241800, "TransformEndTime": 1650241983.5,
  "DataProcessing": {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
}`
