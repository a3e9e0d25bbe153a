// Package instancetype knows what the instance types of SageMaker's API are made
// of: CPUs, memory, GPUs and other accelerators, local disks, architecture. It
// has every name of TransformInstanceType and ProductionVariantInstanceType
// (BT-15, CP-41), and no other.
//
// An ml.* type is the EC2 type without the prefix; the figures are EC2's. What a
// type costs and how fast its network is, nothing here asks for.
package instancetype

import "strings"

// Arch is the instruction set of a type's CPUs, in the words of container images.
type Arch string

const (
	AMD64 Arch = "amd64"
	ARM64 Arch = "arm64"
)

// Type is what one instance of a type has.
type Type struct {
	Name        string // with the prefix: ml.m5.large
	VCPUs       int
	MemoryBytes int64
	Arch        Arch

	// GPUs are NVIDIA devices. GPU is their model, and GPUMemoryBytes what each has
	// for itself.
	GPUs           int
	GPU            string
	GPUMemoryBytes int64

	// Accelerators are devices that are no GPUs: Inferentia, Trainium and Gaudi
	// chips, each of which may have several cores.
	Accelerators int
	Accelerator  string

	// LocalNVMe says that the type has disks of its own. Such a type refuses
	// VolumeKmsKeyId (BT-15), since its disks have a key in hardware.
	LocalNVMe bool
}

// Lookup finds a type by its name in the API, like ml.m5.large.
func Lookup(name string) (Type, bool) {
	ec2, ok := strings.CutPrefix(name, "ml.")
	if !ok {
		return Type{}, false
	}
	family, size, _ := strings.Cut(ec2, ".")
	for _, f := range families {
		if f.name == family {
			return f.find(size)
		}
	}
	return Type{}, false
}
