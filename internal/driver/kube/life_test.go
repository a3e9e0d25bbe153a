package kube

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// again makes a driver with the same owner, as a server does that is started again.
func again(t testing.TB, d *Driver) *Driver {
	t.Helper()
	return testDriver(t, func(c *Config) { c.Owner = d.config.Owner })
}

// TestAdopt has a second server go on with an instance of the first, and with its
// output where the first one left it.
func TestAdopt(t *testing.T) {
	t.Parallel()
	image := programImage(t)
	first := testDriver(t)
	s := spec(image, "adopted", map[string]string{drivertest.EnvPrint: "10"})
	s.ModelDir = t.TempDir()
	i := start(t, first, s)
	start(t, first, spec(image, "left", nil))
	say(t, i, "before")
	s.Output.(*printed).await(t, "before\n")
	received := time.Now()
	first.Close()
	say(t, i, "between")

	second := again(t, first)
	if err := second.Sweep(t.Context(), []string{"adopted"}); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Attach(t.Context(), driver.Spec{ID: "left"}); !errors.Is(err, driver.ErrNoInstance) {
		t.Errorf("one that was to be swept: %v", err)
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
	stop(t, h)
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

// TestEviction asks for evictions as `kubectl drain` does: a held instance stays, any
// other is lost.
func TestEviction(t *testing.T) {
	t.Parallel()
	d := testDriver(t)
	held, free := spec(programImage(t), "held", nil), spec(programImage(t), "free", nil)
	held.Held = true
	h, f := start(t, d, held), start(t, d, free)
	say(t, h, "serves")
	evict := func(id string) error {
		pod := podOfInstance(t, d, id)
		return d.clients.pods.GetClient().Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("eviction").
			Body(&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}}).Do(t.Context()).Error()
	}
	// The budget's status follows its making, and until then it refuses, too.
	if err := evict("held"); !apierrors.IsTooManyRequests(err) {
		t.Errorf("an eviction of a held instance: %v", err)
	}
	if err := evict("free"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.Leaving():
	case <-time.After(patience):
		t.Error("an evicted instance is not leaving")
	}
	select {
	case <-f.Done():
	case <-time.After(patience):
		t.Fatal("an evicted instance goes on")
	}
	if exit := f.Exit(); !exit.Lost {
		t.Errorf("exit %+v", exit)
	}
	stop(t, f)
	say(t, h, "still serves")
	stop(t, h)
	budget, err := d.clients.budgets.Get(t.Context(), d.ownName(), metav1.GetOptions{})
	if err != nil || budget.Spec.MinAvailable.IntValue() != math.MaxInt32 {
		t.Errorf("budget %+v, %v", budget, err)
	}
}

// TestDeleted has somebody delete the pod, and all that the server has.
func TestDeleted(t *testing.T) {
	t.Parallel()
	d := testDriver(t)
	i := start(t, d, spec(programImage(t), "deleted", nil))
	now := int64(0)
	pod := podOfInstance(t, d, "deleted")
	if err := d.clients.pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	<-i.Done()
	if exit := i.Exit(); !exit.Lost {
		t.Errorf("exit %+v", exit)
	}
	stop(t, i)
	if err := d.clients.anchors.Delete(t.Context(), d.ownName(), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	stop(t, start(t, d, spec(programImage(t), "deleted", nil))) // it is made again
}

// TestOOM has the program take more memory than it may.
func TestOOM(t *testing.T) {
	t.Parallel()
	d := testDriver(t)
	s := spec(programImage(t), "eats", map[string]string{"PROGRAM_EAT": "1"})
	s.MemoryBytes = 64 << 20
	i := start(t, d, s)
	<-i.Done()
	if exit := i.Exit(); !exit.OOM || exit.Lost {
		t.Errorf("exit %+v", exit)
	}
	stop(t, i)
}

// TestNoRoom asks for more than any node has.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	d := testDriver(t, func(c *Config) { c.Reserve = true })
	d.limits.room = 2 * time.Second
	s := spec(programImage(t), "large", nil)
	s.CPUs = 1000
	if _, err := d.Start(t.Context(), s); !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.TextOf(err), "Insufficient cpu") {
		t.Errorf("error %v", err)
	}
}
