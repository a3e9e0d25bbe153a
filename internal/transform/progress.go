package transform

import (
	"sync/atomic"
	"time"
)

// Counts are what was done for an object or a job.
type Counts struct {
	// Records sent and answered; with SplitType None an object is one record.
	Records int64
	// Requests that succeeded, and further attempts that it took.
	Requests, Retries int64
	// BytesIn were sent as payload, BytesOut are in the output.
	BytesIn, BytesOut int64
}

// Add adds another count.
func (c *Counts) Add(o Counts) {
	c.Records += o.Records
	c.Requests += o.Requests
	c.Retries += o.Retries
	c.BytesIn += o.BytesIn
	c.BytesOut += o.BytesOut
}

// Progress is how far a job has come in this run of the server. All of it may be
// read at any time.
type Progress struct {
	Objects, ObjectsDone, ObjectsFailed atomic.Int64
	InputBytes                          atomic.Int64 // size of all input objects, as stored
	InputBytesRead                      atomic.Int64 // as stored, before gunzip
	Records, Requests, Retries          atomic.Int64
	BytesIn, BytesOut                   atomic.Int64
	InFlight                            atomic.Int64
	Instances                           atomic.Int64 // that serve now

	since atomic.Int64 // when the first instance of this run served, Unix nanoseconds, or 0
	base  Snapshot     // the counters as they were then; written before since
}

// Start marks the moment from which rates are computed. Only its first call counts,
// and calls must not overlap.
func (p *Progress) Start(now time.Time) {
	if p.since.Load() == 0 {
		p.base = p.Snapshot(now)
		p.since.Store(now.UnixNano())
	}
}

// Snapshot is a Progress at one instant, with what can be computed from it.
type Snapshot struct {
	Objects        int64   `json:"objects"`
	ObjectsDone    int64   `json:"objectsDone"`
	ObjectsFailed  int64   `json:"objectsFailed"`
	InputBytes     int64   `json:"inputBytes"`
	InputBytesRead int64   `json:"inputBytesRead"`
	Records        int64   `json:"records"`
	Requests       int64   `json:"requests"`
	Retries        int64   `json:"retries"`
	BytesIn        int64   `json:"bytesIn"`
	BytesOut       int64   `json:"bytesOut"`
	InFlight       int64   `json:"inFlight"`
	Instances      int64   `json:"instances"`
	RecordsPerSec  float64 `json:"recordsPerSecond"`
	BytesPerSec    float64 `json:"bytesPerSecond"`
	// ETASeconds is how long the rest will take at the rate so far; nil is unknown.
	ETASeconds *float64 `json:"etaSeconds"`
}

// Snapshot reads the counters; rates are over the time since instances served.
func (p *Progress) Snapshot(now time.Time) Snapshot {
	s := Snapshot{
		Objects: p.Objects.Load(), ObjectsDone: p.ObjectsDone.Load(), ObjectsFailed: p.ObjectsFailed.Load(),
		InputBytes: p.InputBytes.Load(), InputBytesRead: p.InputBytesRead.Load(),
		Records: p.Records.Load(), Requests: p.Requests.Load(), Retries: p.Retries.Load(),
		BytesIn: p.BytesIn.Load(), BytesOut: p.BytesOut.Load(),
		InFlight: p.InFlight.Load(), Instances: p.Instances.Load(),
	}
	since := p.since.Load()
	elapsed := now.Sub(time.Unix(0, since)).Seconds()
	if since == 0 || elapsed <= 0 {
		return s
	}
	s.RecordsPerSec = float64(s.Records-p.base.Records) / elapsed
	s.BytesPerSec = float64(s.BytesIn-p.base.BytesIn) / elapsed
	if read := s.InputBytesRead - p.base.InputBytesRead; read > 0 && s.InputBytes > 0 {
		eta := elapsed * float64(max(s.InputBytes-s.InputBytesRead, 0)) / float64(read)
		s.ETASeconds = &eta
	}
	return s
}
