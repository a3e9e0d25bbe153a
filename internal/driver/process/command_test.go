package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// collected is an Output that tells when a text has been printed.
type collected struct {
	mu   sync.Mutex
	b    bytes.Buffer
	text string
	seen chan struct{}
}

func collect(text string) *collected { return &collected{text: text, seen: make(chan struct{})} }

func (c *collected) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := strings.Contains(c.b.String(), c.text)
	c.b.Write(b)
	if !before && strings.Contains(c.b.String(), c.text) {
		close(c.seen)
	}
	return len(b), nil
}

func (c *collected) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.String()
}

// runScript starts a shell script and waits until it has printed "started".
func runScript(t *testing.T, d *Driver, id string) (driver.Handle, *collected) {
	t.Helper()
	out := collect("started")
	i, err := d.Start(t.Context(), driver.Spec{ID: id, Image: "script:1", Args: []string{"serve"}, ScratchDir: t.TempDir(), Output: out})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Stop(context.Background(), 0) })
	select {
	case <-out.seen:
	case <-time.After(patience):
		t.Fatalf("not started, output %q", out)
	}
	return i, out
}

func scriptDriver(t *testing.T, script string) *Driver {
	return New(testConfig(t, shellImage("script:*", script)))
}

// TestCommandSurroundings shows what a command finds besides its environment. It
// runs alone, since it has a file that every child of the server inherits.
func TestCommandSurroundings(t *testing.T) {
	fd, err := syscall.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	d := scriptDriver(t, `
		echo args=$*
		echo core=$(ulimit -c) files=$(ulimit -n)
		for fd in $(ls /dev/fd); do [ $fd -gt 2 ] && [ -e /dev/fd/$fd ] && echo extra=$fd; done
		read line && echo stdin=$line
		echo started; exec sleep 600`)
	i, out := runScript(t, d, "surroundings")
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{"args=serve\n", fmt.Sprintf("core=0 files=%d\n", min(files.Max, openFiles))} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, not := range []string{"extra=", "stdin="} {
		if strings.Contains(text, not) {
			t.Errorf("%q in\n%s", not, text)
		}
	}
	if err := i.Stop(t.Context(), patience); err != nil {
		t.Error(err)
	}
}

// TestCommandGracefulGroup has a shell that does not pass signals on: its child
// gets the SIGTERM nevertheless (CC-27).
func TestCommandGracefulGroup(t *testing.T) {
	t.Parallel()
	d := scriptDriver(t, `
		trap 'wait; echo parent ends; exit 3' TERM
		sh -c 'trap "echo child ends; exit 0" TERM; echo started; while :; do sleep 0.05; done' &
		wait`)
	i, out := runScript(t, d, "group")
	if err := i.Stop(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	if exit := i.Exit(); exit.Code != 3 {
		t.Errorf("exit %+v", exit)
	}
	if text := out.String(); !strings.Contains(text, "child ends") || !strings.Contains(text, "parent ends") {
		t.Errorf("output %q", text)
	}
}

// TestCommandRestartsWorkers has a supervisor that replaces what is killed.
func TestCommandRestartsWorkers(t *testing.T) {
	t.Parallel()
	d := scriptDriver(t, `
		trap '' TERM
		echo started
		while :; do sh -c 'trap "" TERM; sleep 600 & wait' & wait $!; done`)
	i, _ := runScript(t, d, "respawn")
	rec := i.(*instance).rec
	if err := i.Stop(t.Context(), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	noneLeft(t, rec)
}

// TestCommandKeepsOutputOpen has a child with the output pipe: the end must not
// wait for it for ever, and on Linux it is gone.
func TestCommandKeepsOutputOpen(t *testing.T) {
	t.Parallel()
	i, _ := runScript(t, scriptDriver(t, `sleep 600 & echo started; exit 5`), "open-output")
	<-i.Done()
	if exit := i.Exit(); exit.Code != 5 {
		t.Errorf("exit %+v", exit)
	}
}

// TestOutputStuck has an Output that takes nothing until the test is over.
func TestOutputStuck(t *testing.T) {
	t.Parallel()
	out := &stuck{release: make(chan struct{})}
	d := scriptDriver(t, `yes | head -c 4000000; exit 6`)
	d.stall, d.drain = time.Millisecond, time.Millisecond
	h, err := d.Start(t.Context(), driver.Spec{ID: "stuck", Image: "script:1", ScratchDir: t.TempDir(), Output: out})
	if err != nil {
		t.Fatal(err)
	}
	<-h.Done()
	if exit := h.Exit(); exit.Code != 6 {
		t.Errorf("exit %+v", exit)
	}
	close(out.release)
	<-h.(*instance).output.done
}

// TestStartRefused holds commands that the lookup cannot refuse in advance.
func TestStartRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"no-interpreter": "#!/no/such/shell\n", "garbage": "\x00\x01"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d := New(testConfig(t,
		Image{Pattern: "no-interpreter", Command: []string{filepath.Join(dir, "no-interpreter")}},
		Image{Pattern: "garbage", Command: []string{filepath.Join(dir, "garbage")}},
		Image{Pattern: "no-folder", Command: []string{"/bin/sh"}, Dir: "/no/such/folder"},
	))
	for _, image := range []string{"no-interpreter", "garbage", "no-folder"} {
		_, err := d.Start(t.Context(), driver.Spec{ID: "refused", Image: image, ScratchDir: dir})
		if !errors.Is(err, driver.ErrNoImage) || !fault.Is(err, fault.Invalid) || !strings.Contains(fault.TextOf(err), "correct the runtime's images") {
			t.Errorf("%s: %v", image, err)
		}
	}
	nothingKept(t, d)
}

// nothingKept checks that a driver has forgotten all that it was asked to start.
func nothingKept(t *testing.T, d *Driver) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.live) != 0 || len(d.ports) != 0 {
		t.Errorf("kept: instances %v, ports %v", d.live, d.ports)
	}
	if recs, err := d.records.list(); err != nil || len(recs) != 0 {
		t.Errorf("kept: records %v, %v", recs, err)
	}
}

func TestStartBadSpec(t *testing.T) {
	t.Parallel()
	d := New(testConfig(t))
	for _, spec := range []driver.Spec{
		{ID: "a", Image: programImage},
		{ID: "a", Image: programImage, ScratchDir: "relative"},
		{ID: "a", Image: programImage, ScratchDir: "/", ModelDir: "relative"},
	} {
		if _, err := d.Start(t.Context(), spec); !fault.Is(err, fault.Internal) {
			t.Errorf("%+v: %v", spec, err)
		}
	}
	nothingKept(t, d)
}

// TestStartShimFails has supervisors that are none.
func TestStartShimFails(t *testing.T) {
	t.Parallel()
	for _, shim := range [][]string{{"/no/such/shim"}, {"/bin/sh", "-c", "exit 1"}, {self(t), "shim", "unexpected"}} {
		c := testConfig(t)
		c.Shim = shim
		d := New(c)
		if _, err := d.Start(t.Context(), driver.Spec{ID: "a", Image: programImage, ScratchDir: t.TempDir()}); !fault.Is(err, fault.Internal) {
			t.Errorf("%q: %v", shim, err)
		}
		nothingKept(t, d)
	}
}

// TestStartTooLate has a supervisor that never answers.
func TestStartTooLate(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Shim = []string{"/bin/sh", "-c", "exec sleep 600"}
	d := New(c)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := d.Start(ctx, driver.Spec{ID: "a", Image: programImage, ScratchDir: t.TempDir()})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	nothingKept(t, d)
}

// TestShimByHand shows that the hidden command does nothing for a person.
func TestShimByHand(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(self(t), "shim").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "started by the server only") {
		t.Errorf("%v, output %q", err, out)
	}
}

func BenchmarkStartStop(b *testing.B) {
	d := New(Config{
		Images:   []Image{shellImage("script:1", "exec sleep 600")},
		Shim:     []string{self(b), "shim"},
		StateDir: b.TempDir(),
	})
	dir := b.TempDir()
	for b.Loop() {
		i, err := d.Start(b.Context(), driver.Spec{ID: "bench", Image: "script:1", ScratchDir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := i.Stop(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
	}
}
