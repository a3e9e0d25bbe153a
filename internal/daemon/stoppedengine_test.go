package daemon

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/config"
)

// A Docker engine that is stopped, its socket still there, holds up no job whose
// image runs as a process.
func TestDockerEngineStopped(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "docker.sock")
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	socket.SetUnlinkOnClose(false)
	socket.Close()
	d := start(t, t.TempDir(), func(c *config.Config) {
		withModel(c)
		c.Runtime, c.DockerHost = "auto", "unix://"+path
	})
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/w/in/x", []byte("text"))
	must(t, d, "CreateModel", map[string]any{"ModelName": "w", "PrimaryContainer": map[string]any{
		"Image": "test/model", "Environment": map[string]string{"MODE": "pid"}}})
	must(t, d, "CreateTransformJob", badJob("w", nil))
	if end := await(t, d, "w"); end["TransformJobStatus"] != "Completed" {
		t.Errorf("%v", end)
	}
}
