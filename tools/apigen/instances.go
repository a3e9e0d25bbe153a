package main

import "slices"

// insertion is values that an enum got, and after which value they stand: the
// order of an enum shows in error texts. With no after they are at the end.
type insertion struct {
	after  string
	values []string
}

// laterVariantInstances are the instance types that ProductionVariantInstanceType
// got by August 2026.
var laterVariantInstances = []insertion{
	{after: "ml.c6i.32xlarge", values: slices.Concat(
		family("m6i", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "32xlarge"),
		family("r6i", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "32xlarge"),
	)},
	{after: "ml.g6.48xlarge", values: slices.Concat(
		family("r8g", "medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
		family("g6e", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
		family("g7e", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "24xlarge", "48xlarge"),
		family("g7", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "24xlarge", "48xlarge"),
	)},
	{after: "ml.trn1n.32xlarge", values: family("trn2", "48xlarge")},
	{after: "ml.p5.48xlarge", values: []string{"ml.p5e.48xlarge", "ml.p5en.48xlarge"}},
	{after: "", values: slices.Concat(
		family("c8g", "medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
		family("r7gd", "medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge"),
		family("m8g", "medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "48xlarge"),
		family("c6in", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge", "32xlarge"),
		family("p6-b200", "48xlarge"),
		family("p6-b300", "48xlarge"),
		family("p6e-gb200", "36xlarge"),
		family("p5", "4xlarge"),
	)},
}

// family names the instance types of a family by their sizes.
func family(name string, sizes ...string) []string {
	all := make([]string, len(sizes))
	for i, size := range sizes {
		all[i] = "ml." + name + "." + size
	}
	return all
}
