package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/daemon"
)

// serve is the command that runs a server.
func (a *app) serve() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:     "serve",
		GroupID: "server",
		Short:   "Run a server until it is interrupted",
		Long: `Serve the SageMaker API and an S3 of its own on one port, until SIGINT or SIGTERM; a second
signal ends it at once. When it is ready it prints the variables that point AWS tools at it.

A setting comes from its flag, else from the environment, else from the file that --config
names (YAML, with the names of the flags), else it has its default.`,
		Example: `  sagebrush serve
  sagebrush serve --ephemeral --listen 127.0.0.1:0
  SAGEBRUSH_AUTH=keys sagebrush serve --listen 0.0.0.0:7243 --data /srv/sagebrush`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runServe(cmd, path) },
	}
	configFlag(cmd, &path)
	for _, s := range config.Settings() {
		settingFlag(cmd, s)
	}
	return cmd
}

// configFlag gives a command --config.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", "", "configuration file (also "+config.EnvFile+"); besides settings it may hold images and remap")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // the flag exists
}

// settingFlag makes the flag of a setting.
func settingFlag(cmd *cobra.Command, s config.Setting) {
	help := s.Help
	if len(s.Choices) > 0 {
		help += "; one of " + strings.Join(s.Choices, ", ")
	}
	help += " (env " + s.Env() + ")"
	flags := cmd.Flags()
	switch v := s.Default.(type) {
	case bool:
		flags.Bool(s.Name, v, help)
	case int:
		flags.Int(s.Name, v, help)
	case time.Duration:
		flags.Duration(s.Name, v, help)
	default:
		flags.String(s.Name, fmt.Sprint(v), help)
	}
	if s.Name == "data" {
		_ = cmd.MarkFlagDirname(s.Name)
		flags.Lookup(s.Name).DefValue = tilde(defaultData())
	}
	if len(s.Choices) > 0 {
		complete(cmd, s.Name, s.Choices...)
	}
}

// given collects the settings that stand on the command line.
func given(cmd *cobra.Command) map[string]any {
	out := map[string]any{}
	for _, s := range config.Settings() {
		f := cmd.Flags().Lookup(s.Name)
		if f == nil || !f.Changed {
			continue
		}
		out[s.Name] = typed(f)
	}
	return out
}

// typed gives a flag's value in the type of its setting.
func typed(f *pflag.Flag) any {
	text := f.Value.String()
	switch f.Value.Type() {
	case "bool":
		return text == "true"
	case "int":
		n, _ := strconv.Atoi(text) // what an int flag prints is a number
		return n
	case "duration":
		d, _ := time.ParseDuration(text)
		return d
	}
	return text
}

// load reads the configuration for a server.
func (a *app) load(path string, given map[string]any) (config.Config, error) {
	cfg, err := config.Load(path, a.Env, given)
	if err != nil {
		return cfg, usage("%s", err).because(err).hint("sagebrush serve --help lists the settings")
	}
	return cfg, nil
}

// runServe serves until the command's context ends.
func (a *app) runServe(cmd *cobra.Command, path string) error {
	cfg, err := a.load(path, given(cmd))
	if err != nil {
		return err
	}
	// The event loops of the port hold a place of the scheduler each while they wait
	// for a moment; the rest of the server must not lose it.
	if n := runtime.GOMAXPROCS(0); cfg.TLSCert == "" {
		runtime.GOMAXPROCS(2 * n)
	}
	// A server with little on its heap would collect garbage at every other megabyte,
	// five times a second under load. This is address space, and no memory.
	ballast := make([]byte, 16<<20)
	defer runtime.KeepAlive(&ballast[0])
	s, err := a.start(cmd.Context(), daemon.Options{Config: cfg})
	if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return nil // it was asked to stop before it was ready
	}
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(map[string]any{"url": s.URL, "data": s.daemon.Data(), "region": s.Region, "accessKeyId": s.AccessKeyID, "secretAccessKey": s.SecretAccessKey})
	} else {
		_, err = fmt.Fprint(a.Stdout, exports(s.Endpoint, "sh"))
	}
	if err != nil {
		s.stop() // nobody can know where the server is
	}
	return errors.Join(err, s.wait())
}
