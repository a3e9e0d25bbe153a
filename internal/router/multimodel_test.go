package router

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver/fake"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// multi is a container with room for some models, as CC-81 wants it. It answers what
// the file "weights" of the model says.
type multi struct {
	room int
	slow chan struct{} // a loading waits for it, unless nil

	mu              sync.Mutex
	models          map[string]string // what each model's weights are
	loads, unloads  int
	conflict        bool
	targets         []string
	refuseInvoke507 int
}

func (m *multi) image(*fake.Container) http.Handler {
	return handler(func(w http.ResponseWriter, r *http.Request) {
		name, verb, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/models"), "/"), "/")
		if r.Method == http.MethodPost && name == "" && m.slow != nil {
			select {
			case <-m.slow:
			case <-r.Context().Done():
				return
			}
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		switch {
		case r.Method == http.MethodGet && name == "":
			list := []map[string]string{}
			for n := range m.models {
				list = append(list, map[string]string{"modelName": n})
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"models": list})
		case r.Method == http.MethodGet:
			if _, ok := m.models[name]; !ok {
				w.WriteHeader(404)
			}
		case r.Method == http.MethodDelete:
			m.unloads++
			delete(m.models, name)
		case verb == "invoke":
			m.invoke(w, r, name)
		default:
			m.load(w, r)
		}
	})(nil)
}

func (m *multi) load(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name string `json:"model_name"`
		URL  string `json:"url"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	if len(m.models) >= m.room {
		w.WriteHeader(http.StatusInsufficientStorage)
		return
	}
	weights, err := os.ReadFile(filepath.Join(in.URL, "weights"))
	if err != nil {
		status(400, err.Error())(w, r)
		return
	}
	m.loads++
	m.models[in.Name] = string(weights)
	if m.conflict {
		w.WriteHeader(http.StatusConflict)
	}
}

func (m *multi) invoke(w http.ResponseWriter, r *http.Request, name string) {
	m.targets = append(m.targets, r.Header.Get("X-Amzn-Sagemaker-Target-Model"))
	weights, ok := m.models[name]
	switch {
	case !ok:
		w.WriteHeader(404)
	case m.refuseInvoke507 > 0:
		m.refuseInvoke507--
		w.WriteHeader(507)
	default:
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s(%s)", weights, body)
	}
}

// count reads a counter.
func (m *multi) count(n *int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *n
}

func (m *multi) targeted() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.targets)
}

func archive(body string) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	_ = w.WriteHeader(&tar.Header{Name: "weights", Size: int64(len(body)), Mode: 0o644})
	_, _ = w.Write([]byte(body))
	_ = w.Close()
	_ = z.Close()
	return out.String()
}

// multiModel gives a world with an endpoint of n instances of a multi-model container
// and the models a to f.
func multiModel(t *testing.T, n int, c *multi, change ...func(*resource.Container)) (*world, []*Instance) {
	t.Helper()
	of := resource.ModelSpec{}
	for _, f := range change {
		f(&of.Container)
	}
	return multiModelOf(t, n, c, of)
}

// multiModelOf is multiModel with more of the model, and with a router's options.
func multiModelOf(t *testing.T, n int, c *multi, of resource.ModelSpec, change ...func(*Options)) (*world, []*Instance) {
	t.Helper()
	w := newWorld(t, change...)
	c.models = map[string]string{}
	w.images["model"] = c.image
	for _, name := range []string{"a", "b", "c", "d", "deep/e"} {
		w.objects.Put(objstore.Ref{Bucket: "bucket", Key: "models/" + name + ".tar.gz"}, archive(name))
	}
	w.objects.Put(objstore.Ref{Bucket: "bucket", Key: "secret.tar.gz"}, archive("secret"))
	w.objects.Put(objstore.Ref{Bucket: "bucket", Key: "models/broken.tar.gz"}, "this is no archive")
	of.Container.Image, of.Container.ModelDataURL, of.Container.MultiModel = "model", "s3://bucket/models/", true
	var all []*Instance
	for range n {
		in := w.launch(of)
		t.Cleanup(func() { _ = w.router.Drain(context.Background(), in) })
		all = append(all, in)
	}
	w.publish(endpoint("e", variant("v", 1, all...)))
	return w, all
}

func (w *world) target(model string) (string, error) {
	q := request("e", "x")
	q.Model = model
	a, err := w.router.Invoke(context.Background(), q)
	if err != nil {
		return "", err
	}
	return string(a.Body), nil
}

func (w *world) wantTarget(t *testing.T, model, want string) {
	t.Helper()
	if got, err := w.target(model); err != nil || got != want {
		t.Errorf("model %s: %q %v, want %q", model, got, err, want)
	}
}

// CC-81, CC-82: a model is loaded when it is first named, and is there then; the
// least recently used makes room.
func TestMultiModel(t *testing.T) {
	t.Parallel()
	c := &multi{room: 2}
	w, all := multiModel(t, 1, c)
	w.wantTarget(t, "a.tar.gz", "a(x)")
	w.wantTarget(t, "/a.tar.gz", "a(x)") // the same model
	w.wantTarget(t, "deep/e.tar.gz", "deep/e(x)")
	w.wantTarget(t, "a.tar.gz", "a(x)")
	if c.count(&c.loads) != 2 || c.count(&c.unloads) != 0 || c.targeted()[2] != "deep/e.tar.gz" {
		t.Errorf("%d loads, %d unloads, targets %v", c.count(&c.loads), c.count(&c.unloads), c.targeted())
	}
	w.wantTarget(t, "b.tar.gz", "b(x)")
	if c.count(&c.loads) != 3 || c.count(&c.unloads) != 1 {
		t.Errorf("%d loads, %d unloads", c.count(&c.loads), c.count(&c.unloads))
	}
	w.wantTarget(t, "a.tar.gz", "a(x)")
	if c.count(&c.loads) != 3 {
		t.Error("the model that was used last made room")
	}
	if folders, err := os.ReadDir(all[0].ModelsDir(0)); err != nil || len(folders) != 2 {
		t.Errorf("folders %v %v: what is not loaded takes no disk", folders, err)
	}
	s, _ := w.router.Stats(region, "e", "v")
	if s.LoadedModels != 2 || s.ModelCacheMisses != 3 || s.ModelCacheHits != 3 || s.ModelLoading.Count != 3 || s.ModelDownloading.Count != 3 || s.ModelUnloading.Count != 1 || s.ModelLoadingWait.Count != 6 {
		t.Errorf("stats %+v (OB-9)", s)
	}
}

// One loading serves all who ask for the model at once.
func TestMultiModelLoadsOnce(t *testing.T) {
	t.Parallel()
	c := &multi{room: 10, conflict: true, slow: make(chan struct{})} // 409 is as good (CC-81)
	w, all := multiModel(t, 1, c)
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() { w.wantTarget(t, "a.tar.gz", "a(x)") })
	}
	waitFor(t, "all asking", func() bool { return all[0].Outstanding() == 10 })
	close(c.slow)
	wait.Wait()
	if c.count(&c.loads) != 1 {
		t.Errorf("%d loads", c.count(&c.loads))
	}
}

// CC-82: a request waits as long as its own limit, and the loading goes on.
func TestMultiModelNotReady(t *testing.T) {
	t.Parallel()
	c := &multi{room: 10, slow: make(chan struct{})}
	w, _ := multiModel(t, 1, c)
	w.router.Find(region, "e").Limits.Timeout = 50 * time.Millisecond
	_, err := w.target("a.tar.gz")
	wantError(t, err, ModelNotReadyException, "Model a.tar.gz of endpoint e is still being loaded. Repeat the request later.")
	close(c.slow)
	waitFor(t, "the loading", func() bool { s, _ := w.router.Stats(region, "e", "v"); return s.LoadedModels == 1 })
	w.wantTarget(t, "a.tar.gz", "a(x)")
	if c.count(&c.loads) != 1 {
		t.Errorf("%d loads", c.count(&c.loads))
	}
}

// RT-4, EP-37: what is wrong with the name or the data of a model, and whose fault it is.
func TestMultiModelRefuses(t *testing.T) {
	t.Parallel()
	c := &multi{room: 10}
	w, _ := multiModel(t, 1, c)
	for model, want := range map[string]string{
		"none.tar.gz":      "Failed to download model data(bucket: bucket, key: models/none.tar.gz): ",
		"broken.tar.gz":    "Failed to download model data(bucket: bucket, key: models/broken.tar.gz): ",
		"../secret.tar.gz": `".." is no part of one`,
		"deep/../../x":     `".." is no part of one`,
		"deep//e.tar.gz":   `"" is no part of one`,
		"":                 "name one in TargetModel",
		"a\x01":            "printable characters only",
	} {
		_, err := w.target(model)
		if e := wantError(t, err, ValidationError, ""); !strings.Contains(e.Message, want) {
			t.Errorf("%q: %q lacks %q", model, e.Message, want)
		}
	}
	if c.count(&c.loads) != 0 {
		t.Errorf("%d loads", c.count(&c.loads))
	}
	w.wantTarget(t, "a.tar.gz", "a(x)")
	w.objects.Fault = func(op memstore.Op) error {
		return objstore.Unavailable(op.Ref, "reading", errors.New("down"))
	}
	_, err := w.target("b.tar.gz")
	wantError(t, err, InternalDependencyException, "")
}

// CC-80: without a cache a model stays only as long as somebody uses it.
func TestMultiModelUncached(t *testing.T) {
	t.Parallel()
	c := &multi{room: 1}
	w, all := multiModel(t, 1, c, func(of *resource.Container) { of.Uncached = true })
	for i, name := range []string{"a", "a", "b"} {
		w.wantTarget(t, name+".tar.gz", name+"(x)")
		waitFor(t, "the unloading", func() bool { return all[0].models.count() == 0 && !all[0].busy() })
		if c.count(&c.loads) != i+1 || c.count(&c.unloads) != i+1 {
			t.Errorf("%d loads, %d unloads", c.count(&c.loads), c.count(&c.unloads))
		}
	}
}

// EP-34: requests go to an instance that has the model.
func TestMultiModelAffinity(t *testing.T) {
	t.Parallel()
	c := &multi{room: 1000}
	w, all := multiModel(t, 3, c)
	for range 20 {
		for _, name := range []string{"a", "b", "c", "d"} {
			w.wantTarget(t, name+".tar.gz", name+"(x)")
		}
	}
	loaded := 0
	for _, in := range all {
		loaded += in.models.count()
	}
	if loaded != 4 || c.count(&c.loads) != 4 {
		t.Errorf("%d models are loaded, %d were (each once)", loaded, c.count(&c.loads))
	}
}

// CC-81: a container that has dropped a model gets it again, one that has no room for
// a request has others unloaded, and one that is full of strangers is emptied.
func TestMultiModelContainerDrops(t *testing.T) {
	t.Parallel()
	c := &multi{room: 2}
	w, _ := multiModel(t, 1, c)
	w.wantTarget(t, "a.tar.gz", "a(x)")
	c.mu.Lock()
	clear(c.models)
	c.mu.Unlock()
	w.wantTarget(t, "a.tar.gz", "a(x)")
	w.wantTarget(t, "b.tar.gz", "b(x)")
	c.mu.Lock()
	c.refuseInvoke507 = 1
	c.mu.Unlock()
	w.wantTarget(t, "b.tar.gz", "b(x)") // a was unloaded for it
	if c.count(&c.unloads) != 1 {
		t.Errorf("%d unloads", c.count(&c.unloads))
	}
	c.mu.Lock()
	c.refuseInvoke507 = 1
	c.mu.Unlock()
	_, err := w.target("b.tar.gz")
	if e := wantError(t, err, ModelError, ""); e.Original.StatusCode != 507 { // nothing is left to unload
		t.Errorf("%+v", e.Original)
	}
	c.mu.Lock()
	c.models = map[string]string{"stranger": "", "other": ""}
	c.mu.Unlock()
	w.wantTarget(t, "d.tar.gz", "d(x)")
}

// A model whose object was deleted is unloaded.
func TestMultiModelDeleted(t *testing.T) {
	t.Parallel()
	c := &multi{room: 10}
	w, all := multiModel(t, 1, c)
	w.wantTarget(t, "a.tar.gz", "a(x)")
	if err := w.objects.Delete(t.Context(), objstore.Ref{Bucket: "bucket", Key: "models/a.tar.gz"}); err != nil {
		t.Fatal(err)
	}
	m := all[0].models
	m.mu.Lock()
	one := m.known["a.tar.gz"]
	one.checked = time.Now().Add(-2 * deletedCheck)
	m.mu.Unlock()
	w.wantTarget(t, "a.tar.gz", "a(x)") // this request notes it
	waitFor(t, "the note", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return one.deleted || m.known["a.tar.gz"] != one })
	_, _ = w.target("a.tar.gz")
	waitFor(t, "the unloading", func() bool { return m.count() == 0 && !all[0].busy() })
	_, err := w.target("a.tar.gz")
	wantError(t, err, ValidationError, "")
}

// A drain cuts the loadings that are under way and waits for their end, so that the
// instance's files can be removed.
func TestMultiModelDrain(t *testing.T) {
	t.Parallel()
	c := &multi{room: 10, slow: make(chan struct{})}
	w, all := multiModel(t, 1, c)
	failed := make(chan error, 1)
	go func() {
		_, err := w.target("a.tar.gz")
		failed <- err
	}()
	waitFor(t, "the loading", all[0].models.loading)
	w.publish()
	if err := w.router.Drain(t.Context(), all[0]); err != nil {
		t.Fatal(err)
	}
	if all[0].busy() {
		t.Error("something is under way after the drain")
	}
	wantError(t, <-failed, ModelNotReadyException, "")
}

// A multi-model container in a pipeline (CC-80).
func TestMultiModelInPipeline(t *testing.T) {
	t.Parallel()
	c := &multi{room: 10}
	w, _ := multiModel(t, 0, c)
	w.images["before"] = handler(status(200, "prepared"))
	m := pipeline("before", "model")
	m.Containers[1].MultiModel, m.Containers[1].ModelDataURL = true, "s3://bucket/models"
	in := w.launch(m)
	t.Cleanup(func() { _ = w.router.Drain(context.Background(), in) })
	w.publish(endpoint("e", variant("v", 1, in)))
	w.wantTarget(t, "a.tar.gz", "a(prepared)")
}

// FuzzModelKey: no name leaves the prefix, or the folder of the models.
func FuzzModelKey(f *testing.F) {
	for _, s := range []string{"a.tar.gz", "/a/b.tar.gz", "../a", "a/./b", "..", "", "/", "//", "a\x00", "ä/ö", `a\..\b`, "%2e%2e/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := modelKey(s)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code != ValidationError {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if !filepath.IsLocal(key) || filepath.Clean(key) != key || strings.HasPrefix(key, "/") {
			t.Errorf("%q gives the key %q", s, key)
		}
		m := models{source: "s3://bucket/models/"}
		if ref, err := m.ref(key); err != nil || ref.Bucket != "bucket" || ref.Key != "models/"+key {
			t.Errorf("%q gives %v %v", s, ref, err)
		}
		if opaque := opaqueName(key); !safeID.MatchString(opaque) || len(opaque) != 32 {
			t.Errorf("%q is known as %q", s, opaque)
		}
	})
}
