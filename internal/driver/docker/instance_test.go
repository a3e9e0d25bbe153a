package docker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// patience bounds every wait of the tests.
const patience = 60 * time.Second

// printed is an Output that tells when something came.
type printed struct {
	mu   sync.Mutex
	b    bytes.Buffer
	news chan struct{}
}

func newPrinted() *printed { return &printed{news: make(chan struct{}, 1)} }

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.news <- struct{}{}:
	default:
	}
	return p.b.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// await waits until the Output holds a text.
func (p *printed) await(t testing.TB, text string) {
	t.Helper()
	limit := time.After(patience)
	for !strings.Contains(p.String(), text) {
		select {
		case <-p.news:
		case <-limit:
			t.Fatalf("%q was not printed; this was: %q", text, p.String())
		}
	}
}

func spec(image, id string, env map[string]string) driver.Spec {
	return driver.Spec{ID: id, Image: image, Args: []string{"serve"}, Env: env, Output: newPrinted()}
}

// start starts an instance that the test's end stops.
func start(t testing.TB, d *Driver, s driver.Spec) *instance {
	t.Helper()
	h, err := d.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	i := h.(*instance)
	t.Cleanup(func() { stop(t, i) })
	return i
}

func stop(t testing.TB, i *instance) {
	t.Helper()
	if i.d.life.Err() != nil {
		return // the driver was closed and lets the instance live
	}
	if err := i.Stop(context.Background(), 0); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func ended(t testing.TB, i driver.Handle) driver.Exit {
	t.Helper()
	select {
	case <-i.Done():
		return i.Exit()
	case <-time.After(patience):
		t.Fatal("not ended in time")
	}
	return driver.Exit{}
}

// post asks the Program, once it serves.
func post(t testing.TB, i driver.Handle, path string, form url.Values) string {
	t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	limit := time.Now().Add(patience)
	for {
		resp, err := c.PostForm("http://"+i.Addr()+path, form)
		if err == nil {
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(body)
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
		select {
		case <-i.Done():
			t.Fatalf("ended with %+v", i.Exit())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func inspect(t testing.TB, e testEngine, i *instance) container.InspectResponse {
	t.Helper()
	found, err := e.ContainerInspect(t.Context(), i.container, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return found.Container
}

// TestOOM proves that an end for want of memory is known as one.
func TestOOM(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	s := spec(e.loadProgram(t), "oom", map[string]string{"PROGRAM_EAT": "1"})
	s.MemoryBytes = 64 << 20
	exit := ended(t, start(t, newDriver(t), s))
	if !exit.OOM || exit.Signal != "killed" {
		t.Errorf("exit %+v", exit)
	}
}

// TestKilled has somebody else end and remove a container.
func TestKilled(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	image := e.loadProgram(t)
	d := newDriver(t)
	i := start(t, d, spec(image, "killed", nil))
	if _, err := e.ContainerKill(t.Context(), i.container, client.ContainerKillOptions{}); err != nil {
		t.Fatal(err)
	}
	if exit := ended(t, i); exit.Signal != "killed" || exit.OOM || exit.Lost {
		t.Errorf("exit %+v", exit)
	}
	i = start(t, d, spec(image, "removed", nil))
	if _, err := e.ContainerRemove(t.Context(), i.container, client.ContainerRemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if exit := ended(t, i); exit.Signal != "killed" || exit.Lost {
		t.Errorf("exit %+v", exit)
	}
}

// TestFolders proves CC-10, CC-11, CC-16 and CC-81's places, and who may write.
func TestFolders(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	image := e.loadProgram(t)
	d := newDriver(t)
	for _, tt := range []struct {
		folder   string
		writable bool
		set      func(*driver.Spec, string)
		denied   bool
	}{
		{driver.ModelPath, false, func(s *driver.Spec, dir string) { s.ModelDir = dir }, true},
		{driver.ModelPath, true, func(s *driver.Spec, dir string) { s.ModelDir = dir }, false},
		{driver.ModelsPath, false, func(s *driver.Spec, dir string) { s.ModelsDir = dir }, true},
		{driver.ExtraPath, true, func(s *driver.Spec, dir string) { s.ExtraDir = dir }, true},
	} {
		dir := t.TempDir()
		s := spec(image, "folders", map[string]string{"PROGRAM_WRITE": tt.folder, drivertest.EnvExit: "0"})
		s.WritableModel = tt.writable
		tt.set(&s, dir)
		i := start(t, d, s)
		if got := i.Inside(filepath.Join(dir, "a", "b")); got != tt.folder+"/a/b" {
			t.Errorf("%s: inside it is %s", tt.folder, got)
		}
		ended(t, i)
		_, err := os.Stat(filepath.Join(dir, "written"))
		text := s.Output.(*printed).String()
		if denied := strings.Contains(text, "read-only file system"); denied != tt.denied || errors.Is(err, os.ErrNotExist) != tt.denied {
			t.Errorf("%s (writable %v): %q, %v", tt.folder, tt.writable, text, err)
		}
		stop(t, i)
	}
}

// TestReadOnlyRoot has the scratch folder as the only place to write.
func TestReadOnlyRoot(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	image := e.loadProgram(t)
	d := newDriver(t, func(c *Config) { c.ReadOnlyRoot = true })
	for folder, want := range map[string]string{"/": "read-only file system", "/tmp": "write: <nil>", "/run": "write: <nil>"} {
		s := spec(image, "read-only", map[string]string{"PROGRAM_WRITE": folder, drivertest.EnvExit: "0"})
		s.ScratchDir = t.TempDir()
		i := start(t, d, s)
		ended(t, i)
		if text := s.Output.(*printed).String(); !strings.Contains(text, want) {
			t.Errorf("%s: %q", folder, text)
		}
		stop(t, i)
	}
}

// TestBounds shows what the engine was told of a Spec's bounds, and what the
// kernel knows of the walls.
func TestBounds(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	s := spec(e.loadProgram(t), "bounds", nil)
	s.Hostname, s.MemoryBytes, s.CPUs, s.ShmBytes = "algo-1", 256<<20, 0.5, 8<<20
	s.Labels = map[string]string{"job": "prices", labelOwner: "somebody else"}
	d := newDriver(t)
	i := start(t, d, s)
	c := inspect(t, e, i)
	h := c.HostConfig
	if h.Memory != s.MemoryBytes || h.MemorySwap != s.MemoryBytes || h.NanoCPUs != 5e8 || h.ShmSize != s.ShmBytes || *h.PidsLimit != 8192 {
		t.Errorf("bounds %+v", h.Resources)
	}
	if c.Config.Hostname != "algo-1" || c.Config.Labels["job"] != "prices" || c.Config.Labels[labelOwner] != d.owner {
		t.Errorf("config %+v", c.Config)
	}
	if h.Privileged || h.RestartPolicy.Name != "no" || h.AutoRemove || h.LogConfig.Type != "json-file" || *h.Init {
		t.Errorf("host config %+v", h)
	}
	if os.Getuid() != 0 {
		t.Skip("reading another process's status needs root")
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(c.State.Pid) + "/status")
	if err != nil {
		t.Skipf("the engine's processes are not on this machine: %v", err)
	}
	// CHOWN 0, DAC_OVERRIDE 1, KILL 5, SETGID 6, SETUID 7.
	for _, want := range []string{"CapEff:\t00000000000000e3", "CapBnd:\t00000000000000e3", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in the status of the process:\n%s", want, status)
		}
	}
}

// TestCPUs proves that more CPUs than there are is no bound, and no error.
func TestCPUs(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	s := spec(e.loadProgram(t), "cpus", nil)
	s.CPUs = 100_000
	if h := inspect(t, e, start(t, newDriver(t), s)).HostConfig; h.NanoCPUs != 0 {
		t.Errorf("%d", h.NanoCPUs)
	}
}

// TestGPUs proves that an engine that has none refuses in words.
func TestGPUs(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	if _, err := os.Stat("/dev/nvidia0"); err == nil {
		t.Skip("this machine has a GPU")
	}
	s := spec(e.loadProgram(t), "gpus", nil)
	s.GPUs = []string{"0"}
	_, err := newDriver(t).Start(t.Context(), s)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.TextOf(err), "GPU") {
		t.Errorf("error %v", err)
	}
}

// TestStuckOutput proves that an Output that takes nothing holds up neither the
// container nor the news of its end.
func TestStuckOutput(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	d := newDriver(t)
	d.limits.drain = time.Second
	release := make(chan struct{})
	s := spec(e.loadProgram(t), "stuck", map[string]string{drivertest.EnvPrint: "20000", drivertest.EnvExit: "3"})
	s.Output = writerFunc(func(b []byte) (int, error) { <-release; return len(b), nil })
	i := start(t, d, s)
	if exit := ended(t, i); exit.Code != 3 {
		t.Errorf("exit %+v", exit)
	}
	close(release)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestLongLines has lines that the engine keeps in parts.
func TestLongLines(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	s := spec(e.loadProgram(t), "long", nil)
	i := start(t, newDriver(t), s)
	text := strings.Repeat("0123456789abcde\n", 3) + strings.Repeat("x", 100_000) + "\n\nend, and no newline"
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	post(t, i, "/print", nil) // it serves
	resp, err := c.Post("http://"+i.Addr()+"/print", "text/plain", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	stop(t, i)
	if got := s.Output.(*printed).String(); got != text {
		t.Errorf("%d bytes, want %d", len(got), len(text))
	}
}

// BenchmarkStart is the life of an instance on an image that the engine has, from
// Start over its first answer to the end of Stop.
func BenchmarkStart(b *testing.B) {
	e := requireEngine(b)
	d := newDriver(b, func(c *Config) { c.Log = nil })
	image := e.loadProgram(b)
	var started, ready time.Duration
	for b.Loop() {
		began := time.Now()
		h, err := d.Start(b.Context(), spec(image, "bench", nil))
		if err != nil {
			b.Fatal(err)
		}
		started += time.Since(began)
		post(b, h, "/print", nil)
		ready += time.Since(began)
		if err := h.Stop(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(started.Milliseconds())/float64(b.N), "start-ms")
	b.ReportMetric(float64(ready.Milliseconds())/float64(b.N), "ready-ms")
}
