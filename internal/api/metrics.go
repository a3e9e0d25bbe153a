package api

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sagebrush-ml/sagebrush/internal/control"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

// jobMetrics gives the figures of the jobs that run, and of the last ones that
// did, to Prometheus.
type jobMetrics struct{ control *control.Control }

// metric describes one figure of a job.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(transform.Snapshot) float64
	label string
}

func jobMetric(name, help string, kind prometheus.ValueType, label, labelName string, value func(transform.Snapshot) float64) metric {
	labels := []string{"region", "job"}
	if labelName != "" {
		labels = append(labels, labelName)
	}
	return metric{prometheus.NewDesc(name, help, labels, nil), kind, value, label}
}

// metrics is the table of a job's figures.
func metrics() []metric {
	const count, gauge = prometheus.CounterValue, prometheus.GaugeValue
	objects := func(state string, v func(transform.Snapshot) int64) metric {
		return jobMetric("sagemaker_transform_objects", "Input objects of a transform job by state.", gauge, state, "state", func(s transform.Snapshot) float64 { return float64(v(s)) })
	}
	bytes := func(dir string, v func(transform.Snapshot) int64) metric {
		return jobMetric("sagemaker_transform_bytes_total", "Payload bytes sent to (in) and kept of (out) the containers of a transform job.", count, dir, "dir", func(s transform.Snapshot) float64 { return float64(v(s)) })
	}
	return []metric{
		objects("done", func(s transform.Snapshot) int64 { return s.ObjectsDone }),
		objects("failed", func(s transform.Snapshot) int64 { return s.ObjectsFailed }),
		objects("pending", func(s transform.Snapshot) int64 { return s.Objects - s.ObjectsDone - s.ObjectsFailed }),
		bytes("in", func(s transform.Snapshot) int64 { return s.BytesIn }),
		bytes("out", func(s transform.Snapshot) int64 { return s.BytesOut }),
		jobMetric("sagemaker_transform_records_total", "Records answered.", count, "", "", func(s transform.Snapshot) float64 { return float64(s.Records) }),
		jobMetric("sagemaker_transform_invocations_total", "Requests that containers answered well.", count, "", "", func(s transform.Snapshot) float64 { return float64(s.Requests) }),
		jobMetric("sagemaker_transform_retries_total", "Requests that were sent again.", count, "", "", func(s transform.Snapshot) float64 { return float64(s.Retries) }),
		jobMetric("sagemaker_transform_in_flight", "Connections at work.", gauge, "", "", func(s transform.Snapshot) float64 { return float64(s.InFlight) }),
		jobMetric("sagemaker_transform_instances", "Instances that serve.", gauge, "", "", func(s transform.Snapshot) float64 { return float64(s.Instances) }),
		jobMetric("sagemaker_transform_records_per_second", "Records a second since the instances served.", gauge, "", "", func(s transform.Snapshot) float64 { return s.RecordsPerSec }),
		jobMetric("sagemaker_transform_eta_seconds", "Seconds that the rest will take at the rate so far; absent while unknown.", gauge, "", "", func(s transform.Snapshot) float64 {
			if s.ETASeconds == nil {
				return -1
			}
			return *s.ETASeconds
		}),
	}
}

// Describe implements prometheus.Collector.
func (m *jobMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, one := range slices.CompactFunc(metrics(), func(a, b metric) bool { return a.desc.String() == b.desc.String() }) {
		ch <- one.desc
	}
}

// Collect implements prometheus.Collector.
func (m *jobMetrics) Collect(ch chan<- prometheus.Metric) {
	table := metrics()
	for _, j := range m.control.LiveJobs() {
		for _, one := range table {
			v := one.value(j.Snapshot)
			if v < 0 {
				continue
			}
			labels := []string{j.Key.Region, j.Key.Name}
			if one.label != "" {
				labels = append(labels, one.label)
			}
			ch <- prometheus.MustNewConstMetric(one.desc, one.kind, v, labels...)
		}
	}
}
