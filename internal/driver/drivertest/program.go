package drivertest

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// The variables that tell the Program what to do besides serving.
const (
	// EnvPrint makes it print so many numbered lines before it serves, the even
	// ones to stderr.
	EnvPrint = "DRIVERTEST_PRINT"
	// EnvExit makes it exit with this code instead of serving.
	EnvExit = "DRIVERTEST_EXIT"
	// EnvTerm says what SIGTERM does: "ignore" it, or exit with a code. Without
	// it, the signal ends the Program.
	EnvTerm = "DRIVERTEST_TERM"
)

// Program is the container that the suite runs: a server that tells what it was
// given and does what it is told. A driver's tests run it in whatever way the
// driver starts things: as a process, an image, or in place.
type Program struct {
	// Env is the whole environment.
	Env map[string]string
	// Args are the arguments after the program's name.
	Args []string
	// ModelDir is where the model folder is; "" when there is none.
	ModelDir string
	// Stdout and Stderr are where it prints.
	Stdout, Stderr io.Writer
	// Exit ends the Program with a code; it may return.
	Exit func(code int)
	// Die ends the Program with SIGKILL; it may return.
	Die func()
	// Fork starts a child that holds an address until it is killed and that
	// ignores SIGTERM, in a session of its own when asked. nil: it cannot.
	Fork func(session bool) (addr string, err error)
}

// facts is what the Program tells of itself.
type facts struct {
	Env  map[string]string
	Args []string
	Dir  string
}

// Begin does what comes before serving. It reports whether the Program serves.
func (p Program) Begin() bool {
	lines, _ := strconv.Atoi(p.Env[EnvPrint])
	for n := range lines {
		w := p.Stdout
		if n%2 == 0 {
			w = p.Stderr
		}
		fmt.Fprintln(w, line(n))
	}
	if code, err := strconv.Atoi(p.Env[EnvExit]); err == nil {
		p.Exit(code)
		return false
	}
	return true
}

func line(n int) string { return "drivertest line " + strconv.Itoa(n) }

// Handler is the server: GET /ping, /facts and /model/NAME, POST /print, /exit,
// /die, /fork and /dial.
func (p Program) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /facts", func(w http.ResponseWriter, _ *http.Request) {
		dir, _ := os.Getwd()
		_ = json.NewEncoder(w).Encode(facts{Env: p.Env, Args: p.Args, Dir: dir})
	})
	mux.HandleFunc("GET /model/{name...}", p.serveModel)
	mux.HandleFunc("POST /print", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(p.Stdout, r.Body)
	})
	mux.HandleFunc("POST /exit", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.FormValue("code"))
		p.Exit(code)
	})
	mux.HandleFunc("POST /die", func(http.ResponseWriter, *http.Request) { p.Die() })
	mux.HandleFunc("POST /fork", func(w http.ResponseWriter, r *http.Request) {
		addr, err := p.Fork(r.FormValue("session") != "")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, addr)
	})
	mux.HandleFunc("POST /dial", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, dial(r.FormValue("network"), r.FormValue("address")))
	})
	return mux
}

// dial says "connected", or why not.
func dial(network, address string) string {
	c, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		return err.Error()
	}
	c.Close()
	return "connected"
}

func (p Program) serveModel(w http.ResponseWriter, r *http.Request) {
	if p.ModelDir == "" {
		http.Error(w, "no model folder", http.StatusNotFound)
		return
	}
	content, err := fs.ReadFile(os.DirFS(p.ModelDir), r.PathValue("name"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	_, _ = w.Write(content)
}
