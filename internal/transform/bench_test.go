package transform

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// quiet is a store of one object in memory whose output goes nowhere, and a
// container that answers at once: what is left is the engine.
type quiet struct{ data []byte }

func (q quiet) Stat(context.Context, objstore.Ref) (objstore.Info, error) {
	return objstore.Info{}, nil
}

func (q quiet) Open(_ context.Context, _ objstore.Ref, r objstore.Range) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(q.data[r.Off:])), nil
}

func (q quiet) Create(context.Context, objstore.Ref, objstore.Meta) (objstore.Writer, error) {
	return nowhere{}, nil
}

func (q quiet) List(context.Context, string, string) iter.Seq2[objstore.Info, error] { return nil }
func (q quiet) Delete(context.Context, objstore.Ref) error                           { return nil }

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error)    { return len(p), nil }
func (nowhere) Commit() (objstore.Info, error) { return objstore.Info{}, nil }
func (nowhere) Abort() error                   { return nil }

// instant answers each request with a few bytes.
type instant struct{}

func (instant) Invoke(_ context.Context, _ Payload, dst []byte) (Answer, error) {
	return Answer{Body: append(dst, "0.5\n"...)}, nil
}

func (instant) InvokeStream(_ context.Context, body io.Reader, begin func(string) (io.Writer, error)) error {
	w, err := begin("")
	if err == nil {
		_, err = io.Copy(w, body)
	}
	return err
}

// BenchmarkEngine moves a CSV object through the whole engine but for HTTP and
// disks. Run it with -cpu 1 for the figure of one core. allocs/batch is the
// number of allocations for each mini-batch.
func BenchmarkEngine(b *testing.B) {
	for _, c := range []struct {
		strategy resource.BatchStrategy
		width    int
	}{{resource.MultiRecord, 200}, {resource.SingleRecord, 200}, {resource.SingleRecord, 1000}} {
		row := append(bytes.Repeat([]byte("1.5,"), c.width/4-1), "2.5\n"...)
		data := bytes.Repeat(row, (1<<30)/len(row))
		b.Run(fmt.Sprintf("%s/%dB", c.strategy, len(row)), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			var requests int64
			var before, after uint64
			for b.Loop() {
				before = mallocs()
				requests = runOnce(b, data, c.strategy)
				after = mallocs()
			}
			b.ReportMetric(float64(after-before)/float64(requests), "allocs/batch")
		})
	}
}

// runOnce moves one object and gives the number of requests it took.
func runOnce(b *testing.B, data []byte, strategy resource.BatchStrategy) int64 {
	p := &Progress{}
	r := NewRunner(Options{
		Settings: Settings{Concurrent: 1, PayloadMB: 6, Strategy: strategy, Split: resource.SplitLine},
		Store:    quiet{data},
		Invokers: []Invoker{instant{}},
		Report: func(o Outcome) {
			if o.Err != nil {
				b.Error(o.Err)
			}
		},
		Progress: p,
	})
	one := &list{objects: []Object{{Seq: 1, Info: objstore.Info{Size: int64(len(data)), ETag: "1"}}}}
	if err := r.Run(b.Context(), one); err != nil {
		b.Fatal(err)
	}
	return p.Requests.Load()
}
