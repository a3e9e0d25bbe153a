package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// stream measures how long the pieces of a streamed answer are on their way from the
// container to the client, with the server between them and without.
func stream(ctx context.Context, b *bench) (err error) {
	var hello struct{ Addr string }
	program := filepath.Join(b.programs, "streamer")
	direct, err := start(ctx, &hello, nil, program)
	if err != nil {
		return err
	}
	defer direct.close(&err)
	server, addr, err := b.serveModel(ctx, program)
	if err != nil {
		return err
	}
	defer server.close(&err)
	ways := []struct {
		name, url string
		read      func(io.Reader) ([]time.Duration, error)
		first     []float64
		later     []float64
	}{
		{name: "direct", url: "http://" + hello.Addr + "/invocations", read: readLines},
		{name: "sagebrush serve", url: "http://" + addr + "/endpoints/bench/invocations-response-stream", read: readEvents},
	}
	for range full(b, 500, 50) {
		for i := range ways {
			w := &ways[i]
			took, err := travel(ctx, w.url, w.read)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			w.first = append(w.first, took[0].Seconds()*1000)
			for _, d := range took[1:] {
				w.later = append(w.later, d.Seconds()*1000)
			}
		}
	}
	t := newTable("", "first piece ms: p50", "p99", "later ones: p50", "p99", "first, to direct ms", "target", "")
	for _, w := range ways {
		slices.Sort(w.first)
		slices.Sort(w.later)
		row := []string{w.name}
		for _, v := range [][]float64{w.first, w.later} {
			row = append(row, fmt.Sprintf("%.3f", v[len(v)/2]), fmt.Sprintf("%.3f", v[len(v)*99/100]))
		}
		if w.name != "direct" {
			more := median(w.first) - median(ways[0].first)
			row = append(row, fmt.Sprintf("%.3f", more), "< 1", verdict(more < 1))
		}
		t.row(row...)
	}
	return t.Flush()
}

// travel invokes once and gives how long each piece was on its way.
func travel(ctx context.Context, url string, read func(io.Reader) ([]time.Duration, error)) ([]time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte("1,2,3\n")))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	took, err := read(resp.Body)
	if err == nil && len(took) == 0 {
		err = errors.New("the answer is empty")
	}
	return took, err
}

// since is the time from when the first line of a piece was written.
func since(piece []byte) (time.Duration, error) {
	now := time.Now().UnixNano()
	line, _, _ := bytes.Cut(piece, []byte("\n"))
	then, err := strconv.ParseInt(string(line), 10, 64)
	return time.Duration(now - then), err
}

// readLines reads the streamer's own answer.
func readLines(body io.Reader) (took []time.Duration, err error) {
	for in := bufio.NewScanner(body); ; {
		if !in.Scan() {
			return took, in.Err()
		}
		d, err := since(in.Bytes())
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
}

// readEvents reads the answer as the runtime API streams it (RT-31).
func readEvents(body io.Reader) (took []time.Duration, err error) {
	d := eventstream.NewDecoder()
	for {
		m, err := d.Decode(body, nil)
		if err == io.EOF {
			return took, nil
		}
		if err != nil {
			return nil, err
		}
		if kind := m.Headers.Get(":event-type"); kind == nil || kind.String() != "PayloadPart" {
			return nil, fmt.Errorf("an event that is no payload: %v", m.Headers)
		}
		one, err := since(m.Payload)
		if err != nil {
			return nil, err
		}
		took = append(took, one)
	}
}
