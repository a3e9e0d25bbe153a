package fake_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
	"github.com/sagebrush-ml/sagebrush/internal/driver/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const programImage = "drivertest/program:1"

// program acts out the suite's Program.
func program(spec driver.Spec) fake.Script {
	of := func(c *fake.Container) drivertest.Program {
		return drivertest.Program{
			Env:      c.Env(),
			Args:     c.Spec().Args,
			ModelDir: c.Spec().ModelDir,
			Stdout:   c,
			Stderr:   c,
			Exit:     func(code int) { c.End(driver.Exit{Code: code}) },
			Die:      func() { c.End(driver.Exit{Code: -1, Signal: "killed"}) },
		}
	}
	onTerm := spec.Env[drivertest.EnvTerm]
	return fake.Script{
		IgnoreTerm: onTerm != "",
		Handler:    func(c *fake.Container) http.Handler { return of(c).Handler() },
		Main: func(c *fake.Container) {
			if !of(c).Begin() {
				return
			}
			select {
			case <-c.Terminated():
				if code, err := strconv.Atoi(onTerm); err == nil {
					c.End(driver.Exit{Code: code})
				}
			case <-c.Killed():
			}
		},
	}
}

func TestDriver(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, drivertest.Harness{
		New: func(*testing.T) driver.Driver {
			return fake.New(func(spec driver.Spec) (fake.Script, error) {
				return fake.Images(map[string]fake.Script{programImage: program(spec)})(spec)
			})
		},
		Image:       programImage,
		AnyImage:    true,
		PlatformEnv: []string{"SAGEMAKER_BIND_TO_PORT", "SAGEBRUSH_BIND_HOST", "SM_MODEL_DIR"},
		Leave:       func(_ *testing.T, d driver.Driver, i driver.Handle) { d.(*fake.Driver).Leave(i.ID()) },
		CannotFork:  "a fake instance has no process to fork",
	})
}

func spec(id string) driver.Spec { return driver.Spec{ID: id, Image: programImage} }

func one(s fake.Script) *fake.Driver {
	return fake.New(fake.Images(map[string]fake.Script{programImage: s}))
}

func TestStartError(t *testing.T) {
	t.Parallel()
	want := errors.New("no machine")
	d := one(fake.Script{StartError: want})
	if _, err := d.Start(t.Context(), spec("a")); !errors.Is(err, want) {
		t.Errorf("error %v", err)
	}
	if len(d.Started()) != 0 || len(d.Live()) != 0 {
		t.Errorf("started %v, live %v", d.Started(), d.Live())
	}
}

func TestPlannedEnd(t *testing.T) {
	t.Parallel()
	d := one(fake.Script{End: &fake.End{After: time.Millisecond, Exit: driver.Exit{Code: -1, Signal: "killed", OOM: true}}})
	i, err := d.Start(t.Context(), spec("a"))
	if err != nil {
		t.Fatal(err)
	}
	<-i.Done()
	if exit := i.Exit(); !exit.OOM || exit.Signal != "killed" || exit.At.IsZero() {
		t.Errorf("exit %+v", exit)
	}
	if len(d.Live()) != 0 || len(d.Started()) != 1 {
		t.Errorf("started %v, live %v", d.Started(), d.Live())
	}
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	d := one(fake.Script{ReadyAfter: time.Hour})
	i, err := d.Start(t.Context(), spec("a"))
	if err != nil {
		t.Fatal(err)
	}
	if got := status(t, i, "/ping"); got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
	if got := d.Live(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("live %v", got)
	}
	if err := i.Stop(context.Background(), time.Hour); err != nil {
		t.Error(err)
	}
}

func TestZeroScript(t *testing.T) {
	t.Parallel()
	i, err := one(fake.Script{}).Start(t.Context(), spec("a"))
	if err != nil {
		t.Fatal(err)
	}
	if got := status(t, i, "/ping"); got != http.StatusOK {
		t.Errorf("/ping: status %d", got)
	}
	if got := status(t, i, "/execution-parameters"); got != http.StatusNotFound {
		t.Errorf("/execution-parameters: status %d", got)
	}
	if err := i.Stop(context.Background(), 0); err != nil {
		t.Error(err)
	}
}

// TestStopCutsRequests shows that a request under way ends with its instance.
func TestStopCutsRequests(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	d := one(fake.Script{Handler: func(*fake.Container) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
		})
	}})
	i, err := d.Start(t.Context(), spec("a"))
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		resp, err := client.Get("http://" + i.Addr() + "/invocations")
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		failed <- err
	}()
	<-entered
	if err := i.Stop(context.Background(), 0); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func status(t *testing.T, i driver.Handle, path string) int {
	t.Helper()
	resp, err := client.Get("http://" + i.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
