package cli

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/api"
)

// meter shows how far a job has come: on a terminal a line that is drawn over,
// elsewhere a plain line now and then.
type meter struct {
	screen *screen
	// every is the time between two plain lines.
	every time.Duration
	began time.Time
	last  time.Time // when the last plain line was printed
}

// newMeter makes a meter. Plain lines begin after the first interval.
func newMeter(s *screen, now time.Time) *meter {
	return &meter{screen: s, every: 5 * time.Second, began: now, last: now}
}

// show shows a state of the job.
func (m *meter) show(p api.JobProgress, now time.Time) {
	switch {
	case m.screen.tty:
		m.screen.draw(m.bar(p, now, m.screen.width()-1))
	case now.Sub(m.last) >= m.every:
		m.last = now
		m.screen.line(p.Name + ": " + m.sentence(p, now))
	}
}

// done takes the bar away.
func (m *meter) done() { m.screen.erase() }

// fraction is the part of the input that is done, or of the objects that ended
// where the input has no bytes. Bytes that were only read ahead do not count;
// those of compressed input are told by what was read.
func fraction(p api.JobProgress) float64 {
	switch {
	case p.InputBytes > 0:
		return min(1, float64(min(p.BytesIn, p.InputBytesRead))/float64(p.InputBytes))
	case p.Objects > 0:
		return min(1, float64(p.ObjectsDone+p.ObjectsFailed)/float64(p.Objects))
	}
	return 0
}

// eta is how long the rest will take at the rate so far; ok is false where that
// cannot be known or the job has ended. Plain input goes by what was answered,
// compressed input by the server's estimate, which goes by what was read.
func eta(p api.JobProgress) (left time.Duration, ok bool) {
	switch {
	case p.Status != "InProgress":
		return 0, false
	case p.BytesIn <= p.InputBytesRead && p.BytesPerSec > 0:
		return time.Duration(float64(p.InputBytes-p.BytesIn) / p.BytesPerSec * float64(time.Second)), true
	case p.ETASeconds != nil && p.BytesIn > p.InputBytesRead:
		return time.Duration(*p.ETASeconds * float64(time.Second)), true
	}
	return 0, false
}

// waiting says what a job waits for that moves no data yet, or "".
func (m *meter) waiting(p api.JobProgress, now time.Time) string {
	if p.Instances > 0 || p.Records > 0 || p.Status != "InProgress" {
		return ""
	}
	return "waiting for an instance to be ready, " + span(now.Sub(m.began))
}

// bar is the line for a terminal of n columns:
//
//	[█████████░░░░░░░] 62%  3/4 objects  33,412 records  1.1 MB  182,000/s  ETA 2 s
//
// What does not fit is left out from the right, before the bar is.
func (m *meter) bar(p api.JobProgress, now time.Time, n int) string {
	if text := m.waiting(p, now); text != "" {
		return clip(text, n)
	}
	parts := []string{
		fmt.Sprintf("%3.0f%%", math.Floor(100*fraction(p))),
		fmt.Sprintf("%s/%s", count(p.ObjectsDone+p.ObjectsFailed), plural(p.Objects, "object")),
		plural(p.Records, "record"),
		rate(p.RecordsPerSec) + "/s",
	}
	if left, ok := eta(p); ok {
		parts = append(parts, "ETA "+span(left))
	}
	parts = append(parts, size(p.BytesIn)+" in", size(p.BytesOut)+" out")
	if p.Status == "Stopping" {
		parts = append([]string{"stopping"}, parts...)
	}
	width := min(max(n/5, 10), 30) // of n alone, so that the bar does not jitter
	text := ""
	for _, part := range parts {
		if width+2+utf8.RuneCountInString(text)+2+utf8.RuneCountInString(part) > n {
			break
		}
		text += "  " + part
	}
	if text == "" {
		return clip(strings.TrimSpace(parts[0]), n)
	}
	return m.gauge(fraction(p), width) + strings.TrimPrefix(text, " ")
}

// gauge draws a part of a whole in n columns between brackets.
func (m *meter) gauge(part float64, n int) string {
	full, empty := "█", "░"
	if !m.screen.unicode {
		full, empty = "#", "."
	}
	k := int(part * float64(n))
	return "[" + strings.Repeat(full, k) + strings.Repeat(empty, n-k) + "]"
}

// sentence is the plain line.
func (m *meter) sentence(p api.JobProgress, now time.Time) string {
	if text := m.waiting(p, now); text != "" {
		return text
	}
	text := fmt.Sprintf("%.0f%%, %s of %s, %s, %s in, %s out", math.Floor(100*fraction(p)),
		count(p.ObjectsDone+p.ObjectsFailed), plural(p.Objects, "object"), plural(p.Records, "record"), size(p.BytesIn), size(p.BytesOut))
	if p.RecordsPerSec > 0 {
		text += ", " + rate(p.RecordsPerSec) + " records/s"
	}
	if left, ok := eta(p); ok {
		text += ", about " + span(left) + " left"
	}
	if p.Retries > 0 {
		text += ", " + plural(p.Retries, "request") + " repeated"
	}
	if p.ObjectsFailed > 0 {
		text += ", " + plural(p.ObjectsFailed, "object") + " failed"
	}
	return text
}
