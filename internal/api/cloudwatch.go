package api

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/cwlogs"
)

// cloudWatchLogs is the table of the operations of CloudWatch Logs (OB-35). They
// answer from the files of joblog; events are those of jobs and endpoints alone.
func (s *Server) cloudWatchLogs() map[string]operation {
	return map[string]operation{
		"DescribeLogGroups":     bind(s.describeLogGroups),
		"DescribeLogStreams":    bind(s.describeLogStreams),
		"GetLogEvents":          bind(s.getLogEvents),
		"FilterLogEvents":       bind(s.filterLogEvents),
		"PutRetentionPolicy":    bind(s.putRetentionPolicy),
		"DeleteRetentionPolicy": bind(s.deleteRetentionPolicy),
	}
}

// describePage is the largest and the usual page of groups and streams.
const describePage = 50

func invalidParameter(format string, args ...any) error {
	return wire.Errorf(cwlogs.InvalidParameterException, format, args...)
}

func noGroup() error {
	return wire.Errorf(cwlogs.ResourceNotFoundException, "The specified log group does not exist.")
}

func noStream() error {
	return wire.Errorf(cwlogs.ResourceNotFoundException, "The specified log stream does not exist.")
}

// group finds the group that a request names by one of two members (OB-30: one
// that is not there yet is a ResourceNotFoundException, which clients wait out).
func (s *Server) group(region string, name, identifier *string) (joblog.Group, error) {
	g := joblog.Group{Region: region, Name: value(name)}
	if (name == nil) == (identifier == nil) {
		return g, invalidParameter("Exactly one of logGroupName and logGroupIdentifier must be given.")
	}
	if identifier != nil {
		g.Name = s.identified(region, *identifier)
	}
	if !s.Logs.HasGroup(g) {
		return g, noGroup()
	}
	return g, nil
}

// identified gives the name of the group that a name or an ARN identifies; "" for
// one of another region or account.
func (s *Server) identified(region, identifier string) string {
	if !strings.HasPrefix(identifier, "arn:") {
		return identifier
	}
	name, ok := strings.CutPrefix(identifier, s.groupARN(joblog.Group{Region: region}))
	if !ok {
		return ""
	}
	return name
}

func (s *Server) groupARN(g joblog.Group) string {
	return "arn:aws:logs:" + g.Region + ":" + s.Account + ":log-group:" + g.Name
}

func (s *Server) describeLogGroups(_ context.Context, region string, in *cwlogs.DescribeLogGroupsInput) (wire.Message, error) {
	if err := refuseLogGroups(in); err != nil {
		return nil, err
	}
	asked := []string{"groups", region, value(in.LogGroupNamePrefix), value(in.LogGroupNamePattern), strings.Join(in.LogGroupIdentifiers, ",")}
	at, err := s.logTokens.open(in.NextToken, asked...)
	if err != nil {
		return nil, err
	}
	groups, err := s.Logs.Groups(region)
	if err != nil {
		return nil, err
	}
	out := &cwlogs.DescribeLogGroupsOutput{LogGroups: []cwlogs.LogGroup{}}
	limit := limitOf(in.Limit, describePage)
	for _, g := range groups {
		if g.Name <= at.Name || !s.wantsGroup(in, g.Group) {
			continue
		}
		if len(out.LogGroups) == limit {
			out.NextToken = s.logTokens.seal(logPlace{Name: *out.LogGroups[limit-1].LogGroupName}, asked...)
			break
		}
		out.LogGroups = append(out.LogGroups, s.logGroup(g))
	}
	return out, nil
}

// refuseLogGroups refuses what is about other accounts, by name.
func refuseLogGroups(in *cwlogs.DescribeLogGroupsInput) error {
	switch {
	case in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil:
		return invalidParameter("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	case len(in.AccountIdentifiers) > 0:
		return invalidParameter("accountIdentifiers is not supported by Sagebrush: it has one account.")
	case in.IncludeLinkedAccounts != nil && *in.IncludeLinkedAccounts:
		return invalidParameter("includeLinkedAccounts is not supported by Sagebrush: it has one account.")
	}
	return nil
}

func (s *Server) wantsGroup(in *cwlogs.DescribeLogGroupsInput, g joblog.Group) bool {
	if len(in.LogGroupIdentifiers) > 0 && !slices.ContainsFunc(in.LogGroupIdentifiers, func(id string) bool { return s.identified(g.Region, id) == g.Name }) {
		return false
	}
	return strings.HasPrefix(g.Name, value(in.LogGroupNamePrefix)) && strings.Contains(g.Name, value(in.LogGroupNamePattern)) &&
		(in.LogGroupClass == nil || *in.LogGroupClass == standardClass)
}

// standardClass is the class of all our groups.
const standardClass = "STANDARD"

func (s *Server) logGroup(g joblog.GroupInfo) cwlogs.LogGroup {
	arn := s.groupARN(g.Group)
	out := cwlogs.LogGroup{
		LogGroupName: &g.Name, CreationTime: ref(g.Created.UnixMilli()), MetricFilterCount: ref(int32(0)),
		Arn: ref(arn + ":*"), LogGroupArn: &arn, StoredBytes: &g.Bytes, LogGroupClass: ref(standardClass),
	}
	if g.RetentionDays > 0 {
		out.RetentionInDays = ref(int32(g.RetentionDays))
	}
	return out
}

// limitOf is a limit of a request, or the usual one.
func limitOf(limit *int32, usual int) int {
	if limit == nil {
		return usual
	}
	return int(*limit)
}

// How streams may be ordered.
const byLastEvent = "LastEventTime"

// describeLogStreams lists streams. A page of 50 has a nextToken only when there
// are more than 50: SageMaker SDK v2 asks again, without the token, for as long as
// one comes back (OB-30).
func (s *Server) describeLogStreams(_ context.Context, region string, in *cwlogs.DescribeLogStreamsInput) (wire.Message, error) {
	g, err := s.group(region, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	prefix, order, descending := value(in.LogStreamNamePrefix), value(in.OrderBy), in.Descending != nil && *in.Descending
	if order == byLastEvent && in.LogStreamNamePrefix != nil {
		return nil, invalidParameter("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	asked := []string{"streams", g.Region, g.Name, prefix, order, strconv.FormatBool(descending)}
	at, err := s.logTokens.open(in.NextToken, asked...)
	if err != nil {
		return nil, err
	}
	streams, err := s.Logs.Streams(g, prefix)
	if err != nil {
		return nil, err
	}
	compare := func(a, b logPlace) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Name, b.Name)) }
	if descending {
		ascending := compare
		compare = func(a, b logPlace) int { return ascending(b, a) }
	}
	place := func(i joblog.StreamInfo) logPlace {
		if order == byLastEvent {
			return logPlace{Name: i.Name, Time: i.Modified.UnixMilli()}
		}
		return logPlace{Name: i.Name}
	}
	if in.NextToken != nil {
		streams = slices.DeleteFunc(streams, func(i joblog.StreamInfo) bool { return compare(place(i), at) <= 0 })
	}
	slices.SortFunc(streams, func(a, b joblog.StreamInfo) int { return compare(place(a), place(b)) })
	limit := limitOf(in.Limit, describePage)
	if s.WholeLogPages {
		limit = describePage
	}
	out := &cwlogs.DescribeLogStreamsOutput{LogStreams: []cwlogs.LogStream{}}
	if len(streams) > limit {
		streams = streams[:limit]
		out.NextToken = s.logTokens.seal(place(streams[limit-1]), asked...)
	}
	for _, i := range streams {
		stream, err := s.logStream(g, i)
		if err != nil {
			return nil, err
		}
		out.LogStreams = append(out.LogStreams, stream)
	}
	return out, nil
}

// logStream describes a stream. One without lines was created and has no events.
func (s *Server) logStream(g joblog.Group, i joblog.StreamInfo) (cwlogs.LogStream, error) {
	out := cwlogs.LogStream{
		LogStreamName: &i.Name, CreationTime: ref(i.Modified.UnixMilli()),
		Arn: ref(s.groupARN(g) + ":log-stream:" + i.Name), StoredBytes: ref(int64(0)), // always 0 since 2019
	}
	first, last, ok, err := s.Logs.Bounds(g, i.Name)
	if !ok || err != nil {
		return out, err
	}
	out.CreationTime = ref(milli(first))
	out.FirstEventTimestamp, out.LastEventTimestamp, out.LastIngestionTime = ref(milli(first)), ref(milli(last)), ref(milli(last))
	return out, nil
}

// milli is a position as CloudWatch Logs counts time.
func milli(p joblog.Position) int64 { return p.Time().UnixMilli() }

// retentions are the days that a policy may say.
var retentions = []string{"1", "3", "5", "7", "14", "30", "60", "90", "120", "150", "180", "365", "400", "545", "731", "1096", "1827", "2192", "2557", "2922", "3288", "3653"}

func (s *Server) putRetentionPolicy(_ context.Context, region string, in *cwlogs.PutRetentionPolicyInput) (wire.Message, error) {
	days := strconv.Itoa(int(*in.RetentionInDays))
	if !slices.Contains(retentions, days) {
		return nil, invalidParameter("1 validation error detected: Value '%s' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [%s]",
			days, strings.Join(retentions, ", "))
	}
	return nil, s.setRetention(region, *in.LogGroupName, int(*in.RetentionInDays))
}

func (s *Server) deleteRetentionPolicy(_ context.Context, region string, in *cwlogs.DeleteRetentionPolicyInput) (wire.Message, error) {
	return nil, s.setRetention(region, *in.LogGroupName, 0)
}

func (s *Server) setRetention(region, group string, days int) error {
	err := s.Logs.SetRetention(joblog.Group{Region: region, Name: group}, days)
	if errors.Is(err, fs.ErrNotExist) {
		return noGroup()
	}
	return err
}
