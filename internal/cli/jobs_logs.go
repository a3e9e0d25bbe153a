package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/api"
)

// jobsLogs is the command that prints what a job printed.
func (a *app) jobsLogs(f *targetFlags) *cobra.Command {
	var follow bool
	var stream, since string
	var tail int
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what a job's containers printed, and its data-logs",
		Long: `Print the lines of all streams of a job in the order of their times: what each instance's
container printed, and the data-log with what went wrong with the data. With --follow go on
until the job has ended. With --output json each line is a JSON object.`,
		Example: `  sagebrush jobs logs nightly --follow
  sagebrush jobs logs nightly --stream '*/data-log' --tail 20
  sagebrush jobs logs nightly --since 10m --output json`,
	}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "go on with what comes until the job has ended")
	flags.StringVar(&stream, "stream", "", "only this stream of the job, as INSTANCE or INSTANCE/data-log; may hold * and ?")
	flags.StringVar(&since, "since", "", "only lines since a time (2026-11-24T07:30:00Z) or for a duration (10m)")
	flags.IntVar(&tail, "tail", -1, "only the last lines, so many; 0 with --follow is only what comes")
	return a.jobCommand(cmd, f, func(ctx context.Context, c *client, job string) error {
		query := url.Values{}
		for name, value := range map[string]string{"stream": stream, "since": since} {
			if value != "" {
				query.Set(name, value)
			}
		}
		if follow {
			query.Set("follow", "1")
		}
		if cmd.Flags().Changed("tail") {
			query.Set("tail", strconv.Itoa(tail))
		}
		if err := c.logs(ctx, job, query, a.printLogLine); err != nil || !follow {
			return err
		}
		return stillThere(ctx, c, job)
	})
}

// stillThere makes an error of an answer that ended before its job did: the server
// stopped meanwhile.
func stillThere(ctx context.Context, c *client, job string) error {
	p, err := c.progress(ctx, job)
	if err == nil && p.Ended == nil {
		err = failed(exitFailed, "the server ended its answer, and the job has not ended").
			hint("go on with: sagebrush jobs logs %s --follow --tail 0", job)
	}
	return err
}

// printLogLine prints one line of a job's logs.
func (a *app) printLogLine(l api.LogLine) error {
	if a.json {
		out := json.NewEncoder(a.Stdout)
		out.SetEscapeHTML(false)
		return out.Encode(l)
	}
	_, err := fmt.Fprintf(a.Stdout, "%s %s %s\n", l.Time.UTC().Format("2006-01-02T15:04:05.000Z"), l.Stream, l.Text)
	return err
}
