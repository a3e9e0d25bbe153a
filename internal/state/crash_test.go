package state

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// crashEnv makes the test binary a writer on the database that it names.
const crashEnv = "SAGEBRUSH_STATE_CRASH_TEST"

// objectsEach is how many objects each job of the crash test has.
const objectsEach = 3

// writeUntilKilled writes from several goroutines and prints the name of each
// job once its Update has returned.
func writeUntilKilled(path string) int {
	ctx := context.Background()
	s, err := Open(ctx, path, Options{})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("job-%d-%d-%d", os.Getpid(), w, n)
				if err := s.Update(ctx, func(tx *Tx) error { return writeWhole(tx, name) }); err != nil {
					fmt.Println("error:", err)
					return
				}
				fmt.Println(name)
			}
		})
	}
	wg.Wait()
	return 1
}

// writeWhole writes a job in several steps that only make sense together.
func writeWhole(tx *Tx, name string) error {
	key := jobKey(name)
	if err := tx.CreateTransformJob(newJob(name, 1)); err != nil {
		return err
	}
	if _, err := tx.AddObjects(key, objectsFrom(0, objectsEach)); err != nil {
		return err
	}
	if err := tx.FinishObjects(key, []ObjectResult{{Seq: 1, State: ObjectDone}}); err != nil {
		return err
	}
	j, err := tx.TransformJob(key)
	if err != nil {
		return err
	}
	j.Listed = true
	return tx.SaveTransformJob(j)
}

// A server that is killed at any instant has kept every write that it
// acknowledged, and no write in part.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts many processes; run without -short")
	}
	shared := filepath.Join(t.TempDir(), "state.db")
	acknowledged := map[string]bool{}
	for round := range 24 {
		path, acks := shared, rand.IntN(80)
		if round%3 == 2 {
			path, acks = filepath.Join(t.TempDir(), "state.db"), -1
		}
		lines := killAfter(t, path, acks)
		if path == shared {
			for _, name := range lines {
				acknowledged[name] = true
			}
			checkWhole(t, path, acknowledged)
			continue
		}
		fresh := map[string]bool{}
		for _, name := range lines {
			fresh[name] = true
		}
		checkWhole(t, path, fresh)
	}
	if len(acknowledged) == 0 {
		t.Error("nothing was ever acknowledged")
	}
}

// killAfter runs a writer on path and kills it after a number of
// acknowledgements, or, when that is negative, at a random moment of its start.
// It gives every name that was acknowledged.
func killAfter(t *testing.T, path string, acks int) (names []string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashEnv+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if acks < 0 {
		timer := time.AfterFunc(rand.N(60*time.Millisecond), func() { _ = child.Process.Kill() })
		defer timer.Stop()
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // A line that was cut off by the kill is no acknowledgement.
		}
		if strings.HasPrefix(line, "error:") {
			t.Error(line)
		}
		names = append(names, strings.TrimSpace(line))
		if len(names) == acks+1 {
			_ = child.Process.Kill()
		}
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the writer ended by itself: %v", err)
	}
	return names
}

func checkWhole(t *testing.T, path string, acknowledged map[string]bool) {
	t.Helper()
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found := map[string]bool{}
	view(t, s, func(tx *Tx) error {
		if err := tx.eachOnce(func(row scanner) error {
			var verdict string
			if err := row.Scan(&verdict); err != nil || verdict != "ok" {
				t.Errorf("integrity check: %s %v", verdict, err)
			}
			return nil
		}, "PRAGMA integrity_check"); err != nil {
			return err
		}
		for q := (Query{Region: region, Limit: MaxPage}); ; {
			jobs, next, err := tx.ListTransformJobs(q)
			if err != nil {
				return err
			}
			for _, j := range jobs {
				found[j.Name] = true
				checkJob(t, tx, j)
			}
			if q.After = next; next == nil {
				return nil
			}
		}
	})
	for name := range acknowledged {
		if !found[name] {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
}

func checkJob(t *testing.T, tx *Tx, j resource.TransformJob) {
	t.Helper()
	sums, err := tx.ObjectTotals(j.Key)
	if err != nil {
		t.Error(err)
	}
	pending, err := tx.NextObjects(j.Key, 0, 100)
	if err != nil {
		t.Error(err)
	}
	if !j.Listed || j.Rev != 2 || len(pending) != objectsEach-1 ||
		sums.Pending.Objects != objectsEach-1 || sums.Done.Objects != 1 {
		t.Errorf("%s is there in part: rev %d, listed %v, %d pending, %+v", j.Name, j.Rev, j.Listed, len(pending), sums)
	}
}
