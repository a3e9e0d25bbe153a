package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/fake"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/modelcache"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// flaky is a driver whose runtime does not answer for a while, and which keeps
// instances that an earlier server left.
type flaky struct {
	*fake.Driver
	mu     sync.Mutex
	silent int // calls that are still not answered
	left   map[string]driver.Handle
	swept  []string
}

func (f *flaky) Prepare(ctx context.Context, image string, report func(driver.Pull)) (driver.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.silent > 0 {
		f.silent--
		return driver.Image{}, fault.New(fault.Unavailable, "the engine sleeps")
	}
	return f.Driver.Prepare(ctx, image, report)
}

func (f *flaky) Attach(ctx context.Context, spec driver.Spec) (driver.Handle, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.left[spec.ID]; h != nil {
		return h, nil
	}
	return f.Driver.Attach(ctx, spec)
}

func (f *flaky) Sweep(_ context.Context, keep []string) error {
	f.swept = keep
	return nil
}

// world is a fleet over a fake driver.
type world struct {
	*Fleet
	driver *flaky
	work   string
}

func newWorld(t *testing.T, scripts map[string]fake.Script) *world {
	t.Helper()
	store := memstore.New("b")
	w, err := store.Create(t.Context(), objstore.Ref{Bucket: "b", Key: "weights"}, objstore.Meta{})
	if err == nil {
		_, err = w.Write([]byte("w"))
	}
	if err == nil {
		_, err = w.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	models, err := modelcache.Open(modelcache.Options{Dir: filepath.Join(t.TempDir(), "models"), Store: store, Bytes: 1 << 20, Log: log, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	d := &flaky{Driver: fake.New(fake.Images(scripts)), left: map[string]driver.Handle{}}
	work := t.TempDir()
	f := New(Options{Driver: d, Models: models, Work: work, StopGrace: time.Second, Patience: time.Minute, Log: log, Now: time.Now})
	t.Cleanup(f.Close)
	t.Cleanup(func() { // what was protected cannot be removed by others
		_ = filepath.WalkDir(models.Dir, func(path string, _ os.DirEntry, err error) error { return errors.Join(err, os.Chmod(path, 0o700)) })
	})
	return &world{Fleet: f, driver: d, work: work}
}

func (w *world) blueprint(t *testing.T, m resource.ModelSpec) *Blueprint {
	t.Helper()
	b, err := w.Prepare(t.Context(), Needs{Model: m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Release)
	return b
}

func order(id string, env map[string]string) Order {
	return Order{
		ID: id, ReadyTimeout: 5 * time.Second,
		Env: func(resource.Container) map[string]string {
			all := map[string]string{}
			for k, v := range env {
				all[k] = v
			}
			return all
		},
		Output: func(int) (io.Writer, time.Time) { return io.Discard, time.Time{} },
	}
}

func launch(t *testing.T, b *Blueprint, o Order) *Instance {
	t.Helper()
	in, err := b.Launch(t.Context(), o)
	if err == nil {
		err = in.WaitReady(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func single(image string) resource.ModelSpec {
	return resource.ModelSpec{Container: resource.Container{Image: image, Data: &resource.ModelData{S3URI: "s3://b/weights"}}}
}

// EP-22: what was pinned is what runs, however the image resolves now.
func TestPinned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]fake.Script{"m": {}})
	pin := []resource.DeployedImage{{Specified: "m", Resolved: "m@sha256:old", ResolvedAt: time.Unix(1, 0)}}
	b, err := w.Prepare(t.Context(), Needs{Model: single("m"), Pinned: pin})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	in := launch(t, b, order("a", nil))
	defer in.Stop(t.Context())
	spec := w.driver.Started()[0]
	if spec.Resolved != "m@sha256:old" || fmt.Sprint(b.Images()) != fmt.Sprint(pin) {
		t.Errorf("started %s, images %v", spec.Resolved, b.Images())
	}
	if text, err := os.ReadFile(filepath.Join(spec.ModelDir, "weights")); err != nil || string(text) != "w" {
		t.Errorf("model data %q, %v", text, err)
	}
}

// A runtime that does not answer is asked again, for long only when it has answered
// for the job before.
func TestPatience(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]fake.Script{"m": {}})
	w.driver.silent = 2
	var said []string
	b, err := w.Prepare(t.Context(), Needs{Model: single("m"), Report: func(what string) { said = append(said, what) }})
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	if !strings.Contains(strings.Join(said, "|"), "waits for the runtime: the engine sleeps") {
		t.Errorf("said %q", said)
	}
	w.driver.silent = 1000
	w.Patience = 0
	if _, err := w.Prepare(t.Context(), Needs{Model: single("m")}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("error %v", err)
	}
}

// CC-73: several containers are one instance, and one error names all that fail.
func TestSeveral(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]fake.Script{"good": {}, "bad": {End: &fake.End{Exit: driver.Exit{Code: 3}}}})
	model := resource.ModelSpec{Containers: []resource.Container{{Image: "good"}, {Image: "bad"}, {Image: "bad", Hostname: "third"}}}
	b := w.blueprint(t, model)
	in, err := b.Launch(t.Context(), order("a", nil))
	if err != nil {
		t.Fatal(err)
	}
	var not *NotReadyError
	if err := in.WaitReady(t.Context()); !errors.As(err, &not) || strings.Join(not.Containers, " ") != "container-2 third" {
		t.Errorf("error %v", err)
	}
	<-in.Exited()
	if name, exit, _ := in.Ended(); name == "container-1" || exit.Code != 3 || !in.Gone() {
		t.Errorf("%s %s", name, exit)
	}
	if err := in.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if live := w.driver.Live(); len(live) != 0 {
		t.Errorf("%v live", live)
	}
	if names, _ := os.ReadDir(w.work); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	ids := map[string]bool{}
	for _, spec := range w.driver.Started() {
		ids[spec.ID] = true
		if spec.ModelDir != "" || spec.Env["SAGEMAKER_SAFE_PORT_RANGE"] == "" {
			t.Errorf("%+v", spec)
		}
	}
	if !ids["a"] || !ids["a-c2"] || !ids["a-c3"] {
		t.Errorf("started %v", ids)
	}
}

// What survived a restart is kept for its owner, and ended when nobody takes it.
func TestAbandon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]fake.Script{"m": {}})
	b := w.blueprint(t, single("m"))
	for _, id := range []string{"wanted", "orphan"} {
		h, err := w.driver.Driver.Start(t.Context(), driver.Spec{ID: id, Image: "m", ScratchDir: t.TempDir(), Output: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		w.driver.left[id] = h
	}
	if err := os.MkdirAll(filepath.Join(w.work, "stranger"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := w.Sweep(t.Context(), []string{"wanted", "orphan"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(w.work, "stranger")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the files of another instance are there: %v", err)
	}
	in := launch(t, b, order("wanted", nil))
	defer in.Stop(t.Context())
	for _, id := range []string{"wanted", "orphan", "unknown"} {
		if err := w.Abandon(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if live := w.driver.Live(); len(live) != 1 || live[0] != "wanted" {
		t.Errorf("%v live", live)
	}
	if n := len(w.driver.Started()); n != 2 {
		t.Errorf("%d were started: the one that was there was not adopted", n)
	}
}

// A warm instance serves an order that is just like its own, and no other; it ends
// by itself, and with the fleet.
func TestWarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]fake.Script{"m": {Handler: func(*fake.Container) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	}}})
	b := w.blueprint(t, single("m"))
	first := launch(t, b, order("a", map[string]string{"K": "v"}))
	if !w.Keep(first, time.Hour) {
		t.Fatal("not kept")
	}
	other := launch(t, b, order("b", map[string]string{"K": "w"}))
	second := launch(t, b, order("c", map[string]string{"K": "v"}))
	if second != first || other == first {
		t.Errorf("the second is %s, the other %s", second.ID, other.ID)
	}
	if w.Keep(other, 0) {
		t.Error("kept for no time")
	}
	if !w.Keep(second, time.Millisecond) {
		t.Fatal("not kept again")
	}
	<-second.Exited() // its time was up
	if !w.Keep(other, time.Hour) {
		t.Fatal("not kept")
	}
	w.Close()
	if live := w.driver.Live(); len(live) != 0 {
		t.Errorf("%v live", live)
	}
	last := launch(t, b, order("d", nil))
	defer last.Stop(t.Context())
	if w.Keep(last, time.Hour) {
		t.Error("kept by a fleet that is closed")
	}
}

// SD-1: what is sealed has everything in one folder, nothing in the cache, and is
// neither adopted nor kept warm.
func TestSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]fake.Script{"m": {Handler: func(*fake.Container) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	}}})
	dir := t.TempDir()
	b, err := w.Prepare(t.Context(), Needs{Model: single("m"), Sealed: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	in := launch(t, b, order("a", nil))
	if data, err := os.ReadFile(filepath.Join(dir, "model-1", "weights")); err != nil || string(data) != "w" {
		t.Errorf("the model is %q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "instances", "a", "scratch-1")); err != nil {
		t.Error(err)
	}
	for _, elsewhere := range []string{w.work, w.Models.Dir} {
		if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
			t.Errorf("%s holds %v, %v", elsewhere, left, err)
		}
	}
	if w.Keep(in, time.Hour) {
		t.Error("it was kept warm")
	}
	if err := in.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "instances", "a")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}

// An instance leaves when the runtime wants any of its containers gone, and is not
// kept warm then.
func TestLeaving(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]fake.Script{"m": {}})
	model := resource.ModelSpec{Containers: []resource.Container{{Image: "m"}, {Image: "m"}}}
	b, err := w.Prepare(t.Context(), Needs{Model: model})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	in, err := b.Launch(t.Context(), Order{
		ID: "i", Held: true, Env: func(resource.Container) map[string]string { return map[string]string{} },
		Output: func(int) (io.Writer, time.Time) { return io.Discard, time.Time{} }, ReadyTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range w.driver.Started() {
		if !s.Held {
			t.Errorf("%s is not held", s.ID)
		}
	}
	select {
	case <-in.Leaving():
		t.Error("leaving, and nothing wants it gone")
	default:
	}
	w.driver.Leave(containerID("i", 1))
	<-in.Leaving()
	if w.Keep(in, time.Minute) {
		t.Error("it is kept warm")
	} else if err := in.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
