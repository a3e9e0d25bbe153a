package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// endpointSummary is a row of ListEndpoints, as far as text shows it.
type endpointSummary struct {
	EndpointName, EndpointStatus   string
	CreationTime, LastModifiedTime epoch
}

// endpointList pages through ListEndpoints.
type endpointList struct {
	in    wire.ListEndpointsInput
	limit int // 0 is none

	// rows are the summaries as the server gave them, and summaries the same, read.
	rows      []json.RawMessage
	summaries []endpointSummary
}

// fetch gets pages until there are no more or the limit is reached.
func (l *endpointList) fetch(ctx context.Context, c *client) error {
	return fetchPages(l.limit, func(n int32) (got int, more bool, err error) {
		l.in.MaxResults = &n
		var page struct {
			Endpoints []json.RawMessage
			NextToken *string
		}
		if err := c.call(ctx, "ListEndpoints", &l.in, &page); err != nil {
			return 0, false, err
		}
		l.in.NextToken, l.rows = page.NextToken, append(l.rows, page.Endpoints...)
		l.summaries, err = appendRows(c, l.summaries, page.Endpoints)
		return len(page.Endpoints), page.NextToken != nil, err
	})
}

// endpointStatuses are those that a list may be filtered by.
var endpointStatuses = []string{
	"OutOfService", "Creating", "Updating", "SystemUpdating", "RollingBack", "InService", "Deleting", "Failed", "UpdateRollbackFailed",
}

// endpointsList is the command that lists endpoints.
func (a *app) endpointsList(f *targetFlags) *cobra.Command {
	l := &endpointList{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List hosted endpoints",
		Long: `List the hosted endpoints of a region, newest first unless sorted otherwise. The filters are
those of ListEndpoints; all pages are fetched.`,
		Example: `  sagebrush endpoints list
  sagebrush endpoints list --status-equals Failed --creation-time-after 24h
  sagebrush endpoints list --name-contains prices --sort-by Name --sort-order Ascending`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withServer(cmd, f, "", func(ctx context.Context, c *client) error {
				if err := l.fetch(ctx, c); err != nil {
					return err
				}
				return a.printEndpoints(l)
			})
		},
	}
	flags := cmd.Flags()
	flags.Var(&textValue{&l.in.NameContains}, "name-contains", "only endpoints whose name has this text in it")
	choiceFlag(cmd, &l.in.StatusEquals, "status-equals", "only endpoints in this status", endpointStatuses...)
	choiceFlag(cmd, &l.in.SortBy, "sort-by", "what to sort by", "Name", "CreationTime", "Status")
	choiceFlag(cmd, &l.in.SortOrder, "sort-order", "direction of sorting", "Ascending", "Descending")
	flags.Var(&timeValue{&l.in.CreationTimeAfter}, "creation-time-after", "only endpoints created after this time: 2026-11-24T08:00:00Z, 2026-11-24, or 2h for two hours ago")
	flags.Var(&timeValue{&l.in.CreationTimeBefore}, "creation-time-before", "only endpoints created before this time")
	flags.Var(&timeValue{&l.in.LastModifiedTimeAfter}, "last-modified-time-after", "only endpoints that changed after this time")
	flags.Var(&timeValue{&l.in.LastModifiedTimeBefore}, "last-modified-time-before", "only endpoints that changed before this time")
	flags.Var(&limitValue{&l.limit}, "max-results", "list at most this many endpoints (default all)")
	return cmd
}

// printEndpoints prints endpoints as a table, or as the API's own answer in one page.
func (a *app) printEndpoints(l *endpointList) error {
	if a.json {
		if l.rows == nil {
			l.rows = []json.RawMessage{}
		}
		return a.printJSON(map[string]any{"Endpoints": l.rows})
	}
	if len(l.rows) == 0 {
		a.err.line("no endpoints")
		return nil
	}
	rows := [][]string{{"NAME", "STATUS", "CREATED", "CHANGED"}}
	for _, s := range l.summaries {
		rows = append(rows, []string{s.EndpointName, s.EndpointStatus, moment(s.CreationTime.Time), moment(s.LastModifiedTime.Time)})
	}
	_, err := fmt.Fprint(a.Stdout, table(rows, func(_, column int, text string) string {
		if column == 1 {
			return a.out.status(text)
		}
		return text
	}))
	return err
}
