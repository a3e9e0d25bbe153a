// Command server is the trivial model server of the benchmarks: it reads each
// request and answers a few bytes. Both a job's instance and what the job is
// compared with are this program, and it holds the clock of both: from the
// beginning of the first invocation to the end of the last.
//
// It prints {"addr": ...} when it listens and its Stats when SIGTERM ends it.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// stats are what the server saw of its clients. Times are Unix nanoseconds.
type stats struct {
	requests, bytes, first, last atomic.Int64
}

var (
	echo    = flag.Bool("echo", false, "answer with the request's body")
	answer  = []byte("0.97\n")
	buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}
)

func main() {
	flag.Parse() // the argument "serve" is the container contract's
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run() error {
	l, err := net.Listen("tcp", "127.0.0.1:"+cmp.Or(os.Getenv("SAGEMAKER_BIND_TO_PORT"), "0"))
	if err != nil {
		return err
	}
	var s stats
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /invocations", s.invoke)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, os.Interrupt)
	failed := make(chan error, 1)
	go func() { failed <- http.Serve(l, mux) }()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]string{"addr": l.Addr().String()}); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-ended:
		return out.Encode(s.report())
	}
}

// invoke reads the request, answers it, and keeps the time.
func (s *stats) invoke(w http.ResponseWriter, r *http.Request) {
	if s.first.Load() == 0 {
		s.first.CompareAndSwap(0, time.Now().UnixNano())
	}
	var n int64
	if *echo {
		b := buffers.Get().(*bytes.Buffer)
		defer buffers.Put(b)
		b.Reset()
		n, _ = b.ReadFrom(r.Body) // a client that goes away is seen by its own error
		_, _ = w.Write(b.Bytes())
	} else {
		n, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(answer)
	}
	s.requests.Add(1)
	s.bytes.Add(n)
	s.last.Store(time.Now().UnixNano()) // not the maximum, but within one request of it
}

// report is the last line that the server prints.
func (s *stats) report() map[string]any {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return map[string]any{
		"requests": s.requests.Load(), "bytes": s.bytes.Load(),
		"seconds":    time.Duration(s.last.Load() - s.first.Load()).Seconds(),
		"cpuSeconds": time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds(),
	}
}
