package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/sagebrush-ml/sagebrush/internal/router"
)

var streamMembers = []member{
	{"ContentType", "Content-Type", plainHeader},
	{"Accept", "X-Amzn-SageMaker-Accept", plainHeader},
	{"CustomAttributes", "X-Amzn-SageMaker-Custom-Attributes", plainHeader},
	{"TargetVariant", "X-Amzn-SageMaker-Target-Variant", endpointName},
	{"TargetContainerHostname", "X-Amzn-SageMaker-Target-Container-Hostname", endpointName},
	{"InferenceId", "X-Amzn-SageMaker-Inference-Id", printable},
	{"InferenceComponentName", "X-Amzn-SageMaker-Inference-Component", componentName},
	{"SessionId", "X-Amzn-SageMaker-Session-Id", sessionID},
}

// invokeEndpointStream serves InvokeEndpointWithResponseStream (RT-30 to RT-32).
func (s *Server) invokeEndpointStream(w http.ResponseWriter, r *http.Request, q *runtimeRequest) {
	var events *eventWriter
	defer func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) }()
	err := s.Router.InvokeStream(r.Context(), q.request(router.Stream), func(a *router.Answer) (io.Writer, error) {
		h := w.Header()
		h.Set("Content-Type", "application/vnd.amazon.eventstream")
		set(h, "X-Amzn-Sagemaker-Content-Type", a.ContentType)
		set(h, "X-Amzn-Invoked-Production-Variant", a.Variant)
		set(h, "X-Amzn-Sagemaker-Custom-Attributes", a.CustomAttributes)
		events = &eventWriter{w: w, control: http.NewResponseController(w), encoder: eventstream.NewEncoder()}
		w.WriteHeader(http.StatusOK)
		return events, events.control.Flush() // the client learns at once that it has begun
	})
	switch {
	case err == nil:
	case events == nil:
		s.failRuntime(w, r, err)
	case r.Context().Err() == nil:
		var broke *router.StreamError
		if !errors.As(err, &broke) {
			broke = &router.StreamError{Message: "The stream failed because of an error inside the service."}
		}
		if broke.Code == "" {
			s.Log.Error("stream failed", "path", r.URL.Path, "error", err, "cause", errors.Unwrap(broke))
		}
		_ = events.exception(broke) // if the client does not take it, nobody else can be told
	}
}

// eventWriter writes each piece that it is given as one PayloadPart, and has it sent
// at once.
type eventWriter struct {
	w       io.Writer
	control *http.ResponseController
	encoder *eventstream.Encoder
	buf     bytes.Buffer
}

// pieceTime bounds the sending of one piece to a client that reads slowly.
const pieceTime = time.Minute

// Write implements io.Writer.
func (e *eventWriter) Write(p []byte) (int, error) {
	return len(p), e.send(p, [][2]string{{":message-type", "event"}, {":event-type", "PayloadPart"}, {":content-type", "application/octet-stream"}})
}

// exception ends the stream with an error.
func (e *eventWriter) exception(broke *router.StreamError) error {
	kind := "ModelStreamError"
	if broke.Code == "" {
		kind = "InternalStreamFailure"
	}
	text, err := json.Marshal(struct {
		Message   string `json:"Message"`
		ErrorCode string `json:"ErrorCode,omitempty"`
	}{broke.Message, broke.Code})
	if err != nil {
		return err
	}
	return e.send(text, [][2]string{{":message-type", "exception"}, {":exception-type", kind}, {":content-type", "application/json"}})
}

func (e *eventWriter) send(payload []byte, headers [][2]string) error {
	message := eventstream.Message{Payload: payload}
	for _, h := range headers {
		message.Headers.Set(h[0], eventstream.StringValue(h[1]))
	}
	e.buf.Reset()
	if err := e.encoder.Encode(&e.buf, message); err != nil {
		return err
	}
	_ = e.control.SetWriteDeadline(time.Now().Add(pieceTime))
	if _, err := e.w.Write(e.buf.Bytes()); err != nil {
		return err
	}
	return e.control.Flush()
}
