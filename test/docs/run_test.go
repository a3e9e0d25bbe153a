package docs_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds one block.
const patience = 3 * time.Minute

// clientsRequired is the variable that makes a missing AWS client an error.
const clientsRequired = "SAGEBRUSH_DOCS_CLIENTS"

// containersPage is the page that needs a Docker engine; make containers runs it.
const containersPage = "bring-your-own-container.md"

// notRun collects what was not run and why, for the end.
type notRun struct {
	mu   sync.Mutex
	list []string
}

func (n *notRun) add(what, why string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, what+": "+why)
}

// TestPages runs the blocks of each page in a copy of the repository's folder with
// a home of its own, so that servers and files of pages do not meet. A page is one
// terminal: variables and functions live on from block to block. A block that ends
// with `bin/sagebrush serve` starts a server that lives until the page ends or
// starts another one.
func TestPages(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the commands of all pages, which takes a minute")
	}
	binary := build(t)
	files := savedFiles(t)
	var missed notRun
	t.Run("pages", func(t *testing.T) {
		for _, page := range pages(t) {
			t.Run(strings.TrimSuffix(filepath.Base(page), ".md"), func(t *testing.T) {
				t.Parallel()
				runPage(t, page, newTerminal(t, binary, files), &missed)
			})
		}
	})
	for _, line := range missed.list {
		fmt.Println("not run:", line)
	}
}

// build builds the binary once for all pages.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sagebrush")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, "./cmd/sagebrush")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// savedFiles gives the blocks that readers are told to save, of all pages.
func savedFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if name, ok := b.word("file"); ok {
				files[name] = b.text()
			}
		}
	}
	return files
}

// runPage runs the blocks of a page, up to the first that fails.
func runPage(t *testing.T, page string, term *terminal, missed *notRun) {
	printed := ""
	for _, b := range blocks(t, page) {
		why := term.reason(b)
		if b.lang != "" && filepath.Base(page) == containersPage && !term.works("docker", "version") {
			why = "needs a Docker engine"
		}
		ok := t.Run(b.name(), func(t *testing.T) {
			switch {
			case why != "":
				missed.add(fmt.Sprintf("%s:%d", page, b.line), why)
				printed = ""
				if _, meant := b.word("not run"); !meant && os.Getenv(clientsRequired) != "" && filepath.Base(page) != containersPage {
					t.Fatal(why)
				}
				t.Skip(why)
			case b.note == "output":
				checkOutput(t, b, printed)
			case (b.lang == "sh" || b.lang == "python") && b.note == "":
				printed = term.run(t, b)
			}
		})
		if !ok {
			t.Fatalf("%s:%d failed, so the rest of the page was not run", page, b.line)
		}
	}
}

// usesAWS finds commands of the AWS CLI.
var usesAWS = regexp.MustCompile(`(?m)^\s*aws (s3|sagemaker|logs|application-autoscaling) `)

// reason says why a block cannot be run, or "".
func (term *terminal) reason(b block) string {
	if why, ok := b.word("not run"); ok {
		return why
	}
	switch {
	case b.lang == "sh" && usesAWS.MatchString(b.text()) && !term.works("aws", "--version"):
		return "needs the AWS CLI, which is not installed"
	case b.lang == "python" && strings.Contains(b.text(), "import boto3") && !term.works("python3", "-c", "import boto3"):
		return "needs boto3, which is not installed"
	case b.lang == "sh" && strings.Contains(b.text(), "python3 serve.py") && !term.works("python3", "--version"):
		return "needs python3, which is not installed"
	}
	return ""
}

// checkOutput looks for the lines of an output block in what was printed.
func checkOutput(t *testing.T, b block, printed string) {
	if printed == "" {
		t.Skip("the block before it was not run")
	}
	for _, line := range b.lines {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(line), regexp.QuoteMeta("..."), ".*")
		if !regexp.MustCompile(`(?m)^` + pattern + `$`).MatchString(printed) {
			t.Errorf("the page says that this is printed:\n%s\nand this was:\n%s", line, printed)
		}
	}
}

// terminal is where the blocks of one page are typed.
type terminal struct {
	dir, home, state string
	env              []string
	server           *exec.Cmd
}

// newTerminal makes a folder that looks like a clone of the repository in which
// the binary was built, and a home.
func newTerminal(t *testing.T, binary string, files map[string]string) *terminal {
	t.Helper()
	term := &terminal{dir: t.TempDir(), home: t.TempDir()}
	term.state = filepath.Join(term.home, ".docs-state")
	check(t, os.WriteFile(term.state, nil, 0o600))
	entries, err := os.ReadDir(root)
	check(t, err)
	for _, e := range entries {
		if e.Name() == "bin" || e.Name() == ".git" {
			continue
		}
		from, err := filepath.Abs(filepath.Join(root, e.Name()))
		check(t, err)
		check(t, os.Symlink(from, filepath.Join(term.dir, e.Name())))
	}
	program, err := os.ReadFile(binary)
	check(t, err)
	check(t, os.Mkdir(filepath.Join(term.dir, "bin"), 0o755))
	check(t, os.WriteFile(filepath.Join(term.dir, "bin", "sagebrush"), program, 0o755))
	for name, text := range files {
		check(t, os.WriteFile(filepath.Join(term.dir, name), []byte(text), 0o644))
	}
	term.env = environment(t, term.home)
	t.Cleanup(func() { check(t, term.stopServer()) })
	return term
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// environment is that of a new user: an empty home and nothing of AWS. The port is
// any free one, and Go finds what it has downloaded and built already.
func environment(t *testing.T, home string) []string {
	t.Helper()
	env := []string{
		"HOME=" + home, "TMPDIR=" + t.TempDir(), "LANG=C.UTF-8", "PATH=" + os.Getenv("PATH"),
		"SAGEBRUSH_LISTEN=127.0.0.1:0", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=",
	}
	out, err := exec.CommandContext(t.Context(), "go", "env", "-json", "GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN").Output()
	check(t, err)
	settings := map[string]string{}
	check(t, json.Unmarshal(out, &settings))
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	return env
}

// command makes a command that sees what the blocks before left.
func (term *terminal) command(ctx context.Context, script string, args ...string) *exec.Cmd {
	script = ". " + term.state + "\n" + script
	cmd := exec.CommandContext(ctx, "bash", append([]string{"-euo", "pipefail", "-c", script, "bash"}, args...)...)
	cmd.Dir, cmd.Env = term.dir, term.env
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// works reports whether a command succeeds here.
func (term *terminal) works(args ...string) bool {
	return term.command(context.Background(), `"$@"`, args...).Run() == nil
}

// run runs a block and gives what it printed.
func (term *terminal) run(t *testing.T, b block) string {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if b.lang == "python" {
		cmd := term.command(ctx, "exec python3 -")
		cmd.Stdin = strings.NewReader(b.text())
		return finish(t, b, cmd)
	}
	last := b.lines[len(b.lines)-1]
	script := b.text()
	serves := strings.HasPrefix(last, "bin/sagebrush serve")
	if serves {
		script = strings.Join(b.lines[:len(b.lines)-1], "\n")
	}
	keep := fmt.Sprintf("\n{ export -p; declare -f; } > %s\n", term.state)
	printed := finish(t, b, term.command(ctx, script+keep))
	if serves {
		term.serve(t, last)
	}
	return printed
}

// finish runs a command that must succeed.
func finish(t *testing.T, b block, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nprinted:\n%s", err, b.text(), out)
	}
	return string(out)
}

// serve starts a server in place of the one before, and waits until it says where
// it is. Its port is a new one: a terminal that knew the old one is told.
func (term *terminal) serve(t *testing.T, line string) {
	check(t, term.stopServer())
	cmd := term.command(context.WithoutCancel(t.Context()), "exec "+line)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	term.server = cmd
	printed := bufio.NewScanner(out)
	if !printed.Scan() || !strings.HasPrefix(printed.Text(), "export AWS_ENDPOINT_URL=") {
		t.Fatalf("%s: printed %q and said %s", line, printed.Text(), log.String())
	}
	f, err := os.OpenFile(term.state, os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	_, err = fmt.Fprintf(f, "\nif [ -n \"${AWS_ENDPOINT_URL:-}\" ]; then %s; fi\n", printed.Text())
	check(t, errors.Join(err, f.Close()))
	go io.Copy(io.Discard, out) // ends with the server
}

// stopServer stops the server as Ctrl-C does; it must end well.
func (term *terminal) stopServer() error {
	if term.server == nil {
		return nil
	}
	cmd := term.server
	term.server = nil
	late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer late.Stop()
	return errors.Join(cmd.Process.Signal(syscall.SIGINT), cmd.Wait())
}
