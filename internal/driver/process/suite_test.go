package process

import (
	"log/slog"
	"os"
	"runtime"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
)

const programImage = "drivertest/program:1"

// self is the test binary.
func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// shellImage maps an image to a script for /bin/sh.
func shellImage(pattern, script string) Image {
	return Image{Pattern: pattern, Command: []string{"/bin/sh", "-c", script, "sh"}}
}

// testConfig maps programImage to the suite's Program, after other images.
func testConfig(t testing.TB, images ...Image) Config {
	program := Image{Pattern: programImage, Command: []string{self(t), "program"}}
	shim := []string{self(t), "shim"}
	if testing.CoverMode() != "" {
		// Without the folder, each process complains about it where it prints.
		dir := t.TempDir()
		program.Env = map[string]string{"GOCOVERDIR": dir}
		shim = append([]string{"/usr/bin/env", "GOCOVERDIR=" + dir}, shim...)
	}
	return Config{
		Images:   append(images, program),
		Shim:     shim,
		StateDir: t.TempDir(),
		Log:      slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func TestDriver(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.Harness{
		New:         func(t *testing.T) driver.Driver { return New(testConfig(t)) },
		Image:       programImage,
		PlatformEnv: []string{envPort, envHost, envModelDir, envToken, "HOME", "TMPDIR"},
		OptionalEnv: []string{"PATH", "LANG", "LC_ALL", "TZ", "GOCOVERDIR"},
		SameSession: runtime.GOOS != "linux",
	})
}
