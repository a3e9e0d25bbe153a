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

// logFlags are the flags that choose lines.
type logFlags struct {
	follow        bool
	stream, since string
	tail          int
}

// add gives a command the flags; until is when following ends, and streams is what
// the streams are called.
func (l *logFlags) add(cmd *cobra.Command, until, streams string) {
	flags := cmd.Flags()
	flags.BoolVarP(&l.follow, "follow", "f", false, "go on with what comes until "+until)
	flags.StringVar(&l.stream, "stream", "", "only this stream, as "+streams+"; may hold * and ?")
	flags.StringVar(&l.since, "since", "", "only lines since a time (2026-11-24T07:30:00Z) or for a duration (10m)")
	flags.IntVar(&l.tail, "tail", -1, "only the last lines, so many; 0 with --follow is only what comes")
}

// query makes the parameters of the request.
func (l *logFlags) query(cmd *cobra.Command) url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"stream": l.stream, "since": l.since} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if l.follow {
		query.Set("follow", "1")
	}
	if cmd.Flags().Changed("tail") {
		query.Set("tail", strconv.Itoa(l.tail))
	}
	return query
}

// jobsLogs is the command that prints what a job printed.
func (a *app) jobsLogs(f *targetFlags) *cobra.Command {
	var l logFlags
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
	l.add(cmd, "the job has ended", "INSTANCE or INSTANCE/data-log")
	return a.jobCommand(cmd, f, func(ctx context.Context, c *client, job string) error {
		if err := c.logs(ctx, jobPath(job), l.query(cmd), a.printLogLine); err != nil || !l.follow {
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

// printLogLine prints one line of what containers printed.
func (a *app) printLogLine(l api.LogLine) error {
	if a.json {
		out := json.NewEncoder(a.Stdout)
		out.SetEscapeHTML(false)
		return out.Encode(l)
	}
	_, err := fmt.Fprintf(a.Stdout, "%s %s %s\n", l.Time.UTC().Format("2006-01-02T15:04:05.000Z"), l.Stream, l.Text)
	return err
}
