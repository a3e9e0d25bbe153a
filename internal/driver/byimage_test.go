package driver_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/fake"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// ByImage starts an image with the first driver that takes it, and no other.
func TestByImage(t *testing.T) {
	t.Parallel()
	script := fake.Images(map[string]fake.Script{"a": {}, "b": {}})
	first, second := fake.New(script), fake.New(script)
	d := driver.ByImage(
		driver.Choice{Driver: first, Takes: func(image string) bool { return image == "a" }},
		driver.Choice{Driver: second, Takes: func(image string) bool { return image != "none" }},
	)
	for _, image := range []string{"a", "b"} {
		prepared, err := d.Prepare(t.Context(), image, nil)
		if err != nil || !strings.HasPrefix(prepared.Resolved, image+"@sha256:") {
			t.Errorf("%s: prepared %+v, %v", image, prepared, err)
		}
		h, err := d.Start(t.Context(), driver.Spec{ID: image, Image: image, ScratchDir: t.TempDir(), Output: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Stop(t.Context(), 0)
	}
	if a, b := first.Live(), second.Live(); len(a) != 1 || a[0] != "a" || len(b) != 1 || b[0] != "b" {
		t.Errorf("the first runs %q, the second %q", a, b)
	}
	if _, err := d.Start(t.Context(), driver.Spec{ID: "c", Image: "none"}); !errors.Is(err, driver.ErrNoImage) {
		t.Errorf("an image that nobody takes: %v", err)
	}
	if _, err := d.Attach(t.Context(), driver.Spec{ID: "nobody"}); !errors.Is(err, driver.ErrNoInstance) {
		t.Errorf("attach: %v", err)
	}
	if err := d.Sweep(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// away is a runtime that does not answer.
type away struct{ driver.Driver }

func (away) Attach(context.Context, driver.Spec) (driver.Handle, error) {
	return nil, fault.New(fault.Unavailable, "the engine does not run")
}

// An image does not wait for a runtime that it does not need: a machine whose Docker
// engine is stopped runs everything that needs no container.
func TestByImageOneRuntimeAway(t *testing.T) {
	t.Parallel()
	d := driver.ByImage(
		driver.Choice{Driver: fake.New(fake.Images(nil)), Takes: func(image string) bool { return image == "a" }},
		driver.Choice{Driver: away{}, Takes: func(string) bool { return true }},
	)
	if _, err := d.Attach(t.Context(), driver.Spec{ID: "i", Image: "a"}); !errors.Is(err, driver.ErrNoInstance) {
		t.Errorf("an image of the first: %v", err)
	}
	if _, err := d.Attach(t.Context(), driver.Spec{ID: "i", Image: "b"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("an image of the runtime that is away: %v", err)
	}
	if _, err := d.Attach(t.Context(), driver.Spec{ID: "i"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("an image that is not told: %v", err)
	}
}
