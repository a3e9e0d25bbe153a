package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// table prints rows in columns when it is flushed.
type table struct{ *tabwriter.Writer }

func newTable(columns ...string) table {
	t := table{tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)}
	t.row(columns...)
	return t
}

func (t table) row(cells ...string) { fmt.Fprintln(t, "  "+strings.Join(cells, "\t")) }

// verdict says how a value stands to its target.
func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

// median also sorts v, which must not be empty.
func median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// spread prints the smallest and the largest of v.
func spread(v []float64) string {
	return fmt.Sprintf("%.2f-%.2f", slices.Min(v), slices.Max(v))
}

// printMachine says what the figures were measured on.
func printMachine(b *bench) {
	kind := "full run"
	if b.short {
		kind = "short run: its figures are no more than a smoke test"
	}
	fmt.Printf("%s, %s\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"), kind)
	fmt.Printf("%d cores, %s, %s, %s %s/%s\n", runtime.NumCPU(), cpuModel(), kernel(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Printf("load average at the start: %s\n", bytes.Join(bytes.Fields(load)[:3], []byte(" ")))
	}
}

func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}

func kernel() string {
	out, err := exec.Command("uname", "-sr").Output()
	if err != nil {
		return "unknown kernel"
	}
	return strings.TrimSpace(string(out))
}
