package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// paced are the proxies whose latencies are compared.
var paced = []int{nginxRow, frontRow, verifyingRow, serverRow}

// latencies are what the command pace saw, in milliseconds.
type latencies struct{ P50, P99 float64 }

// latency compares the latencies of proxies under the same load, which is a half of the
// most that nginx passed on.
func (b *bench) latency(ctx context.Context, size, connections int, most float64) error {
	seen := make([][]latencies, len(routers))
	for i := range full(b, 7, 1) {
		for k := range paced {
			row := paced[(i+k)%len(paced)]
			l, err := b.pace(ctx, row, size, connections, most/2)
			if err != nil {
				return fmt.Errorf("%s: %w", routers[row].name, err)
			}
			seen[row] = append(seen[row], l)
		}
	}
	fmt.Printf("  latencies at %.0f requests/s\n", most/2)
	t := newTable("proxy", "p50 ms", "p99 ms", "spread", "p99 to nginx", "spread", "target", "")
	for _, row := range paced {
		var p50, p99, ratio []float64
		for i, l := range seen[row] {
			p50, p99, ratio = append(p50, l.P50), append(p99, l.P99), append(ratio, l.P99/seen[nginxRow][i].P99)
		}
		line := []string{routers[row].name, fmt.Sprintf("%.2f", median(p50)), fmt.Sprintf("%.2f", median(p99)), spread(p99)}
		if row != nginxRow {
			line = append(line, fmt.Sprintf("%.2f", median(ratio)), spread(ratio), "<= 1.2", verdict(median(ratio) <= 1.2))
		}
		t.row(line...)
	}
	defer fmt.Println()
	return t.Flush()
}

// pace has a proxy with a container of its own answer at a rate.
func (b *bench) pace(ctx context.Context, k, size, connections int, rate float64) (l latencies, err error) {
	err = b.proxied(ctx, k, size, func(addr string, _ *child) error {
		_, raw, err := b.request(ctx, addr, size, true)
		if err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, filepath.Join(b.programs, "pace"), "-addr", addr, "-request", raw,
			"-rate", strconv.FormatFloat(rate, 'f', 1, 64), "-c", strconv.Itoa(connections), "-d", full(b, 3*time.Second, time.Second).String()).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		var seen struct {
			latencies
			Requests, Errors int
		}
		if err := json.Unmarshal(out, &seen); err != nil {
			return err
		}
		if seen.Errors > seen.Requests/100 {
			return fmt.Errorf("%d of %d requests failed", seen.Errors, seen.Requests)
		}
		l = seen.latencies
		return nil
	})
	return l, err
}
