package crash_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait.
const patience = 2 * time.Minute

// server is a server process over a data folder, which outlives it.
type server struct {
	data, pids, log string
	cmd             *exec.Cmd
	url             string
	midway          int // kills that found some outputs and not all
}

// start runs the server and waits until it serves.
func (s *server) start(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(self, "server", s.data, s.pids)
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		text, _ := os.ReadFile(s.log)
		t.Fatalf("the server printed no address: %v\n%s", err, text)
	}
	s.url = strings.TrimSpace(line)
}

// kill ends the server with SIGKILL.
func (s *server) kill(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	err := s.cmd.Wait()
	s.cmd = nil
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		text, _ := os.ReadFile(s.log)
		t.Fatalf("the server had ended before it was killed: %v\n%s", err, text)
	}
}

// models gives the model processes that live.
func (s *server) models(t *testing.T) (living []int) {
	t.Helper()
	entries, err := os.ReadDir(s.pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if syscall.Kill(pid, 0) == nil {
			living = append(living, pid)
		} else if err := os.Remove(filepath.Join(s.pids, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return living
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// do sends a request, unsigned as the open mode allows.
func (s *server) do(t *testing.T, method, path string, body []byte) []byte {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %v: %s", method, path, resp.Status, err, out)
	}
	return out
}

// call calls an operation.
func (s *server) call(t *testing.T, operation string, in any) []byte {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return s.do(t, http.MethodPost, "/"+operation, body)
}

// status gives a job's status, and fails the test where the job has failed.
func (s *server) status(t *testing.T, name string) string {
	t.Helper()
	var j struct{ TransformJobStatus, FailureReason string }
	if err := json.Unmarshal(s.call(t, "DescribeTransformJob", map[string]string{"TransformJobName": name}), &j); err != nil {
		t.Fatal(err)
	}
	if j.FailureReason != "" {
		t.Fatalf("the job %s is %s: %s", name, j.TransformJobStatus, j.FailureReason)
	}
	return j.TransformJobStatus
}

// visible reads every object below a folder of the bucket as users see it on disk.
func (s *server) visible(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	root := filepath.Join(s.data, "s3", bucket, folder)
	found := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == root {
			return nil // no output yet
		}
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		found[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
