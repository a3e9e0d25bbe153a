package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// summary is a row of ListTransformJobs, as far as text shows it.
type summary struct {
	TransformJobName   string
	TransformJobStatus string
	CreationTime       epoch
	TransformEndTime   *epoch
	FailureReason      string
}

// jobList pages through ListTransformJobs.
type jobList struct {
	in    wire.ListTransformJobsInput
	limit int // 0 is none

	// rows are the summaries as the server gave them, and summaries the same, read.
	rows      []json.RawMessage
	summaries []summary
}

// pageSize is the most that the API gives at once.
const pageSize = 100

// fetch gets pages until there are no more or the limit is reached.
func (l *jobList) fetch(ctx context.Context, c *client) error {
	return fetchPages(l.limit, func(n int32) (got int, more bool, err error) {
		l.in.MaxResults = &n
		var page struct {
			TransformJobSummaries []json.RawMessage
			NextToken             *string
		}
		if err := c.call(ctx, "ListTransformJobs", &l.in, &page); err != nil {
			return 0, false, err
		}
		l.in.NextToken, l.rows = page.NextToken, append(l.rows, page.TransformJobSummaries...)
		l.summaries, err = appendRows(c, l.summaries, page.TransformJobSummaries)
		return len(page.TransformJobSummaries), page.NextToken != nil, err
	})
}

// fetchPages asks for pages until there are no more, or limit rows are there; 0 is
// no limit.
func fetchPages(limit int, page func(n int32) (got int, more bool, err error)) error {
	for rows := 0; ; {
		n := int32(pageSize)
		if limit > 0 {
			n = int32(min(pageSize, limit-rows))
		}
		got, more, err := page(n)
		rows += got
		if err != nil || !more || limit > 0 && rows >= limit {
			return err
		}
	}
}

// appendRows reads rows of a list.
func appendRows[T any](c *client, to []T, rows []json.RawMessage) ([]T, error) {
	for _, row := range rows {
		var one T
		if err := c.decode(row, &one); err != nil {
			return to, err
		}
		to = append(to, one)
	}
	return to, nil
}

// jobsList is the command that lists jobs.
func (a *app) jobsList(f *targetFlags) *cobra.Command {
	l := &jobList{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List transform jobs",
		Long: `List the transform jobs of a region, newest first unless sorted otherwise. The filters are
those of ListTransformJobs; all pages are fetched.`,
		Example: `  sagebrush jobs list
  sagebrush jobs list --status-equals Failed --creation-time-after 24h
  sagebrush jobs list --name-contains nightly --sort-by Name --sort-order Ascending`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect(*f)
			if err != nil {
				return err
			}
			defer c.close()
			if err := l.fetch(cmd.Context(), c); err != nil {
				return named(err, "")
			}
			return a.printList(l)
		},
	}
	flags := cmd.Flags()
	flags.Var(&textValue{&l.in.NameContains}, "name-contains", "only jobs whose name has this text in it")
	choiceFlag(cmd, &l.in.StatusEquals, "status-equals", "only jobs in this status", "InProgress", "Completed", "Failed", "Stopping", "Stopped")
	choiceFlag(cmd, &l.in.SortBy, "sort-by", "what to sort by", "Name", "CreationTime", "Status")
	choiceFlag(cmd, &l.in.SortOrder, "sort-order", "direction of sorting", "Ascending", "Descending")
	flags.Var(&timeValue{&l.in.CreationTimeAfter}, "creation-time-after", "only jobs created after this time: 2026-11-24T08:00:00Z, 2026-11-24, or 2h for two hours ago")
	flags.Var(&timeValue{&l.in.CreationTimeBefore}, "creation-time-before", "only jobs created before this time")
	flags.Var(&timeValue{&l.in.LastModifiedTimeAfter}, "last-modified-time-after", "only jobs that changed after this time")
	flags.Var(&timeValue{&l.in.LastModifiedTimeBefore}, "last-modified-time-before", "only jobs that changed before this time")
	flags.Var(&limitValue{&l.limit}, "max-results", "list at most this many jobs (default all)")
	return cmd
}

// printList prints jobs as a table, or as the API's own answer in one page.
func (a *app) printList(l *jobList) error {
	if a.json {
		if l.rows == nil {
			l.rows = []json.RawMessage{}
		}
		return a.printJSON(map[string]any{"TransformJobSummaries": l.rows})
	}
	if len(l.rows) == 0 {
		a.err.line("no jobs")
		return nil
	}
	rows := [][]string{{"NAME", "STATUS", "CREATED", "TOOK", ""}}
	for _, s := range l.summaries {
		took := "-"
		if s.TransformEndTime != nil {
			took = span(s.TransformEndTime.Sub(s.CreationTime.Time))
		}
		rows = append(rows, []string{s.TransformJobName, s.TransformJobStatus, moment(s.CreationTime.Time), took, clip(s.FailureReason, 60)})
	}
	_, err := fmt.Fprint(a.Stdout, table(rows, func(_, column int, text string) string {
		if column == 1 {
			return a.out.status(text)
		}
		return text
	}))
	return err
}

// or gives the text, or another where it is absent.
func or(p *string, other string) string {
	if p == nil {
		return other
	}
	return cmp.Or(*p, other)
}
