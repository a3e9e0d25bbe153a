package instance

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"
)

// eagerFor is how long a closed port is tried more often than PingInterval says.
const eagerFor = 10 * time.Second

// keptRuns bounds the runs of equal answers that a pingRecord remembers.
const keptRuns = 8

// Progress says how far an instance is on its way to being ready.
type Progress struct {
	// Started is when the instance was started.
	Started time.Time
	// Ready tells that a ping was answered with 200.
	Ready bool
	// PortOpen tells that a connection could be opened at least once.
	PortOpen bool
	// Pings counts all pings so far, also those that met a closed port.
	Pings int
	// LastAnswer is what the last ping got: "200", "503", "connection refused".
	LastAnswer string
	// Answers are the last distinct answers with their counts, oldest first:
	// "connection refused x12, then 503 x3".
	Answers string
}

// Progress tells what the pings met so far. It may be called at any time.
func (in *Instance) Progress() Progress {
	p := in.pings.progress()
	p.Started = in.started
	return p
}

// pingRecord remembers what pings met, as runs of equal answers.
type pingRecord struct {
	mu       sync.Mutex
	pings    int
	runs     []pingRun
	cut      bool // older runs were forgotten
	ready    bool
	portOpen bool
}

type pingRun struct {
	answer string
	count  int
}

func (r *pingRecord) add(answer string, ready, portOpen bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pings++
	r.ready = r.ready || ready
	r.portOpen = r.portOpen || portOpen
	if n := len(r.runs); n > 0 && r.runs[n-1].answer == answer {
		r.runs[n-1].count++
		return
	}
	if len(r.runs) == keptRuns {
		r.runs = append(r.runs[:0], r.runs[1:]...)
		r.cut = true
	}
	r.runs = append(r.runs, pingRun{answer, 1})
}

func (r *pingRecord) progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{Ready: r.ready, PortOpen: r.portOpen, Pings: r.pings}
	parts := make([]string, 0, len(r.runs)+1)
	if r.cut {
		parts = append(parts, "...")
	}
	for _, run := range r.runs {
		part := run.answer
		if run.count > 1 {
			part += " x" + strconv.Itoa(run.count)
		}
		parts = append(parts, part)
		p.LastAnswer = run.answer
	}
	p.Answers = strings.Join(parts, ", then ")
	return p
}

// WaitReady pings until the container answers 200 (CC-21). It ends early when
// the container ends or ctx does. Its error is a *ReadyError, or ctx's cause.
// The instance is left as it is.
func (in *Instance) WaitReady(ctx context.Context) error {
	deadline := time.Now().Add(in.opts.ReadyTimeout)
	for !in.exited() {
		next := time.Now()
		if in.ping(ctx) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		next = next.Add(in.pingPause())
		if next.After(deadline) {
			next = deadline
		}
		pause := time.NewTimer(time.Until(next))
		select {
		case <-pause.C:
		case <-in.handle.Done():
		case <-ctx.Done():
		}
		pause.Stop()
		if !time.Now().Before(deadline) {
			return in.notReady(context.DeadlineExceeded)
		}
	}
	return in.notReady(errEnded)
}

// Healthy pings once and reports whether the answer was 200 (CC-21).
func (in *Instance) Healthy(ctx context.Context) bool { return in.ping(ctx) }

// pingPause is the time from one ping to the next.
func (in *Instance) pingPause() time.Duration {
	p := in.pings.progress()
	if !p.PortOpen && time.Since(in.started) < eagerFor {
		return in.opts.PingInterval / 10
	}
	return in.opts.PingInterval
}

// ping asks once and notes the answer. Each ping has a connection of its own: a
// server that serves one connection at a time is then free for the invocations.
func (in *Instance) ping(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, in.opts.PingTimeout)
	defer cancel()
	c := in.NewConn()
	defer c.Close()
	_, err := c.roundTrip(ctx, message{head: getHead("/ping")}, nil, in.opts.PingTimeout, maxSmallAnswer)
	// The status alone counts, whatever may be wrong with the body (CC-21).
	answer, status := "", 0
	if c.ans.whole {
		status = c.ans.status
		answer = strconv.Itoa(status)
	} else {
		answer = answerText(err)
	}
	in.pings.add(answer, status == 200, c.dialed)
	return status == 200
}

func getHead(path string) []byte {
	return []byte(startOf("GET", path) + "Accept: */*\r\n\r\n")
}
