package s3api

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
)

// response corrects the head of what gofakes3 answers.
type response struct {
	http.ResponseWriter
	call    *call
	started bool
}

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.started {
		return
	}
	w.started = true
	h := w.Header()
	if v := h.Get("ETag"); v != "" {
		h["ETag"] = []string{etagOut(v)}
		h.Del("Etag")
	}
	for _, name := range []string{
		"Server", "Access-Control-Allow-Origin", "Access-Control-Allow-Methods",
		"Access-Control-Allow-Headers", "Access-Control-Expose-Headers",
	} {
		h.Del(name)
	}
	if w.call.status != 0 && status >= http.StatusBadRequest {
		status = w.call.status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	if !w.started {
		if bytes.HasPrefix(p, []byte("<?xml")) && w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "application/xml")
		}
		w.WriteHeader(http.StatusOK)
	}
	if w.call.edit != nil {
		if _, err := w.ResponseWriter.Write(w.call.edit(p)); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom lets the kernel send a file.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	return io.Copy(w.ResponseWriter, r)
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// failure is an S3 error that gofakes3 does not write.
type failure struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	status  int
}

func (f *failure) Error() string { return f.Code + ": " + f.Message }

func writeError(w *response, f *failure) {
	body, err := xml.Marshal(f)
	if err != nil {
		body = nil // two strings always marshal
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Connection", "close") // the body was not read
	w.WriteHeader(f.status)
	w.Write(append([]byte(xml.Header), body...))
}
