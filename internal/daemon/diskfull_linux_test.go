package daemon

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/config"
)

// A disk that fills up while outputs are written fails the job with the reason,
// leaves nothing partial, and the next job is unharmed. It needs the right to
// mount a small file system; CI has it.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=40m"); err != nil {
		t.Skipf("not run: a tmpfs cannot be mounted here (%v); run as root to try a full disk", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	d := start(t, data, func(c *config.Config) { withModel(c) })
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/full/in/x", bytes.Repeat([]byte("0123456789abcde\n"), 24<<20/16))
	must(t, d, "CreateModel", map[string]any{"ModelName": "full", "PrimaryContainer": map[string]any{"Image": "test/model"}})
	must(t, d, "CreateTransformJob", badJob("full", nil))
	end := await(t, d, "full")
	reason := fmt.Sprint(end["FailureReason"])
	if end["TransformJobStatus"] != "Failed" || !strings.HasPrefix(reason, "InternalServerError: We encountered an internal error.  Please try again.") || !strings.Contains(strings.ToLower(reason), "full") {
		t.Errorf("the job ended as %v: %s", end["TransformJobStatus"], reason)
	}
	t.Log(reason)
	if left, err := filepath.Glob(filepath.Join(data, "s3", "bucket", "full", "out", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	unharmed(t, d, "full")
}
