package daemon

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// testModel is a model server whose behaviour is chosen by the variable MODE:
// what real containers do wrong, on purpose.
func testModel() int {
	addr := os.Getenv("SAGEBRUSH_BIND_HOST") + ":" + os.Getenv("SAGEMAKER_BIND_TO_PORT")
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	mode := os.Getenv("MODE")
	if mode == "dead" {
		fmt.Println("I cannot load", os.Getenv("DB_PASSWORD"), "from here")
		return 3
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		if gate := os.Getenv("GATE"); gate != "" { // ready once this file is there
			if _, err := os.Stat(gate); err != nil {
				http.Error(w, "not yet", http.StatusServiceUnavailable)
			}
		}
	})
	mux.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) { misbehave(mode, w, r) })
	if err := http.Serve(l, mux); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

// misbehave answers one invocation.
func misbehave(mode string, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if mark, ok := bytes.CutPrefix(body, []byte("exit once ")); ok { // whoever makes the file exits
		if f, err := os.OpenFile(string(mark), os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
			os.Exit(9)
		}
	}
	switch mode {
	case "400":
		http.Error(w, "the secret is "+os.Getenv("API_TOKEN"), http.StatusBadRequest)
	case "500":
		http.Error(w, "boom", http.StatusInternalServerError)
	case "hang":
		<-r.Context().Done()
	case "exit":
		fmt.Println("I have seen enough")
		os.Exit(7)
	case "endless":
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	case "suffix": // what this container adds, what it was sent, and under which type
		w.Header().Set("Content-Type", "application/x-"+os.Getenv("NAME"))
		fmt.Fprintf(w, "%s>%s(%s)", bytes.TrimSpace(body), os.Getenv("NAME"), r.Header.Get("Content-Type"))
	case "slow": // as long as it takes to count requests under way
		time.Sleep(20 * time.Millisecond)
		w.Write(body)
	case "pid":
		fmt.Fprint(w, os.Getpid())
	case "gate":
		waitAtGate(body)
		w.Write(body)
	case "large":
		w.Write(make([]byte, 5<<20+1))
	case "file":
		data, err := os.ReadFile(filepath.Join(os.Getenv("SM_MODEL_DIR"), string(bytes.TrimSpace(body))))
		if err != nil {
			http.Error(w, "no such model file", http.StatusBadRequest)
			return
		}
		w.Write(data)
	case "malformed":
		raw(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
	case "headless":
		raw(w, "nonsense\r\n\r\n")
	case "short":
		raw(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
	default:
		w.Header().Set("Content-Type", "application/x-echo")
		w.Write(body)
	}
}

// waitAtGate brings a secret of the model and of the input to every place that a
// container may write to, and then waits until the test reads from a pipe, so that
// it can look at these places.
func waitAtGate(input []byte) {
	model, err := os.ReadFile(filepath.Join(os.Getenv("SM_MODEL_DIR"), "weights"))
	for _, dir := range []string{os.TempDir(), os.Getenv("HOME"), "."} {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "kept"), append(model, input...), 0o600)
		}
	}
	fmt.Printf("%s%s\n", model, input)
	if err == nil && bytes.Contains(input, []byte("gate")) {
		var gate *os.File
		if gate, err = os.OpenFile(os.Getenv("GATE"), os.O_WRONLY, 0); err == nil {
			_, err = gate.WriteString("here\n")
			gate.Close()
		}
		if err == nil { // returns when the test has looked
			_, err = os.ReadFile(os.Getenv("GATE") + ".open")
		}
	}
	if err != nil {
		fmt.Println("the test's gate:", err)
		os.Exit(8)
	}
}

// raw answers with bytes that need not be HTTP and closes the connection.
func raw(w http.ResponseWriter, text string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, text)
}
