package kube

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
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
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
)

const patience = time.Minute

// requireCluster gives the kubeconfig of a cluster for tests.
func requireCluster(t testing.TB) string {
	t.Helper()
	config := os.Getenv("SAGEBRUSH_TEST_KUBERNETES")
	if config == "" {
		t.Skip("`make kubernetes` runs this; SAGEBRUSH_TEST_KUBERNETES names the kubeconfig of a cluster")
	}
	return config
}

// testDriver gives a driver with an owner of its own, which leaves nothing behind.
func testDriver(t testing.TB, change ...func(*Config)) *Driver {
	t.Helper()
	c := Config{
		Kubeconfig: requireCluster(t), Namespace: "default", Owner: t.Name() + rand.Text(), Data: os.TempDir(), Volumes: "host",
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&c)
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		checkClean(t, d)
		d.Close()
	})
	return d
}

// checkClean looks for what an owner has left in the cluster, but for pods that are on
// their way out.
func checkClean(t testing.TB, d *Driver) {
	ctx := context.Background()
	left, err := d.list(ctx, "")
	if err != nil {
		t.Errorf("looking for leftovers: %v", err)
	}
	for _, pod := range left {
		if pod.DeletionTimestamp == nil {
			t.Errorf("left in the cluster: %s, %s", pod.Name, pod.Status.Phase)
		}
	}
	_ = d.clients.anchors.Delete(ctx, d.ownName(), metav1.DeleteOptions{}) // the rest goes with it
}

// program is an image of the suite's Program in every node, loaded once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, "./testdata/program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if said, err := build.CombinedOutput(); err != nil {
		return string(said), err
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	tag, archive := "sagebrush-test/program:"+strings.ToLower(rand.Text()), filepath.Join(dir, "image.tar")
	if err := writeImage(archive, tag, content); err != nil {
		return "", err
	}
	load := os.Getenv("SAGEBRUSH_TEST_CLUSTER")
	if load == "" {
		load = "../../../test/kubernetes/cluster"
	}
	said, err := exec.Command(load, "load", archive).CombinedOutput()
	if err != nil {
		return string(said), err
	}
	return tag, nil
})

// writeImage writes the archive of an image that holds one program and starts it.
func writeImage(archive, tag string, program []byte) error {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	if err := w.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return err
	}
	if _, err := w.Write(program); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return err
	}
	file = file.DeepCopy()
	file.Config, file.OS, file.Architecture = v1.Config{Entrypoint: []string{"/program"}}, "linux", runtime.GOARCH
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return err
	}
	ref, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(archive, ref, img)
}

func programImage(t testing.TB) string {
	t.Helper()
	requireCluster(t)
	tag, err := program()
	if err != nil {
		t.Fatalf("the cluster cannot be given an image: %v: %s", err, tag)
	}
	return tag
}

func TestDriver(t *testing.T) {
	image := programImage(t)
	drivertest.Run(t, drivertest.Harness{
		New:         func(t *testing.T) driver.Driver { return testDriver(t) },
		Image:       image,
		PlatformEnv: []string{envPort},
		OptionalEnv: []string{
			"PATH", "HOME", "HOSTNAME",
			// Every container is told where the API server is.
			"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS", "KUBERNETES_PORT",
			"KUBERNETES_PORT_443_TCP", "KUBERNETES_PORT_443_TCP_ADDR", "KUBERNETES_PORT_443_TCP_PORT", "KUBERNETES_PORT_443_TCP_PROTO",
		},
		StreamsApart: true,
		TermFirst:    true,
		Leave:        func(t *testing.T, d driver.Driver, i driver.Handle) { cordon(t, d.(*Driver), i) },
	})
}

// cordon has the scheduler give nothing more to the node of an instance, until the test
// ends.
func cordon(t *testing.T, d *Driver, h driver.Handle) {
	t.Helper()
	found, err := d.list(t.Context(), h.ID())
	if err != nil || len(found) != 1 {
		t.Fatalf("pods %v, %v", found, err)
	}
	node := found[0].Spec.NodeName
	set := func(patch string) {
		_, err := d.clients.nodes.Patch(context.Background(), node, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil {
			t.Error(err)
		}
	}
	set(`{"spec":{"unschedulable":true}}`)
	t.Cleanup(func() { set(`{"spec":{"unschedulable":null}}`) })
}

// printed is an Output that can be read while it is written to.
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

// await waits until something was printed.
func (p *printed) await(t testing.TB, what string) {
	t.Helper()
	limit := time.After(patience)
	for !strings.Contains(p.String(), what) {
		select {
		case <-p.news:
		case <-limit:
			t.Fatalf("%q was not printed, only %q", what, p.String())
		}
	}
}

func spec(image, id string, env map[string]string) driver.Spec {
	return driver.Spec{ID: id, Image: image, Args: []string{"serve"}, Env: env, Output: newPrinted()}
}

func start(t testing.TB, d *Driver, s driver.Spec) driver.Handle {
	t.Helper()
	h, err := d.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func stop(t testing.TB, h driver.Handle) {
	t.Helper()
	if err := h.Stop(context.Background(), patience); err != nil {
		t.Error(err)
	}
}

// say has the Program print a line, as soon as it serves.
func say(t testing.TB, h driver.Handle, line string) {
	t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	limit := time.After(patience)
	for {
		resp, err := c.Post("http://"+h.Addr()+"/print", "text/plain", strings.NewReader(line+"\n"))
		if err == nil {
			resp.Body.Close()
			return
		}
		select {
		case <-again.C:
		case <-limit:
			t.Fatal(err)
		}
	}
}

// podOfInstance gives the one pod of an instance.
func podOfInstance(t testing.TB, d *Driver, id string) corev1.Pod {
	t.Helper()
	found, err := d.list(t.Context(), id)
	if err != nil || len(found) != 1 {
		t.Fatalf("pods %v, %v", found, err)
	}
	return found[0]
}
