package crash_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
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

// serveModel is the model server. It notes its process id before it serves.
func serveModel(pids string) error {
	pid := strconv.Itoa(os.Getpid())
	if err := os.WriteFile(filepath.Join(pids, pid), nil, 0o600); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("SAGEMAKER_BIND_TO_PORT"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
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
