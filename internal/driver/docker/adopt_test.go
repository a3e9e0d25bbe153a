package docker

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
)

// say has the Program print a line.
func say(t testing.TB, i driver.Handle, line string) {
	t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Post("http://"+i.Addr()+"/print", "text/plain", strings.NewReader(line+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// again makes a driver with the same owner, as a server does that is started again.
func again(t testing.TB, d *Driver) *Driver {
	t.Helper()
	return newDriver(t, func(c *Config) { c.Owner, c.Host = d.config.Owner, d.config.Host })
}

// TestAdopt has a second server go on with an instance of the first, and with its
// output where the first one left it.
func TestAdopt(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	first := newDriver(t)
	s := spec(e.loadProgram(t), "adopted", map[string]string{drivertest.EnvPrint: "10"})
	s.ModelDir = t.TempDir()
	i := start(t, first, s)
	post(t, i, "/print", nil)
	say(t, i, "before")
	s.Output.(*printed).await(t, "before\n")
	received := time.Now()
	first.Close()
	say(t, i, "between")

	second := again(t, first)
	if err := second.Sweep(t.Context(), []string{"adopted"}); err != nil {
		t.Fatal(err)
	}
	out := newPrinted()
	h, err := second.Attach(t.Context(), driver.Spec{ID: "adopted", Output: out, OutputSince: received})
	if err != nil {
		t.Fatal(err)
	}
	if h.Addr() != i.Addr() || h.Inside(s.ModelDir) != driver.ModelPath {
		t.Errorf("adopted at %s with its model at %s", h.Addr(), h.Inside(s.ModelDir))
	}
	say(t, h, "after")
	if err := h.Stop(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	if exit := h.Exit(); exit.Signal != "terminated" {
		t.Errorf("exit %+v", exit)
	}
	if got := out.String(); got != "between\nafter\n" {
		t.Errorf("the second server received %q", got)
	}
	if got := s.Output.(*printed).String(); !strings.HasSuffix(got, "\nbefore\n") || strings.Count(got, "\n") != 11 {
		t.Errorf("the first server received %q", got)
	}
}

// TestAdoptAll has everything printed again for a server that knows of nothing.
func TestAdoptAll(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	first := newDriver(t)
	s := spec(e.loadProgram(t), "adopted", map[string]string{drivertest.EnvPrint: "100"})
	i := start(t, first, s)
	post(t, i, "/print", nil)
	first.Close()
	out := newPrinted()
	h, err := again(t, first).Attach(t.Context(), driver.Spec{ID: "adopted", Output: out})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Stop(context.Background(), 0)
	out.await(t, "drivertest line 98\n")
	out.await(t, "drivertest line 99\n")
	if n := strings.Count(out.String(), "\n"); n != 100 {
		t.Errorf("%d lines", n)
	}
}

// TestAdoptEnded proves that an instance that ended without a server is none, and
// that its ID is free.
func TestAdoptEnded(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	image := e.loadProgram(t)
	first := newDriver(t)
	i := start(t, first, spec(image, "ended", nil))
	first.Close()
	if _, err := e.ContainerStop(t.Context(), i.container, client.ContainerStopOptions{}); err != nil {
		t.Fatal(err)
	}
	second := again(t, first)
	if _, err := second.Attach(t.Context(), driver.Spec{ID: "ended"}); !errors.Is(err, driver.ErrNoInstance) {
		t.Errorf("attach: %v", err)
	}
	post(t, start(t, second, spec(image, "ended", nil)), "/print", nil)
}

// TestSweep leaves what is kept and what is others', and removes what runs, what
// was only created, and a network without a container.
func TestSweep(t *testing.T) {
	t.Parallel()
	e := requireEngine(t)
	image := e.loadProgram(t)
	first, other := newDriver(t), newDriver(t)
	kept := start(t, first, spec(image, "kept", nil))
	start(t, first, spec(image, "orphan", nil))
	others := start(t, other, spec(image, "orphan", nil))
	created := created(t, first, image, "created")
	network := first.newInstance("network", "")
	if _, err := first.createNetwork(t.Context(), network, false, map[string]string{labelOwner: first.owner, labelInstance: "network"}); err != nil {
		t.Fatal(err)
	}
	first.Close()

	second := again(t, first)
	if err := second.Sweep(t.Context(), []string{"kept", "created", "unknown"}); err != nil {
		t.Fatal(err)
	}
	left, err := second.list(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(left.containers) != 1 || left.containers[0].ID != kept.container || len(left.networks) != 1 || left.networks[0].ID != kept.network {
		t.Errorf("left: %+v (created was %s)", left, created)
	}
	if c := inspect(t, e, others); c.State.Status != container.StateRunning {
		t.Errorf("the instance of another owner is %s", c.State.Status)
	}
	if err := second.Sweep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

// created makes a container as a server does that is killed before it starts it.
func created(t *testing.T, d *Driver, image, id string) string {
	t.Helper()
	facts, err := d.know(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := spec(image, id, nil)
	img, err := d.startable(t.Context(), s, facts)
	if err != nil {
		t.Fatal(err)
	}
	i, err := d.create(t.Context(), s, img, facts)
	if err != nil {
		t.Fatal(err)
	}
	return i.container
}
