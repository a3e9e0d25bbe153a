package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sagebrush-ml/sagebrush/internal/router"
)

// endpointMetrics gives the figures of the endpoints to Prometheus: OB-1 to OB-10 in
// Prometheus's words and units (seconds, where CloudWatch has microseconds).
type endpointMetrics struct{ router *router.Router }

// endpointMetric is one figure of a variant; one of value and histogram is set.
type endpointMetric struct {
	desc      *prometheus.Desc
	kind      prometheus.ValueType
	label     string // of the last label, where there is one
	value     func(*router.Stats) float64
	histogram func(*router.Stats) router.Histogram
	async     bool // only of endpoints that have a backlog; it is the endpoint's, not the variant's
}

// of makes a figure of a variant.
func of(name, help string, kind prometheus.ValueType, value func(*router.Stats) float64) endpointMetric {
	return endpointMetric{desc: prometheus.NewDesc(name, help, []string{"region", "endpoint", "variant"}, nil), kind: kind, value: value}
}

// counterOf makes a figure that counts.
func counterOf(name, help string, value func(*router.Stats) int64) endpointMetric {
	return of(name, help, prometheus.CounterValue, func(s *router.Stats) float64 { return float64(value(s)) })
}

// labelled makes a figure that counts, one of several under a name.
func labelled(name, help, labelName, label string, value func(*router.Stats) int64) endpointMetric {
	m := counterOf(name, help, value)
	m.desc = prometheus.NewDesc(name, help, []string{"region", "endpoint", "variant", labelName}, nil)
	m.label = label
	return m
}

func histogramOf(name, help string, h func(*router.Stats) router.Histogram) endpointMetric {
	m := of(name, help, 0, nil)
	m.histogram = h
	return m
}

// asyncMetric makes a figure of an endpoint's queue.
func asyncMetric(m endpointMetric, name, help string) endpointMetric {
	m.desc = prometheus.NewDesc(name, help, []string{"region", "endpoint"}, nil)
	m.async = true
	return m
}

// endpointTable is the table of all figures but ContainerLatency.
func endpointTable() []endpointMetric {
	const gauge, errorHelp = prometheus.GaugeValue, "Requests by the class of what went wrong: the container answered 4xx or 5xx (or not at all), model is both (OB-3, OB-4)."
	return append([]endpointMetric{
		counterOf("sagemaker_invocations_total", "Requests to a variant (OB-1); divided by sagemaker_endpoint_instances they are OB-2.", func(s *router.Stats) int64 { return s.Invocations }),
		labelled("sagemaker_invocation_errors_total", errorHelp, "class", "4xx", func(s *router.Stats) int64 { return s.Errors4XX }),
		labelled("sagemaker_invocation_errors_total", errorHelp, "class", "5xx", func(s *router.Stats) int64 { return s.Errors5XX }),
		labelled("sagemaker_invocation_errors_total", errorHelp, "class", "model", func(s *router.Stats) int64 { return s.ModelErrors }),
		counterOf("sagemaker_invocations_throttled_total", "Requests that were refused because there was no place for them.", func(s *router.Stats) int64 { return s.Throttled }),
		counterOf("sagemaker_invocations_repeated_total", "Requests that went to another instance because theirs had ended.", func(s *router.Stats) int64 { return s.Repeated }),
		of("sagemaker_endpoint_in_flight", "Requests under way.", gauge, func(s *router.Stats) float64 { return float64(s.InFlight) }),
		of("sagemaker_endpoint_waiting", "Requests that wait for an instance.", gauge, func(s *router.Stats) float64 { return float64(s.Waiting) }),
		of("sagemaker_endpoint_instances", "Instances that take requests.", gauge, func(s *router.Stats) float64 { return float64(s.Instances) }),
		histogramOf("sagemaker_model_latency_seconds", "Time in the containers (OB-5).", func(s *router.Stats) router.Histogram { return s.ModelLatency }),
		histogramOf("sagemaker_overhead_latency_seconds", "Time of a request outside the containers (OB-6).", func(s *router.Stats) router.Histogram { return s.OverheadLatency }),
		histogramOf("sagemaker_model_setup_seconds", "Time that requests waited for a first instance (OB-8).", func(s *router.Stats) router.Histogram { return s.ModelSetupTime }),
		counterOf("sagemaker_capture_dropped_total", "Requests whose captured data was lost.", func(s *router.Stats) int64 { return s.CaptureDropped }),
		counterOf("sagemaker_shadow_dropped_total", "Copies that a shadow variant could not take.", func(s *router.Stats) int64 { return s.ShadowDropped }),
	}, append(modelTable(), asyncTable()...)...)
}

// modelTable are the figures of multi-model variants (OB-9).
func modelTable() []endpointMetric {
	return []endpointMetric{
		counterOf("sagemaker_model_cache_hits_total", "Requests whose model was loaded (OB-9).", func(s *router.Stats) int64 { return s.ModelCacheHits }),
		counterOf("sagemaker_model_cache_misses_total", "Requests whose model had to be loaded (OB-9).", func(s *router.Stats) int64 { return s.ModelCacheMisses }),
		of("sagemaker_loaded_models", "Models that are loaded on all instances (OB-9).", prometheus.GaugeValue, func(s *router.Stats) float64 { return float64(s.LoadedModels) }),
		histogramOf("sagemaker_model_loading_wait_seconds", "Time that requests waited for their model (OB-9).", func(s *router.Stats) router.Histogram { return s.ModelLoadingWait }),
		histogramOf("sagemaker_model_downloading_seconds", "Time to fetch and unpack a model (OB-9).", func(s *router.Stats) router.Histogram { return s.ModelDownloading }),
		histogramOf("sagemaker_model_loading_seconds", "Time in which a container loaded a model (OB-9).", func(s *router.Stats) router.Histogram { return s.ModelLoading }),
		histogramOf("sagemaker_model_unloading_seconds", "Time in which a container unloaded a model (OB-9).", func(s *router.Stats) router.Histogram { return s.ModelUnloading }),
	}
}

// asyncTable are the figures of queues (OB-10).
func asyncTable() []endpointMetric {
	count := func(name, help string, value func(*router.Stats) int64) endpointMetric {
		return asyncMetric(counterOf(name, help, value), name, help)
	}
	gauge := func(name, help string, value func(*router.Stats) float64) endpointMetric {
		return asyncMetric(of(name, help, prometheus.GaugeValue, value), name, help)
	}
	spread := func(name, help string, h func(*router.Stats) router.Histogram) endpointMetric {
		return asyncMetric(histogramOf(name, help, h), name, help)
	}
	return []endpointMetric{
		gauge("sagemaker_async_backlog_size", "Asynchronous requests that have not ended (OB-10).", func(s *router.Stats) float64 { return float64(s.AsyncBacklog) }),
		gauge("sagemaker_async_oldest_request_age_seconds", "Age of the request that is next (OB-10).", func(s *router.Stats) float64 {
			if s.AsyncOldest.IsZero() {
				return 0
			}
			return max(0, time.Since(s.AsyncOldest).Seconds())
		}),
		gauge("sagemaker_async_backlog_without_capacity", "1 when requests wait and the variant has no instance (OB-10).", func(s *router.Stats) float64 {
			if s.AsyncBacklog > 0 && s.Instances == 0 {
				return 1
			}
			return 0
		}),
		count("sagemaker_async_invocations_processed_total", "Asynchronous requests whose output is written (OB-10).", func(s *router.Stats) int64 { return s.AsyncFinished }),
		count("sagemaker_async_invocation_failures_total", "Asynchronous requests that failed (OB-10).", func(s *router.Stats) int64 { return s.AsyncFailed }),
		count("sagemaker_async_expired_requests_total", "Asynchronous requests that waited too long (OB-10).", func(s *router.Stats) int64 { return s.AsyncExpired }),
		count("sagemaker_async_request_download_failures_total", "Payloads that could not be read (OB-10).", func(s *router.Stats) int64 { return s.AsyncInputFailures }),
		count("sagemaker_async_response_upload_failures_total", "Outputs that could not be written (OB-10).", func(s *router.Stats) int64 { return s.AsyncOutputFailures }),
		spread("sagemaker_async_time_in_backlog_seconds", "Time that asynchronous requests waited (OB-10).", func(s *router.Stats) router.Histogram { return s.AsyncInBacklog }),
		spread("sagemaker_async_processing_seconds", "Time that asynchronous requests took after that (OB-10).", func(s *router.Stats) router.Histogram { return s.AsyncProcessing }),
	}
}

func containerLatency() *prometheus.Desc {
	return prometheus.NewDesc("sagemaker_container_latency_seconds", "Time in one of several containers (OB-7).", []string{"region", "endpoint", "variant", "container"}, nil)
}

// Describe implements prometheus.Collector.
func (m *endpointMetrics) Describe(ch chan<- *prometheus.Desc) {
	seen := map[string]bool{}
	for _, one := range endpointTable() {
		if text := one.desc.String(); !seen[text] {
			seen[text] = true
			ch <- one.desc
		}
	}
	ch <- containerLatency()
}

// Collect implements prometheus.Collector.
func (m *endpointMetrics) Collect(ch chan<- prometheus.Metric) {
	table, latency := endpointTable(), containerLatency()
	last := ""
	for _, s := range m.router.AllStats() {
		first := last != s.Region+"/"+s.Endpoint // the queue is the endpoint's
		last = s.Region + "/" + s.Endpoint
		for i := range table {
			if one := &table[i]; !one.async || s.Async && first {
				ch <- one.collect(&s)
			}
		}
		for name, h := range s.ContainerLatency {
			ch <- constHistogram(latency, h, s.Region, s.Endpoint, s.Variant, name)
		}
	}
}

func (one *endpointMetric) collect(s *router.Stats) prometheus.Metric {
	labels := []string{s.Region, s.Endpoint}
	if !one.async {
		labels = append(labels, s.Variant)
	}
	if one.label != "" {
		labels = append(labels, one.label)
	}
	if one.histogram != nil {
		return constHistogram(one.desc, one.histogram(s), labels...)
	}
	return prometheus.MustNewConstMetric(one.desc, one.kind, one.value(s), labels...)
}

func constHistogram(desc *prometheus.Desc, h router.Histogram, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstHistogram(desc, uint64(h.Count), h.Sum.Seconds(), h.Buckets, labels...)
}
