package instancetype

import (
	"strconv"
	"strings"
)

// family is a row of the table: types that differ in their sizes only.
type family struct {
	name string
	// gib is the memory that goes with one vCPU.
	gib float64
	// sizes are names with spaces between. Where a type has devices, their number
	// follows, as in 12xlarge:4.
	sizes string
	arch  Arch // AMD64 when empty
	nvme  bool
	// gpu, or else chip, is what the devices are.
	gpu  gpu
	chip string
}

// gpu is a model of NVIDIA's and the memory of one, in MiB as EC2 tells it.
type gpu struct {
	name string
	mib  int64
}

// find gives the type of a size, if the family has it.
func (f family) find(size string) (Type, bool) {
	for s := range strings.FieldsSeq(f.sizes) {
		name, devices, _ := strings.Cut(s, ":")
		if name == size {
			n, _ := strconv.Atoi(devices) // 0 where there are none
			return f.typ(size, n), true
		}
	}
	return Type{}, false
}

// typ puts a type together.
func (f family) typ(size string, devices int) Type {
	t := Type{Name: "ml." + f.name + "." + size, VCPUs: vcpus(size), Arch: f.arch, LocalNVMe: f.nvme}
	gib := f.gib * float64(t.VCPUs)
	if o, ok := odd(f.name + "." + size); ok {
		t.VCPUs, gib = o.vcpus, o.gib
	}
	t.MemoryBytes = int64(gib * (1 << 30))
	if t.Arch == "" {
		t.Arch = AMD64
	}
	if f.gpu.name != "" {
		t.GPUs, t.GPU, t.GPUMemoryBytes = devices, f.gpu.name, f.gpu.mib<<20
	} else {
		t.Accelerators, t.Accelerator = devices, f.chip
	}
	return t
}

// vcpus is how many a size has in nearly all families: an xlarge has four.
func vcpus(size string) int {
	switch size {
	case "medium":
		return 1
	case "large":
		return 2
	case "xlarge":
		return 4
	}
	n, _ := strconv.Atoi(strings.TrimSuffix(size, "xlarge"))
	return 4 * n
}
