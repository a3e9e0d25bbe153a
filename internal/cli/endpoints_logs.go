package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// endpointsLogs is the command that prints what an endpoint printed.
func (a *app) endpointsLogs(f *targetFlags) *cobra.Command {
	var l logFlags
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what an endpoint's containers printed",
		Long: `Print the lines of all streams of an endpoint in the order of their times: what the containers
of each instance printed, those of instances that are gone included. With --follow go on until
the endpoint is deleted. With --output json each line is a JSON object.`,
		Example: `  sagebrush endpoints logs prices --follow
  sagebrush endpoints logs prices --stream 'canary/*' --tail 20`,
	}
	l.add(cmd, "the endpoint is deleted", "VARIANT/INSTANCE")
	return a.endpointCommand(cmd, f, func(ctx context.Context, c *client, endpoint string) error {
		if err := c.logs(ctx, endpointPath(endpoint), l.query(cmd), a.printLogLine); err != nil || !l.follow {
			return err
		}
		if _, err := c.hosted(ctx, endpoint); !gone(err) {
			if err == nil {
				err = failed(exitFailed, "the server ended its answer, and the endpoint is still there").
					hint("go on with: sagebrush endpoints logs %s --follow --tail 0", endpoint)
			}
			return err
		}
		return nil
	})
}
