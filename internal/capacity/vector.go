package capacity

import (
	"math"
	"strconv"
)

// kind is one of the things that are counted.
type kind int

const (
	instances kind = iota
	cpus           // in billionths, as container runtimes count them: sums are exact
	memory         // in bytes
	gpuCount
	kinds
)

// vector is an amount of each kind.
type vector [kinds]int64

// nano is the unit of CPUs: a billionth.
const nano = 1e9

func (r Resources) vector() vector {
	return vector{instances: int64(r.Instances), cpus: nanoCPUs(r.CPUs), memory: r.MemoryBytes, gpuCount: int64(r.GPUs)}
}

func (n Need) vector() vector {
	return vector{cpus: nanoCPUs(n.CPUs), memory: max(0, n.MemoryBytes), gpuCount: int64(max(0, n.GPUs))}
}

// nanoCPUs counts in billionths; what is no amount is none, and what is no number
// of CPUs any more is a million of them.
func nanoCPUs(c float64) int64 {
	if !(c > 0) {
		return 0
	}
	return int64(math.Round(min(c, 1e6) * nano))
}

func (v vector) resources() Resources {
	return Resources{CPUs: float64(v[cpus]) / nano, MemoryBytes: v[memory], GPUs: int(v[gpuCount]), Instances: int(v[instances])}
}

func (v vector) plus(w vector) vector {
	for k := range v {
		v[k] += w[k]
	}
	return v
}

func (v vector) minus(w vector) vector {
	for k := range v {
		v[k] -= w[k]
	}
	return v
}

func (v vector) times(n int) vector {
	for k := range v {
		v[k] *= int64(n)
	}
	return v
}

// least is the smaller amount of each kind.
func (v vector) least(w vector) vector {
	for k := range v {
		v[k] = min(v[k], w[k])
	}
	return v
}

// fits tells whether there is no more of any kind than in w.
func (v vector) fits(w vector) bool { return v == v.least(w) }

// number writes an amount without its noun. Parts of hundredths count as a whole,
// so that what is short is never called 0.
func number(k kind, n int64) string {
	switch k {
	case cpus:
		return hundredths(n, nano)
	case memory:
		return hundredths(n, 1<<30) + " GiB"
	}
	return strconv.FormatInt(n, 10)
}

func hundredths(n, unit int64) string {
	part := float64(n%unit) * 100 / float64(unit)
	return strconv.FormatFloat(float64(n/unit)+math.Ceil(part)/100, 'f', -1, 64)
}

// noun is what there is so much of.
func noun(k kind, n int64) string {
	name := [kinds]string{"instance", "CPU", "memory", "GPU"}[k]
	one := n == 1 || k == cpus && n == nano
	if k == memory || one {
		return name
	}
	return name + "s"
}

// text writes an amount: "3 CPUs", "1.5 GiB of memory", "no GPU".
func text(k kind, n int64) string {
	switch {
	case n == 0:
		return "no " + noun(k, 1)
	case k == memory:
		return number(k, n) + " of " + noun(k, n)
	}
	return number(k, n) + " " + noun(k, n)
}

// texts writes the amounts of some kinds.
func (v vector) texts(some []kind) string {
	out := ""
	for i, k := range some {
		switch {
		case i == 0:
		case i == len(some)-1:
			out += " and "
		default:
			out += ", "
		}
		out += text(k, v[k])
	}
	return out
}
