package docker

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// TestArchitecture has an image for another machine, which is refused before
// anything starts unless emulation is allowed.
func TestArchitecture(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	tag := e.load(t, programFor(t, nil, other))
	d := newDriver(t)
	for what, err := range map[string]error{
		"prepare": second(d.Prepare(t.Context(), tag, nil)),
		"start":   second(d.Start(t.Context(), spec(tag, "foreign", nil))),
	} {
		text := fault.TextOf(err)
		if !errors.Is(err, driver.ErrNoImage) || !strings.Contains(text, "linux/"+other) || !strings.Contains(text, "linux/"+runtime.GOARCH) || !strings.Contains(text, "emulation") {
			t.Errorf("%s: %v", what, err)
		}
	}
	emulating := newDriver(t, func(c *Config) { c.Emulation = true })
	post(t, start(t, emulating, spec(tag, "foreign", nil)), "/print", nil) // the binary is ours in truth
}

// TestNoServe has images whose program cannot be started (CC-1).
func TestNoServe(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	d := newDriver(t)
	for _, tt := range []struct {
		name   string
		files  map[string][]byte
		config v1.Config
		want   string
	}{
		{"no serve", map[string][]byte{"x": []byte("x")}, v1.Config{Cmd: []string{"/x"}}, `a program named "serve"`},
		{"no entry point", map[string][]byte{"x": []byte("x")}, v1.Config{Entrypoint: []string{"/bin/server"}}, "/bin/server"},
		{"a folder", map[string][]byte{"bin/x": []byte("x")}, v1.Config{Entrypoint: []string{"/bin"}}, "permission denied"},
	} {
		tag := e.load(t, buildImage(t, tt.files, tt.config, runtime.GOARCH))
		_, err := d.Start(t.Context(), spec(tag, "no-serve", nil))
		if !errors.Is(err, driver.ErrNoImage) || !fault.Is(err, fault.Invalid) || !strings.Contains(fault.TextOf(err), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestNoFormat has a program that no kernel executes: the engine starts it, or
// refuses it, and either way its end says why.
func TestNoFormat(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	tag := e.load(t, buildImage(t, map[string][]byte{"serve": []byte("echo no first line")}, v1.Config{Entrypoint: []string{"/serve"}}, runtime.GOARCH))
	s := spec(tag, "no-format", nil)
	h, err := newDriver(t).Start(t.Context(), s)
	if err != nil {
		if !errors.Is(err, driver.ErrNoImage) || !strings.Contains(fault.TextOf(err), "not one for this machine") {
			t.Error(err)
		}
		return
	}
	defer stop(t, h.(*instance))
	if exit := ended(t, h); exit.Code == 0 || !strings.Contains(s.Output.(*printed).String(), "exec format error") {
		t.Errorf("exit %+v, output %q", exit, s.Output)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	digest := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	for _, tt := range []struct {
		name    string
		id      string
		digests []string
		want    string
	}{
		{"my/app:1", digest("a"), nil, "my/app@" + digest("a")},
		{"my/app", strings.Repeat("a", 64), nil, "my/app@" + digest("a")},
		{"my/app:1", digest("a"), []string{"my/app@" + digest("c"), "my/app@" + digest("b")}, "my/app@" + digest("b")},
		{"my/app:1", digest("a"), []string{"other/app@" + digest("b")}, "my/app@" + digest("a")},
		{"host:5000/app:1", digest("a"), []string{"host:5000/app@" + digest("b")}, "host:5000/app@" + digest("b")},
		{"ubuntu", digest("a"), []string{"docker.io/library/ubuntu@" + digest("b")}, "ubuntu@" + digest("b")},
		{"my/app:1@" + digest("d"), digest("a"), []string{"my/app@" + digest("b")}, "my/app@" + digest("d")},
		{"my/app:1", digest("a"), []string{"not a name"}, "my/app@" + digest("a")},
	} {
		ref, err := parse(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		img := &client.ImageInspectResult{InspectResponse: image.InspectResponse{ID: tt.id, RepoDigests: tt.digests}}
		if got := resolve(tt.name, ref, img); got != tt.want {
			t.Errorf("%s with %v: %s, want %s", tt.name, tt.digests, got, tt.want)
		}
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	sum := "sha256:" + strings.Repeat("a", 64)
	for image, want := range map[string]string{
		"my/app":                 "docker.io/my/app:latest my/app",
		"my/app:1":               "docker.io/my/app:1 my/app:1",
		"localhost/app:1":        "localhost/app:1",
		"my/app:1@" + sum:        "docker.io/my/app@" + sum + " " + sum,
		"host:5000/a/b/c@" + sum: "host:5000/a/b/c@" + sum + " " + sum,
	} {
		ref, err := parse(image)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(candidates(image, ref), " "); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	bytes := func(done, total int64) *jsonstream.Progress {
		return &jsonstream.Progress{Current: done, Total: total}
	}
	var got tally
	for _, step := range []struct {
		m    jsonstream.Message
		want driver.Pull
	}{
		{jsonstream.Message{Status: "Pulling from my/app", ID: "1"}, driver.Pull{Text: "asks the registry for it"}},
		{jsonstream.Message{Status: "Already exists", ID: "a"}, driver.Pull{Text: "asks the registry for it"}},
		{jsonstream.Message{Status: "Downloading", ID: "b", Progress: bytes(10, 100)}, driver.Pull{Done: 10, Total: 100, Text: "downloads it"}},
		{jsonstream.Message{Status: "Downloading", ID: "c", Progress: bytes(5, 50)}, driver.Pull{Done: 15, Total: 150, Text: "downloads it"}},
		{jsonstream.Message{Status: "Download complete", ID: "b"}, driver.Pull{Done: 105, Total: 150, Text: "downloads it"}},
		{jsonstream.Message{Status: "Extracting", ID: "b", Progress: bytes(1, 100)}, driver.Pull{Done: 105, Total: 150, Text: "unpacks it"}},
		{jsonstream.Message{Status: "Downloading", ID: "c", Progress: bytes(-5, -1)}, driver.Pull{Done: 100, Total: 100, Text: "downloads it"}},
		{jsonstream.Message{Status: "Status: Downloaded newer image"}, driver.Pull{Done: 100, Total: 100, Text: "downloads it"}},
	} {
		got.add(step.m)
		if sum := got.sum(); sum != step.want {
			t.Errorf("after %+v: %+v, want %+v", step.m, sum, step.want)
		}
	}
}

// FuzzParse shows that no name makes parse, or what works on its result, panic.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"a", "a/b:c", "h:1/a@sha256:" + strings.Repeat("a", 64), "::", "@", "a@", "UPPER", "a b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ref, err := parse(name)
		if err != nil {
			if !errors.Is(err, driver.ErrNoImage) {
				t.Errorf("error %v", err)
			}
			return
		}
		if _, err := reference.ParseNormalizedNamed(ref.String()); err != nil {
			t.Errorf("%q becomes %q: %v", name, ref, err)
		}
		resolved := resolve(name, ref, &client.ImageInspectResult{InspectResponse: image.InspectResponse{ID: "sha256:" + strings.Repeat("a", 64)}})
		if again, err := parse(resolved); err != nil || again.Name() != ref.Name() {
			t.Errorf("%q resolves to %q: %v", name, resolved, err)
		}
	})
}
