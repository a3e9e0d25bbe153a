package cli

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// admin is the command that holds what the API of AWS has no operation for.
func (a *app) admin() *cobra.Command {
	f := &targetFlags{}
	cmd := &cobra.Command{
		Use:     "admin",
		GroupID: "server",
		Short:   "Maintain a server: users and roles, new instances, what is stuck",
		Long: `Do what IAM and the platform itself do on AWS. The server is the one that --endpoint-url or
AWS_ENDPOINT_URL names, else the one that runs on this machine.`,
		Example: `  sagebrush admin users create alice --policy reader.json && sagebrush admin keys create alice
  sagebrush admin maintenance start --all
  sagebrush admin delete stuck --force`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.add(cmd)
	maintenance := &cobra.Command{
		Use:   "maintenance",
		Short: "Replace the instances of endpoints",
		Long:  `Replace the instances of endpoints by new ones that are alike.`,
		Example: `  sagebrush admin maintenance start prices
  sagebrush admin maintenance start --all`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	maintenance.AddCommand(a.maintenanceStart(f))
	cmd.AddCommand(a.adminUsers(f), a.adminRoles(f), a.adminKeys(f), maintenance, a.adminDelete(f))
	return cmd
}

// maintained is what became of one endpoint.
type maintained struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	// Skipped says why nothing was begun.
	Skipped string `json:"skipped,omitempty"`
}

// maintenanceStart is the command that begins the maintenance of endpoints.
func (a *app) maintenanceStart(f *targetFlags) *cobra.Command {
	all := false
	cmd := &cobra.Command{
		Use:   "start ENDPOINT|--all",
		Short: "Replace the instances of an endpoint, or of all endpoints, one by one",
		Long: `Replace every instance of an endpoint by a new one of the same image digest, one by one. The
endpoint is SystemUpdating meanwhile, serves all the time, and cannot be changed. With --all
every endpoint of the region that is InService is maintained; others are listed and left alone.`,
		Example: `  sagebrush admin maintenance start prices && sagebrush endpoints wait prices
  sagebrush admin maintenance start --all --json`,
	}
	cmd.Flags().BoolVar(&all, "all", false, "every endpoint of the region that is InService")
	a.endpointCommand(cmd, f, nil)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 || all == (len(args) == 1) {
			return usage("%s needs the name of an endpoint, or --all", cmd.CommandPath()).hint("%s --help", cmd.CommandPath())
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withServer(cmd, f, endpointsHint, func(ctx context.Context, c *client) error {
			if all {
				return a.maintainAll(ctx, c)
			}
			m, err := c.maintain(ctx, args[0])
			if err != nil {
				return err
			}
			return a.printMaintained([]maintained{m})
		})
	}
	return cmd
}

// maintain begins the maintenance of one endpoint.
func (c *client) maintain(ctx context.Context, endpoint string) (maintained, error) {
	m := maintained{Name: endpoint}
	return m, c.ownDo(ctx, http.MethodPost, endpointPath(endpoint)+"/maintenance", &m)
}

// maintainAll begins the maintenance of all endpoints that are in service.
func (a *app) maintainAll(ctx context.Context, c *client) error {
	l := endpointList{}
	if err := l.fetch(ctx, c); err != nil {
		return err
	}
	done := []maintained{}
	for _, s := range l.summaries {
		m := maintained{Name: s.EndpointName, Status: s.EndpointStatus, Skipped: "it is not InService"}
		if resource.EndpointStatus(s.EndpointStatus) == resource.EndpointInService {
			var err error
			if m, err = c.maintain(ctx, s.EndpointName); err != nil {
				if silent(err) || ctx.Err() != nil {
					return err
				}
				m.Status, m.Skipped = s.EndpointStatus, err.Error() // it was changed or deleted meanwhile
			}
		}
		done = append(done, m)
	}
	return a.printMaintained(done)
}

func (a *app) printMaintained(all []maintained) error {
	if a.json {
		return a.printJSON(map[string]any{"endpoints": all})
	}
	if len(all) == 0 {
		a.err.line("no endpoints")
	}
	for _, m := range all {
		if m.Skipped != "" {
			a.out.linef("%s is %s, and is left alone: %s", m.Name, a.out.status(m.Status), m.Skipped)
			continue
		}
		a.out.linef("%s is %s", m.Name, a.out.status(m.Status))
	}
	return nil
}

// adminDelete is the command that deletes an endpoint whatever it is doing.
func (a *app) adminDelete(f *targetFlags) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "delete ENDPOINT --force",
		Short: "Delete an endpoint in whatever status it is",
		Long: `Delete an endpoint also while it is being created, updated or maintained, when DeleteEndpoint
of the API refuses. Requests to it fail from then on. Its configuration and models stay.`,
		Example: `  sagebrush admin delete stuck --force && sagebrush endpoints wait stuck --for deleted`,
	}
	cmd.Flags().BoolVar(&force, "force", false, "say that it is meant: nobody is asked again")
	return a.endpointCommand(cmd, f, func(ctx context.Context, c *client, endpoint string) error {
		if !force {
			return usage("%s deletes an endpoint in whatever status it is, and needs --force", cmd.CommandPath()).
				hint("aws sagemaker delete-endpoint --endpoint-name %s deletes one that is not being changed", endpoint)
		}
		m := maintained{Name: endpoint}
		if err := c.ownDo(ctx, http.MethodDelete, endpointPath(endpoint), &m); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(m)
		}
		a.out.linef("%s is %s", endpoint, a.out.status(m.Status))
		return nil
	})
}
