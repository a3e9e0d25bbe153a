package main

import "slices"

// overlay is what an API got after the model file that the generator reads
// (aws-sdk-go v1.55.8 of July 2025 is its last). New members go to the end.
type overlay struct {
	shapes   map[string]shape       // shapes that the file does not have
	members  map[string][]member    // members that structures got, in order
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
		"TransformResources": {{"TransformAmiVersion", ref{Shape: "TransformAmiVersion"}}},
	},
	enums: map[string][]insertion{
		"S3DataType":                    {{values: []string{"Converse"}}},
		"ProductionVariantInstanceType": laterVariantInstances,
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
