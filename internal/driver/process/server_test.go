package process

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
)

// patience bounds every wait of these tests.
const patience = 60 * time.Second

// serverOrder tells a server that is about to crash what to run.
type serverOrder struct {
	StateDir, ScratchDir string
	OnTerm               []string // one instance each
}

// serverMain is a server with instances that fork. It prints all addresses that
// are in use because of it, and waits for its end.
func serverMain(text string) {
	var o serverOrder
	err := json.Unmarshal([]byte(text), &o)
	var addrs []string
	if err == nil {
		addrs, err = o.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(addrs)
	select {}
}

func (o serverOrder) run() ([]string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	d := New(Config{
		Images:   []Image{{Pattern: programImage, Command: []string{exe, "program"}}},
		Shim:     []string{exe, "shim"},
		StateDir: o.StateDir,
	})
	var addrs []string
	for n, onTerm := range o.OnTerm {
		spec := driver.Spec{ID: "crash-" + strconv.Itoa(n), Image: programImage, ScratchDir: o.ScratchDir, Output: os.Stderr}
		if onTerm != "" {
			spec.Env = map[string]string{drivertest.EnvTerm: onTerm}
		}
		i, err := d.Start(context.Background(), spec)
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, i.Addr())
		paths := []string{"/fork", "/fork?session=own"}
		if runtime.GOOS != "linux" {
			paths = paths[:1]
		}
		for _, path := range paths {
			child, err := ask(i.Addr(), path)
			if err != nil {
				return nil, err
			}
			addrs = append(addrs, child)
		}
	}
	return addrs, nil
}

// ask posts to a Program, as soon as it listens.
func ask(addr, path string) (string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(patience); ; <-tick.C {
		resp, err := client.Post("http://"+addr+path, "", nil)
		if err == nil {
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			return string(body), err
		}
		if time.Now().After(until) {
			return "", err
		}
	}
}

// crashable starts a server and gives it with its addresses.
func crashable(t *testing.T, o serverOrder) (*exec.Cmd, []string) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self(t), "server", string(text))
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var addrs []string
	if err := json.NewDecoder(out).Decode(&addrs); err != nil {
		t.Fatalf("the server did not come up: %v", err)
	}
	for _, addr := range addrs {
		if !listens(addr) {
			t.Fatalf("nothing at %s before the crash", addr)
		}
	}
	return cmd, addrs
}

func listens(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(until) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestServerKilled proves that nothing outlives a server that was killed: not the
// command, not its children, not those that left the session or ignore SIGTERM.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	o := serverOrder{StateDir: t.TempDir(), ScratchDir: t.TempDir(), OnTerm: []string{"", "ignore", "7"}}
	cmd, addrs := crashable(t, o)
	recs, err := records{o.StateDir}.list()
	if err != nil || len(recs) != len(o.OnTerm) {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for _, addr := range addrs {
		eventually(t, "silence at "+addr, func() bool { return !listens(addr) })
	}
	for _, rec := range recs {
		eventually(t, "the end of the shim", func() bool { return !rec.Shim.alive() })
		if rec.Leader.alive() {
			t.Errorf("the command of %s is alive", rec.ID)
		}
		noneLeft(t, rec)
	}
	// What is left is on disk, and the next server removes it.
	if err := New(Config{StateDir: o.StateDir}).Sweep(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(o.StateDir); err != nil || len(left) != 0 {
		t.Errorf("left in the state folder: %v, %v", left, err)
	}
}

// TestServerAndShimKilled leaves the work to Sweep.
func TestServerAndShimKilled(t *testing.T) {
	t.Parallel()
	o := serverOrder{StateDir: t.TempDir(), ScratchDir: t.TempDir(), OnTerm: []string{"ignore", "ignore"}}
	cmd, _ := crashable(t, o)
	recs, err := records{o.StateDir}.list()
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range recs { // stopped, the server cannot clean up in between
		for _, step := range []struct {
			pid    int
			signal syscall.Signal
		}{{cmd.Process.Pid, syscall.SIGSTOP}, {rec.Shim.Pid, syscall.SIGKILL}} {
			if err := syscall.Kill(step.pid, step.signal); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	d := New(Config{StateDir: o.StateDir})
	if err := d.Sweep(t.Context(), []string{"crash-1"}); err != nil {
		t.Fatal(err)
	}
	for _, rec := range recs { // not by address: another program may have taken it since
		noneLeft(t, rec)
	}
	if recs, err := d.records.list(); err != nil || len(recs) != 0 {
		t.Errorf("records %+v, %v, also of the one to keep, which cannot be attached", recs, err)
	}
}

// TestShimKilled shows that the server notices, and cleans up itself.
func TestShimKilled(t *testing.T) {
	t.Parallel()
	d := New(testConfig(t))
	h, err := d.Start(t.Context(), driver.Spec{ID: "shim-killed", Image: programImage, ScratchDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	child, err := ask(h.Addr(), "/fork")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.(*instance).shim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-h.Done()
	if exit := h.Exit(); exit.Code != -1 || exit.Signal != "killed" {
		t.Errorf("exit %+v", exit)
	}
	if runtime.GOOS == "linux" && (listens(h.Addr()) || listens(child)) {
		t.Error("the tree outlived its shim")
	}
	if err := h.Stop(t.Context(), 0); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestSweepSparesOthers holds the cases in which Sweep must kill nothing.
func TestSweepSparesOthers(t *testing.T) {
	t.Parallel()
	bystander := exec.Command("/bin/sh", "-c", "read x")
	in, err := bystander.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	at, err := identify(bystander.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	me, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	recycled := at
	recycled.Start--
	d := New(Config{StateDir: t.TempDir()})
	for _, rec := range []record{
		{ID: "recycled", Token: newToken(), Shim: recycled, Leader: recycled},
		{ID: "other-server", Token: newToken(), Owner: me, Shim: at, Leader: at},
	} {
		if err := d.records.save(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Sweep(t.Context(), nil); err != nil {
		t.Errorf("sweep: %v", err)
	}
	if !at.alive() {
		t.Error("Sweep killed a process that is not ours")
	}
	recs, err := d.records.list()
	if err != nil || len(recs) != 1 || recs[0].ID != "other-server" {
		t.Errorf("records %+v, %v", recs, err)
	}
	in.Close()
	if err := bystander.Wait(); err != nil && !strings.Contains(err.Error(), "exit status") {
		t.Errorf("the bystander: %v", err)
	}
}
