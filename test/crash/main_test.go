// Package crash_test kills a server with SIGKILL at random instants of a job and
// starts it again on the same data folder, until the job is completed. The output
// must be the bytes of an undisturbed run, nothing half-written may ever be seen,
// and no model process may outlive its server. It kills it with endpoints in every
// status too, which must be where they belong afterwards.
package crash_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/daemon"
	"github.com/sagebrush-ml/sagebrush/internal/driver/process"
)

// TestMain lets the test binary be the server, its shims and its models, too: they
// then run under the race detector when the test does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "shim":
			os.Exit(process.ShimMain(os.Args[2:]))
		case "model":
			os.Exit(ended("the model", serveModel(os.Args[2])))
		case "server":
			os.Exit(ended("the server", serveDaemon(os.Args[2], os.Args[3])))
		}
	}
	os.Exit(m.Run())
}

func ended(who string, err error) int {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s ended: %v\n", who, err)
		return 1
	}
	return 0
}

// image is the name under which the test binary is a model server.
const image = "test/crash:latest"

// serveDaemon runs a server over a data folder and prints its URL. Its models
// write their process ids into the folder pids.
func serveDaemon(data, pids string) error {
	c, err := config.Load("", func(string) (string, bool) { return "", false },
		map[string]any{"listen": "127.0.0.1:0", "data": data, "s3": "embedded"})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.Images = []config.Image{{Image: image, Command: []string{self, "model", pids}}}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	d, err := daemon.Open(context.Background(), daemon.Options{Config: c, Version: "test", Self: []string{self}, Log: log})
	if err != nil {
		return err
	}
	fmt.Println(d.URL())
	return d.Run(context.Background())
}
