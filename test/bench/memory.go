package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
)

const targetMiB = 300

// memory runs jobs over an object of 20 GiB that another S3 makes up, with short
// answers and with answers as long as the input.
func memory(ctx context.Context, b *bench) error {
	t := newTable("object", "answers", "peak MiB", "target", "", "idle MiB", "MB/s of the phase")
	for _, image := range []string{"bench/trivial", "bench/echo"} {
		cells, err := b.peak(ctx, image)
		if err != nil {
			return err
		}
		t.row(cells...)
	}
	return t.Flush()
}

// peak runs one job in a server of its own.
func (b *bench) peak(ctx context.Context, image string) (cells []string, err error) {
	size := full(b, int64(20<<30), 512<<20)
	var hello struct{ Addr string }
	s3, err := start(ctx, &hello, nil, filepath.Join(b.programs, "bigs3"), "-size", strconv.FormatInt(size, 10))
	if err != nil {
		return nil, err
	}
	defer s3.close(&err)
	keys := []string{"AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench", "AWS_REGION=us-east-1"}
	s, err := b.newService(ctx, filepath.Join(b.tmp, "memory", filepath.Base(image)), keys, "--s3-endpoint=http://"+hello.Addr)
	if err != nil {
		return nil, err
	}
	defer s.close(&err)
	idle, err := s.peakMiB()
	if err != nil {
		return nil, err
	}
	end, seen, _, err := s.run(ctx, job{image: image, split: "Line", strategy: "MultiRecord", assemble: "Line", concurrent: 4, payloadMB: 6})
	if err != nil {
		return nil, err
	}
	if int64(seen.Bytes) != size {
		return nil, fmt.Errorf("the server got %.0f of %d bytes", seen.Bytes, size)
	}
	peak, err := s.peakMiB()
	if err != nil {
		return nil, err
	}
	answers := "5 bytes a request"
	if image == "bench/echo" {
		answers = "the request itself"
	}
	return []string{fmt.Sprintf("%.1f GiB", float64(size)/(1<<30)), answers, fmt.Sprintf("%.0f", peak), fmt.Sprintf("< %d", targetMiB),
		verdict(peak < targetMiB), fmt.Sprintf("%.0f", idle), fmt.Sprintf("%.0f", seen.Bytes/end.phase()/1e6)}, nil
}
