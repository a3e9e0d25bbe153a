package drivertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
)

// patience bounds every wait of the suite: a driver that needs longer has failed.
const patience = 60 * time.Second

// client opens a connection for each request, so that none holds up an end.
var client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

// printed is an Output that can be read while it is written to.
type printed struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// spec is a Spec for the Program with nothing special.
func (h Harness) spec(t *testing.T, id string, env map[string]string) driver.Spec {
	return driver.Spec{
		ID:         id,
		Image:      h.Image,
		Args:       []string{"serve"},
		Env:        env,
		ScratchDir: t.TempDir(),
		Output:     &printed{},
	}
}

// start starts an instance that is stopped, at the latest, when the test ends.
func start(t *testing.T, d driver.Driver, spec driver.Spec) driver.Handle {
	t.Helper()
	i, err := d.Start(t.Context(), spec)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		if err := i.Stop(context.Background(), 0); err != nil {
			t.Errorf("last stop: %v", err)
		}
		if t.Failed() {
			t.Logf("output of %s:\n%v", i.ID(), spec.Output)
		}
	})
	return i
}

// ready waits until the instance answers.
func ready(t *testing.T, i driver.Handle) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.Addr()+"/ping", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-i.Done():
			t.Fatalf("ended with %+v before it was ready", i.Exit())
		case <-ctx.Done():
			t.Fatal("not ready in time")
		}
	}
}

// get asks the Program and fails the test unless it answers 200.
func get(t *testing.T, i driver.Handle, path string) []byte {
	t.Helper()
	resp, err := client.Get("http://" + i.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v: %s", path, resp.Status, err, body)
	}
	return body
}

// post tells the Program something. It may end before it has answered.
func post(i driver.Handle, path, body string) (string, error) {
	resp, err := client.Post("http://"+i.Addr()+path, "text/plain", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return string(answer), err
}

func factsOf(t *testing.T, i driver.Handle) facts {
	t.Helper()
	var f facts
	if err := json.Unmarshal(get(t, i, "/facts"), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// ended waits for the end and gives it without its time, which it checks.
func ended(t *testing.T, i driver.Handle) driver.Exit {
	t.Helper()
	select {
	case <-i.Done():
	case <-time.After(patience):
		t.Fatal("not ended in time")
	}
	exit := i.Exit()
	if exit.At.IsZero() || exit.At.After(time.Now()) {
		t.Errorf("ended at %v", exit.At)
	}
	exit.At = time.Time{}
	return exit
}

// stop stops an instance, which must work.
func stop(t *testing.T, i driver.Handle, grace time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := i.Stop(ctx, grace); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if ctx.Err() != nil {
		t.Fatal("stop took longer than any grace")
	}
	select {
	case <-i.Done():
	default:
		t.Fatal("stop returned before the end")
	}
}

// silent checks that neither the Program nor a child of it listens at an address
// any more. Where the address itself is gone, the connection may go anywhere, and
// nobody or a stranger may answer.
func silent(t *testing.T, what, addr string) {
	t.Helper()
	if answer := knock(addr, time.Second); answer != "" {
		t.Errorf("%s still listens at %s: %q", what, addr, answer)
	}
}

// knock gives the first line that the Program or a child answers at an address,
// or "".
func knock(addr string, patience time.Duration) string {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return ""
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return ""
	}
	_, _ = io.WriteString(c, "GET /ping HTTP/1.0\r\n\r\n")
	answer, _ := bufio.NewReader(c).ReadString('\n')
	if strings.HasPrefix(answer, "HTTP/1.0 200") || strings.HasPrefix(answer, childSays) {
		return answer
	}
	return ""
}
