package instancetype_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/instancetype"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// enum reads the values that the API accepts at a member from the words in which
// it refuses another one.
func enum(t *testing.T, member string, err error) []string {
	t.Helper()
	if err == nil {
		t.Fatal("the request was accepted")
	}
	_, rest, ok := strings.Cut(err.Error(), "at '"+member+"' failed to satisfy constraint: Member must satisfy enum value set: [")
	values, _, closed := strings.Cut(rest, "]")
	if !ok || !closed {
		t.Fatalf("no enum of %s in: %v", member, err)
	}
	return strings.Split(values, ", ")
}

// enums are the two enums of the API (BT-15, CP-41).
func enums(t *testing.T) (transform, variant []string) {
	t.Helper()
	_, err := wire.Decode[wire.CreateTransformJobInput]([]byte(`{"TransformResources":{"InstanceType":"?","InstanceCount":1}}`))
	transform = enum(t, "transformResources.instanceType", err)
	stranger := "?"
	err = wire.Validate(&wire.DescribeModelOutput{DeploymentRecommendation: &wire.DeploymentRecommendation{
		RealTimeInferenceRecommendations: []wire.RealTimeInferenceRecommendation{{InstanceType: &stranger}},
	}})
	variant = enum(t, "deploymentRecommendation.realTimeInferenceRecommendations.1.member.instanceType", err)
	if len(transform) != 108 || len(variant) != 277 {
		t.Fatalf("%d types of jobs and %d of endpoints, want 108 and 277", len(transform), len(variant))
	}
	return transform, variant
}

// BT-15, CP-41: every name of the API has a type, and no type is without a name.
func TestEveryNameOfTheAPIHasAType(t *testing.T) {
	t.Parallel()
	transform, variant := enums(t)
	names := slices.Concat(transform, variant)
	for _, name := range names {
		got, ok := instancetype.Lookup(name)
		if !ok {
			t.Errorf("%s has no type", name)
			continue
		}
		if got.Name != name || got.VCPUs < 1 || got.MemoryBytes < 1<<30 {
			t.Errorf("%s: %+v", name, got)
		}
		if (got.GPUs > 0) != (got.GPU != "") || (got.GPUs > 0) != (got.GPUMemoryBytes > 0) || (got.Accelerators > 0) != (got.Accelerator != "") {
			t.Errorf("%s has devices without a name, or a name without devices: %+v", name, got)
		}
		if got.Arch != instancetype.AMD64 && got.Arch != instancetype.ARM64 {
			t.Errorf("%s has the architecture %q", name, got.Arch)
		}
	}
	for _, name := range instancetype.Names() {
		if !slices.Contains(names, name) {
			t.Errorf("%s is in the table and not in the API", name)
		}
	}
}

func TestOtherNamesHaveNoType(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "ml.", "m5.large", "ml.m5", "ml.m5.", "ml.m5.large.", "ml.m5.8xlarge", "ml.M5.large", "ml.m5.LARGE", "ml.g5.xlarge:1", "ml.m5.large xlarge", "ml.local", "local"} {
		if got, ok := instancetype.Lookup(name); ok {
			t.Errorf("%q has the type %+v", name, got)
		}
	}
}

// Types as EC2's pages describe them: vCPUs, GiB, devices of which kind, disks of
// its own, architecture.
func TestFiguresAreEC2s(t *testing.T) {
	t.Parallel()
	const amd, arm = instancetype.AMD64, instancetype.ARM64
	tests := []struct {
		name    string
		vcpus   int
		gib     float64
		devices int
		kind    string
		gpuGiB  float64 // of one, rounded; 0 where the devices are no GPUs
		nvme    bool
		arch    instancetype.Arch
	}{
		{"t2.medium", 2, 4, 0, "", 0, false, amd},
		{"t2.large", 2, 8, 0, "", 0, false, amd},
		{"t2.2xlarge", 8, 32, 0, "", 0, false, amd},
		{"m4.xlarge", 4, 16, 0, "", 0, false, amd},
		{"m4.10xlarge", 40, 160, 0, "", 0, false, amd},
		{"m5.large", 2, 8, 0, "", 0, false, amd},
		{"m5.24xlarge", 96, 384, 0, "", 0, false, amd},
		{"m5d.4xlarge", 16, 64, 0, "", 0, true, amd},
		{"m6g.16xlarge", 64, 256, 0, "", 0, false, arm},
		{"m6gd.large", 2, 8, 0, "", 0, true, arm},
		{"m6i.32xlarge", 128, 512, 0, "", 0, false, amd},
		{"m7i.48xlarge", 192, 768, 0, "", 0, false, amd},
		{"m8g.medium", 1, 4, 0, "", 0, false, arm},
		{"c4.large", 2, 3.75, 0, "", 0, false, amd},
		{"c4.xlarge", 4, 7.5, 0, "", 0, false, amd},
		{"c4.8xlarge", 36, 60, 0, "", 0, false, amd},
		{"c5.9xlarge", 36, 72, 0, "", 0, false, amd},
		{"c5.18xlarge", 72, 144, 0, "", 0, false, amd},
		{"c5d.xlarge", 4, 8, 0, "", 0, true, amd},
		{"c6gn.12xlarge", 48, 96, 0, "", 0, false, arm},
		{"c6in.24xlarge", 96, 192, 0, "", 0, false, amd},
		{"c7g.2xlarge", 8, 16, 0, "", 0, false, arm},
		{"c8g.48xlarge", 192, 384, 0, "", 0, false, arm},
		{"r5.2xlarge", 8, 64, 0, "", 0, false, amd},
		{"r5d.12xlarge", 48, 384, 0, "", 0, true, amd},
		{"r7gd.medium", 1, 8, 0, "", 0, true, arm},
		{"r7i.16xlarge", 64, 512, 0, "", 0, false, amd},
		{"r8g.24xlarge", 96, 768, 0, "", 0, false, arm},
		{"p2.xlarge", 4, 61, 1, "NVIDIA K80", 12, false, amd},
		{"p2.8xlarge", 32, 488, 8, "NVIDIA K80", 12, false, amd},
		{"p2.16xlarge", 64, 732, 16, "NVIDIA K80", 12, false, amd},
		{"p3.2xlarge", 8, 61, 1, "NVIDIA V100", 16, false, amd},
		{"p3.8xlarge", 32, 244, 4, "NVIDIA V100", 16, false, amd},
		{"p3.16xlarge", 64, 488, 8, "NVIDIA V100", 16, false, amd},
		{"p4d.24xlarge", 96, 1152, 8, "NVIDIA A100", 40, true, amd},
		{"p4de.24xlarge", 96, 1152, 8, "NVIDIA A100", 80, true, amd},
		{"p5.4xlarge", 16, 256, 1, "NVIDIA H100", 80, true, amd},
		{"p5.48xlarge", 192, 2048, 8, "NVIDIA H100", 80, true, amd},
		{"p5en.48xlarge", 192, 2048, 8, "NVIDIA H200", 141, true, amd},
		{"p6-b200.48xlarge", 192, 2048, 8, "NVIDIA B200", 179, true, amd},
		{"p6-b300.48xlarge", 192, 4096, 8, "NVIDIA B300", 269, true, amd},
		{"p6e-gb200.36xlarge", 144, 960, 4, "NVIDIA GB200", 185, true, arm},
		{"g4dn.xlarge", 4, 16, 1, "NVIDIA T4", 16, true, amd},
		{"g4dn.12xlarge", 48, 192, 4, "NVIDIA T4", 16, true, amd},
		{"g4dn.16xlarge", 64, 256, 1, "NVIDIA T4", 16, true, amd},
		{"g5.48xlarge", 192, 768, 8, "NVIDIA A10G", 22, true, amd},
		{"g6.24xlarge", 96, 384, 4, "NVIDIA L4", 22, true, amd},
		{"g6e.xlarge", 4, 32, 1, "NVIDIA L40S", 45, true, amd},
		{"g7.12xlarge", 48, 192, 2, "NVIDIA RTX PRO 4500", 32, true, amd},
		{"g7e.8xlarge", 32, 256, 1, "NVIDIA RTX PRO 6000", 96, true, amd},
		{"g7e.12xlarge", 48, 512, 2, "NVIDIA RTX PRO 6000", 96, true, amd},
		{"inf1.6xlarge", 24, 48, 4, "AWS Inferentia", 0, false, amd},
		{"inf2.xlarge", 4, 16, 1, "AWS Inferentia2", 0, false, amd},
		{"inf2.48xlarge", 192, 768, 12, "AWS Inferentia2", 0, false, amd},
		{"trn1.2xlarge", 8, 32, 1, "AWS Trainium", 0, true, amd},
		{"trn1n.32xlarge", 128, 512, 16, "AWS Trainium", 0, true, amd},
		{"trn2.48xlarge", 192, 2048, 16, "AWS Trainium2", 0, true, amd},
		{"dl1.24xlarge", 96, 768, 8, "Habana Gaudi", 0, true, amd},
	}
	for _, tt := range tests {
		want := instancetype.Type{Name: "ml." + tt.name, VCPUs: tt.vcpus, MemoryBytes: int64(tt.gib * (1 << 30)), Arch: tt.arch, LocalNVMe: tt.nvme}
		got, ok := instancetype.Lookup(want.Name)
		if tt.gpuGiB > 0 {
			want.GPUs, want.GPU = tt.devices, tt.kind
			if gib := float64(got.GPUMemoryBytes) / (1 << 30); gib < tt.gpuGiB-0.5 || gib >= tt.gpuGiB+0.5 {
				t.Errorf("%s: a GPU has %.2f GiB, want %g", tt.name, gib, tt.gpuGiB)
			}
			want.GPUMemoryBytes = got.GPUMemoryBytes
		} else {
			want.Accelerators, want.Accelerator = tt.devices, tt.kind
		}
		if !ok || got != want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", tt.name, got, want)
		}
	}
}
