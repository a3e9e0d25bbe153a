package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// side is what one client reached: its server's view, and the client's own CPU
// time. phase is a job's whole transform phase.
type side struct {
	stats
	cpu, phase float64
}

// turns lets each of the clients have n turns, in an order that rotates, and
// gives the sides of each: sides[client][turn].
func turns(n int, clients ...func() (side, error)) (sides [][]side, err error) {
	sides = make([][]side, len(clients))
	for i := range n {
		for k := range clients {
			k = (i + k) % len(clients)
			s, err := clients[k]()
			if err != nil {
				return nil, err
			}
			sides[k] = append(sides[k], s)
		}
	}
	return sides, nil
}

// each computes one value of every side.
func each(sides []side, value func(side) float64) []float64 {
	var out []float64
	for _, s := range sides {
		out = append(out, value(s))
	}
	return out
}

// ratios are those of the first to the second, turn by turn.
func ratios(first, second []side, value func(side) float64) []float64 {
	var out []float64
	for i := range first {
		out = append(out, value(first[i])/value(second[i]))
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
		var own struct{ CPUSeconds float64 } // what load spent on sending, without its reading of the file
		if json.Unmarshal(said.Bytes(), &own) == nil {
			out.cpu = own.CPUSeconds
		}
		return out, nil
	}
}

const targetRatio = 0.9

// compared prints one row: what both reach, their ratio, and the CPU time of
// each client and server for one unit of value.
func compared(t table, name string, ours, theirs []side, rate, phase, unit func(side) float64, format string) {
	r := ratios(ours, theirs, rate)
	mid := func(sides []side, value func(side) float64, format string) string {
		return fmt.Sprintf(format, median(each(sides, value)))
	}
	own := func(s side) float64 { return s.cpu / unit(s) }
	server := func(s side) float64 { return s.CPUSeconds / unit(s) }
	t.row(name, mid(ours, rate, "%.0f"), mid(theirs, rate, "%.0f"),
		fmt.Sprintf("%.2f", median(r)), spread(r), fmt.Sprintf(">= %.1f", targetRatio), verdict(median(r) >= targetRatio),
		mid(ours, phase, "%.0f"), mid(ours, own, format), mid(theirs, own, format), mid(ours, server, format), mid(theirs, server, format))
}

// multiRecord compares jobs with the program load on the same file.
func multiRecord(ctx context.Context, b *bench) (err error) {
	s, err := b.newService(ctx, filepath.Join(b.tmp, "multi"), nil)
	if err != nil {
		return err
	}
	defer s.close(&err)
	file := s.input("rows.csv")
	wide := strings.Repeat("5.1,", 49) + "0.2\n" // 200 bytes
	if err := writeRows(file, full(b, 1<<30, 64<<20)/len(wide), wide); err != nil {
		return err
	}
	t := newTable("connections", "job MB/s", "load MB/s", "ratio", "spread", "target", "", "job's phase MB/s", "CPU ms/GB: job", "load", "job's server", "load's server")
	for _, c := range []int{1, 4, 8} {
		load := func(flags ...string) func() (side, error) {
			return b.asLoad(ctx, func(addr string) *exec.Cmd {
				return exec.CommandContext(ctx, filepath.Join(b.programs, "load"), append(flags, "-addr", addr, "-file", file, "-c", strconv.Itoa(c))...)
			})
		}
		sides, err := turns(full(b, 7, 1),
			s.asJob(ctx, job{image: "bench/trivial", split: "Line", strategy: "MultiRecord", assemble: "Line", concurrent: c, payloadMB: 6}),
			load(), load("-raw"))
		if err != nil {
			return err
		}
		for i, name := range []string{"%d (net/http)", "%d (bare sockets)"} {
			compared(t, fmt.Sprintf(name, c), sides[0], sides[i+1],
				func(s side) float64 { return s.Bytes / s.Seconds / 1e6 },
				func(s side) float64 { return s.Bytes / s.phase / 1e6 },
				func(s side) float64 { return s.Bytes / 1e12 }, "%.0f")
		}
	}
	return t.Flush()
}

// row is the record of the SingleRecord jobs, and wrk's body.
const row = "5.1,3.5,1.4,0.2\n"

// singleRecord compares jobs with wrk.
func singleRecord(ctx context.Context, b *bench) (err error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		fmt.Println("  not measured: wrk is not installed (apt-get install wrk)")
		return nil
	}
	s, err := b.newService(ctx, filepath.Join(b.tmp, "single"), nil)
	if err != nil {
		return err
	}
	defer s.close(&err)
	if err := writeRows(s.input("rows.csv"), full(b, 200_000, 30_000), row); err != nil {
		return err
	}
	script := filepath.Join(b.tmp, "post.lua")
	// wrk's requests have the headers of a job's, so that the server has as much to read.
	lua := fmt.Sprintf("wrk.method = %q\nwrk.body = %q\n", "POST", row)
	for _, field := range [][2]string{
		{"Host", "169.254.255.131:8080"}, {"User-Agent", "Go-http-client/1.1"}, {"Accept", "*/*"}, {"Content-Type", "text/csv"},
	} {
		lua += fmt.Sprintf("wrk.headers[%q] = %q\n", field[0], field[1])
	}
	if err := os.WriteFile(script, []byte(lua), 0o600); err != nil {
		return err
	}
	t := newTable("connections", "job req/s", "wrk req/s", "ratio", "spread", "target", "", "job's phase req/s", "CPU us/req: job", "wrk", "job's server", "wrk's server")
	for _, c := range []int{8, 32} {
		wrk := func(threads int) func() (side, error) {
			return b.asLoad(ctx, func(addr string) *exec.Cmd {
				return exec.CommandContext(ctx, "wrk", "-t", strconv.Itoa(threads), "-c", strconv.Itoa(c),
					"-d", full(b, 3*time.Second, time.Second).String(), "-s", script, "http://"+addr+"/invocations")
			})
		}
		sides, err := turns(full(b, 5, 1),
			s.asJob(ctx, job{image: "bench/trivial", split: "Line", strategy: "SingleRecord", assemble: "Line", concurrent: c, payloadMB: 1}),
			wrk(1), wrk(2))
		if err != nil {
			return err
		}
		rate := func(s side) float64 { return s.Requests / s.Seconds }
		// The comparison is with the better of wrk's two thread counts.
		name, best := fmt.Sprintf("%d (wrk -t1)", c), sides[1]
		if median(each(sides[2], rate)) > median(each(sides[1], rate)) {
			name, best = fmt.Sprintf("%d (wrk -t2)", c), sides[2]
		}
		compared(t, name, sides[0], best, rate,
			func(s side) float64 { return s.Requests / s.phase },
			func(s side) float64 { return s.Requests / 1e6 }, "%.1f")
	}
	return t.Flush()
}

// writeRows writes a line n times.
func writeRows(name string, n int, line string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for range n {
		if _, err = w.WriteString(line); err != nil {
			break
		}
	}
	return errors.Join(err, w.Flush(), f.Close())
}
