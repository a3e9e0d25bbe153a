package api

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

const group = "/aws/sagemaker/TransformJobs"

// port is a server whose logs alone are used.
func port(t *testing.T, whole bool) *Server {
	t.Helper()
	at := time.Date(2026, 11, 24, 7, 30, 0, 0, time.UTC)
	now := func() time.Time { at = at.Add(time.Second); return at }
	return New(Options{
		Logs: joblog.New(t.TempDir(), joblog.Limits{}, now), LogSecret: []byte("secret"), WholeLogPages: whole,
		Open: true, Account: "000000000000", Region: "us-east-1", Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: now,
	})
}

func put(t *testing.T, s *Server, job, stream string, lines ...string) {
	t.Helper()
	w, err := s.Logs.Create(joblog.JobName(resource.Key{Region: "us-east-1", Name: job}), stream)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		w.Line(l)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

type answer struct {
	Type              string `json:"__type"`
	Message           string `json:"message"`
	LogGroups         []map[string]any
	LogStreams        []map[string]any
	Events            []event
	NextToken         string
	NextForwardToken  string
	NextBackwardToken string
}

type event struct {
	Timestamp     int64
	Message       string
	LogStreamName string
	EventID       string `json:"eventId"`
}

// logs calls an operation of CloudWatch Logs over HTTP; in is name, value, ...
func logs(t *testing.T, s *Server, operation string, in ...any) (a answer) {
	t.Helper()
	request := map[string]any{}
	for i := 0; i < len(in); i += 2 {
		request[in[i].(string)] = in[i+1]
	}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/", strings.NewReader(string(body)))
	r.Header.Set("X-Amz-Target", "Logs_20140328."+operation)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("%s: %s", w.Body, err)
		}
	}
	if (w.Code == 200) != (a.Type == "") || w.Code >= 500 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return a
}

func (a answer) messages() (all []string) {
	for _, e := range a.Events {
		all = append(all, e.Message)
	}
	return all
}

func (a answer) streams() (all []string) {
	for _, s := range a.LogStreams {
		all = append(all, s["logStreamName"].(string))
	}
	return all
}

// flush is one poll of SageMaker SDK v2's logs_for_transform_job, as OB-30 tells
// it: its calls and its habits. It gives what would be printed.
func flush(t *testing.T, s *Server, job string, instances int, tokens map[string]string) (printed []string) {
	t.Helper()
	prefix := job + "/"
	page := logs(t, s, "DescribeLogStreams", "logGroupName", group, "logStreamNamePrefix", prefix, "orderBy", "LogStreamName", "limit", min(instances, 50))
	if page.Type == "ResourceNotFoundException" {
		return nil
	}
	names := page.streams()
	for calls := 0; page.NextToken != ""; calls++ {
		if calls > 5 {
			t.Fatal("the client would go on for ever")
		}
		page = logs(t, s, "DescribeLogStreams", "logGroupName", group, "logStreamNamePrefix", prefix, "orderBy", "LogStreamName", "limit", 50)
		names = append(names, page.streams()...)
	}
	for _, name := range names {
		for calls := 0; ; calls++ {
			in := []any{"logGroupName", group, "logStreamName", name, "startTime", 0, "startFromHead", true}
			if tokens[name] != "" {
				in = append(in, "nextToken", tokens[name])
			}
			a := logs(t, s, "GetLogEvents", in...)
			if a.NextForwardToken == "" || calls > 10 {
				t.Fatalf("the client would go on for ever: %+v", a)
			}
			tokens[name] = a.NextForwardToken
			if len(a.Events) == 0 {
				break
			}
			printed = append(printed, a.messages()...)
		}
	}
	return printed
}

// OB-30: the SDK's poll ends, before the first stream, with it, and later; what
// was printed is not printed again.
func TestSDKv2Poll(t *testing.T) {
	t.Parallel()
	s, tokens := port(t, false), map[string]string{}
	if got := flush(t, s, "Job", 1, tokens); got != nil {
		t.Errorf("before the first stream: %q", got)
	}
	put(t, s, "Job", "i-1", "one")
	put(t, s, "Job", "i-1/data-log", "data")
	put(t, s, "Job2", "i-1", "another job's")
	if got := flush(t, s, "Job", 1, tokens); !slices.Equal(got, []string{"one", "data"}) {
		t.Errorf("printed %q", got)
	}
	for range 2 {
		if got := flush(t, s, "Job", 1, tokens); got != nil {
			t.Errorf("printed again: %q", got)
		}
	}
	put(t, s, "Job", "i-1", "two")
	if got := flush(t, s, "Job", 1, tokens); !slices.Equal(got, []string{"two"}) {
		t.Errorf("printed %q", got)
	}
}

// OB-30: a limit under 50 is obeyed, unless the switch says otherwise; a page of 50
// has a token only when there are more.
func TestDescribeLogStreams(t *testing.T) {
	t.Parallel()
	for whole, want := range map[bool]int{false: 3, true: 50} {
		s := port(t, whole)
		for i := range 50 {
			put(t, s, "j", fmt.Sprintf("i-%02d", i), "x")
		}
		describe := func(in ...any) answer {
			return logs(t, s, "DescribeLogStreams", append([]any{"logGroupName", group, "logStreamNamePrefix", "j/"}, in...)...)
		}
		if a := describe("limit", 3); len(a.LogStreams) != want || (a.NextToken == "") != whole {
			t.Errorf("limit 3: %d streams, token %q", len(a.LogStreams), a.NextToken)
		}
		if a := describe("limit", 50); len(a.LogStreams) != 50 || a.NextToken != "" {
			t.Errorf("50 of 50: %d streams, token %q", len(a.LogStreams), a.NextToken)
		}
		put(t, s, "j", "i-50", "x")
		a := describe()
		if len(a.LogStreams) != 50 || a.NextToken == "" {
			t.Fatalf("50 of 51: %d streams, token %q", len(a.LogStreams), a.NextToken)
		}
		if b := describe("nextToken", a.NextToken); !slices.Equal(b.streams(), []string{"j/i-50"}) || b.NextToken != "" {
			t.Errorf("the last of 51: %q, token %q", b.streams(), b.NextToken)
		}
		if b := describe("nextToken", a.NextToken, "descending", true); b.Type != "InvalidParameterException" {
			t.Errorf("a token of another order: %+v", b)
		}
	}
}

func TestDescribeLogStreamsByTime(t *testing.T) {
	t.Parallel()
	s := port(t, false)
	put(t, s, "j", "b", "x")
	put(t, s, "j", "a")
	a := logs(t, s, "DescribeLogStreams", "logGroupName", group, "orderBy", "LastEventTime", "descending", true, "limit", 1)
	b := logs(t, s, "DescribeLogStreams", "logGroupName", group, "orderBy", "LastEventTime", "descending", true, "limit", 1, "nextToken", a.NextToken)
	if both := append(a.streams(), b.streams()...); len(both) != 2 || both[0] == both[1] || b.NextToken != "" {
		t.Errorf("%q, then %q", a.streams(), b.streams())
	}
	for _, stream := range append(a.LogStreams, b.LogStreams...) {
		_, written := stream["firstEventTimestamp"]
		if written != (stream["logStreamName"] == "j/b") || stream["creationTime"] == nil || !strings.HasPrefix(stream["arn"].(string), "arn:aws:logs:us-east-1:000000000000:log-group:"+group+":log-stream:j/") {
			t.Errorf("%v", stream)
		}
	}
	if a := logs(t, s, "DescribeLogStreams", "logGroupName", group, "orderBy", "LastEventTime", "logStreamNamePrefix", "j"); a.Message != "Cannot order by LastEventTime with a logStreamNamePrefix." {
		t.Errorf("%+v", a)
	}
}

// OB-30: pages go forward and backward; their tokens stay good and say where.
func TestGetLogEvents(t *testing.T) {
	t.Parallel()
	s := port(t, false)
	var lines []string
	for i := range 25 {
		lines = append(lines, fmt.Sprint("line ", i))
	}
	put(t, s, "j", "i", lines...)
	get := func(in ...any) answer {
		return logs(t, s, "GetLogEvents", append([]any{"logGroupName", group, "logStreamName", "j/i"}, in...)...)
	}
	var got []string
	first := get("startFromHead", true, "limit", 10)
	a := first
	for len(a.Events) > 0 {
		got = append(got, a.messages()...)
		a = get("limit", 10, "nextToken", a.NextForwardToken)
	}
	if !slices.Equal(got, lines) {
		t.Errorf("forward: %q", got)
	}
	end := a.NextForwardToken
	if b := get("nextToken", end); len(b.Events) != 0 || b.NextForwardToken != end {
		t.Errorf("at the end: %+v", b)
	}
	put(t, s, "j", "i", "new")
	if b := get("nextToken", end); !slices.Equal(b.messages(), []string{"new"}) || b.NextForwardToken == end {
		t.Errorf("after a new line: %+v", b)
	}
	if b := get("nextToken", first.NextForwardToken, "limit", 10, "startFromHead", false); b.Events[0].Message != "line 10" {
		t.Errorf("an old token: %+v", b)
	}
	got = nil
	for a = get("limit", 10); len(a.Events) > 0; a = get("limit", 10, "nextToken", a.NextBackwardToken) {
		got = append(a.messages(), got...)
	}
	if !slices.Equal(got, append(slices.Clone(lines), "new")) {
		t.Errorf("backward: %q", got)
	}
	if b := get("nextToken", a.NextBackwardToken); len(b.Events) != 0 || b.NextBackwardToken != a.NextBackwardToken {
		t.Errorf("at the beginning: %+v", b)
	}
	if b := get("nextToken", a.NextForwardToken, "limit", 1); len(b.Events) != 1 || b.Events[0].Message != "line 0" {
		t.Errorf("forward from the beginning: %+v", b)
	}
	at := first.Events[3].Timestamp
	if b := get("startTime", at, "endTime", at+2000, "startFromHead", true); !slices.Equal(b.messages(), lines[3:5]) {
		t.Errorf("from the fourth's time, 2 s: %q", b.messages())
	}
	if b := get("startTime", at, "endTime", at); len(b.Events) != 0 || b.NextForwardToken == "" || b.NextBackwardToken == "" {
		t.Errorf("no time at all: %+v", b)
	}
	if b := get("endTime", 0); len(b.Events) != 0 {
		t.Errorf("before 1970: %+v", b)
	}
}

// A page has no more than AWS's 1 MiB, in both directions.
func TestEventPagesAreBounded(t *testing.T) {
	t.Parallel()
	s := port(t, false)
	var lines []string
	for range 50 {
		lines = append(lines, strings.Repeat("x", 30_000))
	}
	put(t, s, "j", "i", lines...)
	for _, head := range []bool{true, false} {
		a := logs(t, s, "GetLogEvents", "logGroupName", group, "logStreamName", "j/i", "startFromHead", head)
		if n := len(a.Events); n < 30 || n > 36 {
			t.Errorf("%d events of 30,000 bytes", n)
		}
	}
	a := logs(t, s, "FilterLogEvents", "logGroupName", group)
	b := logs(t, s, "FilterLogEvents", "logGroupName", group, "nextToken", a.NextToken)
	if len(a.Events)+len(b.Events) != 50 || b.NextToken != "" {
		t.Errorf("%d and %d events", len(a.Events), len(b.Events))
	}
}

// Tokens that were changed, or made for something else, are refused.
func TestLogTokens(t *testing.T) {
	t.Parallel()
	s := port(t, false)
	put(t, s, "j", "i", "x", "y")
	put(t, s, "j", "k", "x", "y")
	a := logs(t, s, "GetLogEvents", "logGroupName", group, "logStreamName", "j/i", "startFromHead", true, "limit", 1)
	f := logs(t, s, "FilterLogEvents", "logGroupName", group, "limit", 1)
	_, bare, _ := strings.Cut(a.NextForwardToken, "/")
	for stream, token := range map[string]string{
		"j/k": a.NextForwardToken,
		"j/i": strings.Replace(a.NextForwardToken, "f/", "b/", 1),
	} {
		if b := logs(t, s, "GetLogEvents", "logGroupName", group, "logStreamName", stream, "nextToken", token); b.Type != "InvalidParameterException" || b.Message != "The specified nextToken is invalid." {
			t.Errorf("%s %s: %+v", stream, token, b)
		}
	}
	for _, token := range []string{bare, "/" + bare, "f/", "f/AAAA", a.NextForwardToken + "A", f.NextToken, "x"} {
		if b := logs(t, s, "GetLogEvents", "logGroupName", group, "logStreamName", "j/i", "nextToken", token); b.Type != "InvalidParameterException" {
			t.Errorf("%s: %+v", token, b)
		}
	}
	if b := logs(t, s, "FilterLogEvents", "logGroupName", group, "filterPattern", "y", "nextToken", f.NextToken); b.Type != "InvalidParameterException" {
		t.Errorf("a token of another filter: %+v", b)
	}
}

func TestFilterLogEvents(t *testing.T) {
	t.Parallel()
	s := port(t, false)
	for i := range 30 {
		put(t, s, "j", fmt.Sprintf("i-%d", i%3), fmt.Sprint("ERROR number ", i), "INFO")
	}
	put(t, s, "other", "i", "ERROR elsewhere")
	var got []string
	ids := map[string]bool{}
	in := []any{"logGroupName", group, "logStreamNamePrefix", "j/", "filterPattern", "ERROR -\"number 7\"", "limit", 4}
	for a := logs(t, s, "FilterLogEvents", in...); ; a = logs(t, s, "FilterLogEvents", append(slices.Clone(in), "nextToken", a.NextToken)...) {
		got = append(got, a.messages()...)
		for _, e := range a.Events {
			ids[e.EventID] = true
		}
		if a.NextToken == "" {
			break
		}
	}
	var want []string
	for i := range 30 {
		if i != 7 {
			want = append(want, fmt.Sprint("ERROR number ", i))
		}
	}
	if !slices.Equal(got, want) || len(ids) != len(want) {
		t.Errorf("%d ids, %q", len(ids), got)
	}
	if a := logs(t, s, "FilterLogEvents", "logGroupName", group, "logStreamNames", []string{"j/i-1", "j/i-1"}, "filterPattern", "?10 ?13"); !slices.Equal(a.messages(), []string{"ERROR number 10", "ERROR number 13"}) {
		t.Errorf("by name: %q", a.messages())
	}
	for want, in := range map[string][]any{
		"JSON filter patterns":                             {"filterPattern", "{ $.x = 1 }"},
		"mutually exclusive":                               {"logStreamNames", []string{"j/i-1"}, "logStreamNamePrefix", "j"},
		"The specified log stream does not exist.":         {"logStreamNames", []string{"j/nope"}},
		"Member must have value less than or equal to 100": {"limit", 10001},
	} {
		if a := logs(t, s, "FilterLogEvents", append([]any{"logGroupName", group}, in...)...); !strings.Contains(a.Message, want) {
			t.Errorf("%v: %+v", in, a)
		}
	}
}

// Groups and streams that are not there are a ResourceNotFoundException in AWS's
// words, whatever the name is (I10).
func TestNotThere(t *testing.T) {
	t.Parallel()
	s := port(t, false)
	put(t, s, "j", "i", "x")
	const noGroup, noStream = "The specified log group does not exist.", "The specified log stream does not exist."
	for _, name := range []string{"/aws/sagemaker/Endpoints/e", "/aws/sagemaker", "x", "/", "/../aws/sagemaker/TransformJobs", "//aws/sagemaker/TransformJobs", group + "/j"} {
		for _, operation := range []string{"DescribeLogStreams", "FilterLogEvents", "DeleteRetentionPolicy"} {
			if a := logs(t, s, operation, "logGroupName", name); a.Type != "ResourceNotFoundException" || a.Message != noGroup {
				t.Errorf("%s %s: %+v", operation, name, a)
			}
		}
	}
	for _, name := range []string{"j/nope", "j", "../TransformJobs/j/i", "j/./i", "j/i/", "/j/i", "j/i\x00", strings.Repeat("x", 512)} {
		if a := logs(t, s, "GetLogEvents", "logGroupName", group, "logStreamName", name); a.Type != "ResourceNotFoundException" || a.Message != noStream {
			t.Errorf("%q: %+v", name, a)
		}
	}
	for _, arn := range []string{"arn:aws:logs:eu-west-1:000000000000:log-group:" + group, "arn:aws:logs:us-east-1:111111111111:log-group:" + group} {
		if a := logs(t, s, "GetLogEvents", "logGroupIdentifier", arn, "logStreamName", "j/i"); a.Type != "ResourceNotFoundException" {
			t.Errorf("%s: %+v", arn, a)
		}
	}
	for _, id := range []string{group, "arn:aws:logs:us-east-1:000000000000:log-group:" + group} {
		if a := logs(t, s, "GetLogEvents", "logGroupIdentifier", id, "logStreamName", "j/i"); len(a.Events) != 1 {
			t.Errorf("%s: %+v", id, a)
		}
	}
	if a := logs(t, s, "GetLogEvents", "logStreamName", "j/i"); a.Type != "InvalidParameterException" {
		t.Errorf("without a group: %+v", a)
	}
}

func TestLogGroups(t *testing.T) {
	t.Parallel()
	s := port(t, false)
	if a := logs(t, s, "DescribeLogGroups"); len(a.LogGroups) != 0 || a.NextToken != "" {
		t.Errorf("%+v", a)
	}
	put(t, s, "j", "i", "x")
	for i := range 60 {
		w, err := s.Logs.Create(joblog.EndpointName(resource.Key{Region: "us-east-1", Name: fmt.Sprintf("e-%02d", i)}), "v/i")
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	a := logs(t, s, "DescribeLogGroups", "logGroupNamePrefix", "/aws/sagemaker/")
	b := logs(t, s, "DescribeLogGroups", "logGroupNamePrefix", "/aws/sagemaker/", "nextToken", a.NextToken)
	if len(a.LogGroups) != 50 || len(b.LogGroups) != 11 || b.NextToken != "" {
		t.Fatalf("%d and %d groups", len(a.LogGroups), len(b.LogGroups))
	}
	all := logs(t, s, "DescribeLogGroups", "logGroupNamePattern", "TransformJobs").LogGroups
	arn := "arn:aws:logs:us-east-1:000000000000:log-group:" + group
	if len(all) != 1 || all[0]["arn"] != arn+":*" || all[0]["logGroupArn"] != arn || all[0]["retentionInDays"] != nil || all[0]["storedBytes"].(float64) == 0 {
		t.Fatalf("%v", all)
	}
	if n := len(logs(t, s, "DescribeLogGroups", "logGroupIdentifiers", []string{arn}).LogGroups); n != 1 {
		t.Errorf("%d groups by their ARN", n)
	}
	if n := len(logs(t, s, "DescribeLogGroups", "logGroupClass", "INFREQUENT_ACCESS").LogGroups); n != 0 {
		t.Errorf("%d groups of another class", n)
	}
	for want, in := range map[string][]any{
		"accountIdentifiers":    {"accountIdentifiers", []string{"000000000000"}},
		"includeLinkedAccounts": {"includeLinkedAccounts", true},
		"mutually exclusive":    {"logGroupNamePrefix", "/", "logGroupNamePattern", "x"},
	} {
		if a := logs(t, s, "DescribeLogGroups", in...); a.Type != "InvalidParameterException" || !strings.Contains(a.Message, want) {
			t.Errorf("%v: %+v", in, a)
		}
	}
	logs(t, s, "PutRetentionPolicy", "logGroupName", group, "retentionInDays", 14)
	if g := logs(t, s, "DescribeLogGroups", "logGroupNamePrefix", group).LogGroups[0]; g["retentionInDays"] != 14.0 {
		t.Errorf("%v", g)
	}
	if a := logs(t, s, "PutRetentionPolicy", "logGroupName", group, "retentionInDays", 2); a.Type != "InvalidParameterException" || !strings.Contains(a.Message, "Value '2' at 'retentionInDays'") {
		t.Errorf("%+v", a)
	}
	logs(t, s, "DeleteRetentionPolicy", "logGroupName", group)
	if g := logs(t, s, "DescribeLogGroups", "logGroupNamePrefix", group).LogGroups[0]; g["retentionInDays"] != nil {
		t.Errorf("%v", g)
	}
}

// What CloudWatch Logs has and Sagebrush does not is refused by name (I9).
func TestOtherLogOperations(t *testing.T) {
	t.Parallel()
	s := port(t, false)
	if a := logs(t, s, "StartQuery"); a.Type != "UnknownOperationException" || !strings.Contains(a.Message, "CloudWatch Logs operation StartQuery is not supported") {
		t.Errorf("%+v", a)
	}
	if a := logs(t, s, "Nonesuch"); a.Type != "UnknownOperationException" {
		t.Errorf("%+v", a)
	}
}
