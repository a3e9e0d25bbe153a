package xgboost

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/booster"
)

const (
	// DefaultMaxContentLength is the largest request body when nothing else is
	// said, as in AWS's XGBoost container (CC-60).
	DefaultMaxContentLength = 6 << 20

	// largestBody bounds a body even where the job asks for no limit.
	largestBody = 1 << 30

	// keptBuffer is the largest buffer that waits for another request.
	keptBuffer = 16 << 20
)

// Options say how a handler answers.
type Options struct {
	// Model makes the predictions. It is required.
	Model *booster.Model

	// Batch tells a batch transform job from hosting; it changes text/csv
	// answers (CC-62).
	Batch bool

	// MaxContentLength is what /execution-parameters suggests as the largest
	// payload, in bytes. 0 means DefaultMaxContentLength.
	MaxContentLength int64

	// MaxBody is the largest request body that is taken, in bytes. 0 means
	// MaxContentLength.
	MaxBody int64

	// DefaultAccept is the answer's media type when a request names none or
	// */*. Empty means text/csv.
	DefaultAccept string

	// Log gets a line for each answer of status 500. Nil discards it.
	Log *slog.Logger
}

// Handler answers a model container's three paths: /ping, /execution-parameters
// and /invocations. It is safe for concurrent use and takes bodies into memory
// for a bounded number of requests at once; others wait before theirs is read.
type Handler struct {
	options Options
	cores   int
	slots   chan struct{}
	buffers sync.Pool
	mux     *http.ServeMux
}

// NewHandler returns a handler for a loaded model. It fails when DefaultAccept
// is no media type that it can write.
func NewHandler(o Options) (*Handler, error) {
	if o.MaxContentLength <= 0 {
		o.MaxContentLength = DefaultMaxContentLength
	}
	if o.MaxBody <= 0 {
		o.MaxBody = o.MaxContentLength
	}
	if o.DefaultAccept == "" {
		o.DefaultAccept = "text/csv"
	}
	if _, known := answerFormats[o.DefaultAccept]; !known {
		return nil, fmt.Errorf("the default accept type %q is not supported: use %s", o.DefaultAccept, acceptable())
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	n := cores()
	h := &Handler{options: o, cores: n, slots: make(chan struct{}, max(16, 4*n)), mux: http.NewServeMux()}
	h.buffers.New = func() any { return new(buffers) }
	h.mux.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	h.mux.HandleFunc("GET /execution-parameters", h.executionParameters)
	h.mux.HandleFunc("POST /invocations", h.invocations)
	return h, nil
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// executionParameters answers in the very bytes of AWS's container (CC-30, CC-36).
func (h *Handler) executionParameters(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"MaxConcurrentTransforms": %d, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": %d}`,
		h.cores, h.options.MaxContentLength>>20)
}

// A failure is an answer other than 200.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

func failf(status int, format string, args ...any) error {
	return &failure{status, fmt.Sprintf(format, args...)}
}

// buffers are reused from request to request.
type buffers struct {
	body   bytes.Buffer
	answer []byte
}

func (h *Handler) invocations(w http.ResponseWriter, r *http.Request) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-r.Context().Done():
		return
	}
	b := h.buffers.Get().(*buffers)
	defer h.release(b)
	contentType, err := h.invoke(w, r, b)
	var f *failure
	switch {
	case errors.As(err, &f):
		http.Error(w, f.text, f.status)
	case err != nil:
		h.options.Log.Error("invocation failed", "error", err)
		http.Error(w, "the prediction failed", http.StatusInternalServerError)
	case len(b.answer) == 0:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(b.answer)))
		w.Write(b.answer) // a client that has gone away is not our error
	}
}

func (h *Handler) release(b *buffers) {
	if b.body.Cap() <= keptBuffer && cap(b.answer) <= keptBuffer {
		b.body.Reset()
		b.answer = b.answer[:0]
		h.buffers.Put(b)
	}
}

// invoke leaves the answer in b and returns its content type. An empty body has
// an empty answer (CC-63).
func (h *Handler) invoke(w http.ResponseWriter, r *http.Request, b *buffers) (string, error) {
	if err := h.readBody(w, r, &b.body); err != nil || b.body.Len() == 0 {
		return "", err
	}
	rows, err := contentFormat(r.Header)
	if err != nil {
		return "", err
	}
	answer, err := h.accepted(r.Header.Values("Accept"))
	if err != nil {
		return "", err
	}
	m := h.options.Model
	predictions, err := score(m, rows, b.body.Bytes(), h.cores)
	var row *badRow
	if errors.As(err, &row) || errors.Is(err, errNoRows) {
		return "", failf(http.StatusBadRequest, "%v", err)
	}
	if err != nil {
		return "", err
	}
	b.answer = answer.write(b.answer[:0], predictions, m.Outputs(), h.options.Batch)
	return answer.contentType, nil
}

func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, body *bytes.Buffer) error {
	limit := h.options.MaxBody
	tooLarge := func() error {
		return failf(http.StatusRequestEntityTooLarge, "the request body is larger than %d bytes; the environment variable "+
			"MAX_CONTENT_LENGTH, or MaxPayloadInMB of the transform job, sets the limit", limit)
	}
	if r.ContentLength > limit {
		return tooLarge()
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return failf(http.StatusUnsupportedMediaType, "content encoding %s is not supported", shown([]byte(encoding)))
	}
	if r.ContentLength > 0 {
		body.Grow(int(min(r.ContentLength, DefaultMaxContentLength)) + bytes.MinRead)
	}
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return tooLarge()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return failf(http.StatusBadRequest, "the request body ended early")
	case err != nil:
		return failf(http.StatusBadRequest, "the request body could not be read")
	}
	return nil
}

// contentFormat finds the format of a body. Without a content type it is
// libsvm, as in AWS's container (CC-51). Parameters are ignored.
func contentFormat(h http.Header) (format, error) {
	value := h.Get("Content-Type")
	if value == "" {
		return formatLibSVM, nil
	}
	name, _, _ := strings.Cut(value, ";")
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "text/csv", "csv":
		return formatCSV, nil
	case "text/libsvm", "text/x-libsvm", "libsvm":
		return formatLibSVM, nil
	case "application/jsonlines":
		return formatJSONLines, nil
	case "application/x-recordio-protobuf", "recordio-protobuf":
		return formatRecordIO, nil
	}
	return 0, failf(http.StatusUnsupportedMediaType, "content type %s is not supported: use text/csv, text/libsvm, "+
		"application/jsonlines or application/x-recordio-protobuf", shown([]byte(value)))
}

// accepted picks the first media type of the Accept header that can be written.
func (h *Handler) accepted(values []string) (answerFormat, error) {
	all := strings.Join(values, ",")
	if strings.TrimSpace(all) == "" {
		return answerFormats[h.options.DefaultAccept], nil
	}
	for item := range strings.SplitSeq(all, ",") {
		name, parameters, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		if q, err := strconv.ParseFloat(parameters["q"], 64); err == nil && q == 0 {
			continue
		}
		if name == "*/*" {
			name = h.options.DefaultAccept
		}
		if name == "text/*" {
			name = "text/csv"
		}
		if f, known := answerFormats[name]; known {
			return f, nil
		}
	}
	return answerFormat{}, failf(http.StatusNotAcceptable, "accept type %s is not supported: use %s", shown([]byte(all)), acceptable())
}

func acceptable() string {
	names := make([]string, 0, len(answerFormats))
	for name := range answerFormats {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
