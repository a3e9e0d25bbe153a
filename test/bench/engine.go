package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// engine runs BenchmarkEngine of internal/transform.
func engine(ctx context.Context, b *bench) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-run=^$", "-bench=^BenchmarkEngine$", "-cpu=1",
		"-benchtime="+full(b, "3x", "1x"), "-count="+full(b, "5", "1"), "./internal/transform")
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	type figures struct{ speed, allocs []float64 }
	found := map[string]*figures{}
	var names []string
	for line := range strings.Lines(string(out)) {
		name, ok := strings.CutPrefix(line, "BenchmarkEngine/")
		if !ok {
			continue
		}
		fields := strings.Fields(name)
		f := found[fields[0]]
		if f == nil {
			f = &figures{}
			found[fields[0]] = f
			names = append(names, fields[0])
		}
		f.speed = append(f.speed, valueBefore(fields, "MB/s")/1000)
		f.allocs = append(f.allocs, valueBefore(fields, "allocs/batch"))
	}
	if len(names) == 0 {
		return fmt.Errorf("the benchmark printed nothing: %s", out)
	}
	t := newTable("lines", "GB/s", "spread", "target", "", "allocations a mini-batch", "target", "")
	for _, name := range names {
		f, target := found[name], 1.0
		if strings.HasPrefix(name, "Multi") {
			target = 4
		}
		speed, allocs := median(f.speed), median(f.allocs)
		t.row(name, fmt.Sprintf("%.2f", speed), spread(f.speed), fmt.Sprintf(">= %.0f", target), verdict(speed >= target),
			fmt.Sprintf("%.2g", allocs), "<= 1", verdict(allocs <= 1))
	}
	return t.Flush()
}

// valueBefore gives the number that stands before its unit, or 0.
func valueBefore(fields []string, unit string) float64 {
	for i := 1; i < len(fields); i++ {
		if fields[i] == unit {
			v, _ := strconv.ParseFloat(fields[i-1], 64) // a benchmark prints numbers
			return v
		}
	}
	return 0
}
