package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/control"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/router"
)

// EndpointProgress is the answer at /-/api/v1/endpoints/NAME.
type EndpointProgress struct {
	Name          string          `json:"name"`
	ARN           string          `json:"arn"`
	Status        string          `json:"status"`
	FailureReason string          `json:"failureReason,omitempty"`
	ConfigName    string          `json:"configName,omitempty"`
	Created       time.Time       `json:"created"`
	Modified      time.Time       `json:"modified"`
	Change        *EndpointChange `json:"change,omitempty"`
	// Instances is how many the endpoint owns, those that are ending included.
	Instances int               `json:"instances"`
	InFlight  int64             `json:"inFlight"`
	Waiting   int64             `json:"waiting"` // requests that wait for an instance
	Variants  []EndpointVariant `json:"variants"`
	Traffic   []VariantTraffic  `json:"traffic"`
}

// EndpointChange is the change of an endpoint that is under way.
type EndpointChange struct {
	Kind       string    `json:"kind"` // create, deploy or scale
	ConfigName string    `json:"configName,omitempty"`
	Started    time.Time `json:"started"`
	// Share is the part of the traffic that the new instances have, 0 to 1.
	Share  float64   `json:"share"`
	StepAt time.Time `json:"stepAt"`
	Reason string    `json:"reason,omitempty"` // why it is rolled back
}

// EndpointVariant is one variant of the fleet that serves, or of the one that is
// being built.
type EndpointVariant struct {
	Name          string     `json:"name"`
	ConfigName    string     `json:"configName"`
	Pending       bool       `json:"pending"`
	Shadow        bool       `json:"shadow"`
	Weight        float64    `json:"weight"`
	DesiredWeight float64    `json:"desiredWeight"`
	Wanted        int        `json:"wanted"`
	Ready         int        `json:"ready"`
	Starting      int        `json:"starting"`
	Sick          int        `json:"sick"`
	Stopping      int        `json:"stopping"`
	Failures      int        `json:"failures"` // starts in a row
	RetryAt       *time.Time `json:"retryAt,omitempty"`
	LastFailure   string     `json:"lastFailure,omitempty"`
}

// VariantTraffic has the sums of a variant since this server took it up.
type VariantTraffic struct {
	Variant     string `json:"variant"`
	Invocations int64  `json:"invocations"`
	Errors4XX   int64  `json:"errors4xx"`
	Errors5XX   int64  `json:"errors5xx"`
	ModelErrors int64  `json:"modelErrors"`
	Throttled   int64  `json:"throttled"`
	Repeated    int64  `json:"repeated"`
	InFlight    int64  `json:"inFlight"`
	Waiting     int64  `json:"waiting"`
	// The means are in milliseconds.
	ModelLatency    float64 `json:"modelLatencyMs"`
	OverheadLatency float64 `json:"overheadLatencyMs"`
}

// endpointProgress answers how far an endpoint has come, and what its instances do.
func (s *Server) endpointProgress(w http.ResponseWriter, r *http.Request) {
	p, err := s.Control.EndpointProgress(r.Context(), s.requestKey(r))
	if err != nil {
		s.ownFail(w, err)
		return
	}
	out := EndpointProgress{
		Name: p.Name, ARN: s.Control.ARN(p.Key), Status: string(p.Status), FailureReason: p.FailureReason,
		Created: p.Created, Modified: p.Modified, Change: changeOf(p.Endpoint), Instances: len(p.Instances),
		Variants: []EndpointVariant{}, Traffic: []VariantTraffic{},
	}
	if p.Current != nil {
		out.ConfigName = p.Current.ConfigName
	}
	for _, v := range p.Variants {
		out.Variants = append(out.Variants, progressOf(v))
	}
	for _, t := range p.Traffic {
		out.InFlight, out.Waiting = out.InFlight+t.InFlight, out.Waiting+t.Waiting
		out.Traffic = append(out.Traffic, trafficOf(t))
	}
	writeJSON(w, out)
}

func changeOf(e resource.Endpoint) *EndpointChange {
	c := e.Change
	if c == nil {
		return nil
	}
	out := &EndpointChange{Kind: string(c.Kind), Started: c.Started, Share: c.Share, StepAt: c.StepAt, Reason: c.Reason}
	if e.Pending != nil {
		out.ConfigName = e.Pending.ConfigName
	}
	return out
}

func progressOf(v control.VariantProgress) EndpointVariant {
	out := EndpointVariant{
		Name: v.Name, ConfigName: v.ConfigName, Pending: v.Pending, Shadow: v.Shadow,
		Weight: v.Effective, DesiredWeight: v.Weight, Wanted: v.Count, Ready: v.Ready, Starting: v.Starting + v.Waiting,
		Sick: v.Sick, Stopping: v.Stopping, Failures: v.Failures, LastFailure: v.LastFailure,
	}
	if v.Failures > 0 {
		out.RetryAt = moment(v.RetryAt)
	}
	return out
}

func trafficOf(t router.Stats) VariantTraffic {
	return VariantTraffic{
		Variant: t.Variant, Invocations: t.Invocations, Errors4XX: t.Errors4XX, Errors5XX: t.Errors5XX,
		ModelErrors: t.ModelErrors, Throttled: t.Throttled, Repeated: t.Repeated, InFlight: t.InFlight, Waiting: t.Waiting,
		ModelLatency: meanMs(t.ModelLatency), OverheadLatency: meanMs(t.OverheadLatency),
	}
}

func meanMs(h router.Histogram) float64 {
	if h.Count == 0 {
		return 0
	}
	return h.Sum.Seconds() * 1000 / float64(h.Count)
}

// EndpointWhy is the answer at /-/api/v1/endpoints/NAME/why.
type EndpointWhy struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	// Why says what the endpoint waits for or does at the moment, and Parts the same
	// sentence by sentence.
	Why   string   `json:"why"`
	Parts []string `json:"parts"`
}

// endpointWhy answers what an endpoint waits for.
func (s *Server) endpointWhy(w http.ResponseWriter, r *http.Request) {
	e, why, err := s.Control.WhyEndpoint(r.Context(), s.requestKey(r))
	if err != nil {
		s.ownFail(w, err)
		return
	}
	writeJSON(w, EndpointWhy{Name: e.Name, Status: string(e.Status), Why: strings.Join(why, "; "), Parts: why})
}

// maintainEndpoint begins to replace all instances of an endpoint (EP-15).
func (s *Server) maintainEndpoint(w http.ResponseWriter, r *http.Request) {
	if err := s.Control.Maintain(r.Context(), s.requestKey(r)); err != nil {
		s.ownFail(w, err)
		return
	}
	writeJSON(w, map[string]string{"status": string(resource.EndpointSystemUpdating)})
}

// forceDeleteEndpoint deletes an endpoint in whatever status it is.
func (s *Server) forceDeleteEndpoint(w http.ResponseWriter, r *http.Request) {
	if err := s.Control.DeleteEndpoint(r.Context(), s.requestKey(r), true); err != nil {
		s.ownFail(w, err)
		return
	}
	writeJSON(w, map[string]string{"status": string(resource.EndpointDeleting)})
}
