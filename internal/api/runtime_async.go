package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/router"
)

var asyncMembers = []member{
	{"ContentType", "X-Amzn-SageMaker-Content-Type", plainHeader},
	{"Accept", "X-Amzn-SageMaker-Accept", plainHeader},
	{"CustomAttributes", "X-Amzn-SageMaker-Custom-Attributes", plainHeader},
	{"InferenceId", "X-Amzn-SageMaker-Inference-Id", printable},
	{"InputLocation", "X-Amzn-SageMaker-InputLocation", inputLocation},
	{"S3OutputPathExtension", "X-Amzn-SageMaker-S3OutputPathExtension", outputExtension},
	{"Filename", "X-Amzn-SageMaker-Filename", outputFilename},
	{"RequestTTLSeconds", "X-Amzn-SageMaker-RequestTTLSeconds", requestTTL},
	{"InvocationTimeoutSeconds", "X-Amzn-SageMaker-InvocationTimeoutSeconds", invocationsLimit},
}

// The defaults of the API (RT-20).
const (
	defaultTTL     = 21600
	defaultTimeout = 900
)

// invokeEndpointAsync serves InvokeEndpointAsync (RT-20 to RT-22).
func (s *Server) invokeEndpointAsync(w http.ResponseWriter, r *http.Request, q *runtimeRequest) {
	m := q.members
	answer, err := s.Router.InvokeAsync(r.Context(), &router.AsyncRequest{
		Region: q.region, Endpoint: q.endpoint, Body: q.body,
		ContentType: m.get("ContentType"), Accept: m.get("Accept"), CustomAttributes: m.get("CustomAttributes"), InferenceID: m.get("InferenceId"),
		InputLocation: m.get("InputLocation"), Extension: m.get("S3OutputPathExtension"), Filename: m.get("Filename"),
		TTL:     time.Duration(m.number("RequestTTLSeconds", defaultTTL)) * time.Second,
		Timeout: time.Duration(m.number("InvocationTimeoutSeconds", defaultTimeout)) * time.Second,
	})
	if err != nil {
		s.failRuntime(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	set(h, "X-Amzn-Sagemaker-Outputlocation", answer.OutputLocation)
	set(h, "X-Amzn-Sagemaker-Failurelocation", answer.FailureLocation)
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(struct{ InferenceId string }{answer.InferenceID})
}
