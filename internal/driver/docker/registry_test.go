package docker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// testRegistry is a registry in the test's process.
type testRegistry struct {
	host     string // as in an image's name
	password atomic.Pointer[string]
	asked    atomic.Int64              // requests in all
	layers   atomic.Int64              // layers that were sent
	gate     atomic.Pointer[chan bool] // holds up a layer in its middle until it is closed
}

func newRegistry(t testing.TB) *testRegistry {
	t.Helper()
	r := &testRegistry{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.asked.Add(1)
		if p := r.password.Load(); p != nil {
			if _, given, _ := req.BasicAuth(); given != *p {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
				return
			}
		}
		if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") {
			w = &gated{ResponseWriter: w, r: r, ctx: req.Context()}
		}
		inner.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	r.host = strings.TrimPrefix(s.URL, "http://")
	return r
}

// gateAt is how much of a layer comes before the gate.
const gateAt = 1 << 20

// gated stops in the middle of a layer until the gate opens.
type gated struct {
	http.ResponseWriter
	r    *testRegistry
	ctx  context.Context
	sent int
}

func (g *gated) Write(b []byte) (int, error) {
	before := max(0, min(gateAt-g.sent, len(b)))
	n, err := g.ResponseWriter.Write(b[:before])
	g.sent += n
	if err != nil || before == len(b) {
		return n, err
	}
	if g.sent == gateAt {
		g.r.layers.Add(1)
		if gate := g.r.gate.Load(); gate != nil {
			g.ResponseWriter.(http.Flusher).Flush()
			select {
			case <-*gate:
			case <-g.ctx.Done():
			}
		}
	}
	m, err := g.ResponseWriter.Write(b[before:])
	g.sent += m
	return n + m, err
}

func (r *testRegistry) shut() (open func()) {
	gate := make(chan bool)
	r.gate.Store(&gate)
	return sync.OnceFunc(func() { close(gate) })
}

// push puts an image into the registry and gives its name and digest. The engine
// forgets the name after the test.
func (r *testRegistry) push(t testing.TB, e testEngine, img v1.Image, image string) (tag, digest string) {
	t.Helper()
	tag = r.host + "/" + image
	ref, err := name.ParseReference(tag)
	if err != nil {
		t.Fatal(err)
	}
	password := ""
	if p := r.password.Load(); p != nil {
		password = *p
	}
	if err := remote.Write(ref, img, remote.WithAuth(&authn.Basic{Username: "me", Password: password})); err != nil {
		t.Fatal(err)
	}
	sum, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, name := range []string{tag, ref.Context().Name() + "@" + sum.String()} {
			_, _ = e.ImageRemove(context.Background(), name, client.ImageRemoveOptions{Force: true, PruneChildren: true})
		}
	})
	return tag, sum.String()
}

// bigImage has a layer that takes a while, unlike any other.
func bigImage(t testing.TB) v1.Image {
	t.Helper()
	data := make([]byte, 4<<20)
	_, _ = rand.Read(data)
	return buildImage(t, map[string][]byte{"data": data}, v1.Config{Cmd: []string{"/none"}}, runtime.GOARCH)
}

// TestPull proves EP-21 for an image of a registry, and that the pull is visible.
func TestPull(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	r := newRegistry(t)
	tag, digest := r.push(t, e, bigImage(t), "models/big:1")
	d := newDriver(t)
	open := r.shut()
	defer open()
	var reports []driver.Pull
	image, err := d.Prepare(t.Context(), tag, func(p driver.Pull) {
		reports = append(reports, p)
		if p.Done > 0 {
			open()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := r.host + "/models/big@" + digest; image.Resolved != want || image.Specified != tag {
		t.Errorf("prepared %+v, want %s", image, want)
	}
	halfway := false
	for n, p := range reports {
		if n > 0 && p.Done < reports[n-1].Done || p.Done > p.Total {
			t.Errorf("report %d: %+v after %+v", n, p, reports[max(0, n-1)])
		}
		halfway = halfway || p.Done > 0 && p.Done < p.Total
	}
	if !halfway {
		t.Errorf("no report from within the pull: %+v", reports)
	}
	asked := r.asked.Load()
	if _, err := d.Prepare(t.Context(), tag, nil); err != nil || r.asked.Load() != asked {
		t.Errorf("the registry was asked %d times about an image that is there: %v", r.asked.Load()-asked, err)
	}
}

// TestPullShared has several callers wait for one download.
func TestPullShared(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	r := newRegistry(t)
	tag, _ := r.push(t, e, bigImage(t), "models/shared:1")
	d := newDriver(t)
	open := r.shut()
	defer open()
	left, leave := context.WithCancel(t.Context())
	var joined, all sync.WaitGroup
	for n := range 4 {
		ctx := t.Context()
		if n == 0 {
			ctx = left
		}
		joined.Add(1)
		seen := sync.OnceFunc(joined.Done)
		all.Go(func() {
			_, err := d.Prepare(ctx, tag, func(p driver.Pull) {
				if p.Done > 0 {
					seen()
				}
			})
			if n == 0 && !errors.Is(err, context.Canceled) || n > 0 && err != nil {
				t.Errorf("caller %d: %v", n, err)
			}
		})
	}
	joined.Wait()
	leave() // the others' download goes on
	open()
	all.Wait()
	if n := r.layers.Load(); n != 1 {
		t.Errorf("the layer was sent %d times", n)
	}
}

// TestPullLeft has the only caller leave: the download ends, and another one may
// begin.
func TestPullLeft(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	r := newRegistry(t)
	tag, _ := r.push(t, e, bigImage(t), "models/left:1")
	d := newDriver(t)
	open := r.shut()
	defer open()
	ctx, leave := context.WithCancel(t.Context())
	_, err := d.Prepare(ctx, tag, func(p driver.Pull) {
		if p.Done > 0 {
			leave()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	open()
	if _, err := d.Prepare(t.Context(), tag, nil); err != nil {
		t.Error(err)
	}
}

// versions are two images that differ.
func versions(t *testing.T) (one, two v1.Image) {
	t.Helper()
	return programImage(t, map[string]string{"version": "1"}), programImage(t, map[string]string{"version": "2"})
}

// versionOf tells which image an instance runs.
func versionOf(t *testing.T, e testEngine, i *instance) string {
	t.Helper()
	img, err := e.ImageInspect(t.Context(), inspect(t, e, i).Image)
	if err != nil {
		t.Fatal(err)
	}
	return img.Config.Labels["version"]
}

// TestPinned proves EP-22: a tag that moves does not change what a resolved name
// runs, neither in a registry nor on the engine.
func TestPinned(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	one, two := versions(t)
	r := newRegistry(t)
	d := newDriver(t)
	tag, _ := r.push(t, e, one, "models/pinned:1")
	image, err := d.Prepare(t.Context(), tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	if image.Labels["version"] != "1" {
		t.Errorf("labels %v", image.Labels)
	}
	r.push(t, e, two, "models/pinned:1")
	moved, err := e.ImagePull(t.Context(), tag, client.ImagePullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := moved.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkPinned(t, e, d, tag, image.Resolved)
}

// TestPinnedLocal is the same for an image that was only ever loaded.
func TestPinnedLocal(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	one, two := versions(t)
	d := newDriver(t)
	tag := e.load(t, one)
	kept := e.load(t, one) // without a name the engine would forget it
	image, err := d.Prepare(t.Context(), tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.put(t, two, tag)
	checkPinned(t, e, d, tag, image.Resolved)
	_ = kept
}

func checkPinned(t *testing.T, e testEngine, d *Driver, tag, resolved string) {
	t.Helper()
	pinned := spec(tag, "pinned", nil)
	pinned.Resolved = resolved
	if v := versionOf(t, e, start(t, d, pinned)); v != "1" {
		t.Errorf("%s runs version %s", resolved, v)
	}
	if v := versionOf(t, e, start(t, d, spec(tag, "free", nil))); v != "2" {
		t.Errorf("%s runs version %s", tag, v)
	}
	if image, err := d.Prepare(t.Context(), resolved, nil); err != nil || image.Resolved != resolved {
		t.Errorf("prepared again: %+v, %v", image, err)
	}
	image, err := d.Prepare(t.Context(), tag, nil)
	if err != nil || image.Resolved == resolved {
		t.Errorf("the tag still resolves to %s: %v", image.Resolved, err)
	}
}

// TestDigest has a name with a digest pulled although the engine has another
// image under its tag.
func TestDigest(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	one, two := versions(t)
	r := newRegistry(t)
	d := newDriver(t)
	_, digest := r.push(t, e, one, "models/digest:1")
	tag, _ := r.push(t, e, two, "models/digest:1")
	if image, err := d.Prepare(t.Context(), tag, nil); err != nil || image.Labels["version"] != "2" {
		t.Fatalf("%+v, %v", image, err)
	}
	image, err := d.Prepare(t.Context(), tag+"@"+digest, nil)
	if err != nil || image.Labels["version"] != "1" || image.Resolved != r.host+"/models/digest@"+digest {
		t.Errorf("%+v, %v", image, err)
	}
	if image, err := d.Prepare(t.Context(), tag, nil); err != nil || image.Labels["version"] != "2" {
		t.Errorf("%+v, %v", image, err)
	}
}

// TestPullFails has one clear sentence for each way in which an image cannot be had.
func TestPullFails(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	r := newRegistry(t)
	tag, digest := r.push(t, e, bigImage(t), "models/there:1")
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	foreign := buildImage(t, map[string][]byte{"x": []byte("x")}, v1.Config{Cmd: []string{"/x"}}, other)
	single, _ := r.push(t, e, foreign, "models/foreign:1")
	many := r.host + "/models/many:1"
	ref, err := name.ParseReference(many)
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: foreign, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: other}}})
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	d := newDriver(t)
	for image, want := range map[string]string{
		strings.Replace(tag, ":1", ":2", 1):                         "does not have it",
		r.host + "/models/nobody:1":                                 "does not have it",
		r.host + "/models/there@" + digest[:len(digest)-4] + "0000": "does not have it",
		"127.0.0.1:1/models/away:1":                                 "cannot pull it from registry 127.0.0.1:1",
		"Not A Name":                                                "no name of an image",
		"models/":                                                   "no name of an image",
		single:                                                      "linux/" + other,
		many:                                                        "platform",
	} {
		_, err := d.Prepare(t.Context(), image, nil)
		text := fault.TextOf(err)
		if !errors.Is(err, driver.ErrNoImage) || !fault.Is(err, fault.Invalid) || !strings.Contains(text, want) || !strings.Contains(text, image) {
			t.Errorf("%s: %v", image, err)
		}
	}
}

// dockerConfig makes the Docker configuration of the test.
func dockerConfig(t *testing.T, content string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCredentials has a registry that asks who one is, and each of the places
// where the Docker configuration may have the answer.
func TestCredentials(t *testing.T) {
	e := requireEngine(t)
	r := newRegistry(t)
	password := rand.Text()
	r.password.Store(&password)
	bin := t.TempDir()
	helper := fmt.Sprintf("#!/bin/sh\nread server\necho '{\"ServerURL\":\"'$server'\",\"Username\":\"me\",\"Secret\":\"%s\"}'\n", password)
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-sagebrushtest"), []byte(helper), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	auth := func(password string) string { return base64.StdEncoding.EncodeToString([]byte("me:" + password)) }
	for _, tt := range []struct{ name, config, refusal string }{
		{"none", `{}`, "docker login " + r.host},
		{"wrong", fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, r.host, auth("guessed")), "renew them with: docker login " + r.host},
		{"auths", fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, r.host, auth(password)), ""},
		{"credHelpers", fmt.Sprintf(`{"credHelpers": {%q: "sagebrushtest"}}`, r.host), ""},
		{"credsStore", `{"credsStore": "sagebrushtest"}`, ""},
		{"missing-helper", fmt.Sprintf(`{"credHelpers": {%q: "sagebrushnone"}}`, r.host), "docker-credential-sagebrushnone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tag, _ := r.push(t, e, bigImage(t), "private/"+strings.ToLower(tt.name)+":1")
			dockerConfig(t, tt.config)
			_, err := newDriver(t).Prepare(t.Context(), tag, nil)
			text := fault.TextOf(err)
			switch {
			case tt.refusal == "" && err != nil:
				t.Error(err)
			case tt.refusal != "" && (!errors.Is(err, driver.ErrNoImage) || !strings.Contains(text, tt.refusal)):
				t.Errorf("error %v", err)
			case strings.Contains(fmt.Sprint(err), password), strings.Contains(fmt.Sprint(err), "guessed"):
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}
