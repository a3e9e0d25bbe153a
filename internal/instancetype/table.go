package instancetype

// The GPUs, and what EC2's DescribeInstanceTypes says that each has. Those of
// p6e-gb200 are not there; EC2's pages say 740 GiB for the four.
var (
	k80        = gpu{"NVIDIA K80", 12288}
	v100       = gpu{"NVIDIA V100", 16384}
	a100       = gpu{"NVIDIA A100", 40960}
	a100Of80   = gpu{"NVIDIA A100", 81920}
	h100       = gpu{"NVIDIA H100", 81920}
	h200       = gpu{"NVIDIA H200", 144384}
	b200       = gpu{"NVIDIA B200", 183359}
	b300       = gpu{"NVIDIA B300", 275040}
	gb200      = gpu{"NVIDIA GB200", 189440}
	t4         = gpu{"NVIDIA T4", 16384}
	a10g       = gpu{"NVIDIA A10G", 22888}
	l4         = gpu{"NVIDIA L4", 22888}
	l40s       = gpu{"NVIDIA L40S", 45776}
	rtxPro4500 = gpu{"NVIDIA RTX PRO 4500", 32768}
	rtxPro6000 = gpu{"NVIDIA RTX PRO 6000", 98304}
)

// The accelerators that are no GPUs.
const (
	inferentia  = "AWS Inferentia"
	inferentia2 = "AWS Inferentia2"
	trainium    = "AWS Trainium"
	trainium2   = "AWS Trainium2"
	gaudi       = "Habana Gaudi"
)

// The sizes that several families have.
const (
	m5Sizes    = "large xlarge 2xlarge 4xlarge 12xlarge 24xlarge"
	c5Sizes    = "large xlarge 2xlarge 4xlarge 9xlarge 18xlarge"
	upTo16     = "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"
	upTo32     = upTo16 + " 24xlarge 32xlarge"
	upTo48     = upTo16 + " 24xlarge 48xlarge"
	fromMedium = "medium " + upTo48
	eightGPU   = "xlarge:1 2xlarge:1 4xlarge:1 8xlarge:1 16xlarge:1 12xlarge:4 24xlarge:4 48xlarge:8"
	sixGPU     = "2xlarge:1 4xlarge:1 8xlarge:1 12xlarge:2 24xlarge:4 48xlarge:8"
)

// families is the table. It was compared, type by type, with what EC2's
// DescribeInstanceTypes answered in August 2026, and for p2, p3 and dl1, which it
// no longer lists everywhere, with its answer of 2024.
var families = [...]family{
	// general purpose: 4 GiB a vCPU
	{name: "t2", gib: 4, sizes: "medium large xlarge 2xlarge"},
	{name: "m4", gib: 4, sizes: "xlarge 2xlarge 4xlarge 10xlarge 16xlarge"},
	{name: "m5", gib: 4, sizes: m5Sizes},
	{name: "m5d", gib: 4, sizes: m5Sizes, nvme: true},
	{name: "m6g", gib: 4, sizes: upTo16, arch: ARM64},
	{name: "m6gd", gib: 4, sizes: upTo16, arch: ARM64, nvme: true},
	{name: "m6i", gib: 4, sizes: upTo32},
	{name: "m7i", gib: 4, sizes: upTo48},
	{name: "m8g", gib: 4, sizes: fromMedium, arch: ARM64},

	// for computing: 2 GiB a vCPU
	{name: "c4", gib: 1.875, sizes: "large xlarge 2xlarge 4xlarge 8xlarge"},
	{name: "c5", gib: 2, sizes: c5Sizes},
	{name: "c5d", gib: 2, sizes: c5Sizes, nvme: true},
	{name: "c6g", gib: 2, sizes: upTo16, arch: ARM64},
	{name: "c6gd", gib: 2, sizes: upTo16, arch: ARM64, nvme: true},
	{name: "c6gn", gib: 2, sizes: upTo16, arch: ARM64},
	{name: "c6i", gib: 2, sizes: upTo32},
	{name: "c6in", gib: 2, sizes: upTo32},
	{name: "c7g", gib: 2, sizes: upTo16, arch: ARM64},
	{name: "c7i", gib: 2, sizes: upTo48},
	{name: "c8g", gib: 2, sizes: fromMedium, arch: ARM64},

	// for memory: 8 GiB a vCPU
	{name: "r5", gib: 8, sizes: m5Sizes},
	{name: "r5d", gib: 8, sizes: m5Sizes, nvme: true},
	{name: "r6g", gib: 8, sizes: upTo16, arch: ARM64},
	{name: "r6gd", gib: 8, sizes: upTo16, arch: ARM64, nvme: true},
	{name: "r6i", gib: 8, sizes: upTo32},
	{name: "r7gd", gib: 8, sizes: "medium " + upTo16, arch: ARM64, nvme: true},
	{name: "r7i", gib: 8, sizes: upTo48},
	{name: "r8g", gib: 8, sizes: fromMedium, arch: ARM64},

	// with NVIDIA GPUs
	{name: "p2", gib: 15.25, sizes: "xlarge:1 8xlarge:8 16xlarge:16", gpu: k80},
	{name: "p3", gib: 7.625, sizes: "2xlarge:1 8xlarge:4 16xlarge:8", gpu: v100},
	{name: "p4d", gib: 12, sizes: "24xlarge:8", nvme: true, gpu: a100},
	{name: "p4de", gib: 12, sizes: "24xlarge:8", nvme: true, gpu: a100Of80},
	{name: "p5", gib: 16, sizes: "4xlarge:1 48xlarge:8", nvme: true, gpu: h100},
	{name: "p5e", sizes: "48xlarge:8", nvme: true, gpu: h200},
	{name: "p5en", sizes: "48xlarge:8", nvme: true, gpu: h200},
	{name: "p6-b200", sizes: "48xlarge:8", nvme: true, gpu: b200},
	{name: "p6-b300", sizes: "48xlarge:8", nvme: true, gpu: b300},
	{name: "p6e-gb200", sizes: "36xlarge:4", arch: ARM64, nvme: true, gpu: gb200},
	{name: "g4dn", gib: 4, sizes: "xlarge:1 2xlarge:1 4xlarge:1 8xlarge:1 16xlarge:1 12xlarge:4", nvme: true, gpu: t4},
	{name: "g5", gib: 4, sizes: eightGPU, nvme: true, gpu: a10g},
	{name: "g6", gib: 4, sizes: eightGPU, nvme: true, gpu: l4},
	{name: "g6e", gib: 8, sizes: eightGPU, nvme: true, gpu: l40s},
	{name: "g7", gib: 4, sizes: sixGPU, nvme: true, gpu: rtxPro4500},
	{name: "g7e", gib: 8, sizes: sixGPU, nvme: true, gpu: rtxPro6000},

	// with other accelerators
	{name: "inf1", gib: 2, sizes: "xlarge:1 2xlarge:1 6xlarge:4 24xlarge:16", chip: inferentia},
	{name: "inf2", gib: 4, sizes: "xlarge:1 8xlarge:1 24xlarge:6 48xlarge:12", chip: inferentia2},
	{name: "trn1", gib: 4, sizes: "2xlarge:1 32xlarge:16", nvme: true, chip: trainium},
	{name: "trn1n", gib: 4, sizes: "32xlarge:16", nvme: true, chip: trainium},
	{name: "trn2", sizes: "48xlarge:16", nvme: true, chip: trainium2},
	{name: "dl1", gib: 8, sizes: "24xlarge:8", nvme: true, chip: gaudi},
}

// size is what a type has that does not follow its family.
type size struct {
	vcpus int
	gib   float64
}

// odd finds the types that do not follow their families.
func odd(ec2 string) (size, bool) {
	o, ok := map[string]size{
		"t2.medium":          {2, 4},
		"c4.8xlarge":         {36, 60},
		"p2.16xlarge":        {64, 732},
		"p5.48xlarge":        {192, 2048},
		"p5e.48xlarge":       {192, 2048},
		"p5en.48xlarge":      {192, 2048},
		"p6-b200.48xlarge":   {192, 2048},
		"p6-b300.48xlarge":   {192, 4096},
		"p6e-gb200.36xlarge": {144, 960},
		"g7e.12xlarge":       {48, 512},
		"g7e.24xlarge":       {96, 1024},
		"g7e.48xlarge":       {192, 2048},
		"trn2.48xlarge":      {192, 2048},
	}[ec2]
	return o, ok
}
