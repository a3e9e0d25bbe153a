package control

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/state"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

// logs are the streams of one instance of a job: what each container prints, with
// secrets hidden (I8), and the data-log (OB-20, OB-34: all are there from the
// start).
type logs struct {
	data       *joblog.Stream
	streams    []*joblog.Stream // of the containers
	containers []io.WriteCloser // what hides secrets before them
	since      []time.Time
}

// add adds the stream of the next container.
func (l *logs) add(mask *joblog.Masker, s *joblog.Stream, since time.Time) {
	l.streams, l.containers, l.since = append(l.streams, s), append(l.containers, mask.Writer(s)), append(l.since, since)
}

// openLogs opens the streams of instance i, behind what an earlier server wrote.
func (x *execution) openLogs(ctx context.Context, i int) (*logs, error) {
	name := streamName(x.job, i)
	l := &logs{}
	model := x.job.Model
	for k := range model.All() {
		stream := name
		if len(model.Containers) > 0 {
			stream += "/" + model.ContainerName(k)
		}
		since := x.lastPrinted(stream)
		s, err := x.createLog(ctx, joblog.JobName(x.job.Key), stream, x.job.Spec.Resources.VolumeKmsKeyID)
		if err != nil {
			l.close()
			return nil, err
		}
		l.add(x.mask, s, since)
	}
	var err error
	if l.data, err = x.createLog(ctx, joblog.JobName(x.job.Key), name+"/data-log", x.job.Spec.Resources.VolumeKmsKeyID); err != nil {
		l.close()
	}
	return l, err
}

// lastPrinted is the time of a stream's last line, zero when it has none.
func (x *execution) lastPrinted(stream string) time.Time {
	at := joblog.JobName(x.job.Key)
	_, last, ok, err := x.Logs.Bounds(at.Group, at.Prefix+stream)
	if err != nil || !ok {
		return time.Time{}
	}
	return last.Time()
}

// container is where container i prints, and what of it is known already.
func (l *logs) container(i int) (io.Writer, time.Time) { return l.containers[i], l.since[i] }

// close closes all streams.
func (l *logs) close() {
	for i, s := range l.streams {
		l.containers[i].Close()
		s.Close()
	}
	if l.data != nil {
		l.data.Close()
	}
}

// report records the end of an object and says in the data-log why it failed.
func (x *execution) report(o transform.Outcome, log *joblog.Stream) {
	end := state.ObjectResult{Seq: o.Seq, State: state.ObjectDone, Counts: state.Counts(o.Counts)}
	if o.Err != nil {
		f := transform.AsFailure(o.Err)
		x.say(log, f)
		end.State, end.Class, end.Detail = state.ObjectFailed, string(f.Class), x.mask.Text(f.Detail())
		x.Log.Warn("an object failed", "job", x.job.Name, "object", o.Ref.String(), "class", f.Class, "error", loggable(x.job, x.mask.Text(f.Detail())))
		x.progress.ObjectsFailed.Add(1)
	} else {
		x.progress.ObjectsDone.Add(1)
	}
	x.record.add(end)
}

// note writes to the data-log, each line of the text in the form of BT-80.
func (x *execution) note(log *joblog.Stream, text string) {
	stamp := x.Now().UTC().Format("2006-01-02T15:04:05.000")
	for line := range strings.SplitSeq(x.mask.Text(text), "\n") {
		log.Line(fmt.Sprintf("%s:[sagemaker logs]: %s", stamp, line))
	}
}

// say writes a failure to the data-log.
func (x *execution) say(log *joblog.Stream, f *transform.Failure) {
	for _, line := range f.LogLines() {
		x.note(log, line)
	}
}
