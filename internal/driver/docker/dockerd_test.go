package docker

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
)

// shortDir is a folder whose name is short enough for sockets.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sgb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// ownEngine is an engine for one test, which may stop it.
type ownEngine struct {
	testEngine
	dir    string
	bridge string
	flags  []string
	cmd    *exec.Cmd
}

// startOwn starts an engine that shares nothing with that of the machine.
func startOwn(t *testing.T, flags ...string) *ownEngine {
	t.Helper()
	requireEngine(t) // where there is none, this test is not run either
	if os.Getuid() != 0 {
		t.Skip("an engine of its own needs root")
	}
	dir := shortDir(t)
	own := &ownEngine{dir: dir, bridge: "t" + filepath.Base(dir), flags: flags}
	// A bridge of its own keeps its hands off docker0: with none, it would remove that.
	own.bridge = own.bridge[:min(len(own.bridge), 15)]
	for _, args := range [][]string{{"link", "add", own.bridge, "type", "bridge"}, {"addr", "add", "203.0.113.1/30", "dev", own.bridge}} {
		if said, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, said)
		}
	}
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", own.bridge).Run() })
	own.run(t)
	engine, host, err := connect("unix://" + filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	own.testEngine = testEngine{host, engine}
	t.Cleanup(func() {
		own.end(t, syscall.SIGTERM)
		engine.Close()
		own.clean()
	})
	own.awaitUp(t)
	return own
}

func (o *ownEngine) run(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(o.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	at := func(name string) string { return filepath.Join(o.dir, name) }
	o.cmd = exec.Command("dockerd", append([]string{
		"--host=unix://" + at("s"), "--data-root=" + at("data"), "--exec-root=" + at("exec"), "--pidfile=" + at("pid"),
		"--containerd-namespace=" + filepath.Base(o.dir), "--containerd-plugins-namespace=" + filepath.Base(o.dir) + "-plugins",
		"--bridge=" + o.bridge, "--iptables=false", "--ip-masq=false", // the rules of the machine's engine stay its own
	}, o.flags...)...)
	o.cmd.Stdout, o.cmd.Stderr = log, log
	if err := o.cmd.Start(); err != nil {
		t.Skipf("an engine of its own does not start: %v", err)
	}
}

func (o *ownEngine) awaitUp(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := o.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(o.dir, "log"))
			t.Fatalf("the engine does not come up:\n%s", log)
		case <-again.C:
		}
	}
}

// end stops the engine and waits until it has ended.
func (o *ownEngine) end(t *testing.T, s os.Signal) {
	t.Helper()
	if o.cmd == nil {
		return
	}
	if err := o.cmd.Process.Signal(s); err != nil {
		t.Error(err)
	}
	_ = o.cmd.Wait()
	o.cmd = nil
	if s == syscall.SIGKILL { // containerd dies with it, and where nobody reaps it, it seems to live
		_ = os.Remove(filepath.Join(o.dir, "exec", "containerd", "containerd.pid"))
	}
}

// clean ends the containerd that a killed engine leaves, and its mounts.
func (o *ownEngine) clean() {
	if text, err := os.ReadFile(filepath.Join(o.dir, "exec", "containerd", "containerd.pid")); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], o.dir+"/") {
			_ = exec.Command("umount", "-l", f[1]).Run()
		}
	}
}

// TestEngineStops has an engine stop in mid-life, which ends its containers, and
// come back.
func TestEngineStops(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGKILL": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := startOwn(t)
			image := own.load(t, programImage(t, nil))
			d := newDriver(t, func(c *Config) { c.Host = own.host })
			// A container that ends well at SIGTERM must not seem to have ended by itself.
			i := start(t, d, spec(image, "instance", map[string]string{drivertest.EnvTerm: "0"}))
			post(t, i, "/print", nil)
			own.end(t, signal)
			if exit := ended(t, i); !exit.Lost {
				t.Errorf("exit %+v", exit)
			}
			stop(t, i)
			own.run(t)
			own.awaitUp(t)
			next := start(t, d, spec(image, "next", nil))
			post(t, next, "/print", nil)
			left, err := d.list(t.Context(), "")
			if err != nil || len(left.containers) != 1 || len(left.networks) != 1 {
				t.Errorf("on the engine: %+v, %v", left, err)
			}
		})
	}
}

// TestLiveRestore has the engine stop and come back while its containers run on.
func TestLiveRestore(t *testing.T) {
	t.Parallel()
	own := startOwn(t, "--live-restore")
	image := own.load(t, programImage(t, nil))
	d := newDriver(t, func(c *Config) { c.Host = own.host })
	s := spec(image, "instance", nil)
	i := start(t, d, s)
	post(t, i, "/print", nil)
	say(t, i, "before")
	own.end(t, syscall.SIGTERM)
	say(t, i, "meanwhile")
	own.run(t)
	own.awaitUp(t)
	say(t, i, "after")
	s.Output.(*printed).await(t, "after\n")
	if got := s.Output.(*printed).String(); got != "before\nmeanwhile\nafter\n" {
		t.Errorf("output %q", got)
	}
	if err := i.Stop(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	if exit := i.Exit(); exit.Signal != "terminated" || exit.Lost {
		t.Errorf("exit %+v", exit)
	}
}
