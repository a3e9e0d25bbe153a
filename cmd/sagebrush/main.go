// Command sagebrush serves the Amazon SageMaker API on a machine of one's own. It
// hands the arguments, the environment and the signals to package cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/cli"
)

func main() { os.Exit(run()) }

// run runs one command. The first signal ends its context, so that it stops
// cleanly; from then on signals have their usual effect, so that the second ends
// the process at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	if os.Getenv("GOGC") == "" {
		// What is live are large buffers that are used again and again: collecting
		// twice as often costs little, and halves what is not live.
		debug.SetGCPercent(50)
	}
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return cli.Main(ctx, cli.Process{
		Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr,
		Env: os.LookupEnv, Self: []string{self}, Version: version(),
	})
}

// version is what the Go tool noted of the source that this binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
