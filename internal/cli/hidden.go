package cli

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/driver/docker"
	"github.com/sagebrush-ml/sagebrush/internal/driver/process"
	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost"
)

// version is the command that says what this binary is.
func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version of this binary. With --output json also what it was built with and for.",
		Example: "  sagebrush version --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.printJSON(map[string]string{"version": a.Version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
			}
			a.out.linef("sagebrush %s", a.Version)
			return nil
		},
	}
}

// shim is what the process driver starts between the server and a container's
// command. It is not for users.
func (a *app) shim() *cobra.Command {
	return &cobra.Command{
		Use:                "shim",
		Short:              "Run a container's command for the server",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			a.code = process.ShimMain(args)
			return nil
		},
	}
}

// fence is what the Docker driver has a container run where the server itself may not
// change the packet filter. It is not for users.
func (a *app) fence() *cobra.Command {
	return &cobra.Command{
		Use:    "fence",
		Short:  "Keep containers from this machine's services",
		Hidden: true,
		Args:   noArgs,
		RunE:   func(*cobra.Command, []string) error { return docker.FenceMain() },
	}
}

// modelServer holds the built-in model servers, which run as containers do. They
// are not for users either: a model's Image names them.
func (a *app) modelServer() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "modelserver",
		Short:  "Run a built-in model server",
		Hidden: true,
		Args:   noArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:                "xgboost serve",
		Short:              "Serve an XGBoost model by the container contract",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.code = xgboost.Main(cmd.Context(), args, a.getenv, a.Stdout, a.Stderr)
			return nil
		},
	})
	return cmd
}
