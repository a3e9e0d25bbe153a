package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// objects runs a job over a tenth of the objects and one over all of them, each in
// a server of its own, and compares the first and the last tenth of each.
func objects(ctx context.Context, b *bench) error {
	most := full(b, 100_000, 5_000)
	t := newTable("objects", "phase s", "us/object: all", "first tenth", "last tenth", "CPU us/object: all", "first tenth", "last tenth", "peak MiB", "listing s")
	for _, n := range []int{most / 10, most} {
		cells, err := b.manyObjects(ctx, n)
		if err != nil {
			return err
		}
		t.row(cells...)
	}
	return t.Flush()
}

// look is one look at a job: how many objects were done, when, and at what CPU
// time of the server.
type look struct {
	done int64
	at   time.Time
	cpu  float64
}

// manyObjects runs one job over n objects of one line.
func (b *bench) manyObjects(ctx context.Context, n int) (cells []string, err error) {
	s, err := b.newService(ctx, filepath.Join(b.tmp, "objects", strconv.Itoa(n)), nil)
	if err != nil {
		return nil, err
	}
	defer s.close(&err)
	for i := range n {
		if err := os.WriteFile(s.input(fmt.Sprintf("%06d.csv", i)), []byte(row), 0o600); err != nil {
			return nil, err
		}
	}
	var looks []look
	end, _, _, err := s.run(ctx, job{image: "bench/trivial", split: "None", assemble: "None", concurrent: 4, payloadMB: 1, watch: func(p progress) {
		if p.Started != nil {
			cpu, _ := s.cpuSeconds() // a dead server is seen by the next look
			looks = append(looks, look{done: p.ObjectsDone, at: time.Now(), cpu: cpu})
		}
	}})
	if err != nil {
		return nil, err
	}
	peak, err := s.peakMiB()
	if err != nil {
		return nil, err
	}
	all := between(looks, 0, int64(n))
	first, last := between(looks, 0, int64(n)/10), between(looks, int64(n)*9/10, int64(n))
	micros := func(v float64) string { return fmt.Sprintf("%.0f", v*1e6) }
	return []string{strconv.Itoa(n), fmt.Sprintf("%.1f", end.phase()), micros(all.wall), micros(first.wall), micros(last.wall),
		micros(all.cpu), micros(first.cpu), micros(last.cpu), fmt.Sprintf("%.0f", peak), fmt.Sprintf("%.1f", end.Started.Sub(end.Created).Seconds())}, nil
}

// cost is seconds an object.
type cost struct{ wall, cpu float64 }

// between gives the cost of the objects from the first look at which at least
// from were done to the first at which at least to were.
func between(looks []look, from, to int64) cost {
	at := func(done int64) look {
		for _, l := range looks {
			if l.done >= done {
				return l
			}
		}
		return looks[len(looks)-1]
	}
	a, b := at(from), at(to)
	n := float64(max(b.done-a.done, 1))
	return cost{wall: b.at.Sub(a.at).Seconds() / n, cpu: (b.cpu - a.cpu) / n}
}
