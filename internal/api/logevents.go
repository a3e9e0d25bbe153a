package api

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/logpattern"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/cwlogs"
)

// The bounds of a page of events, as AWS has them: of events, and of bytes with
// what AWS counts for each.
const (
	eventPage     = 10_000
	eventPageSize = 1 << 20
	eventOverhead = 26
)

// maxScanned bounds what one FilterLogEvents reads, in bytes. A page that ends
// there has a token, and may be empty, as AWS's are.
const maxScanned = 32 << 20

// lineRange makes a range of a request's times: from the start on, before the end.
func lineRange(start, end *int64) (r joblog.Range) {
	if start != nil {
		r.After = microseconds(*start) - 1
	}
	if end != nil {
		r.Before = max(1, microseconds(*end)) // 0 would be no bound
	}
	return r
}

// microseconds makes a position of milliseconds, which may be any number.
func microseconds(ms int64) joblog.Position {
	return joblog.Position(min(ms, math.MaxInt64/1000) * 1000)
}

// getLogEvents gives a page of a stream. The forward token is always there; with
// nothing new behind it, it comes back unchanged with no events (OB-30). Tokens
// say the direction, whatever startFromHead says.
func (s *Server) getLogEvents(_ context.Context, region string, in *cwlogs.GetLogEventsInput) (wire.Message, error) {
	g, err := s.group(region, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	stream := *in.LogStreamName
	if !s.Logs.HasStream(g, stream) {
		return nil, noStream()
	}
	asked := []string{"events", g.Region, g.Name, stream}
	direction, r, err := s.openEvents(in, asked)
	if err != nil {
		return nil, err
	}
	limit := limitOf(in.Limit, eventPage)
	var lines []joblog.Line
	if direction == forward || direction == "" && value(in.StartFromHead) {
		lines, err = s.pageForward(g, stream, r, limit)
	} else {
		lines, err = s.Logs.Tail(g, stream, r, limit, eventPageSize)
	}
	if err != nil {
		return nil, err
	}
	after, before := s.around(g, stream, lines, r)
	out := &cwlogs.GetLogEventsOutput{
		Events:            []cwlogs.OutputLogEvent{},
		NextForwardToken:  s.sealEvents(forward, logPlace{After: after}, asked),
		NextBackwardToken: s.sealEvents(backward, logPlace{Before: before}, asked),
	}
	switch {
	case len(lines) > 0:
	case direction == forward:
		out.NextForwardToken = in.NextToken
	case direction == backward:
		out.NextBackwardToken = in.NextToken
	}
	for _, l := range lines {
		out.Events = append(out.Events, cwlogs.OutputLogEvent{Timestamp: ref(milli(l.Position)), Message: &l.Text, IngestionTime: ref(milli(l.Position))})
	}
	return out, nil
}

// The directions that begin the tokens of a stream's events, as AWS's do.
const (
	forward  = "f"
	backward = "b"
)

// sealEvents makes a token of a stream's events.
func (s *Server) sealEvents(direction string, at logPlace, asked []string) *string {
	return ref(direction + "/" + value(s.logTokens.seal(at, append(asked, direction)...)))
}

// openEvents reads the range that a request and its token leave. The direction is
// "" without a token.
func (s *Server) openEvents(in *cwlogs.GetLogEventsInput, asked []string) (direction string, r joblog.Range, err error) {
	r = lineRange(in.StartTime, in.EndTime)
	if in.NextToken == nil {
		return "", r, nil
	}
	direction, token, _ := strings.Cut(*in.NextToken, "/")
	at, err := s.logTokens.open(&token, append(asked, direction)...)
	r.After = max(r.After, at.After)
	if at.Before > 0 {
		r.Before = earlier(r.Before, at.Before)
	}
	return direction, r, err
}

// earlier is the lower of two bounds, of which the first may be 0 for none.
func earlier(a, b joblog.Position) joblog.Position {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// around gives the positions that a page's tokens go on from: behind its last line
// and before its first. An empty page stays where it was.
func (s *Server) around(g joblog.Group, stream string, lines []joblog.Line, r joblog.Range) (after, before joblog.Position) {
	if len(lines) > 0 {
		return lines[len(lines)-1].Position, lines[0].Position
	}
	if r.Before > 0 && r.Before-1 > r.After { // nothing is between: what is next is at the end or later
		_, last, _, _ := s.Logs.Bounds(g, stream)
		r.After = max(r.After, min(last, r.Before-1))
	}
	return r.After, r.After + 1
}

// pageForward reads the first lines of a range that fit a page.
func (s *Server) pageForward(g joblog.Group, stream string, r joblog.Range, limit int) (lines []joblog.Line, err error) {
	size := 0
	for l, err := range s.Logs.Lines(g, []string{stream}, r) {
		if err != nil {
			return nil, err
		}
		if size += len(l.Text) + eventOverhead; size > eventPageSize && len(lines) > 0 {
			break
		}
		if lines = append(lines, l); len(lines) == limit {
			break
		}
	}
	return lines, nil
}

// filterLogEvents gives a page of the lines of a group's streams that match a
// pattern, merged by time.
func (s *Server) filterLogEvents(ctx context.Context, region string, in *cwlogs.FilterLogEventsInput) (wire.Message, error) {
	g, err := s.group(region, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	pattern, err := logpattern.Parse(value(in.FilterPattern))
	if err != nil {
		return nil, invalidParameter("%s", err)
	}
	now := s.Logs.Now() // before the streams are listed: one that begins meanwhile is for the next call
	streams, err := s.filteredStreams(g, in)
	if err != nil {
		return nil, err
	}
	asked := []string{"filter", g.Region, g.Name, value(in.FilterPattern), value(in.LogStreamNamePrefix), strings.Join(in.LogStreamNames, ":"), fmt.Sprint(value(in.StartTime), value(in.EndTime))}
	at, err := s.logTokens.open(in.NextToken, asked...)
	if err != nil {
		return nil, err
	}
	r := lineRange(in.StartTime, in.EndTime)
	r.After, r.Before = max(r.After, at.After), earlier(r.Before, now+1)
	f := filter{match: pattern.Match, limit: limitOf(in.Limit, eventPage)}
	more, err := f.page(ctx, s.Logs, g, streams, r)
	if err != nil {
		return nil, err
	}
	out := &cwlogs.FilterLogEventsOutput{Events: f.events, SearchedLogStreams: []cwlogs.SearchedLogStream{}}
	if more {
		out.NextToken = s.logTokens.seal(logPlace{After: f.done}, asked...)
	}
	return out, nil
}

// filteredStreams names the streams that a filter is about.
func (s *Server) filteredStreams(g joblog.Group, in *cwlogs.FilterLogEventsInput) ([]string, error) {
	if in.LogStreamNames != nil {
		if in.LogStreamNamePrefix != nil {
			return nil, invalidParameter("logStreamNamePrefix and logStreamNames are mutually exclusive parameters.")
		}
		for _, name := range in.LogStreamNames {
			if !s.Logs.HasStream(g, name) {
				return nil, noStream()
			}
		}
		return slices.Compact(slices.Sorted(slices.Values(in.LogStreamNames))), nil
	}
	found, err := s.Logs.Streams(g, value(in.LogStreamNamePrefix))
	var names []string
	for _, i := range found {
		if in.StartTime == nil || i.Modified.UnixMilli() >= *in.StartTime { // else all of it is older
			names = append(names, i.Name)
		}
	}
	return names, err
}

// filter collects a page of events.
type filter struct {
	match  func(string) bool
	limit  int
	events []cwlogs.FilteredLogEvent
	done   joblog.Position // the last line that was looked at
}

// page reads until a page is full, or enough was looked at; more says that there
// may be more behind f.done.
func (f *filter) page(ctx context.Context, logs *joblog.Dir, g joblog.Group, streams []string, r joblog.Range) (more bool, err error) {
	f.events, f.done = []cwlogs.FilteredLogEvent{}, r.After
	size, scanned := 0, 0
	for l, err := range logs.Lines(g, streams, r) {
		if err != nil {
			return false, err
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if len(f.events) == f.limit || scanned > maxScanned {
			return true, nil
		}
		scanned += len(l.Text) + eventOverhead
		if f.match(l.Text) {
			if size += len(l.Text) + eventOverhead; size > eventPageSize && len(f.events) > 0 {
				return true, nil
			}
			f.events = append(f.events, cwlogs.FilteredLogEvent{
				LogStreamName: &l.Stream, Timestamp: ref(milli(l.Position)), Message: &l.Text,
				IngestionTime: ref(milli(l.Position)), EventId: ref(eventID(l)),
			})
		}
		f.done = l.Position
	}
	return false, nil
}

// eventID is a number of 56 digits that no other line has, in the order of time.
func eventID(l joblog.Line) string {
	h := fnv.New64a()
	h.Write([]byte(l.Stream))
	return fmt.Sprintf("%028d%028d", l.Position, h.Sum64())
}
