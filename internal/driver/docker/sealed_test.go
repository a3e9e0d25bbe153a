package docker

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
)

// TestSealed has a container that leaves nothing with the engine: what it writes
// is in its scratch folder, volumes of its image too, and what it prints is in its
// Output alone.
func TestSealed(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	image := e.load(t, buildImage(t, map[string][]byte{"program": binary},
		v1.Config{Entrypoint: []string{"/program"}, Volumes: map[string]struct{}{"/var/cache": {}, "/tmp/": {}}}, runtime.GOARCH))
	d := newDriver(t)
	for folder, want := range map[string]struct{ printed, file string }{
		"/":          {"read-only file system", ""},
		"/tmp":       {"write: <nil>", "written"},
		"/run":       {"write: <nil>", ""},
		"/var/cache": {"write: <nil>", "volume-2/written"},
	} {
		s := spec(image, "sealed", map[string]string{"PROGRAM_WRITE": folder, drivertest.EnvExit: "0"})
		s.ScratchDir, s.Sealed = t.TempDir(), true
		i := start(t, d, s)
		c := inspect(t, e, i)
		if c.HostConfig.LogConfig.Type != "none" || len(c.HostConfig.Ulimits) != 1 || c.HostConfig.Ulimits[0].Hard != 0 {
			t.Errorf("host config %+v", c.HostConfig)
		}
		for _, m := range c.Mounts {
			if !strings.HasPrefix(m.Source, s.ScratchDir) {
				t.Errorf("%s is mounted at %s", m.Source, m.Destination)
			}
		}
		ended(t, i)
		if text := s.Output.(*printed).String(); !strings.Contains(text, want.printed) {
			t.Errorf("%s: %q", folder, text)
		}
		if want.file != "" {
			if _, err := os.Stat(filepath.Join(s.ScratchDir, want.file)); err != nil {
				t.Errorf("%s: %v", folder, err)
			}
		}
		stop(t, i)
	}
}

// TestSealedOutput has every line arrive, from the first to the last, once.
func TestSealedOutput(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	d := newDriver(t)
	s := spec(e.loadProgram(t), "sealed-output", map[string]string{drivertest.EnvPrint: "2000", drivertest.EnvExit: "0"})
	s.ScratchDir, s.Sealed = t.TempDir(), true
	i := start(t, d, s)
	ended(t, i)
	if n := strings.Count(s.Output.(*printed).String(), "\n"); n != 2000 {
		t.Errorf("%d lines, want 2000", n)
	}
	stop(t, i)
}
