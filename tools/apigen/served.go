package main

// served lists the operations that Sagebrush answers, by service. For each of
// them the generator emits the structs and the constraints of everything that its
// input and output reach. To serve one more operation, add its name here, run
// go generate ./internal/wire, and let the generator say what is missing.
var served = struct {
	sageMaker, cloudWatchLogs, kms []string
}{
	sageMaker: []string{
		"AddTags",
		"CreateEndpoint",
		"CreateEndpointConfig",
		"CreateModel",
		"CreateTransformJob",
		"DeleteEndpoint",
		"DeleteEndpointConfig",
		"DeleteModel",
		"DeleteTags",
		"DescribeEndpoint",
		"DescribeEndpointConfig",
		"DescribeModel",
		"DescribeTransformJob",
		"ListEndpointConfigs",
		"ListEndpoints",
		"ListModels",
		"ListTags",
		"ListTransformJobs",
		"StopTransformJob",
		"UpdateEndpoint",
		"UpdateEndpointWeightsAndCapacities",
	},
	cloudWatchLogs: []string{
		"DeleteRetentionPolicy",
		"DescribeLogGroups",
		"DescribeLogStreams",
		"FilterLogEvents",
		"GetLogEvents",
		"PutRetentionPolicy",
	},
	kms: []string{
		"CancelKeyDeletion",
		"CreateAlias",
		"CreateKey",
		"Decrypt",
		"DeleteAlias",
		"DescribeKey",
		"DisableKey",
		"DisableKeyRotation",
		"EnableKey",
		"EnableKeyRotation",
		"Encrypt",
		"GenerateDataKey",
		"GenerateDataKeyWithoutPlaintext",
		"GetKeyPolicy",
		"GetKeyRotationStatus",
		"ListAliases",
		"ListKeys",
		"ListResourceTags",
		"ReEncrypt",
		"ScheduleKeyDeletion",
		"TagResource",
		"UntagResource",
		"UpdateAlias",
	},
}
