package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func goexit() { runtime.Goexit() }

func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	// The folder is made, and characters that mean something in a DSN do not.
	path := filepath.Join(t.TempDir(), "a ?b#%20", "state.db")
	s := openAt(t, path)
	create(t, s, fullJob("j"))
	add(t, s, "j", objectsFrom(0, 3))
	secret, err := s.Secret(t.Context(), "token")
	if err != nil {
		t.Fatal(err)
	}
	want := readJob(t, s, "j")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, path + ".lock"} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v; it holds secrets", file, info.Mode())
		}
	}

	s = openAt(t, path)
	if got := readJob(t, s, "j"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(next(t, s, "j", 0, 10)) != 3 {
		t.Error("objects are missing")
	}
	if again, err := s.Secret(t.Context(), "token"); err != nil || !bytes.Equal(again, secret) {
		t.Errorf("the secret changed: %v", err)
	}
}

// A commit is synced in a durable store, and only there.
func TestSynchronous(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{filepath.Join(t.TempDir(), "state.db"): "wal 2", "": "wal 0"} {
		s := openAt(t, path)
		var mode, synchronous string
		update(t, s, func(tx *Tx) error {
			return errors.Join(
				tx.eachOnce(func(row scanner) error { return row.Scan(&mode) }, "PRAGMA journal_mode"),
				tx.eachOnce(func(row scanner) error { return row.Scan(&synchronous) }, "PRAGMA synchronous"))
		})
		if got := mode + " " + synchronous; got != want {
			t.Errorf("%q runs with %s, want %s", path, got, want)
		}
	}
}

func TestEphemeralLeavesNothing(t *testing.T) {
	t.Parallel()
	s := openAt(t, "")
	create(t, s, newJob("j", 1))
	dir := filepath.Dir(s.path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	_, err := Open(t.Context(), path, Options{})
	wantKind(t, err, fault.Unavailable)
	if text := fault.TextOf(err); !strings.Contains(text, path) || !strings.Contains(text, fmt.Sprint(os.Getpid())) {
		t.Errorf("%q does not name the file and the process", text)
	}
	create(t, s, newJob("j", 1)) // The first is unharmed.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	if _, err := s.writer.ses.conn.ExecContext(t.Context(), "PRAGMA user_version = 999"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), path, Options{})
	wantKind(t, err, fault.Unsupported)
	if text := fault.TextOf(err); !strings.Contains(text, "999") || !strings.Contains(text, path) {
		t.Errorf("text = %q", text)
	}
}

// A migration that was interrupted leaves no part of itself.
func TestMigrationIsAtomic(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	// A table in the way makes the first migration fail at its end.
	for _, text := range []string{
		"DROP TABLE records", "DROP TABLE async_invocations", "DROP TABLE transform_totals", "DROP TABLE transform_objects", "DROP TABLE resources", "PRAGMA user_version = 0",
	} {
		if _, err := s.writer.ses.conn.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), "0001_resources.sql") {
		t.Fatalf("error = %v, want one that names the migration", err)
	}
	db, err := openHandle(readDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var version, tables int
	err = db.QueryRowContext(t.Context(), "SELECT (SELECT user_version FROM pragma_user_version), count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").Scan(&version, &tables)
	if err != nil || version != 0 || tables != 1 {
		t.Errorf("version %d with %d tables, %v; want 0 with the one in the way", version, tables, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("not a database. "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	notAFolder := filepath.Join(garbage, "state.db")
	for path, kind := range map[string]fault.Kind{
		garbage: fault.Internal, notAFolder: fault.Unavailable, dir: fault.Unavailable,
	} {
		s, err := Open(t.Context(), path, Options{})
		if err == nil {
			s.Close()
		}
		wantKind(t, err, kind)
		// A refusal gives the lock back.
		if _, again := Open(t.Context(), path, Options{}); fault.TextOf(again) != fault.TextOf(err) {
			t.Errorf("first %q, then %q", fault.TextOf(err), fault.TextOf(again))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, filepath.Join(dir, "new.db"), Options{}); err == nil {
		t.Error("a cancelled Open succeeded")
	}
}

// A full disk fails the Updates with a clear text, keeps what was there, and the
// store works again when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "state.db"))
	create(t, s, newJob("before", 1))
	limit := func(pages string) {
		t.Helper()
		update(t, s, func(tx *Tx) error {
			return tx.eachOnce(func(scanner) error { return nil }, "PRAGMA max_page_count = "+pages)
		})
	}
	limit("1")
	big := newJob("big", 1)
	big.FailureReason = strings.Repeat("x", 1<<20)
	err := s.Update(t.Context(), func(tx *Tx) error {
		err := tx.CreateTransformJob(big)
		wantKind(t, err, fault.Unavailable)
		if again := creating("after")(tx); again == nil {
			t.Error("a transaction goes on after the disk was full")
		}
		return nil // A closure that hides the failure does not get away with it.
	})
	wantKind(t, err, fault.Unavailable)
	if !strings.Contains(fault.TextOf(err), "full") {
		t.Errorf("text = %q", fault.TextOf(err))
	}
	if !exists(t, s, "before") || exists(t, s, "big") || exists(t, s, "after") {
		t.Error("the wrong jobs exist")
	}
	limit("1000000")
	create(t, s, big)
}

// A file that is damaged while it is open gives clear errors and no wrong data.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	var jobs []resource.TransformJob
	for i := range 500 {
		jobs = append(jobs, newJob(numbered(i), 1))
	}
	create(t, s, jobs...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 3 * 4096; i < len(data); i++ {
		data[i] = 0xA5
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = Open(t.Context(), path, Options{})
	if err == nil {
		err = s.View(t.Context(), func(tx *Tx) error {
			_, _, err := tx.ListTransformJobs(Query{Region: region, Limit: 1000})
			return err
		})
		s.Close()
	}
	wantKind(t, err, fault.Internal)
	if !strings.Contains(fault.TextOf(err), "damaged") {
		t.Errorf("text = %q", fault.TextOf(err))
	}
}
