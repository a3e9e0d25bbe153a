package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environment makes the Env of a Process.
func environment(pairs map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := pairs[name]
		return v, ok
	}
}

// run runs a command that starts nothing.
func run(t testing.TB, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = Main(t.Context(), Process{Args: args, Stdout: &out, Stderr: &err, Env: environment(env), Self: []string{"sagebrush"}, Version: "v1.2.3"})
	return code, out.String(), err.String()
}

func newApp(env map[string]string) (*app, *bytes.Buffer, *bytes.Buffer) {
	var out, err bytes.Buffer
	e := environment(env)
	a := &app{Process: Process{Stdout: &out, Stderr: &err, Env: e, Version: "v1.2.3"}}
	a.out, a.err = newScreen(&out, e), newScreen(&err, e)
	return a, &out, &err
}

// TestHelpTeaches walks all commands that users can see: each must say what it is
// for in a sentence or more, and show how it is called.
func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	a, _, _ := newApp(nil)
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden || slices.Contains([]string{"help", "completion"}, cmd.Name()) {
			return
		}
		if cmd.Short == "" || len(cmd.Long) <= len(cmd.Short) || cmd.Runnable() && cmd.Example == "" {
			t.Errorf("%s lacks a text or an example", cmd.CommandPath())
		}
		for _, line := range strings.Split(cmd.Long+"\n"+cmd.Example, "\n") {
			if len(line) > 100 {
				t.Errorf("%s: a line of its help has %d columns: %s", cmd.CommandPath(), len(line), line)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(a.root())
}

// TestServeFlags holds the flags of serve against the table of settings.
func TestServeFlags(t *testing.T) {
	t.Parallel()
	a, _, _ := newApp(nil)
	cmd := a.serve()
	for _, s := range config.Settings() {
		f := cmd.Flags().Lookup(s.Name)
		if f == nil || !strings.Contains(f.Usage, s.Env()) || !strings.Contains(f.Usage, s.Help) {
			t.Errorf("the setting %s has the flag %+v", s.Name, f)
		}
	}
	err := cmd.ParseFlags([]string{"--listen", ":0", "--ephemeral", "--max-instances", "7", "--stop-grace", "90s", "--region=eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := a.load("", given(cmd))
	if err != nil || cfg.Listen != ":0" || !cfg.Ephemeral || cfg.MaxInstances != 7 || cfg.StopGrace.Seconds() != 90 || cfg.Region != "eu-west-1" {
		t.Errorf("got %+v, %v", cfg, err)
	}
	if cfg.Account != "000000000000" || cfg.Auth != "auto" {
		t.Errorf("settings that were not given are %+v", cfg)
	}
}

func TestExitCodesAreListed(t *testing.T) {
	t.Parallel()
	_, out, _ := run(t, nil, "help", "exit-codes")
	seen := map[int]bool{}
	for _, row := range ExitCodes() {
		if seen[row.Code] || !strings.Contains(out, fmt.Sprintf("%5d  %s\n", row.Code, row.Meaning)) {
			t.Errorf("%+v is listed twice or not at all", row)
		}
		seen[row.Code] = true
	}
	for _, code := range []int{exitOK, exitFailed, exitUsage, exitJobFailed, exitJobStopped, exitUnreachable, exitRolledBack, exitInterrupted} {
		if !seen[code] {
			t.Errorf("the code %d is not in the table", code)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("the disk broke")
	for _, c := range []struct {
		err     error
		running bool
		code    int
		want    string
	}{
		{usage("no %s", "flag").hint("do this").hint("or that"), false, exitUsage, "sagebrush: no flag\nhint: do this\nhint: or that\n"},
		{fmt.Errorf("outer: %w", failed(exitUnreachable, "Nobody answers")), true, exitUnreachable, "sagebrush: nobody answers\n"},
		{errors.New("from the parser"), false, exitUsage, "sagebrush: from the parser\n"},
		{fault.Wrap(fault.Invalid, cause, "The folder is wrong"), true, exitFailed, "sagebrush: the folder is wrong\n"},
		{fault.Wrap(fault.Internal, cause, "The folder is wrong"), true, exitFailed, "sagebrush: the folder is wrong: the disk broke\n"},
		{errors.New("MaxPayloadInMB is wrong"), true, exitFailed, "sagebrush: MaxPayloadInMB is wrong\n"},
		{errors.New("S3 is wrong"), true, exitFailed, "sagebrush: S3 is wrong\n"},
	} {
		a, _, stderr := newApp(nil)
		a.running = c.running
		if code := a.finish(t.Context(), c.err); code != c.code || stderr.String() != c.want {
			t.Errorf("%v: exit code %d, text %q", c.err, code, stderr)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a, _, stderr := newApp(nil)
	if code := a.finish(ctx, fmt.Errorf("calling: %w", context.Canceled)); code != exitInterrupted || stderr.String() != "sagebrush: interrupted\n" {
		t.Errorf("interrupted: %d, %q", code, stderr)
	}
}

// TestTarget checks that address and keys come from one place.
func TestTarget(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	text := `{"url": "http://127.0.0.1:7", "region": "eu-north-1", "accessKeyId": "LOCAL", "secretAccessKey": "s"}`
	if err := os.WriteFile(filepath.Join(data, "endpoint.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	aws := map[string]string{"AWS_ENDPOINT_URL": "http://env:1/", "AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-west-2", "SAGEBRUSH_DATA": data}
	for _, c := range []struct {
		name  string
		flags targetFlags
		env   map[string]string
		want  string // url, key, region
	}{
		{"the server of this machine", targetFlags{data: data}, nil, "http://127.0.0.1:7 LOCAL eu-north-1"},
		{"its folder by the environment", targetFlags{}, map[string]string{"SAGEBRUSH_DATA": data}, "http://127.0.0.1:7 LOCAL eu-north-1"},
		{"keys for another server are not used with it", targetFlags{data: data}, map[string]string{"AWS_ACCESS_KEY_ID": "ENV"}, "http://127.0.0.1:7 LOCAL eu-north-1"},
		{"the AWS environment", targetFlags{}, aws, "http://env:1 ENV us-west-2"},
		{"a flag over the environment", targetFlags{url: "https://flag", region: "r-1"}, aws, "https://flag ENV r-1"},
		{"this machine's, by its address", targetFlags{url: "http://127.0.0.1:7/", data: data}, nil, "http://127.0.0.1:7 LOCAL eu-north-1"},
		{"no keys at all", targetFlags{url: "http://other", data: data}, nil, "http://other " + anonymous + " us-east-1"},
	} {
		a, _, _ := newApp(c.env)
		got, err := a.target(c.flags)
		if text := got.URL + " " + got.AccessKeyID + " " + got.Region; err != nil || text != c.want {
			t.Errorf("%s: %s, %v", c.name, text, err)
		}
	}
	a, _, _ := newApp(nil)
	for _, f := range []targetFlags{{url: "127.0.0.1:7"}, {url: "ftp://x"}, {data: t.TempDir()}} {
		if _, err := a.target(f); err == nil {
			t.Errorf("%+v was accepted", f)
		}
	}
}

func TestExports(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{"http://127.0.0.1:7243": "http://127.0.0.1:7243", "": "''", "a b": "'a b'", "it's $x": `'it'\''s $x'`} {
		if got := quote(word, `'\''`); got != want {
			t.Errorf("quote(%q) = %s, want %s", word, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"python3 serve.py":            {"python3", "serve.py"},
		"  a\t b\n":                   {"a", "b"},
		`sh -c 'a b "c"'`:             {"sh", "-c", `a b "c"`},
		`"with \"quotes\"" x\ y '\n'`: {`with "quotes"`, "x y", `\n`},
		`a'b'"c" ''`:                  {"abc", ""},
		"":                            nil,
	} {
		if got, err := words(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("words(%q) = %q, %v", line, got, err)
		}
	}
	for _, line := range []string{`"open`, `it's`, `end\`} {
		if got, err := words(line); err == nil {
			t.Errorf("words(%q) = %q", line, got)
		}
	}
}

func TestTranslate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "rows.csv")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := &places{folders: map[string]string{inputBucket: file, outputBucket: "/srv/out"}}
	got := p.translate("s3://local:input/rows.csv: cannot write s3://local:output/a/b; local:input/rows.csv again; s3://bucket/x")
	want := file + ": cannot write /srv/out/a/b; " + file + " again; s3://bucket/x"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLastLines(t *testing.T) {
	t.Parallel()
	lines := []api.LogLine{
		{Stream: "i-1", Text: "Traceback"},
		{Stream: "i-1/data-log", Text: "T:[sagemaker logs]: MaxConcurrentTransforms=1, MaxPayloadInMB=6"},
		{Stream: "i-1/data-log", Text: "T:[sagemaker logs]: it never was ready"},
	}
	if got := lastLines(lines, "Error: it never was ready.", 5); !slices.Equal(got, []string{"i-1: Traceback"}) {
		t.Errorf("with nothing new in the data-log: %q", got)
	}
	lines = append(lines, api.LogLine{Stream: "i-1/data-log", Text: "T:[sagemaker logs]: b/k: Message:"}, api.LogLine{Stream: "i-1/data-log", Text: "T:[sagemaker logs]: b/k: bad row"})
	if got := lastLines(lines, "Error", 2); !slices.Equal(got, []string{"b/k: Message:", "b/k: bad row"}) {
		t.Errorf("with lines in the data-log: %q", got)
	}
	if got := lastLines(nil, "Error", 2); len(got) != 0 {
		t.Errorf("with none: %q", got)
	}
}
