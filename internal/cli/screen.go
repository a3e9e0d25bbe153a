package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// What the commands print follows these rules:
//
//   - Standard output is the result and nothing else, so that it can be piped:
//     text that may change, or JSON that does not.
//   - Standard error is everything else: progress, remarks and errors.
//   - An error is one line that begins in lower case, then lines "hint: ..." that
//     say what to do. What a job or a container said is quoted as it is.
//   - Progress is one line that is drawn over on a terminal, and a plain line every
//     few seconds elsewhere.
//   - Colours are for the status of a job or an endpoint, on a terminal, unless NO_COLOR is set.
//     Nothing is said by colour alone.
//   - Counts have commas, bytes have units of 1000, and durations are rounded.

// screen is a stream of output and what can be shown on it. It is safe for
// concurrent use.
type screen struct {
	// tty says that the stream is a terminal on which a line can be drawn over.
	tty bool
	// color allows colours, and unicode characters beyond ASCII.
	color, unicode bool
	// width is how many columns there are.
	width func() int

	mu    sync.Mutex
	w     io.Writer
	drawn bool // a line that is drawn over is on the screen
}

// newScreen looks at what a stream is.
func newScreen(w io.Writer, env func(string) (string, bool)) *screen {
	s := &screen{w: w, width: func() int { return 80 }, unicode: unicodeLocale(env)}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	name, _ := env("TERM")
	quiet, _ := env("NO_COLOR")
	s.tty = name != "dumb"
	s.color = s.tty && quiet == ""
	s.width = func() int {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
		return 80
	}
	return s
}

// unicodeLocale reports whether the characters of plots and bars can be shown: a
// locale that names another character set than UTF-8 says no. No locale at all is
// what containers have, and says nothing.
func unicodeLocale(env func(string) (string, bool)) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v, _ := env(name); v != "" {
			v = strings.ToLower(v)
			return v == "c" || v == "posix" || strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return true
}

// line prints a whole line.
func (s *screen) line(text string) {
	fmt.Fprintln(s, text)
}

// linef prints a whole line by a format.
func (s *screen) linef(format string, args ...any) {
	fmt.Fprintf(s, format+"\n", args...)
}

// Write prints whole lines below what is there; a line that is drawn over makes room.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	return s.w.Write(p)
}

// draw draws over the line that was drawn before. It is for terminals.
func (s *screen) draw(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprint(s.w, "\r"+text+"\x1b[K")
	s.drawn = true
}

// erase takes the drawn line away.
func (s *screen) erase() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

func (s *screen) clear() {
	if s.drawn {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.drawn = false
	}
}

// statusColors are those of the statuses of jobs and endpoints.
var statusColors = map[string]string{
	"Completed": "32", "InService": "32",
	"Failed": "31", "OutOfService": "31", "UpdateRollbackFailed": "31",
	"Stopped": "33", "Stopping": "33", "RollingBack": "33", "Deleting": "33",
	"InProgress": "36", "Creating": "36", "Updating": "36", "SystemUpdating": "36",
}

// status colours the status of a job or an endpoint.
func (s *screen) status(text string) string {
	code := statusColors[text]
	if !s.color || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
