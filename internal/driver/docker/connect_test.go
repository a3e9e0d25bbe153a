package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// dockerContextFile adds a context to the Docker configuration.
func dockerContextFile(t *testing.T, name, host string) {
	t.Helper()
	sum := sha256.Sum256([]byte(name))
	dir := filepath.Join(os.Getenv("DOCKER_CONFIG"), "contexts", "meta", hex.EncodeToString(sum[:]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	meta := fmt.Sprintf(`{"Name": %q, "Endpoints": {"docker": {"Host": %q, "SkipTLSVerify": false}}}`, name, host)
	if err := os.WriteFile(filepath.Join(dir, "meta.json"), []byte(meta), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestConnect finds the engine as the docker command does.
func TestConnect(t *testing.T) {
	dockerConfig(t, `{"currentContext": "rootless"}`)
	dockerContextFile(t, "rootless", "unix:///run/user/1000/docker.sock")
	dockerContextFile(t, "other", "unix:///run/other.sock")
	for _, tt := range []struct{ given, host, context, want string }{
		{"", "", "", "unix:///run/user/1000/docker.sock"},
		{"", "", "other", "unix:///run/other.sock"},
		{"", "", "default", client.DefaultDockerHost},
		{"", "tcp://127.0.0.1:2375", "other", "tcp://127.0.0.1:2375"},
		{"unix:///given.sock", "tcp://127.0.0.1:2375", "", "unix:///given.sock"},
		{"", "", "unknown", "!context \"unknown\""},
		{"ssh://me@there", "", "", "!not supported"},
		{"nonsense", "", "", "!nonsense"},
	} {
		t.Setenv("DOCKER_HOST", tt.host)
		t.Setenv("DOCKER_CONTEXT", tt.context)
		engine, host, err := connect(tt.given)
		if why, fails := strings.CutPrefix(tt.want, "!"); fails {
			if err == nil || !strings.Contains(fault.TextOf(err), why) {
				t.Errorf("%+v: %s, %v", tt, host, err)
			}
			continue
		}
		if err != nil || host != tt.want || engine.DaemonHost() != tt.want {
			t.Errorf("%+v: %s, %v", tt, host, err)
		}
	}
}

// TestConnectTLS has the certificates asked for where TLS is.
func TestConnectTLS(t *testing.T) {
	dockerConfig(t, `{}`)
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
	t.Setenv("DOCKER_TLS_VERIFY", "1")
	if _, _, err := connect(""); !strings.Contains(fault.TextOf(err), "certificates") {
		t.Errorf("error %v", err)
	}
	t.Setenv("DOCKER_CERT_PATH", t.TempDir())
	if _, _, err := connect(""); !strings.Contains(fault.TextOf(err), "certificates") {
		t.Errorf("error %v", err)
	}
}

// TestNoEngine proves that a driver without an engine says what to do.
func TestNoEngine(t *testing.T) {
	t.Parallel()
	host := "unix://" + filepath.Join(t.TempDir(), "none.sock")
	d, err := New(Config{Host: host, Owner: "o"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for what, err := range map[string]error{
		"prepare": second(d.Prepare(t.Context(), "my/app", nil)),
		"start":   second(d.Start(t.Context(), spec("my/app", "a", nil))),
		"attach":  second(d.Attach(t.Context(), driver.Spec{ID: "a"})),
	} {
		text := fault.TextOf(err)
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(text, host) || !strings.Contains(text, "start it") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := d.Sweep(t.Context(), nil); err != nil {
		t.Errorf("sweep: %v", err)
	}
}

func TestExitOf(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]driver.Exit{
		0: {}, 1: {Code: 1}, 128: {Code: 128}, 255: {Code: 255}, 129: {Code: 129},
		137: {Code: -1, Signal: "killed"}, 139: {Code: -1, Signal: "segmentation fault"}, 143: {Code: -1, Signal: "terminated"},
	} {
		if got := driver.ExitOfCode(code); got != want {
			t.Errorf("%d: %+v", code, got)
		}
	}
}

func TestInside(t *testing.T) {
	t.Parallel()
	i := &instance{folders: []folder{{host: "/data/m", inside: "/opt/ml/model"}, {host: "/data/m/deep", inside: "/deep"}, {host: "/", inside: "/host"}}}
	for path, want := range map[string]string{
		"/data/m": "/opt/ml/model", "/data/m/a/b": "/opt/ml/model/a/b", "/data/m/": "/opt/ml/model",
		"/data/m/deep/x": "/deep/x", "/data/mx": "/host/data/mx", "/data/m/../n": "/host/data/n",
	} {
		if got := i.Inside(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := (&instance{}).Inside("/a"); got != "/a" {
		t.Errorf("/a: %s", got)
	}
}
