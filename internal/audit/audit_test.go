package audit

import (
	"bufio"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Each call is one line, whatever a stranger writes into its members.
func TestLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "audit.log")
	l, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 50 {
				l.Add(Entry{Time: time.Unix(1, 0), Operation: "CreateModel", Resource: "x\n{\"forged\":true}", UserAgent: strings.Repeat("u", 10_000), Status: 200})
			}
		})
	}
	wait.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, _ := f.Stat(); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); lines++ {
		var e Entry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil || e.Resource != "x\n{\"forged\":true}" || len(e.UserAgent) != textBytes {
			t.Fatalf("line %q: %+v, %v", s.Text(), e, err)
		}
	}
	if lines != 200 {
		t.Errorf("%d lines", lines)
	}
}

// The file is bounded, and the one before it is kept.
func TestRotate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.size = fileBytes
	l.Add(Entry{Operation: "first"})
	l.Add(Entry{Operation: "second"})
	for file, want := range map[string]string{path + ".1": "first", path: "second"} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s holds %q, %v", file, text, err)
		}
	}
}
