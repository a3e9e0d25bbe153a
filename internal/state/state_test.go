package state

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		os.Exit(writeUntilKilled(path))
	}
	goleak.VerifyTestMain(m)
}

// TestSuite runs everything that holds for any store over every way to open one.
// PostgreSQL joins with an opener of its own.
func TestSuite(t *testing.T) {
	t.Parallel()
	openers := map[string]func(testing.TB) *Store{
		"file":      func(t testing.TB) *Store { return openAt(t, filepath.Join(t.TempDir(), "state.db")) },
		"ephemeral": func(t testing.TB) *Store { return openAt(t, "") },
	}
	suite := map[string]func(*testing.T, *Store){
		"Models":                suiteModels,
		"TransformJobs":         suiteTransformJobs,
		"SaveIsCompareAndSwap":  suiteSaveIsCompareAndSwap,
		"NamesFold":             suiteNamesFold,
		"ActiveTransformJobs":   suiteActiveTransformJobs,
		"Tags":                  suiteTags,
		"TimesKeepNanoseconds":  suiteTimes,
		"ListAgreesWithModel":   suiteListAgreesWithModel,
		"PagingWhileRowsChange": suitePagingWhileRowsChange,
		"ListRefuses":           suiteListRefuses,
		"Objects":               suiteObjects,
		"ObjectCollision":       suiteObjectCollision,
		"ObjectsAgreeWithModel": suiteObjectsAgreeWithModel,
		"FinishRefuses":         suiteFinishRefuses,
		"Update":                suiteUpdate,
		"PanicInUpdate":         suitePanicInUpdate,
		"ParallelUpdates":       suiteParallelUpdates,
		"CancelledUpdate":       suiteCancelledUpdate,
		"ViewIsASnapshot":       suiteViewIsASnapshot,
		"ViewCannotWrite":       suiteViewCannotWrite,
		"TxEnds":                suiteTxEnds,
		"Watch":                 suiteWatch,
		"Async":                 suiteAsync,
		"Secret":                suiteSecret,
		"Close":                 suiteClose,
	}
	for name, open := range openers {
		for part, test := range suite {
			t.Run(name+"/"+part, func(t *testing.T) {
				t.Parallel()
				test(t, open(t))
			})
		}
	}
}

func openAt(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(context.Background(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// at is a time in the tests' own small history.
func at(n int64) time.Time { return time.Unix(1_650_000_000, 0).Add(time.Duration(n)).UTC() }

const region = "us-west-2"

func jobKey(name string) resource.Key {
	return resource.Key{Region: region, Kind: resource.KindTransformJob, Name: name}
}

func modelKey(name string) resource.Key {
	return resource.Key{Region: region, Kind: resource.KindModel, Name: name}
}

func newJob(name string, created int64) resource.TransformJob {
	meta := resource.Meta{Key: jobKey(name), Created: at(created), Modified: at(created)}
	return resource.TransformJob{Meta: meta, Spec: resource.TransformSpec{ModelName: "m"}, Status: resource.JobInProgress}
}

// update and view fail the test when the store does.
func update(t testing.TB, s *Store, fn func(*Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func view(t testing.TB, s *Store, fn func(*Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

func create(t testing.TB, s *Store, jobs ...resource.TransformJob) {
	t.Helper()
	update(t, s, func(tx *Tx) error {
		for _, j := range jobs {
			if err := tx.CreateTransformJob(j); err != nil {
				return err
			}
		}
		return nil
	})
}

func readJob(t testing.TB, s *Store, name string) (j resource.TransformJob) {
	t.Helper()
	view(t, s, func(tx *Tx) (err error) {
		j, err = tx.TransformJob(jobKey(name))
		return err
	})
	return j
}

// wantKind checks the kind of an error and that its text may be shown.
func wantKind(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) || fault.TextOf(err) == "" {
		t.Errorf("error = %v (text %q), want the kind %v and a text", err, fault.TextOf(err), kind)
	}
}

func numbered(n int) string { return fmt.Sprintf("job-%04d", n) }
