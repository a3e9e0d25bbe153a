package cli

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/api"
)

// endpoints is the command that holds those about the hosted endpoints of a server.
func (a *app) endpoints() *cobra.Command {
	f := &targetFlags{}
	cmd := &cobra.Command{
		Use:     "endpoints",
		GroupID: "server",
		Short:   "List, describe, call and await the hosted endpoints of a server",
		Long: `Talk to a server about its hosted endpoints, and to the endpoints themselves. The server is
the one that --endpoint-url or AWS_ENDPOINT_URL names, else the one that runs on this machine.`,
		Example: `  sagebrush endpoints list --status-equals InService
  sagebrush endpoints wait prices && sagebrush endpoints invoke prices '1,2,3'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.add(cmd)
	cmd.AddCommand(a.endpointsList(f), a.endpointsDescribe(f), a.endpointsInvoke(f), a.endpointsLogs(f), a.endpointsWait(f))
	return cmd
}

// endpointsHint is what to do about an endpoint that is not there.
const endpointsHint = "sagebrush endpoints list shows the endpoints of the region; --region chooses another"

// endpointCommand completes a command that takes an endpoint's name.
func (a *app) endpointCommand(cmd *cobra.Command, f *targetFlags, run func(ctx context.Context, c *client, endpoint string) error) *cobra.Command {
	cmd.Args = oneArg("the name of an endpoint")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withServer(cmd, f, endpointsHint, func(ctx context.Context, c *client) error { return run(ctx, c, args[0]) })
	}
	a.completeNames(cmd, f, a.endpointNames)
	return cmd
}

// endpointNames are the newest endpoints, for completion.
func (a *app) endpointNames(ctx context.Context, c *client) []string {
	l := endpointList{limit: 50}
	if l.fetch(ctx, c) != nil {
		return nil
	}
	var names []string
	for _, s := range l.summaries {
		names = append(names, s.EndpointName+"\t"+s.EndpointStatus)
	}
	return names
}

// endpointPath is where the server's own paths have an endpoint.
func endpointPath(endpoint string) string { return "endpoints/" + url.PathEscape(endpoint) }

// hosted asks how far an endpoint has come.
func (c *client) hosted(ctx context.Context, endpoint string) (p api.EndpointProgress, err error) {
	return p, c.own(ctx, endpointPath(endpoint), &p)
}

// whyHosted asks what an endpoint waits for.
func (c *client) whyHosted(ctx context.Context, endpoint string) (w api.EndpointWhy, err error) {
	return w, c.own(ctx, endpointPath(endpoint)+"/why", &w)
}
