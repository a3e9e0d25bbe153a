package docker

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/moby/client"
)

// testEngine is the engine that the tests use.
type testEngine struct {
	host string
	*client.Client
}

// requireEngine gives the engine of this machine. Without one the test is not
// run, which is a failure where SAGEBRUSH_TEST_DOCKER demands it.
func requireEngine(t testing.TB) testEngine {
	t.Helper()
	engine, host, err := connect("")
	if err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	}
	switch {
	case err == nil:
		t.Cleanup(func() { engine.Close() })
		return testEngine{host, engine}
	case os.Getenv("SAGEBRUSH_TEST_DOCKER") != "":
		t.Fatalf("SAGEBRUSH_TEST_DOCKER is set and no Docker engine answers: %v", err)
	}
	t.Skipf("no Docker engine answers: %v", err)
	return testEngine{}
}

// newDriver gives a driver with an owner of its own, which leaves nothing behind.
func newDriver(t testing.TB, change ...func(*Config)) *Driver {
	t.Helper()
	c := Config{Owner: t.Name() + rand.Text(), Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, f := range change {
		f(&c)
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Close()
		checkClean(t, c)
	})
	return d
}

// checkClean looks for what an owner has left on the engine.
func checkClean(t testing.TB, c Config) {
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	left, err := d.list(context.Background(), "")
	if err != nil {
		t.Errorf("looking for leftovers: %v", err)
	}
	if len(left.containers)+len(left.networks) > 0 {
		t.Errorf("left on the engine: %+v", left)
		if err := d.clear(context.Background(), left); err != nil {
			t.Error(err)
		}
	}
}

// program is the suite's Program as a static binary, built once.
var program = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", out, "./testdata/program")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	return os.ReadFile(out)
})

// layerOf makes a layer of files.
func layerOf(files map[string][]byte) (v1.Layer, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for path, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil },
		tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithCompressedCaching)
}

// programLayer is the layer of the Program, made once.
var programLayer = sync.OnceValues(func() (v1.Layer, error) {
	binary, err := program()
	if err != nil {
		return nil, err
	}
	return layerOf(map[string][]byte{"program": binary})
})

// imageOf makes an image of one layer and a configuration.
func imageOf(t testing.TB, layer v1.Layer, err error, config v1.Config, arch string) v1.Image {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.Config, file.OS, file.Architecture = config, "linux", arch
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	return img
}

// buildImage makes an image of files and a configuration, from nothing.
func buildImage(t testing.TB, files map[string][]byte, config v1.Config, arch string) v1.Image {
	t.Helper()
	layer, err := layerOf(files)
	return imageOf(t, layer, err, config, arch)
}

// programImage is the Program in an image.
func programImage(t testing.TB, labels map[string]string) v1.Image {
	t.Helper()
	return programFor(t, labels, runtime.GOARCH)
}

// programFor says that the Program is made for some architecture.
func programFor(t testing.TB, labels map[string]string, arch string) v1.Image {
	t.Helper()
	layer, err := programLayer()
	return imageOf(t, layer, err, v1.Config{Entrypoint: []string{"/program"}, Labels: labels}, arch)
}

// programTag is under which the engine has the Program for this run of the tests.
var programTag = "sagebrush-test/program:" + strings.ToLower(rand.Text())

// loadProgram gives the engine the Program, once.
func (e testEngine) loadProgram(t testing.TB) string {
	t.Helper()
	loading.Do(func() { e.put(t, programImage(t, nil), programTag) })
	return programTag
}

var loading sync.Once

func TestMain(m *testing.M) {
	code := m.Run()
	if engine, _, err := connect(""); err == nil {
		_, _ = engine.ImageRemove(context.Background(), programTag, client.ImageRemoveOptions{PruneChildren: true})
		engine.Close()
	}
	os.Exit(code)
}

// load gives the engine an image under a name that is removed after the test.
func (e testEngine) load(t testing.TB, img v1.Image) string {
	t.Helper()
	tag := "sagebrush-test/image:" + strings.ToLower(rand.Text())
	e.put(t, img, tag)
	t.Cleanup(func() { e.remove(t, tag) })
	return tag
}

func (e testEngine) put(t testing.TB, img v1.Image, tag string) {
	t.Helper()
	ref, err := name.NewTag(tag)
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(tarball.Write(ref, img, w)) }()
	loaded, err := e.ImageLoad(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	if _, err := io.Copy(io.Discard, loaded); err != nil {
		t.Fatal(err)
	}
}

func (e testEngine) remove(t testing.TB, tag string) {
	if _, err := e.ImageRemove(context.Background(), tag, client.ImageRemoveOptions{PruneChildren: true}); err != nil {
		t.Logf("image %s stays on the engine: %v", tag, err)
	}
}
