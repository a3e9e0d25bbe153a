// Package cli holds the commands of the sagebrush binary: what they are called,
// which flags they take, what they print and with which exit code they end. It
// leaves the work to the server: client commands talk to it over HTTP as any SDK
// does, and `transform` and `demo` start one of their own in this process.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Process is what a command may know of the process that it runs in.
type Process struct {
	// Args are the arguments, without the program's name.
	Args           []string
	Stdout, Stderr io.Writer
	// Env looks a variable of the environment up.
	Env func(name string) (string, bool)
	// Self is the command line that runs this binary again.
	Self    []string
	Version string
}

// Main runs a command and gives its exit code; ExitCodes lists them. The end of
// ctx interrupts it, and what it had started is stopped before Main returns.
func Main(ctx context.Context, p Process) int {
	a := &app{Process: p, out: newScreen(p.Stdout, p.Env), err: newScreen(p.Stderr, p.Env)}
	root := a.root()
	root.SetArgs(p.Args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	return a.finish(ctx, root.ExecuteContext(ctx))
}

// app is one run of one command.
type app struct {
	Process
	out, err *screen
	// format is the value of --output, and json that of --json.
	format string
	json   bool
	// running says that a command was found and its arguments parsed: an error
	// before that is one of usage.
	running bool
	// code is the exit code of a command that ended without an error.
	code int
}

// root builds the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sagebrush",
		Short: "Run Amazon SageMaker transform jobs and endpoints on your own machine",
		Long: `Sagebrush serves the Amazon SageMaker API on your own machine: batch transform jobs and
hosted endpoints really run, and the AWS CLI and SDKs are pointed at it with AWS_ENDPOINT_URL.`,
		Example: `  sagebrush demo                      # see it work, with data and a model that it brings along
  sagebrush serve                     # start a server
  eval "$(sagebrush env)"             # point this shell's AWS tools at it
  sagebrush transform --help          # run one job over your own folders, without a server`,
		Args:              noArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Version:           a.Version,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { a.running = true; return a.checkFormat(cmd) },
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", min(a.out.width(), 100))))
	root.SetVersionTemplate("sagebrush {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return a.flagError(cmd, err) })
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print the result as JSON, the same as --output json")
	root.AddGroup(&cobra.Group{ID: "run", Title: "Run jobs:"}, &cobra.Group{ID: "server", Title: "Run a server and talk to it:"})
	root.AddCommand(a.demo(), a.transform(), a.serve(), a.environment(), a.jobs(), a.endpoints(), a.admin(), a.version(), a.exitCodes(), a.shim(), a.fence(), a.modelServer())
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "transform" { // there --output is where the results go
			a.outputFlag(cmd)
		}
	}
	return root
}

// outputFlag gives a command and those below it --output.
func (a *app) outputFlag(cmd *cobra.Command) {
	if cmd.Hidden || cmd.Name() == "completion" || !cmd.Runnable() && !cmd.HasSubCommands() {
		return
	}
	cmd.PersistentFlags().StringVarP(&a.format, "output", "o", "text", "form of the result on standard output: text or json")
	complete(cmd, "output", "text", "json")
}

// checkFormat reads --output and --json.
func (a *app) checkFormat(cmd *cobra.Command) error {
	switch a.format {
	case "json":
		a.json = true
	case "", "text":
	default:
		return usage("--output is %q, and may be text or json", a.format).hint("%s --help", cmd.CommandPath())
	}
	return nil
}

// complete offers values for a flag on the command line.
func complete(cmd *cobra.Command, flag string, values ...string) {
	// The only error is a flag that does not exist, which the tests would find.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// noArgs refuses arguments; on the root command they are unknown commands.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return usage("%s takes no argument, and was given %q", cmd.CommandPath(), args[0]).hint("%s --help", cmd.CommandPath())
	}
	e := usage("%s has no command %q", cmd.CommandPath(), args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		e = e.hint("did you mean %s?", strings.Join(near, " or "))
	}
	return e.hint("%s --help lists the commands", cmd.CommandPath())
}

// oneArg wants exactly one argument.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return usage("%s needs one argument, %s, and was given %d", cmd.CommandPath(), what, len(args)).hint("%s --help", cmd.CommandPath())
	}
}

// getenv gives a variable, "" where it is not set.
func (a *app) getenv(name string) string {
	v, _ := a.Env(name)
	return v
}

// exists reports whether there is something at a path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
