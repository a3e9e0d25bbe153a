package driver_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/fake"
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
