package cli

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// jobs is the command that holds those about the jobs of a server.
func (a *app) jobs() *cobra.Command {
	f := &targetFlags{}
	cmd := &cobra.Command{
		Use:     "jobs",
		GroupID: "server",
		Short:   "List, follow and stop the transform jobs of a server",
		Long: `Talk to a server about its transform jobs. The server is the one that --endpoint-url or
AWS_ENDPOINT_URL names, else the one that runs on this machine.`,
		Example: `  sagebrush jobs list --status-equals InProgress
  sagebrush jobs wait nightly && echo "all scored"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.add(cmd)
	cmd.AddCommand(a.jobsList(f), a.jobsDescribe(f), a.jobsStop(f), a.jobsLogs(f), a.jobsWait(f))
	return cmd
}

// jobsHint is what to do about a job that is not there.
const jobsHint = "sagebrush jobs list shows the jobs of the region; --region chooses another"

// jobCommand completes a command that takes a job's name.
func (a *app) jobCommand(cmd *cobra.Command, f *targetFlags, run func(ctx context.Context, c *client, job string) error) *cobra.Command {
	cmd.Args = oneArg("the name of a job")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withServer(cmd, f, jobsHint, func(ctx context.Context, c *client) error { return run(ctx, c, args[0]) })
	}
	a.completeNames(cmd, f, a.jobNames)
	return cmd
}

// withServer runs something that talks to the server, whose refusals get a hint.
func (a *app) withServer(cmd *cobra.Command, f *targetFlags, hint string, run func(ctx context.Context, c *client) error) error {
	c, err := a.connect(*f)
	if err != nil {
		return err
	}
	defer c.close()
	return named(run(cmd.Context(), c), hint)
}

// completeNames offers names from the server for a command's first argument; none
// when the server is not there.
func (a *app) completeNames(cmd *cobra.Command, f *targetFlags, names func(ctx context.Context, c *client) []string) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
		defer cancel()
		c, err := a.connect(*f)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer c.close()
		return names(ctx, c), cobra.ShellCompDirectiveNoFileComp
	}
}

// jobNames are the newest jobs, for completion.
func (a *app) jobNames(ctx context.Context, c *client) []string {
	l := jobList{in: wire.ListTransformJobsInput{}, limit: 50}
	if l.fetch(ctx, c) != nil {
		return nil
	}
	var names []string
	for _, s := range l.summaries {
		names = append(names, s.TransformJobName+"\t"+s.TransformJobStatus)
	}
	return names
}

// named makes of a server's refusal what the user sees, with a hint unless that
// is "".
func named(err error, hint string) error {
	r := (*refusal)(nil)
	if !errors.As(err, &r) {
		return err
	}
	f := failed(exitFailed, "%s", r.message).because(err)
	switch {
	case strings.Contains(r.message, "is not authorized to perform"): // it knows the keys
		f = f.hint("sagebrush admin users policies NAME shows an administrator what a user may do")
	case r.status == http.StatusForbidden, r.code == string(wire.UnrecognizedClientException):
		f = f.hint(`the server does not take these access keys; get its own with: eval "$(sagebrush env)"`)
	case hint != "":
		f = f.hint("%s", hint)
	}
	return f
}

// epoch is a time in the API's JSON: seconds since 1970 with a fraction.
type epoch struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (e *epoch) UnmarshalJSON(text []byte) error {
	var seconds float64
	if err := json.Unmarshal(text, &seconds); err != nil {
		return err
	}
	e.Time = time.UnixMilli(int64(seconds*1000 + 0.5))
	return nil
}

// jobsStop is the command that stops a job.
func (a *app) jobsStop(f *targetFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stop NAME",
		Short: "Ask a job to stop",
		Long: `Ask a job to stop and return at once. The job is Stopping until its containers have ended,
and then Stopped; what it had finished stays.`,
		Example: `  sagebrush jobs stop nightly && sagebrush jobs wait nightly`,
	}
	return a.jobCommand(cmd, f, func(ctx context.Context, c *client, job string) error {
		if err := c.call(ctx, "StopTransformJob", &wire.StopTransformJobInput{TransformJobName: &job}, nil); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(map[string]string{"name": job, "status": "Stopping"})
		}
		a.out.linef("%s is %s", job, a.out.status("Stopping"))
		return nil
	})
}

// jobsWait is the command that waits for a job.
func (a *app) jobsWait(f *targetFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wait NAME",
		Short: "Show a job's progress until it has ended",
		Long: `Show a job's progress until it has ended, and tell by the exit code how: 0 Completed, 3 Failed,
4 Stopped. Interrupting the command leaves the job alone.`,
		Example: `  sagebrush jobs wait nightly`,
	}
	return a.jobCommand(cmd, f, func(ctx context.Context, c *client, job string) error {
		p, err := a.watch(ctx, c, job, a.interval())
		if err != nil {
			return err
		}
		a.code = outcome(p.Status)
		if a.json {
			return a.printJSON(p)
		}
		a.out.linef("%s: %s after %s, %s", job, a.out.status(p.Status), span(elapsed(p, time.Now())), done(p))
		if p.FailureReason != "" {
			a.out.line(p.FailureReason)
		}
		return nil
	})
}
