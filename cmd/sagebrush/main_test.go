package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
)

// TestMain makes this test binary the sagebrush of the scripts, and the other
// programs that they need.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sagebrush": func() { os.Exit(run()) },
		"container": container,
		"send":      func() { send(false) },
		"sign":      func() { send(true) },
	})
}

// TestScripts runs the scripts of test/scripts.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "../../test/scripts",
		Setup: func(env *testscript.Env) error {
			env.Values[serverKey{}] = &running{}
			env.Setenv("GORACE", "atexit_sleep_ms=0") // each command would end a second later
			return nil
		},
		RequireUniqueNames: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":     exits,
			"server":    server,
			"terminate": terminate,
			"interrupt": interrupt,
			"adopt":     adopt,
		},
	})
}

// exits CODE COMMAND... runs a command that must end with the code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		got = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s ended with the exit code %d, not %d", args[1], got, want)
	}
}

// running is the server of a script.
type running struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

type serverKey struct{}

// server FLAGS... starts `sagebrush serve`, waits until it prints where it is, and
// sets the variables that it printed.
func server(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("server cannot be negated")
	}
	r := ts.Value(serverKey{}).(*running)
	r.cmd = exec.Command("sagebrush", append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	r.cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{"WORK", "PATH", "HOME", "TMPDIR", "GORACE"} {
		r.cmd.Env = append(r.cmd.Env, name+"="+ts.Getenv(name))
	}
	r.cmd.Stderr = &r.stderr
	out, err := r.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(r.cmd.Start())
	ts.Defer(r.kill)
	lines := bufio.NewScanner(out)
	for range 4 {
		if !lines.Scan() {
			r.kill()
			ts.Fatalf("the server ended early:\n%s", r.stderr.String())
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		if !ok || !strings.HasPrefix(name, "AWS_") {
			ts.Fatalf("the server printed %q", lines.Text())
		}
		ts.Setenv(name, value)
	}
}

// adopt sets the variables that the last command printed as lines of a shell.
func adopt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: adopt")
	}
	n := 0
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if !ok {
			ts.Fatalf("%q sets no variable", line)
		}
		ts.Setenv(name, value)
		n++
	}
	if n == 0 {
		ts.Fatalf("nothing was printed")
	}
}

// kill ends the server if it still runs.
func (r *running) kill() {
	if r.cmd != nil && r.cmd.ProcessState == nil {
		r.cmd.Process.Kill()
		r.cmd.Wait()
	}
}

// terminate stops the server with SIGTERM; it must end with the exit code 0.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: terminate")
	}
	r := ts.Value(serverKey{}).(*running)
	ts.Check(r.cmd.Process.Signal(syscall.SIGTERM))
	if err := r.cmd.Wait(); err != nil {
		ts.Fatalf("the server ended with %v:\n%s", err, r.stderr.String())
	}
}

// interrupt CODE TEXT COMMAND... starts a command, sends it SIGINT once it has
// printed a line with the text, and wants it to end with the code.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: interrupt CODE TEXT COMMAND...")
	}
	cmd := exec.Command(args[2], args[3:]...)
	cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{"WORK", "PATH", "HOME", "TMPDIR", "GORACE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	printed, both, err := os.Pipe()
	ts.Check(err)
	defer printed.Close()
	cmd.Stdout, cmd.Stderr = both, both
	ts.Check(cmd.Start())
	both.Close()
	var seen strings.Builder
	sent := false
	for lines := bufio.NewScanner(printed); lines.Scan(); {
		fmt.Fprintln(&seen, lines.Text())
		if !sent && strings.Contains(lines.Text(), args[1]) {
			ts.Check(cmd.Process.Signal(os.Interrupt))
			sent = true
		}
	}
	err = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); !sent || strconv.Itoa(got) != args[0] {
		ts.Fatalf("%s ended with %v:\n%s", args[2], err, seen.String())
	}
}

// container is a model server by the container contract. MODE says what it does:
// echo answers each request with its body in capitals, refuse with 400, and hang
// never; parts sends each word by itself, and breaks the connection at "break"; mute
// never is ready, and dead ends at once. It prints a line when it begins.
func container() {
	fmt.Println("container mode", os.Getenv("MODE"), strings.Join(os.Args[1:], " "))
	if os.Getenv("MODE") == "dead" {
		os.Exit(3)
	}
	http.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		if os.Getenv("MODE") == "mute" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		switch os.Getenv("MODE") {
		case "hang":
			<-r.Context().Done()
		case "refuse":
			http.Error(w, "I do not like this", http.StatusBadRequest)
		case "parts":
			for word := range bytes.FieldsSeq(body) {
				if string(word) == "break" {
					panic(http.ErrAbortHandler)
				}
				w.Write(append(word, '\n'))
				w.(http.Flusher).Flush()
				time.Sleep(partPause)
			}
		default:
			w.Write(bytes.ToUpper(body))
		}
	})
	address := net.JoinHostPort(os.Getenv("SAGEBRUSH_BIND_HOST"), os.Getenv("SAGEMAKER_BIND_TO_PORT"))
	fmt.Fprintln(os.Stderr, http.ListenAndServe(address, nil))
	os.Exit(1)
}

// partPause keeps the parts of an answer apart, so that they do not arrive as one.
const partPause = 50 * time.Millisecond

// send sends one request to the script's server, unsigned, which is open then, or
// signed with the keys of the environment:
//
//	send Operation request.json
//	send PUT /bucket/key [file]
//	sign ...
func send(signed bool) {
	method, path, body := os.Args[1], os.Args[2], []byte(nil)
	header := http.Header{}
	file := ""
	if !strings.HasPrefix(path, "/") {
		method, path, file = http.MethodPost, "/", path
		header.Set("X-Amz-Target", "SageMaker."+os.Args[1])
	} else if len(os.Args) > 3 {
		file = os.Args[3]
	}
	if file != "" {
		var err error
		if body, err = os.ReadFile(file); err != nil {
			fail(err)
		}
	}
	req, err := http.NewRequest(method, os.Getenv("AWS_ENDPOINT_URL")+path, bytes.NewReader(body))
	if err != nil {
		fail(err)
	}
	req.Header = header
	if signed {
		service := "sagemaker"
		if header.Get("X-Amz-Target") == "" {
			service = "s3"
		}
		if err := sign(req, service, body); err != nil {
			fail(err)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fail(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		fail(err)
	}
	if resp.StatusCode >= 300 {
		fail(errors.New(resp.Status))
	}
}

// sign signs a request with the keys of the environment.
func sign(req *http.Request, service string, body []byte) error {
	hash := sigv4.BodyHash(body)
	req.Header.Set("X-Amz-Content-Sha256", hash)
	keys := aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}
	return v4.NewSigner().SignHTTP(context.Background(), keys, req, hash, service, os.Getenv("AWS_DEFAULT_REGION"), time.Now())
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
