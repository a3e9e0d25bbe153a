package api

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// ownPaths routes everything under /-/. Health and readiness are for anybody;
// the rest needs what an operation needs.
func (s *Server) ownPaths() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &jobMetrics{s.Control})
	if s.Router != nil {
		registry.MustRegister(&endpointMetrics{s.Router})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/health", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /-/ready", s.ready)
	mux.Handle("GET /-/metrics", s.guard("GetMetrics", nowhere, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP))
	mux.Handle("GET /-/api/v1/server", s.guard("DescribeServer", nowhere, s.describeServer))
	mux.Handle("GET /-/api/v1/transform-jobs/{name}", s.guard("GetProgress", resource.KindTransformJob, s.jobProgress))
	mux.Handle("GET /-/api/v1/transform-jobs/{name}/why", s.guard("GetProgress", resource.KindTransformJob, s.jobWhy))
	mux.Handle("GET /-/api/v1/transform-jobs/{name}/logs", s.guard("GetLogs", resource.KindTransformJob, s.jobLogs))
	mux.Handle("GET /-/api/v1/endpoints/{name}", s.guard("GetProgress", resource.KindEndpoint, s.endpointProgress))
	mux.Handle("GET /-/api/v1/endpoints/{name}/why", s.guard("GetProgress", resource.KindEndpoint, s.endpointWhy))
	mux.Handle("GET /-/api/v1/endpoints/{name}/logs", s.guard("GetLogs", resource.KindEndpoint, s.endpointLogs))
	mux.Handle("POST /-/api/v1/endpoints/{name}/maintenance", s.guard("MaintainEndpoint", resource.KindEndpoint, s.maintainEndpoint))
	mux.Handle("DELETE /-/api/v1/endpoints/{name}", s.guard("DeleteEndpoint", resource.KindEndpoint, s.forceDeleteEndpoint))
	s.identityPaths(mux)
	mux.HandleFunc("/-/", func(w http.ResponseWriter, r *http.Request) {
		ownError(w, http.StatusNotFound, "there is nothing at "+clip(r.Method+" "+r.URL.Path))
	})
	return mux
}

// nowhere is the kind of what is about no resource.
const nowhere resource.Kind = ""

// guard lets requests through whose caller may do an action of ours,
// sagebrush:ACTION, on the resource of a kind that the path names.
func (s *Server) guard(action string, kind resource.Kind, next http.HandlerFunc) http.Handler {
	return s.gate("sagebrush", action, func(r *http.Request) ([]need, error) {
		if kind == nowhere {
			return everywhere(), nil
		}
		k := s.requestKey(r)
		k.Kind = kind
		return []need{{resource: k.ARN(s.Account), tagged: &k}}, nil
	}, next)
}

// gate lets requests through whose caller may do an operation of a service, by all
// that the request needs. Their bodies are bounded, and have been read.
func (s *Server) gate(service, operation string, needs func(r *http.Request) ([]need, error), next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r.Context())
		c.names(service, operation, mutating(operation))
		body, err := s.readBody(w, r)
		if err == nil {
			err = s.authenticate(r, body)
		}
		var all []need
		if err == nil {
			all, err = needs(r)
		}
		if err == nil {
			err = s.authorizeAll(r.Context(), service+":"+operation, all)
		}
		if err != nil {
			e := wire.FromFault(refused(err))
			if e.Code == wire.AccessDeniedException {
				e.Status = http.StatusForbidden
			}
			c.failed(e.Status, string(e.Code))
			ownError(w, e.Status, e.Message)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next(&recorder{ResponseWriter: w, call: c}, r)
	})
}

// ready answers 200 when the store answers.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.Control.Ready(r.Context()); err != nil {
		ownError(w, http.StatusServiceUnavailable, "the store does not answer")
		return
	}
	w.Write([]byte("ready\n"))
}

// describeServer says what this server is.
func (s *Server) describeServer(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"version": s.Version, "account": s.Account, "region": s.Region, "embeddedS3": s.S3 != nil})
}

// JobProgress is the answer at /-/api/v1/transform-jobs/NAME.
type JobProgress struct {
	Name          string     `json:"name"`
	ARN           string     `json:"arn"`
	Status        string     `json:"status"`
	FailureReason string     `json:"failureReason,omitempty"`
	Created       time.Time  `json:"created"`
	Started       *time.Time `json:"started,omitempty"`
	Ended         *time.Time `json:"ended,omitempty"`
	transform.Snapshot
}

// requestKey names the job or endpoint of one of our own paths.
func (s *Server) requestKey(r *http.Request) resource.Key {
	scope, _ := sigv4.ScopeOf(r)
	k := resource.Key{Region: s.region(scope), Kind: resource.KindTransformJob, Name: r.PathValue("name")}
	if region := r.URL.Query().Get("region"); isRegion(region) {
		k.Region = region
	}
	return k
}

// jobProgress answers how far a job has come.
func (s *Server) jobProgress(w http.ResponseWriter, r *http.Request) {
	j, snap, err := s.Control.Progress(r.Context(), s.requestKey(r))
	if err != nil {
		s.ownFail(w, err)
		return
	}
	writeJSON(w, JobProgress{
		Name: j.Name, ARN: s.Control.ARN(j.Key), Status: string(j.Status), FailureReason: j.FailureReason,
		Created: j.Created, Started: moment(j.Started), Ended: moment(j.Ended), Snapshot: snap,
	})
}

// JobWhy is the answer at /-/api/v1/transform-jobs/NAME/why.
type JobWhy struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	// Why says what the job waits for or does at the moment.
	Why string `json:"why"`
}

// jobWhy answers what a job waits for.
func (s *Server) jobWhy(w http.ResponseWriter, r *http.Request) {
	j, why, err := s.Control.Why(r.Context(), s.requestKey(r))
	if err != nil {
		s.ownFail(w, err)
		return
	}
	writeJSON(w, JobWhy{Name: j.Name, Status: string(j.Status), Why: why})
}

// ownFail answers an error on our own paths.
func (s *Server) ownFail(w http.ResponseWriter, err error) {
	e := wire.FromFault(err)
	status := e.Status
	if fault.Is(err, fault.NotFound) {
		status = http.StatusNotFound
	}
	if status >= 500 {
		s.Log.Error("request failed", "error", err)
	}
	ownError(w, status, e.Message)
}

func ownError(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	writeJSON(w, map[string]string{"error": message})
}
