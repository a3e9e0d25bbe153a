package main

import "slices"

// overlay is what an API got after the model file that the generator reads
// (aws-sdk-go v1.55.8 of July 2025 is its last). New members go to
// the end unless after says otherwise.
type overlay struct {
	shapes   map[string]shape       // shapes that the file does not have
	members  map[string][]member    // members that structures got, in order
	after    map[string]string      // "Structure.Member" of members that are not at the end: behind which
	minima   map[string]string      // lower bounds that changed
	maxima   map[string]string      // upper bounds of ours, where a model bounds nothing that a pattern is matched with
	enums    map[string][]insertion // values that enums got
	patterns map[string]string      // patterns that changed, without anchors
	ops      []string               // operations that the file does not have: names only

	// extensions are values that Sagebrush accepts beyond AWS's model.
	extensions map[string][]insertion
	// secretMaps are maps whose values are commonly credentials. Their values are
	// never repeated in an error text.
	secretMaps []string
}

// sageMakerOverlay has facts as of August 2026, for the served operations only.
var sageMakerOverlay = overlay{
	shapes: map[string]shape{
		"ContainerMetricsConfig": {Type: "structure", Members: members{
			{"MetricsEndpoints", ref{Shape: "MetricsEndpointList"}},
		}},
		"MetricsEndpointList": {Type: "list", Max: bound("1"), Member: &ref{Shape: "MetricsEndpoint"}},
		"MetricsEndpoint": {Type: "structure", Required: []string{"MetricsEndpointPath"}, Members: members{
			{"MetricsEndpointPath", ref{Shape: "MetricsEndpointPath"}},
			{"MetricPublishFrequencyInSeconds", ref{Shape: "MetricPublishFrequencyInSeconds"}},
		}},
		"MetricsEndpointPath":             {Type: "string", Max: bound("256"), Pattern: `/(?!.*\.\.)[a-zA-Z0-9/_.\-]+`},
		"MetricPublishFrequencyInSeconds": {Type: "integer"},
		"CapacityReservationPreference":   {Type: "string", Enum: []string{"capacity-reservations-only"}},
		"MlReservationArn": {
			Type: "string", Min: bound("20"), Max: bound("258"), Pattern: `arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z0-9\-]{1,14}/.*`,
		},
		"ProductionVariantCapacityReservationConfig": {Type: "structure", Members: members{
			{"CapacityReservationPreference", ref{Shape: "CapacityReservationPreference"}},
			{"MlReservationArn", ref{Shape: "MlReservationArn"}},
		}},
		"ProductionVariantCapacityReservationSummary": {Type: "structure", Members: members{
			{"MlReservationArn", ref{Shape: "MlReservationArn"}},
			{"CapacityReservationPreference", ref{Shape: "CapacityReservationPreference"}},
			{"TotalInstanceCount", ref{Shape: "TaskCount"}},
			{"AvailableInstanceCount", ref{Shape: "TaskCount"}},
			{"UsedByCurrentEndpoint", ref{Shape: "TaskCount"}},
			{"Ec2CapacityReservations", ref{Shape: "Ec2CapacityReservationsList"}},
		}},
		"Ec2CapacityReservationsList": {Type: "list", Member: &ref{Shape: "Ec2CapacityReservation"}},
		"Ec2CapacityReservation": {Type: "structure", Members: members{
			{"Ec2CapacityReservationId", ref{Shape: "Ec2CapacityReservationId"}},
			{"TotalInstanceCount", ref{Shape: "TaskCount"}},
			{"AvailableInstanceCount", ref{Shape: "TaskCount"}},
			{"UsedByCurrentEndpoint", ref{Shape: "TaskCount"}},
		}},
		"Ec2CapacityReservationId": {Type: "string"},
		"InstancePoolList":         {Type: "list", Min: bound("1"), Max: bound("5"), Member: &ref{Shape: "InstancePool"}},
		"InstancePool": {Type: "structure", Required: []string{"InstanceType", "Priority"}, Members: members{
			{"InstanceType", ref{Shape: "ProductionVariantInstanceType"}},
			{"ModelNameOverride", ref{Shape: "ModelName"}},
			{"Priority", ref{Shape: "InstancePoolPriority"}},
		}},
		"InstancePoolPriority":    {Type: "integer", Min: bound("1"), Max: bound("5")},
		"InstancePoolSummaryList": {Type: "list", Min: bound("1"), Member: &ref{Shape: "InstancePoolSummary"}},
		"InstancePoolSummary": {Type: "structure", Required: []string{"InstanceType", "CurrentInstanceCount"}, Members: members{
			{"InstanceType", ref{Shape: "ProductionVariantInstanceType"}},
			{"CurrentInstanceCount", ref{Shape: "TaskCount"}},
		}},
		"VariantInstanceProvisionTimeoutInSeconds": {Type: "integer", Min: bound("300"), Max: bound("3600")},
		"ManagedInstanceScalingScaleInStrategy":    {Type: "string", Enum: []string{"IDLE_RELEASE", "CONSOLIDATION"}},
		"ManagedInstanceScalingMaximumStepSize":    {Type: "integer", Min: bound("1"), Max: bound("100")},
		"ManagedInstanceScalingCooldownInMinutes":  {Type: "integer", Min: bound("5"), Max: bound("1440")},
		"ProductionVariantManagedInstanceScalingScaleInPolicy": {Type: "structure", Required: []string{"Strategy"}, Members: members{
			{"Strategy", ref{Shape: "ManagedInstanceScalingScaleInStrategy"}},
			{"MaximumStepSize", ref{Shape: "ManagedInstanceScalingMaximumStepSize"}},
			{"CooldownInMinutes", ref{Shape: "ManagedInstanceScalingCooldownInMinutes"}},
		}},
		"EnableDetailedObservability": {Type: "boolean"},
		"EnableEnhancedMetrics":       {Type: "boolean"},
		"MetricsConfig": {Type: "structure", Members: members{
			{"EnableEnhancedMetrics", ref{Shape: "EnableEnhancedMetrics"}},
			{"EnableDetailedObservability", ref{Shape: "EnableDetailedObservability"}},
			{"MetricPublishFrequencyInSeconds", ref{Shape: "MetricPublishFrequencyInSeconds"}},
		}},
		"TransformAmiVersion": {
			Type: "string", Min: bound("1"), Max: bound("63"), Pattern: `[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*`,
		},
	},
	members: map[string][]member{
		"ContainerDefinition": {{"ContainerMetricsConfig", ref{Shape: "ContainerMetricsConfig"}}},
		"S3ModelDataSource": {
			{"ManifestS3Uri", ref{Shape: "S3ModelUri"}},
			{"ETag", ref{Shape: "String"}},
			{"ManifestEtag", ref{Shape: "String"}},
		},
		"TransformResources":           {{"TransformAmiVersion", ref{Shape: "TransformAmiVersion"}}},
		"CreateEndpointConfigInput":    {{"MetricsConfig", ref{Shape: "MetricsConfig"}}},
		"DescribeEndpointConfigOutput": {{"MetricsConfig", ref{Shape: "MetricsConfig"}}},
		"DescribeEndpointOutput":       {{"MetricsConfig", ref{Shape: "MetricsConfig"}}},
		"ProductionVariant": {
			{"InstancePools", ref{Shape: "InstancePoolList"}},
			{"VariantInstanceProvisionTimeoutInSeconds", ref{Shape: "VariantInstanceProvisionTimeoutInSeconds"}},
			{"CapacityReservationConfig", ref{Shape: "ProductionVariantCapacityReservationConfig"}},
		},
		"ProductionVariantManagedInstanceScaling": {{"ScaleInPolicy", ref{Shape: "ProductionVariantManagedInstanceScalingScaleInPolicy"}}},
		"ProductionVariantSummary": {
			{"InstancePools", ref{Shape: "InstancePoolSummaryList"}},
			{"CapacityReservationConfig", ref{Shape: "ProductionVariantCapacityReservationSummary"}},
		},
		"PendingProductionVariantSummary": {{"InstancePools", ref{Shape: "InstancePoolSummaryList"}}},
	},
	after: map[string]string{
		"ProductionVariant.InstancePools":                            "InstanceType",
		"ProductionVariant.VariantInstanceProvisionTimeoutInSeconds": "InstancePools",
		"ProductionVariantSummary.InstancePools":                     "DesiredInstanceCount",
		"PendingProductionVariantSummary.InstancePools":              "InstanceType",
	},
	minima: map[string]string{"ManagedInstanceScalingMinInstanceCount": "0"},
	enums: map[string][]insertion{
		"S3DataType":                    {{values: []string{"Converse"}}},
		"ProductionVariantInstanceType": laterVariantInstances,
		"ProductionVariantInferenceAmiVersion": {{values: []string{
			"al2-ami-sagemaker-inference-gpu-2-1", "al2-ami-sagemaker-inference-gpu-3-1", "al2-ami-sagemaker-inference-neuron-2", "al2023-ami-sagemaker-inference-gpu-4-1",
		}}},
		"TransformInstanceType": {{values: slices.Concat(
			family("trn1", "2xlarge", "32xlarge"),
			family("inf2", "xlarge", "8xlarge", "24xlarge", "48xlarge"),
			family("g6", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
		)}},
	},
	patterns: map[string]string{
		"VersionedArnOrName": `(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*\/)?` +
			`([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)(\/[0-9]{1,9})?`,
	},
	ops: laterOperations,
	extensions: map[string][]insertion{
		// The document of 2018-08-30 promises RecordIO in its prose (rule SD-6).
		"AssemblyType": {{values: []string{"RecordIO"}}},
	},
	secretMaps: []string{"EnvironmentMap", "TransformEnvironmentMap"},
}
