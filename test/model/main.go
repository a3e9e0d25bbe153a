// Command model is a container that answers each line with its length, the line in
// upper case and what its model's file says. It runs as a process, in a container and in
// a pod.
//
// The variable HOLD has it answer so many requests and no more until somebody posts to
// /release: a test that disturbs a job does so in its middle, however fast the machine is.
package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
)

func main() {
	weights, err := os.ReadFile(filepath.Join(cmp.Or(os.Getenv("SM_MODEL_DIR"), "/opt/ml/model"), "weights"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "the model:", err)
		os.Exit(1)
	}
	weights = bytes.TrimSpace(weights)
	g := newGate(os.Getenv("HOLD"))
	http.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("POST /release", func(http.ResponseWriter, *http.Request) { g.release() })
	http.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !g.pass(r.Context()) {
			return // whoever asked has gone
		}
		for line := range bytes.Lines(body) {
			fmt.Fprintf(w, "%d %s %s\n", len(line), bytes.ToUpper(bytes.TrimSpace(line)), weights)
		}
	})
	fmt.Println("the model serves")
	fmt.Fprintln(os.Stderr, http.ListenAndServe(net.JoinHostPort(os.Getenv("SAGEBRUSH_BIND_HOST"), cmp.Or(os.Getenv("SAGEMAKER_BIND_TO_PORT"), "8080")), nil))
	os.Exit(1)
}

// gate lets so many requests pass, and all once it is released.
type gate struct {
	left     atomic.Int64
	released chan struct{}
	once     sync.Once
}

// newGate reads HOLD; without it, everything passes.
func newGate(hold string) *gate {
	g := &gate{released: make(chan struct{})}
	n, err := strconv.ParseInt(hold, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	g.left.Store(n)
	return g
}

func (g *gate) release() { g.once.Do(func() { close(g.released) }) }

// pass waits for a request's turn, and reports false when whoever asked has gone.
func (g *gate) pass(ctx context.Context) bool {
	if g.left.Add(-1) >= 0 {
		return true
	}
	select {
	case <-g.released:
		return true
	case <-ctx.Done():
		return false
	}
}
