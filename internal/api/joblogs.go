package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// LogLine is one line of the answers at /-/api/v1/transform-jobs/NAME/logs and
// /-/api/v1/endpoints/NAME/logs, which are JSON lines. Stream is without the name of
// the job.
type LogLine struct {
	Time   LogTime `json:"time"`
	Stream string  `json:"stream"`
	Text   string  `json:"text"`
}

// LogTime is a time that is written with all its microseconds, so that texts sort
// as times do.
type LogTime struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t LogTime) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000000Z"`), nil
}

// jobLogs answers what is kept of a job's streams, merged by time; with follow=1
// also what comes, until the job has ended.
func (s *Server) jobLogs(w http.ResponseWriter, r *http.Request) {
	key := s.requestKey(r)
	j, err := s.Control.DescribeTransformJob(r.Context(), key)
	if err != nil {
		s.ownFail(w, err)
		return
	}
	s.serveLogs(w, r, joblog.JobName(j.Key), func() (bool, error) {
		j, err := s.Control.DescribeTransformJob(r.Context(), key)
		return j.Status.Terminal(), err
	})
}

// endpointLogs is jobLogs for an endpoint, which ends when it is deleted. Its lines
// can be read afterwards too.
func (s *Server) endpointLogs(w http.ResponseWriter, r *http.Request) {
	key := s.requestKey(r)
	e, _, err := s.Control.DescribeEndpoint(r.Context(), key)
	if err == nil {
		key = e.Key
	}
	place := joblog.EndpointName(key)
	if fault.Is(err, fault.NotFound) {
		if kept, lerr := s.Logs.Streams(place.Group, place.Prefix); lerr == nil && len(kept) > 0 {
			err = nil
		}
	}
	if err != nil {
		s.ownFail(w, err)
		return
	}
	s.serveLogs(w, r, place, func() (bool, error) {
		_, _, err := s.Control.DescribeEndpoint(r.Context(), key)
		if fault.Is(err, fault.NotFound) {
			return true, nil
		}
		return false, err
	})
}

// serveLogs answers lines as the request's parameters ask for them; with follow=1
// until ended says so.
func (s *Server) serveLogs(w http.ResponseWriter, r *http.Request, place joblog.Place, ended func() (bool, error)) {
	q, err := readLogQuery(r.URL.Query(), s.Now())
	if err != nil {
		s.ownFail(w, err)
		return
	}
	f := follower{logs: s.Logs, place: place, query: q, after: q.since, out: json.NewEncoder(w)}
	f.out.SetEscapeHTML(false)
	w.Header().Set("Content-Type", "application/x-ndjson")
	err = f.begin()
	if err != nil && !f.wrote {
		s.ownFail(w, err)
		return
	}
	if err == nil && q.follow {
		err = f.follow(r.Context(), s.draining, http.NewResponseController(w).Flush, ended)
	}
	if err != nil && r.Context().Err() == nil { // the status is sent; the log says why it ended
		s.Log.Warn("an answer with logs was cut short", "of", r.PathValue("name"), "error", err)
	}
}

// logQuery is which lines are asked for.
type logQuery struct {
	follow bool
	stream string // a glob over the streams' names; "" is all
	since  joblog.Position
	tail   int // -1 is all
}

// maxTail bounds how many lines are put in order in memory.
const maxTail = 10_000

// readLogQuery reads the parameters of a request.
func readLogQuery(v url.Values, now time.Time) (q logQuery, err error) {
	q = logQuery{stream: v.Get("stream"), tail: -1}
	q.follow = v.Get("follow") != "" && v.Get("follow") != "0"
	if _, err := path.Match(q.stream, ""); err != nil {
		return q, invalidQuery("stream", q.stream, "a stream's name, which may hold * and ?")
	}
	if text := v.Get("since"); text != "" {
		at, err := sinceTime(text, now)
		if err != nil {
			return q, invalidQuery("since", text, "a time such as 2026-11-24T07:30:00Z or a duration such as 10m")
		}
		q.since = joblog.At(at) - 1
	}
	if text := v.Get("tail"); text != "" {
		if q.tail, err = strconv.Atoi(text); err != nil || q.tail < 0 || q.tail > maxTail {
			return q, invalidQuery("tail", text, "a number of lines up to "+strconv.Itoa(maxTail))
		}
	}
	return q, nil
}

// invalidQuery refuses a parameter.
func invalidQuery(name, value, want string) error {
	return wire.Errorf(wire.ValidationException, "%s is %q, and must be %s", name, clip(value), want)
}

// sinceTime reads a time, or how long ago it was.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	return time.Parse(time.RFC3339, text)
}

// follower writes the lines of a job's streams.
type follower struct {
	logs  *joblog.Dir
	place joblog.Place
	query logQuery
	after joblog.Position // the last line that was written, or what is before the first
	out   *json.Encoder
	wrote bool
}

// begin writes what there is: all of it, or its last lines.
func (f *follower) begin() error {
	if f.query.tail < 0 {
		return f.rest()
	}
	now := f.logs.Now()
	streams, err := f.streams()
	if err != nil {
		return err
	}
	var last []joblog.Line
	for _, name := range streams {
		lines, err := f.logs.Tail(f.place.Group, name, joblog.Range{After: f.after, Before: now + 1}, f.query.tail, tailBytes)
		if err != nil {
			return err
		}
		last = append(last, lines...)
		slices.SortFunc(last, func(a, b joblog.Line) int { return cmp.Compare(a.Position, b.Position) })
		last = last[max(0, len(last)-f.query.tail):]
	}
	for _, l := range last {
		if err := f.write(l); err != nil {
			return err
		}
	}
	f.after = max(f.after, now)
	return nil
}

// tailBytes bounds what is read of one stream for its last lines.
const tailBytes = 4 << 20

// rest writes the lines behind the last one.
func (f *follower) rest() error {
	now := f.logs.Now() // before the streams are listed: one that begins meanwhile is for the next time
	streams, err := f.streams()
	if err != nil {
		return err
	}
	for l, err := range f.logs.Lines(f.place.Group, streams, joblog.Range{After: f.after, Before: now + 1}) {
		if err != nil {
			return err
		}
		if err := f.write(l); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) write(l joblog.Line) error {
	f.after, f.wrote = l.Position, true
	return f.out.Encode(LogLine{Time: LogTime{l.Time()}, Stream: strings.TrimPrefix(l.Stream, f.place.Prefix), Text: l.Text})
}

// streams names the streams that are asked for and are there now.
func (f *follower) streams() (names []string, err error) {
	all, err := f.logs.Streams(f.place.Group, f.place.Prefix)
	for _, i := range all {
		short := strings.TrimPrefix(i.Name, f.place.Prefix)
		if ok, _ := path.Match(f.query.stream, short); f.query.stream == "" || ok {
			names = append(names, i.Name)
		}
	}
	return names, err
}

const (
	// followPause is how long a follower lets lines gather.
	followPause = 100 * time.Millisecond
	// followCheck is how often it looks whether a silent job has ended.
	followCheck = time.Second
)

// follow writes what comes until the job has ended and all was written, the client
// is gone, or the server stops.
func (f *follower) follow(ctx context.Context, stop <-chan struct{}, flush func() error, ended func() (bool, error)) error {
	wait := func(c <-chan struct{}, longest time.Duration) bool {
		timer := time.NewTimer(longest)
		defer timer.Stop()
		select {
		case <-c:
		case <-timer.C:
		case <-stop:
			return false
		case <-ctx.Done():
			return false
		}
		return true
	}
	for {
		changed := f.logs.Changed()
		over, err := ended() // before reading: an instance's last words are written before its job ends
		if err != nil {
			return err
		}
		if err := f.rest(); err != nil {
			return err
		}
		if err := flush(); err != nil || over {
			return err
		}
		if !wait(changed, followCheck) || !wait(nil, followPause) {
			return nil
		}
	}
}
