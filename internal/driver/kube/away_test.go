package kube

import (
	"net"
	"net/http"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// unreachableClients are clients of a server that does not run.
func unreachableClients(t testing.TB) clients {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nobody listens there any more
	c, err := newClients(&rest.Config{Host: "http://" + l.Addr().String()}, http.DefaultClient, "models")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A server that does not answer is fault.Unavailable, whatever is asked, and what was to
// be swept is swept before anything else.
func TestAway(t *testing.T) {
	t.Parallel()
	d := quiet(t, "host")
	defer d.Close()
	d.clients = unreachableClients(t)
	if err := d.Sweep(t.Context(), []string{"a"}); err != nil || len(d.unswept) != 1 {
		t.Errorf("sweep: %v, then %v", err, d.unswept)
	}
	for name, do := range map[string]func() error{
		"prepare": func() error { _, err := d.Prepare(t.Context(), "x:1", nil); return err },
		"start":   func() error { _, err := d.Start(t.Context(), driver.Spec{ID: "a", Image: "x:1"}); return err },
		"attach":  func() error { _, err := d.Attach(t.Context(), driver.Spec{ID: "a"}); return err },
	} {
		if err := do(); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
