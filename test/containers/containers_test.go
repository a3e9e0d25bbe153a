// Package containers_test builds images of real models, without any registry, and
// compares what they predict under the Docker driver with what the models'
// libraries do.
package containers_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/docker"
)

const patience = 2 * time.Minute

// exact says that an image's predictions are those of the library to the last
// digit, because the library makes them or because they are rounded to float32.
var images = []struct {
	name  string
	exact bool
}{{"static", false}, {"sklearn", true}, {"xgboost", true}, {"builtin", true}}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, said.String())
	}
	return strings.TrimSpace(string(out))
}

func TestImages(t *testing.T) {
	if os.Getenv("SAGEBRUSH_TEST_DOCKER") == "" {
		t.Skip("`make containers` runs this; it needs a Docker engine, debootstrap and root")
	}
	trained := t.TempDir()
	run(t, "./train.py", trained)
	d, err := docker.New(docker.Config{Owner: trained, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, image := range images {
		t.Run(image.name, func(t *testing.T) {
			predicted := predict(t, d, run(t, "./build", image.name), filepath.Join(trained, image.name+".tar.gz"), read(t, filepath.Join(trained, "diamonds.csv")))
			expected := read(t, filepath.Join(trained, image.name+".csv"))
			if image.exact && predicted != expected {
				t.Error("the predictions are not those of the library")
			}
			compare(t, predicted, expected)
			// The committed ones tell whether training still gives the same model.
			small := read(t, filepath.Join(image.name, "expected.csv"))
			compare(t, strings.Join(strings.SplitAfter(predicted, "\n")[:strings.Count(small, "\n")], ""), small)
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// predict starts an image with a model and has it predict.
func predict(t *testing.T, d *docker.Driver, image, model, rows string) string {
	t.Helper()
	folder := t.TempDir()
	run(t, "tar", "-C", folder, "-xzf", model)
	var printed bytes.Buffer
	found, err := d.Prepare(t.Context(), image, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := d.Start(t.Context(), driver.Spec{
		ID: strings.ToLower(filepath.Base(t.Name())), Image: image, Resolved: found.Resolved, Args: []string{"serve"},
		Env:      map[string]string{"SAGEMAKER_BATCH": "true"},
		ModelDir: folder, ScratchDir: t.TempDir(), Output: &printed,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Stop(context.Background(), 30*time.Second); err != nil {
			t.Error(err)
		}
		if exit := h.Exit(); exit.Signal == "killed" {
			t.Error("it did not end at SIGTERM")
		}
		if t.Failed() {
			t.Logf("it printed:\n%s", printed.String())
		}
	}()
	await(t, h)
	resp, err := http.Post("http://"+h.Addr()+"/invocations", "text/csv", strings.NewReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %.500s", resp.Status, err, body)
	}
	return string(body)
}

// await pings until 200 (CC-21).
func await(t *testing.T, h driver.Handle) {
	t.Helper()
	began, limit := time.Now(), time.After(patience)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	client := http.Client{Timeout: 2 * time.Second}
	for {
		if resp, err := client.Get("http://" + h.Addr() + "/ping"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				t.Logf("ready after %v", time.Since(began))
				return
			}
		}
		select {
		case <-h.Done():
			t.Fatalf("it %s", h.Exit())
		case <-limit:
			t.Fatal("it does not become ready")
		case <-again.C:
		}
	}
}

// compare allows for what the order of a sum's terms makes.
func compare(t *testing.T, predicted, expected string) {
	t.Helper()
	got, want := strings.Fields(predicted), strings.Fields(expected)
	if len(got) != len(want) {
		t.Fatalf("%d predictions, want %d", len(got), len(want))
	}
	for n := range got {
		g, err1 := strconv.ParseFloat(got[n], 64)
		w, err2 := strconv.ParseFloat(want[n], 64)
		if err1 != nil || err2 != nil || math.Abs(g-w) > 1e-9*math.Max(1, math.Abs(w)) {
			t.Fatalf("row %d: %s, want %s", n+1, got[n], want[n])
		}
	}
}
