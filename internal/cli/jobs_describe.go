package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// description is DescribeTransformJob's answer, as far as text shows it. Members
// without times have the shapes of the API.
type description struct {
	TransformJobName, TransformJobStatus, ModelName string
	FailureReason                                   *string
	MaxConcurrentTransforms, MaxPayloadInMB         *int32
	BatchStrategy                                   *string
	TransformInput                                  wire.TransformInput
	TransformOutput                                 wire.TransformOutput
	TransformResources                              wire.TransformResources
	CreationTime                                    epoch
	TransformStartTime, TransformEndTime            *epoch
}

// jobsDescribe is the command that describes a job.
func (a *app) jobsDescribe(f *targetFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "describe NAME",
		Short: "Show one job and how far it has come",
		Long: `Show what a job is and how far it has come. With --output json the members are those of
DescribeTransformJob, and Progress, which has the counters and rates.`,
		Example: `  sagebrush jobs describe nightly
  sagebrush jobs describe nightly --json | jq .Progress.recordsPerSecond`,
	}
	return a.jobCommand(cmd, f, func(ctx context.Context, c *client, job string) error {
		var raw json.RawMessage
		if err := c.call(ctx, "DescribeTransformJob", &wire.DescribeTransformJobInput{TransformJobName: &job}, &raw); err != nil {
			return err
		}
		p, err := c.progress(ctx, job)
		if err != nil {
			return err
		}
		if a.json {
			members := map[string]any{}
			if err := c.decode(raw, &members); err != nil {
				return err
			}
			members["Progress"] = p
			return a.printJSON(members)
		}
		var d description
		if err := c.decode(raw, &d); err != nil {
			return err
		}
		_, err = fmt.Fprint(a.Stdout, table(a.describe(d, p), nil))
		return err
	})
}

// describe makes the rows of a description.
func (a *app) describe(d description, p api.JobProgress) [][]string {
	rows := [][]string{
		{"Name", d.TransformJobName},
		{"Status", a.out.status(d.TransformJobStatus)},
		{"Model", d.ModelName},
		{"Input", inputText(d)},
		{"Output", outputText(d.TransformOutput)},
		{"Instances", instancesText(d.TransformResources, p)},
		{"Created", moment(d.CreationTime.Time)},
	}
	if d.TransformStartTime != nil {
		rows = append(rows, []string{"Started", moment(d.TransformStartTime.Time)})
	}
	if d.TransformEndTime != nil {
		rows = append(rows, []string{"Ended", moment(d.TransformEndTime.Time) + ", after " + span(d.TransformEndTime.Sub(d.CreationTime.Time))})
	}
	rows = append(rows, []string{"Progress", done(p)})
	requests := plural(p.Requests, "request")
	if p.Retries > 0 {
		requests += ", " + plural(p.Retries, "repetition")
	}
	if p.InFlight > 0 {
		requests += ", " + count(p.InFlight) + " under way"
	}
	rows = append(rows, []string{"Requests", requests})
	if p.RecordsPerSec > 0 {
		text := rate(p.RecordsPerSec) + " records/s, " + size(int64(p.BytesPerSec)) + "/s"
		if left, ok := eta(p); ok {
			text += ", about " + span(left) + " left"
		}
		rows = append(rows, []string{"Rate", text})
	}
	if d.FailureReason != nil {
		rows = append(rows, []string{"Failure", strings.Join(strings.Fields(*d.FailureReason), " ")})
	}
	return rows
}

func inputText(d description) string {
	in, uri, kind := d.TransformInput, "", ""
	if in.DataSource != nil && in.DataSource.S3DataSource != nil {
		uri, kind = or(in.DataSource.S3DataSource.S3Uri, ""), or(in.DataSource.S3DataSource.S3DataType, "")
	}
	notes := []string{kind, "SplitType " + or(in.SplitType, "None")}
	for _, n := range []struct {
		name  string
		value *string
	}{{"BatchStrategy", d.BatchStrategy}, {"CompressionType", in.CompressionType}, {"ContentType", in.ContentType}} {
		if or(n.value, "None") != "None" {
			notes = append(notes, n.name+" "+*n.value)
		}
	}
	if d.MaxPayloadInMB != nil {
		notes = append(notes, fmt.Sprintf("MaxPayloadInMB %d", *d.MaxPayloadInMB))
	}
	return uri + " (" + strings.Join(notes, ", ") + ")"
}

func outputText(out wire.TransformOutput) string {
	text := or(out.S3OutputPath, "") + " (AssembleWith " + or(out.AssembleWith, "None")
	if out.Accept != nil {
		text += ", Accept " + *out.Accept
	}
	return text + ")"
}

func instancesText(r wire.TransformResources, p api.JobProgress) string {
	n := int64(1)
	if r.InstanceCount != nil {
		n = int64(*r.InstanceCount)
	}
	if p.Ended != nil {
		return fmt.Sprintf("%d, %s", n, or(r.InstanceType, "no type"))
	}
	return fmt.Sprintf("%d of %d serving, %s", p.Instances, n, or(r.InstanceType, "no type"))
}

// done says how much of a job is done.
func done(p api.JobProgress) string {
	text := fmt.Sprintf("%s of %s, %s, %s in, %s out", count(p.ObjectsDone), plural(p.Objects, "object"),
		plural(p.Records, "record"), size(p.BytesIn), size(p.BytesOut))
	if p.ObjectsFailed > 0 {
		text += ", " + count(p.ObjectsFailed) + " failed"
	}
	return text
}
