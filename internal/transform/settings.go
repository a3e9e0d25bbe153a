package transform

import (
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/record"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Suggested are the values that a container offers at /execution-parameters. A
// nil or empty member was not offered (CC-30 to CC-35).
type Suggested struct {
	MaxConcurrentTransforms *int
	MaxPayloadInMB          *int
	BatchStrategy           resource.BatchStrategy
}

// Settings are a job's effective values on one instance.
type Settings struct {
	// Concurrent is how many invocations are in flight on an instance (BT-52).
	Concurrent int
	// PayloadMB bounds a request in units of 2^20 bytes; 0 streams (BT-76, BT-78).
	PayloadMB int
	Strategy  resource.BatchStrategy

	Split    resource.SplitType
	Assembly record.Assembly
	Layout   resource.OutputLayout
	Gzip     bool
}

// The defaults of CC-32, and the bounds of BT-5 and CC-35.
const (
	defaultConcurrent = 1
	defaultPayloadMB  = 6
	maxConcurrent     = 100
	maxProductMB      = 100
)

// Resolve decides each value on its own: the job's, else the container's, else
// the default (CC-32). A concurrency that only the container suggested is cut
// down where the product with the payload is over 100 MB (CC-38).
func Resolve(spec resource.TransformSpec, offer Suggested) Settings {
	s := Settings{
		Concurrent: defaultConcurrent,
		PayloadMB:  defaultPayloadMB,
		Strategy:   resource.MultiRecord,
		Split:      spec.Input.Split,
		Assembly:   assembly(spec),
		Layout:     spec.Layout,
		Gzip:       spec.Input.Compression == "Gzip",
	}
	if s.Split == "" {
		s.Split = resource.SplitNone
	}
	s.PayloadMB = firstOf(s.PayloadMB, spec.MaxPayloadInMB, offer.MaxPayloadInMB)
	if spec.BatchStrategy != "" {
		s.Strategy = spec.BatchStrategy
	} else if offer.BatchStrategy != "" {
		s.Strategy = offer.BatchStrategy
	}
	asked, given := askedConcurrency(spec)
	if given {
		s.Concurrent = asked
		return s
	}
	s.Concurrent = min(firstOf(defaultConcurrent, offer.MaxConcurrentTransforms), maxConcurrent)
	if s.PayloadMB > 0 && s.Concurrent*s.PayloadMB > maxProductMB {
		s.Concurrent = max(1, maxProductMB/s.PayloadMB)
	}
	return s
}

// askedConcurrency gives the job's own MaxConcurrentTransforms. 0 means that the
// container decides; unset means the same today and 1 in the seed (SD-8).
func askedConcurrency(spec resource.TransformSpec) (n int, given bool) {
	if spec.MaxConcurrentTransforms != nil {
		return *spec.MaxConcurrentTransforms, *spec.MaxConcurrentTransforms > 0
	}
	return spec.DefaultConcurrency, spec.DefaultConcurrency > 0
}

// firstOf gives the first value that is there.
func firstOf(fallback int, values ...*int) int {
	for _, v := range values {
		if v != nil {
			return *v
		}
	}
	return fallback
}

// assembly maps the API's word to how answers are joined.
func assembly(spec resource.TransformSpec) record.Assembly {
	switch spec.Output.AssembleWith {
	case resource.AssembleLine:
		if spec.AlwaysNewline {
			return record.AlwaysLine
		}
		return record.JoinLines
	case resource.AssembleRecordIO:
		return record.FramedAsRecords
	}
	return record.Concat
}

// split maps the API's word to how objects are cut.
func split(s resource.SplitType) record.Split {
	switch s {
	case resource.SplitLine:
		return record.Line
	case resource.SplitRecordIO:
		return record.RecordIO
	case resource.SplitTFRecord:
		return record.TFRecord
	}
	return record.None
}

// ContainerStrategy is a strategy as containers and the data-log spell it (CC-30).
func ContainerStrategy(s resource.BatchStrategy) string {
	if s == resource.SingleRecord {
		return "SINGLE_RECORD"
	}
	return "MULTI_RECORD"
}

// String is the data-log's first line (BT-80).
func (s Settings) String() string {
	return fmt.Sprintf("MaxConcurrentTransforms=%d, MaxPayloadInMB=%d, BatchStrategy=%s", s.Concurrent, s.PayloadMB, ContainerStrategy(s.Strategy))
}

// streams reports whether objects go through in one chunked request each, without
// being packed (BT-78).
func (s Settings) streams() bool {
	return s.PayloadMB == 0 && (s.Split == resource.SplitNone || s.Strategy == resource.MultiRecord)
}

// maxRecord bounds a record, in bytes, where MaxPayloadInMB is 0 and records go
// one by one: something must, since a record is held in memory.
const maxRecord = 1 << 30

// batching gives the packer's configuration for an object of a size.
func (s Settings) batching(size int64) record.Config {
	limit := s.PayloadMB << 20
	if limit == 0 {
		limit = maxRecord
	}
	if s.Gzip {
		size = 0
	}
	return record.Config{
		Split: split(s.Split), Single: s.Strategy == resource.SingleRecord, Limit: limit, SizeHint: size,
	}
}
