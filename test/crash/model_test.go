package crash_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// answerTime makes requests last, so that kills find some in flight.
const answerTime = 4 * time.Millisecond

// answer is what the model makes of a request: each line in upper case, with its
// length. A mini-batch that is lost, doubled or misplaced changes the output.
func answer(body []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(body) {
		fmt.Fprintf(&out, "%d %s", len(line), bytes.ToUpper(line))
	}
	return out.Bytes()
}

// What a model's environment may ask of the model server.
const (
	gateEnv     = "GATE"     // ready only while this file exists
	deadEnv     = "DEAD_IF"  // ends at its start when this file exists
	dieEnv      = "DIE_AT"   // ends as soon as this file exists
	stubbornEnv = "STUBBORN" // takes no notice of SIGTERM
)

// serveModel is the model server. It notes its process id before it serves.
func serveModel(pids string) error {
	if file := os.Getenv(deadEnv); file != "" && exists(file) {
		return fmt.Errorf("the file %s is there", file)
	}
	if file := os.Getenv(dieEnv); file != "" {
		go func() {
			for !exists(file) {
				time.Sleep(10 * time.Millisecond)
			}
			os.Exit(9)
		}()
	}
	if os.Getenv(stubbornEnv) != "" {
		signal.Ignore(syscall.SIGTERM)
	}
	pid := strconv.Itoa(os.Getpid())
	if err := os.WriteFile(filepath.Join(pids, pid), nil, 0o600); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("SAGEMAKER_BIND_TO_PORT"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		if gate := os.Getenv(gateEnv); gate != "" && !exists(gate) {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the server died, or gave up
		}
		time.Sleep(answerTime)
		w.Write(answer(body))
	})
	return http.Serve(l, mux)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
