package daemon

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
)

// The sentences that must not be on a disk: of the model and of the input, which
// is also the answers and what the container prints.
const (
	modelSecret = "the weights of this model are nobody's business"
	inputSecret = "the patient has told us in confidence"
)

// modelArchive is a model.tar.gz of one file.
func modelArchive(t *testing.T, name, content string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// holding lists the files of a data folder, the raw backing files of volumes
// included and what is mounted left out, that hold a text.
func holding(t *testing.T, data, text string) (files []string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		switch {
		case strings.Contains(string(mounts), " "+path+" "):
			return fs.SkipDir
		case err != nil && os.IsNotExist(err):
			return nil
		case err != nil || d.IsDir() || d.Type()&fs.ModeNamedPipe != 0:
			return err
		}
		content, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if bytes.Contains(content, []byte(text)) {
			files = append(files, strings.TrimPrefix(path, data))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// volumesOf lists what is left of volumes, and of what is mounted.
func volumesOf(t *testing.T, data string) (left []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(data, "work", "volumes"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, data) {
			left = append(left, line)
		}
	}
	return left
}

// requireVolumes skips a test that this machine cannot do, unless it must.
func requireVolumes(t *testing.T, choice string) {
	t.Helper()
	reason := ""
	if _, err := exec.LookPath("gocryptfs"); err != nil && choice == "encrypted" {
		reason = "gocryptfs is not installed"
	}
	if os.Geteuid() != 0 {
		reason = "volumes are tested as root"
	}
	if _, err := os.Stat("/dev/fuse"); err != nil && choice == "encrypted" {
		reason = "there is no /dev/fuse"
	}
	if reason != "" && os.Getenv("SAGEBRUSH_TEST_VOLUMES") != "" {
		t.Fatalf("SAGEBRUSH_TEST_VOLUMES is set, and %s", reason)
	}
	if reason != "" {
		t.Skip(reason)
	}
}

// lockedBuffer is a buffer that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// gated is a daemon with a job whose container waits at a gate.
type gated struct {
	*Daemon
	store *memstore.Store
	gate  string
	log   *lockedBuffer
}

// startGated starts a daemon over a store in memory, so that the data folder holds
// nothing of the user's own storage.
func startGated(t *testing.T, choice string) *gated {
	t.Helper()
	g := &gated{store: memstore.New("bucket"), gate: newGate(t), log: &lockedBuffer{}}
	g.store.Put(objstore.Ref{Bucket: "bucket", Key: "model.tar.gz"}, modelArchive(t, "weights", modelSecret))
	g.store.Put(objstore.Ref{Bucket: "bucket", Key: "in/a"}, inputSecret+"\n"+inputSecret+" gate\n"+inputSecret+"\n")
	g.Daemon = startWith(t, t.TempDir(), func(o *Options) {
		withModel(&o.Config)
		o.Config.Volumes, o.Config.VolumeMemoryMB = choice, 64
		o.Objects = g.store
		o.Log = slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	must(t, g.Daemon, "CreateModel", g.model())
	return g
}

// newGate makes the pipes of a gate.
func newGate(t *testing.T) string {
	t.Helper()
	gate := filepath.Join(t.TempDir(), "gate")
	for _, name := range []string{gate, gate + ".open"} {
		if err := unix.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return gate
}

// model is the request for the model that waits at the gate.
func (g *gated) model() map[string]any {
	return map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{
		"Image": "test/model", "ModelDataUrl": "s3://bucket/model.tar.gz", "Environment": map[string]any{"MODE": "gate", "GATE": g.gate}}}
}

// pass waits until a container is at the gate, lets the test look, and opens it.
func (g *gated) pass(t *testing.T, job string, look func()) {
	t.Helper()
	var watch sync.WaitGroup
	defer watch.Wait()
	past := make(chan struct{})
	defer close(past)
	watch.Go(func() { // a job that ends before it has come to the gate must not hang the test
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-past:
				return
			case <-tick.C:
			}
			if _, out := call(t, g.Daemon, "DescribeTransformJob", map[string]any{"TransformJobName": job}); out["TransformJobStatus"] == "InProgress" {
				continue
			}
			if f, err := os.OpenFile(g.gate, os.O_RDWR|unix.O_NONBLOCK, 0); err == nil {
				fmt.Fprintln(f, "the job has ended")
				f.Close()
			}
			return
		}
	})
	here, err := os.ReadFile(g.gate) // returns when the container has written and closed
	if err != nil || string(here) != "here\n" {
		t.Fatalf("at the gate: %q, %v: %s", here, err, g.log)
	}
	look()
	if err := os.WriteFile(g.gate+".open", nil, 0); err != nil {
		t.Fatal(err)
	}
}

func gatedJob(name, key string) map[string]any {
	return job(name, "m", func(in map[string]any) {
		in["BatchStrategy"] = "SingleRecord"
		in["MaxConcurrentTransforms"] = 1
		in["Tags"] = []any{map[string]any{"Key": "sagebrush:output-layout", "Value": "parts"}} // answers wait in a file
		delete(in["TransformOutput"].(map[string]any), "AssembleWith")
		if key != "" {
			in["TransformResources"].(map[string]any)["VolumeKmsKeyId"] = key
		}
	})
}

// The proof of SD-1: with a VolumeKmsKeyId, neither the model nor the input, the
// answers or what the container prints can be found on a disk, while the job runs
// and after it; without one, they can. After the job the volume and its key are
// gone, and its logs are read with the key alone.
func TestVolumeKmsKeyId(t *testing.T) {
	t.Parallel()
	for choice, words := range map[string]string{"encrypted": "gocryptfs", "memory": "tmpfs"} {
		t.Run(choice, func(t *testing.T) {
			t.Parallel()
			requireVolumes(t, choice)
			g := startGated(t, choice)
			key := newKey(t, g.Daemon)
			must(t, g.Daemon, "CreateTransformJob", gatedJob("sealed", key.ARN))
			g.pass(t, "sealed", func() {
				for _, secret := range []string{modelSecret, inputSecret, "weights"} {
					if files := holding(t, g.Data(), secret); len(files) > 0 {
						t.Errorf("while the job runs %q is in %v", secret, files)
					}
				}
				if left := volumesOf(t, g.Data()); len(left) != 2 {
					t.Errorf("while the job runs there are %v, want a volume and a mount", left)
				}
				if files := holding(t, g.Data(), `"KeyARN":"`+key.ARN); choice == "encrypted" && len(files) != 1 {
					t.Errorf("the wrapped key is in %v", files)
				}
			})
			end := await(t, g.Daemon, "sealed")
			if end["TransformJobStatus"] != "Completed" || end["TransformResources"].(map[string]any)["VolumeKmsKeyId"] != key.ARN {
				t.Fatalf("the job ended as %v", end)
			}
			for _, secret := range []string{modelSecret, inputSecret} {
				if files := holding(t, g.Data(), secret); len(files) > 0 || strings.Contains(g.log.String(), secret) {
					t.Errorf("after the job %q is in %v", secret, files)
				}
			}
			if left := volumesOf(t, g.Data()); len(left) > 0 {
				t.Errorf("after the job there are %v", left)
			}
			if body, _ := g.store.Body(objstore.Ref{Bucket: "bucket", Key: "out/a.part0003"}); body != inputSecret+"\n" {
				t.Errorf("the answer is %q", body)
			}
			logs := string(object(t, g.Daemon, "GET", "/-/api/v1/transform-jobs/sealed/logs", nil))
			if !strings.Contains(logs, inputSecret) || !strings.Contains(logs, words) || !strings.Contains(logs, key.ARN) {
				t.Errorf("the logs are %s", logs)
			}
			if err := g.keystore.SetEnabled(t.Context(), keyring.ID{Region: "us-east-1", Name: key.ID}, false); err != nil {
				t.Fatal(err)
			}
			if logs := string(object(t, g.Daemon, "GET", "/-/api/v1/transform-jobs/sealed/logs", nil)); strings.Contains(logs, inputSecret) || !strings.Contains(logs, "DisabledException") {
				t.Errorf("without the key the logs are %s", logs)
			}

			must(t, g.Daemon, "CreateTransformJob", gatedJob("plain", ""))
			g.pass(t, "plain", func() {
				for _, secret := range []string{modelSecret, inputSecret} {
					if files := holding(t, g.Data(), secret); len(files) < 2 {
						t.Errorf("without a key %q is in %v alone: the proof above shows nothing", secret, files)
					}
				}
			})
			if end := await(t, g.Daemon, "plain"); end["TransformJobStatus"] != "Completed" {
				t.Fatalf("the job ended as %v", end)
			}
		})
	}
}

// A key that cannot be used refuses the request, and fails a job whose key was
// disabled meanwhile (BT-14); types with local disks take none (BT-15).
func TestVolumeKmsKeyIdRefused(t *testing.T) {
	t.Parallel()
	requireVolumes(t, "memory")
	g := startGated(t, "memory")
	key := newKey(t, g.Daemon)
	refuse := func(key, instanceType, want string) {
		t.Helper()
		in := gatedJob("never", key)
		in["TransformResources"].(map[string]any)["InstanceType"] = instanceType
		if status, out := call(t, g.Daemon, "CreateTransformJob", in); status != 400 || !strings.Contains(fmt.Sprint(out), want) || !strings.Contains(fmt.Sprint(out["__type"]), "ValidationException") {
			t.Errorf("%s on %s: %d %v", key, instanceType, status, out)
		}
		config := map[string]any{"EndpointConfigName": "never", "KmsKeyId": key, "ProductionVariants": []any{variantIn("v", "m", 1, 1)}}
		config["ProductionVariants"].([]any)[0].(map[string]any)["InstanceType"] = instanceType
		if status, out := call(t, g.Daemon, "CreateEndpointConfig", config); status != 400 || !strings.Contains(fmt.Sprint(out), strings.ReplaceAll(want, "Volume", "")) {
			t.Errorf("%s on %s: %d %v", key, instanceType, status, out)
		}
	}
	refuse("1234abcd-12ab-34cd-56ef-1234567890ab", "ml.m5.large", "Invalid VolumeKmsKeyId: NotFoundException: Key 'arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab' does not exist")
	refuse("alias/none", "ml.m5.large", "Invalid VolumeKmsKeyId: NotFoundException: Alias arn:aws:kms:us-east-1:000000000000:alias/none is not found.")
	refuse(key.ID, "ml.g4dn.xlarge", "Invalid VolumeKmsKeyId: instances of type ml.g4dn.xlarge have local NVMe disks")
	disable := func() {
		t.Helper()
		if err := g.keystore.SetEnabled(t.Context(), keyring.ID{Region: "us-east-1", Name: key.ID}, false); err != nil {
			t.Fatal(err)
		}
	}
	// The one instance that may run is busy while the key is disabled.
	one := startWith(t, t.TempDir(), func(o *Options) {
		withModel(&o.Config)
		o.Config.MaxInstances, o.Config.Volumes = 1, "memory"
		o.Objects = g.store
	})
	g.Daemon, key = one, newKey(t, one)
	must(t, one, "CreateModel", g.model())
	must(t, one, "CreateTransformJob", gatedJob("first", ""))
	g.pass(t, "first", func() {
		must(t, one, "CreateTransformJob", gatedJob("second", key.ID))
		disable()
	})
	end := await(t, one, "second")
	want := "ClientError: See job logs for more information: the encrypted volume cannot be made with the key " + key.ID + ": DisabledException: " + key.ARN + " is disabled."
	if reason := fmt.Sprint(end["FailureReason"]); end["TransformJobStatus"] != "Failed" || !strings.Contains(reason, "DisabledException: "+key.ARN+" is disabled.") {
		t.Errorf("the job ended as %v: %q, want %q", end["TransformJobStatus"], reason, want)
	}
	refuse(key.ID, "ml.m5.large", "Invalid VolumeKmsKeyId: DisabledException: "+key.ARN+" is disabled.")
}

// The instances of an endpoint whose configuration has a KmsKeyId keep their model
// on a volume, which goes with the last of them or with the server (CP-40).
func TestEndpointKmsKeyId(t *testing.T) {
	t.Parallel()
	requireVolumes(t, "encrypted")
	g := startGated(t, "encrypted")
	key := newKey(t, g.Daemon)
	must(t, g.Daemon, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "c", "KmsKeyId": "arn:aws:kms:us-east-1:000000000000:key/" + key.ID,
		"ProductionVariants": []any{variantIn("v", "m", 2, 1)}})
	if out := must(t, g.Daemon, "DescribeEndpointConfig", map[string]any{"EndpointConfigName": "c"}); out["KmsKeyId"] != key.ARN {
		t.Errorf("the configuration is %v", out)
	}
	must(t, g.Daemon, "CreateEndpoint", map[string]any{"EndpointName": "e", "EndpointConfigName": "c"})
	if out := status(t, g.Daemon, "e", "InService", "Failed"); out["EndpointStatus"] != "InService" {
		t.Fatalf("%v", out)
	}
	if resp, body := invoke(t, g.Daemon, "e", inputSecret, nil); resp.StatusCode != 200 || body != inputSecret {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for _, secret := range []string{modelSecret, inputSecret} {
		if files := holding(t, g.Data(), secret); len(files) > 0 {
			t.Errorf("%q is in %v", secret, files)
		}
	}
	if left := volumesOf(t, g.Data()); len(left) != 2 {
		t.Errorf("there are %v, want a volume and a mount", left)
	}
	must(t, g.Daemon, "DeleteEndpoint", map[string]any{"EndpointName": "e"})
	g.gone(t, "e")
}

// gone waits until an endpoint and its volume are no more.
func (g *gated) gone(t *testing.T, name string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		code, _ := call(t, g.Daemon, "DescribeEndpoint", map[string]any{"EndpointName": name})
		if code == 400 && len(volumesOf(t, g.Data())) == 0 {
			return
		}
	}
}

// All of it together, over the embedded S3: with a key for the bucket, for the volume
// and for the output, the whole data folder shows nothing of the model, the input,
// the answers and the logs, while the job runs and after it.
func TestNothingShows(t *testing.T) {
	t.Parallel()
	requireVolumes(t, "encrypted")
	g := &gated{gate: newGate(t), log: &lockedBuffer{}}
	g.Daemon = startWith(t, t.TempDir(), func(o *Options) {
		withModel(&o.Config)
		o.Config.Volumes = "encrypted"
		o.Log = slog.New(slog.NewTextHandler(g.log, nil))
	})
	key := newKey(t, g.Daemon)
	object(t, g.Daemon, "PUT", "/bucket", nil)
	encryptBucket(t, g.Daemon, "bucket", key.ARN)
	object(t, g.Daemon, "PUT", "/bucket/model.tar.gz", []byte(modelArchive(t, "weights", modelSecret)))
	object(t, g.Daemon, "PUT", "/bucket/in/a", []byte(inputSecret+"\n"+inputSecret+" gate\n"))
	must(t, g.Daemon, "CreateModel", g.model())
	in := gatedJob("sealed", key.ARN)
	in["TransformOutput"].(map[string]any)["KmsKeyId"] = key.ARN
	must(t, g.Daemon, "CreateTransformJob", in)
	nothing := func() {
		t.Helper()
		for _, secret := range []string{modelSecret, inputSecret} {
			if files := holding(t, g.Data(), secret); len(files) > 0 || strings.Contains(g.log.String(), secret) {
				t.Errorf("%q is in %v, or in the log", secret, files)
			}
		}
	}
	g.pass(t, "sealed", nothing)
	if end := await(t, g.Daemon, "sealed"); end["TransformJobStatus"] != "Completed" {
		t.Fatalf("the job ended as %v", end)
	}
	nothing()
	if got := string(object(t, g.Daemon, "GET", "/bucket/out/a.part0001", nil)); got != inputSecret+"\n" {
		t.Errorf("the answer is %q", got)
	}
}
