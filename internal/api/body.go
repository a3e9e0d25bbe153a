package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// maxBody bounds the bodies of requests other than S3's and invocations.
const maxBody = 2 << 20

// patience is how long a client may take, so that none holds a connection by sending
// its body byte by byte.
type patience struct {
	body time.Duration // for a body that is held in memory
	step time.Duration // for the next piece of one that is streamed
}

const (
	bodyTime = 2 * time.Minute
	stepTime = time.Minute
)

// readBody reads a request's body within the bounds of size and time.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	// A connection without deadlines is the server's choice. The deadline stays when the
	// body did not come: net/http then waits for the rest of it.
	_ = control.SetReadDeadline(time.Now().Add(s.slow.body))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		e := wire.Errorf(wire.ValidationException, "The request has more than %d bytes.", maxBody)
		e.Status = http.StatusRequestEntityTooLarge
		return nil, e
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		e := wire.Errorf(wire.SerializationException, "The request's body did not arrive within %v.", s.slow.body)
		e.Status = http.StatusRequestTimeout
		return nil, e
	case err != nil:
		return nil, wire.Errorf(wire.SerializationException, "The request ended before its body did.")
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

// patientBody is a body that fails when nothing of it comes for too long.
type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
	step    time.Duration
}

func (b *patientBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.step))
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
