package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// The exit codes, which scripts rely on: none changes its meaning.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitJobFailed   = 3
	exitJobStopped  = 4
	exitUnreachable = 5
	exitRolledBack  = 6
	exitInterrupted = 130
)

// ExitCode is a row of the table of exit codes.
type ExitCode struct {
	Code    int
	Meaning string
}

// ExitCodes is the table of exit codes, for the help and the documentation.
func ExitCodes() []ExitCode {
	return []ExitCode{
		{exitOK, "it worked; a job that is awaited ended as Completed, an endpoint is as waited for"},
		{exitFailed, "it failed, for the reason on standard error; for demo also: the predictions differ"},
		{exitUsage, "the command line or the configuration is wrong; nothing was started"},
		{exitJobFailed, "the job ended as Failed; for endpoints wait: the endpoint is Failed or UpdateRollbackFailed"},
		{exitJobStopped, "the job ended as Stopped"},
		{exitUnreachable, "the server cannot be reached"},
		{exitRolledBack, "for endpoints wait: the endpoint is InService, and its last change was rolled back"},
		{exitInterrupted, "interrupted by a signal; what the command had started is stopped"},
	}
}

// exitCodes is the help topic.
func (a *app) exitCodes() *cobra.Command {
	var b strings.Builder
	b.WriteString("The exit codes of all commands:\n\n")
	for _, row := range ExitCodes() {
		fmt.Fprintf(&b, "%5d  %s\n", row.Code, row.Meaning)
	}
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: strings.TrimSuffix(b.String(), "\n")}
}

// failure is an error as the user sees it: one line, then hints.
type failure struct {
	code  int
	text  string
	hints []string
	err   error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// usage makes an error of the command line.
func usage(format string, args ...any) *failure {
	return &failure{code: exitUsage, text: fmt.Sprintf(format, args...)}
}

// failed makes an error with an exit code.
func failed(code int, format string, args ...any) *failure {
	return &failure{code: code, text: fmt.Sprintf(format, args...)}
}

// because notes the cause.
func (f *failure) because(err error) *failure {
	f.err = err
	return f
}

// hint adds a line that says what to do next.
func (f *failure) hint(format string, args ...any) *failure {
	f.hints = append(f.hints, fmt.Sprintf(format, args...))
	return f
}

// flagError is an error in a flag, with the way to the list of flags.
func (a *app) flagError(cmd *cobra.Command, err error) error {
	if f := (*failure)(nil); errors.As(err, &f) {
		return err
	}
	return usage("%s", err).hint("%s --help lists the flags", cmd.CommandPath())
}

// finish prints an error and gives the exit code.
func (a *app) finish(ctx context.Context, err error) int {
	if err == nil {
		return a.code
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) {
		a.err.line("sagebrush: interrupted")
		return exitInterrupted
	}
	f := a.explain(err)
	a.err.line("sagebrush: " + lower(f.text))
	for _, h := range f.hints {
		a.err.line("hint: " + h)
	}
	return f.code
}

// explain gives any error its text and exit code.
func (a *app) explain(err error) *failure {
	f := (*failure)(nil)
	if errors.As(err, &f) {
		return f
	}
	f = failed(exitFailed, "%s", err)
	if !a.running {
		f.code = exitUsage
	}
	if text := fault.TextOf(err); text != "" {
		f.text = text
		if cause := errors.Unwrap(err); cause != nil && fault.KindOf(err) == fault.Internal {
			f.text += ": " + cause.Error()
		}
	}
	return f
}

// lower makes the first letter small, unless the word is an abbreviation or a name
// with further capitals.
func lower(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	word, _, _ := strings.Cut(text[n:], " ")
	if strings.IndexFunc(word, func(r rune) bool { return unicode.IsUpper(r) || unicode.IsDigit(r) }) >= 0 {
		return text
	}
	return string(unicode.ToLower(first)) + text[n:]
}

// printJSON prints a result for machines.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
