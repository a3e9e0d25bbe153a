package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

const targetReady = 100 * time.Millisecond

// ready measures starts on empty data folders, starts on the same folders again,
// and the demo.
func ready(ctx context.Context, b *bench) error {
	var fresh, again []float64
	for i := range full(b, 15, 3) {
		data := filepath.Join(b.tmp, "ready", strconv.Itoa(i))
		for _, into := range []*[]float64{&fresh, &again} {
			took, err := b.timeToReady(ctx, data)
			if err != nil {
				return err
			}
			*into = append(*into, took.Seconds()*1000)
		}
	}
	t := newTable("", "ms", "spread", "target", "")
	target := float64(targetReady.Milliseconds())
	for _, r := range []struct {
		name string
		ms   []float64
	}{{"ready, empty data folder", fresh}, {"ready, existing one", again}} {
		m := median(r.ms)
		t.row(r.name, fmt.Sprintf("%.0f", m), spread(r.ms), fmt.Sprintf("< %.0f", target), verdict(m < target))
	}
	demos, err := b.demos(ctx, full(b, 3, 1))
	if err != nil {
		return err
	}
	m := median(demos)
	t.row("sagebrush demo, in all", fmt.Sprintf("%.0f", m), spread(demos), "< 15000", verdict(m < 15000))
	return t.Flush()
}

// timeToReady starts a server and asks for /-/ready as soon as it has said where.
func (b *bench) timeToReady(ctx context.Context, data string) (time.Duration, error) {
	if err := os.MkdirAll(filepath.Dir(data), 0o755); err != nil {
		return 0, err
	}
	var hello struct{ URL string }
	begun := time.Now()
	c, err := start(ctx, &hello, nil, b.sagebrush, "serve", "--json", "--log-level=warn", "--listen=127.0.0.1:0", "--data="+data)
	if err != nil {
		return 0, err
	}
	s := &service{child: c, url: hello.URL}
	err = s.http(ctx, "GET", "/-/ready", "", nil, nil)
	took := time.Since(begun)
	return took, errors.Join(err, c.stop(nil))
}

// demos runs the demonstration and gives the milliseconds of each run.
func (b *bench) demos(ctx context.Context, n int) ([]float64, error) {
	var out []float64
	for range n {
		cmd := exec.CommandContext(ctx, b.sagebrush, "demo", "--json", "--data="+filepath.Join(b.tmp, "demo", strconv.Itoa(len(out))))
		cmd.Env = environment()
		begun := time.Now()
		if said, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("sagebrush demo: %w: %s", err, said)
		}
		out = append(out, time.Since(begun).Seconds()*1000)
	}
	return out, nil
}
