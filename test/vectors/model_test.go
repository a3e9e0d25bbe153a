package vectors_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// The variables by which a vector reaches its model server.
const (
	envBehaviour = "VECTOR_MODEL"
	envRecord    = "VECTOR_RECORD"
)

// behaviour is what a vector's model server does. The zero value answers each
// request with its own body and has no /execution-parameters.
type behaviour struct {
	// Answers are given in the order of the requests; they need one instance and
	// one request at a time.
	Answers []string `json:"answers,omitempty"`
	// Length answers with the number of the request's bytes, as text.
	Length bool `json:"length,omitempty"`
	// ContentType is that of the answers.
	ContentType string `json:"contentType,omitempty"`
	// Parameters are the answer of /execution-parameters, as text, with a status.
	Parameters       string `json:"parameters,omitempty"`
	ParametersStatus int    `json:"parametersStatus,omitempty"`
	// Jitter delays each answer by up to so many milliseconds, by its content.
	Jitter uint32 `json:"jitter,omitempty"`
	// Faults are tried in order before a request is answered well.
	Faults []*modelFault `json:"faults,omitempty"`
	// NeverReady answers /ping with 503.
	NeverReady bool `json:"neverReady,omitempty"`
}

// modelFault is a bad answer to requests that contain Match: a status with a
// body, or none at all (Hang), or the end of the process (Exit).
type modelFault struct {
	Match  string `json:"match"`
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	Hang   bool   `json:"hang,omitempty"`
	Exit   bool   `json:"exit,omitempty"`
	// Times is how often it happens; 0 is always.
	Times int `json:"times,omitempty"`
	count int
}

// seen is what a model server notes of one request, or (Env) of its own start.
type seen struct {
	Env         map[string]string `json:",omitempty"`
	Path        string            `json:",omitempty"`
	ContentType []string          `json:",omitempty"`
	Accept      []string          `json:",omitempty"`
	Chunked     bool              `json:",omitempty"`
	Body        digest            `json:",omitempty"`
}

// digest stands for a body: its length, its hash and its first bytes.
type digest string

func digestOf(b []byte) digest {
	return digest(fmt.Sprintf("%d bytes, sha256 %.8x, %q", len(b), sha256.Sum256(b), b[:min(len(b), 48)]))
}

// model is the server.
type model struct {
	behaviour
	mu     sync.Mutex
	record *os.File
	served int
}

// modelMain serves until it is ended.
func modelMain() int {
	m := &model{}
	if err := m.run(); err != nil {
		fmt.Fprintln(os.Stderr, "the vector's model:", err)
		return 1
	}
	return 0
}

func (m *model) run() (err error) {
	if err := json.Unmarshal([]byte(os.Getenv(envBehaviour)), &m.behaviour); err != nil {
		return err
	}
	// In a container there is no file to share; what it saw then shows in its answers.
	if m.record, err = os.OpenFile(cmp.Or(os.Getenv(envRecord), os.DevNull), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	env := map[string]string{}
	for _, pair := range os.Environ() {
		key, value, _ := strings.Cut(pair, "=")
		env[key] = value
	}
	m.note(seen{Env: env})
	l, err := net.Listen("tcp", os.Getenv("SAGEBRUSH_BIND_HOST")+":"+os.Getenv("SAGEMAKER_BIND_TO_PORT"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", m.ping)
	mux.HandleFunc("GET /execution-parameters", m.parameters)
	mux.HandleFunc("POST /invocations", m.invoke)
	return http.Serve(l, mux)
}

// note appends to the record in one write, which several instances may share.
func (m *model) note(s seen) {
	line, err := json.Marshal(s)
	if err == nil {
		_, err = m.record.Write(append(line, '\n'))
	}
	if err != nil {
		panic(err)
	}
}

func (m *model) ping(w http.ResponseWriter, _ *http.Request) {
	if m.NeverReady {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (m *model) parameters(w http.ResponseWriter, r *http.Request) {
	m.note(seen{Path: r.URL.Path})
	if m.Parameters == "" && m.ParametersStatus == 0 {
		http.NotFound(w, r)
		return
	}
	w.WriteHeader(cmp.Or(m.ParametersStatus, http.StatusOK))
	io.WriteString(w, m.Parameters)
}

func (m *model) invoke(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the job gave the request up
	}
	f, n := m.take(r, body)
	switch {
	case f != nil && f.Exit:
		os.Exit(3)
	case f != nil && f.Hang:
		<-r.Context().Done()
		return
	case f != nil:
		w.WriteHeader(f.Status)
		io.WriteString(w, f.Body)
		return
	}
	if m.Jitter > 0 {
		h := fnv.New32a()
		h.Write(body)
		time.Sleep(time.Duration(h.Sum32()%m.Jitter) * time.Millisecond)
	}
	if m.ContentType != "" {
		w.Header().Set("Content-Type", m.ContentType)
	}
	w.Write(m.answer(body, n))
}

// take notes a request and gives its number, from 0, and the fault that is due.
func (m *model) take(r *http.Request, body []byte) (*modelFault, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(seen{
		Path: r.URL.Path, Body: digestOf(body), Chunked: len(r.TransferEncoding) > 0,
		ContentType: r.Header.Values("Content-Type"), Accept: r.Header.Values("Accept"),
	})
	n := m.served
	m.served++
	for _, f := range m.Faults {
		if strings.Contains(string(body), f.Match) && (f.Times == 0 || f.count < f.Times) {
			f.count++
			return f, n
		}
	}
	return nil, n
}

func (m *model) answer(body []byte, n int) []byte {
	switch {
	case n < len(m.Answers):
		return []byte(m.Answers[n])
	case m.Length:
		return fmt.Append(nil, len(body))
	}
	return body
}
