package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// turn is one job next to one run of what it is compared with.
type turn struct{ job, other side }

// side is what one client reached: its server's view, and the client's own CPU
// time. phase is a job's whole transform phase.
type side struct {
	stats
	cpu, phase float64
}

// turns measures both, the one first and the other first by turns.
func turns(n int, job, other func() (side, error)) ([]turn, error) {
	out := make([]turn, n)
	for i := range out {
		order := []func() error{
			func() (err error) { out[i].job, err = job(); return err },
			func() (err error) { out[i].other, err = other(); return err },
		}
		if i%2 == 1 {
			order[0], order[1] = order[1], order[0]
		}
		for _, f := range order {
			if err := f(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// each computes one value of every turn.
func each(all []turn, value func(turn) float64) []float64 {
	var out []float64
	for _, t := range all {
		out = append(out, value(t))
	}
	return out
}

// asJob runs a job as one side.
func (s *service) asJob(ctx context.Context, j job) func() (side, error) {
	return func() (side, error) {
		end, seen, cpu, err := s.run(ctx, j)
		if err != nil {
			return side{}, err
		}
		return side{stats: seen, cpu: cpu, phase: end.phase()}, nil
	}
}

// asLoad runs a load generator, to its end, on a fresh trivial server as one side.
func (b *bench) asLoad(ctx context.Context, command func(addr string) *exec.Cmd) func() (side, error) {
	return func() (side, error) {
		var hello struct{ Addr string }
		server, err := start(ctx, &hello, nil, filepath.Join(b.programs, "server"))
		if err != nil {
			return side{}, err
		}
		cmd := command(hello.Addr)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		err = cmd.Run()
		var out side
		if err = errors.Join(err, server.stop(&out.stats)); err != nil {
			return side{}, fmt.Errorf("%w: %s", err, said.String())
		}
		out.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
		return out, nil
	}
}

const targetRatio = 0.9

// multiRecord compares jobs with the program load on the same file.
func multiRecord(ctx context.Context, b *bench) error {
	s, err := b.newService(ctx, filepath.Join(b.tmp, "multi"), nil)
	if err != nil {
		return err
	}
	defer s.stop(nil)
	file := s.input("rows.csv")
	size := full(b, int64(1<<30), 64<<20)
	if err := writeRows(file, size/200, 200); err != nil {
		return err
	}
	t := newTable("connections", "job MB/s", "load MB/s", "ratio", "spread", "target", "", "phase MB/s", "CPU s: job", "load", "its server", "load's server")
	for _, c := range []int{1, 4, 8} {
		rate := func(s side) float64 { return s.Bytes / s.Seconds / 1e6 }
		all, err := turns(full(b, 7, 1),
			s.asJob(ctx, job{image: "bench/trivial", split: "Line", strategy: "MultiRecord", assemble: "Line", concurrent: c, payloadMB: 6}),
			b.asLoad(ctx, func(addr string) *exec.Cmd {
				return exec.CommandContext(ctx, filepath.Join(b.programs, "load"), "-addr", addr, "-file", file, "-c", strconv.Itoa(c))
			}))
		if err != nil {
			return err
		}
		ratios := each(all, func(t turn) float64 { return rate(t.job) / rate(t.other) })
		ratio := median(ratios)
		t.row(strconv.Itoa(c),
			fmt.Sprintf("%.0f", median(each(all, func(t turn) float64 { return rate(t.job) }))),
			fmt.Sprintf("%.0f", median(each(all, func(t turn) float64 { return rate(t.other) }))),
			fmt.Sprintf("%.2f", ratio), spread(ratios), fmt.Sprintf(">= %.1f", targetRatio), verdict(ratio >= targetRatio),
			fmt.Sprintf("%.0f", median(each(all, func(t turn) float64 { return t.job.Bytes / t.job.phase / 1e6 }))),
			fmt.Sprintf("%.2f", median(each(all, func(t turn) float64 { return t.job.cpu }))),
			fmt.Sprintf("%.2f", median(each(all, func(t turn) float64 { return t.other.cpu }))),
			fmt.Sprintf("%.2f", median(each(all, func(t turn) float64 { return t.job.CPUSeconds }))),
			fmt.Sprintf("%.2f", median(each(all, func(t turn) float64 { return t.other.CPUSeconds }))))
	}
	return t.Flush()
}

// row is the record of the SingleRecord jobs, and wrk's body.
const row = "5.1,3.5,1.4,0.2\n"

// singleRecord compares jobs with wrk.
func singleRecord(ctx context.Context, b *bench) error {
	if _, err := exec.LookPath("wrk"); err != nil {
		fmt.Println("  not measured: wrk is not installed (apt-get install wrk)")
		return nil
	}
	s, err := b.newService(ctx, filepath.Join(b.tmp, "single"), nil)
	if err != nil {
		return err
	}
	defer s.stop(nil)
	if err := writeRows(s.input("rows.csv"), full(b, int64(250_000), 30_000), len(row)); err != nil {
		return err
	}
	script := filepath.Join(b.tmp, "post.lua")
	lua := fmt.Sprintf("wrk.method = %q\nwrk.body = %q\nwrk.headers[%q] = %q\n", "POST", row, "Content-Type", "text/csv")
	if err := os.WriteFile(script, []byte(lua), 0o600); err != nil {
		return err
	}
	t := newTable("connections", "job req/s", "wrk req/s", "ratio", "spread", "target", "", "phase req/s", "CPU us/req: job", "wrk", "its server", "wrk's server")
	for _, c := range []int{8, 32} {
		wrk := func(threads int) func() (side, error) {
			return b.asLoad(ctx, func(addr string) *exec.Cmd {
				return exec.CommandContext(ctx, "wrk", "-t", strconv.Itoa(threads), "-c", strconv.Itoa(c),
					"-d", full(b, 4*time.Second, time.Second).String(), "-s", script, "http://"+addr+"/invocations")
			})
		}
		threads, err := fasterWrk(wrk)
		if err != nil {
			return err
		}
		all, err := turns(full(b, 7, 1),
			s.asJob(ctx, job{image: "bench/trivial", split: "Line", strategy: "SingleRecord", assemble: "Line", concurrent: c, payloadMB: 1}),
			wrk(threads))
		if err != nil {
			return err
		}
		rate := func(s side) float64 { return s.Requests / s.Seconds }
		micros := func(v func(turn) (cpu, requests float64)) string {
			return fmt.Sprintf("%.1f", median(each(all, func(t turn) float64 { cpu, n := v(t); return cpu / n * 1e6 })))
		}
		ratios := each(all, func(t turn) float64 { return rate(t.job) / rate(t.other) })
		ratio := median(ratios)
		t.row(fmt.Sprintf("%d (wrk -t%d)", c, threads),
			fmt.Sprintf("%.0f", median(each(all, func(t turn) float64 { return rate(t.job) }))),
			fmt.Sprintf("%.0f", median(each(all, func(t turn) float64 { return rate(t.other) }))),
			fmt.Sprintf("%.2f", ratio), spread(ratios), fmt.Sprintf(">= %.1f", targetRatio), verdict(ratio >= targetRatio),
			fmt.Sprintf("%.0f", median(each(all, func(t turn) float64 { return t.job.Requests / t.job.phase }))),
			micros(func(t turn) (float64, float64) { return t.job.cpu, t.job.Requests }),
			micros(func(t turn) (float64, float64) { return t.other.cpu, t.other.Requests }),
			micros(func(t turn) (float64, float64) { return t.job.CPUSeconds, t.job.Requests }),
			micros(func(t turn) (float64, float64) { return t.other.CPUSeconds, t.other.Requests }))
	}
	return t.Flush()
}

// fasterWrk finds whether wrk does better with one thread or with two, so that
// the comparison is with its best.
func fasterWrk(wrk func(threads int) func() (side, error)) (int, error) {
	one, err := wrk(1)()
	if err != nil {
		return 0, err
	}
	two, err := wrk(2)()
	if err != nil {
		return 0, err
	}
	if two.Requests/two.Seconds > one.Requests/one.Seconds {
		return 2, nil
	}
	return 1, nil
}

// writeRows writes n equal CSV lines of a width, newline included.
func writeRows(name string, n int64, width int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	line := bytes.Repeat([]byte("5.1,"), width/4)
	line[width-1] = '\n'
	w := bufio.NewWriterSize(f, 1<<20)
	for range n {
		if _, err = w.Write(line); err != nil {
			break
		}
	}
	return errors.Join(err, w.Flush(), f.Close())
}
