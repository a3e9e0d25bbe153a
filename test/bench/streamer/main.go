// Command streamer is a container that answers with the time, in nanoseconds since
// 1970, a line at a time: who reads a line knows how long it was on its way.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// The lines of an answer, and the time between two of them.
const (
	lines = 5
	pause = 2 * time.Millisecond
)

func main() {
	fmt.Fprintln(os.Stderr, "streamer:", run())
	os.Exit(1)
}

// run serves until it cannot.
func run() error {
	// As a container it is told its port.
	l, err := net.Listen("tcp", "127.0.0.1:"+cmp.Or(os.Getenv("SAGEMAKER_BIND_TO_PORT"), "0"))
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(struct{ Addr string }{l.Addr().String()}); err != nil {
		return err
	}
	http.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("POST /invocations", answer)
	return http.Serve(l, nil)
}

func answer(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	out := http.NewResponseController(w)
	for n := range lines {
		if n > 0 {
			time.Sleep(pause)
		}
		fmt.Fprintln(w, time.Now().UnixNano())
		_ = out.Flush() // who has left needs no more
	}
}
