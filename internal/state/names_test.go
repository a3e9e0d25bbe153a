package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// parts gives the names that contain a part.
func (s *Store) parts(t *testing.T, part string) []string {
	t.Helper()
	return pages(t, s, Query{Region: region, NameContains: part, SortBy: SortByName, Limit: 7})
}

// A name is found whenever it was stored: before the opening, before the first question
// or after it; and not once it is gone, whatever the index still holds.
func TestNamesAreFound(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	create(t, s, newJob("old-apple", 1), newJob("old-pear", 2))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	create(t, s, newJob("early-apple", 3))
	want := func(part string, names ...string) {
		t.Helper()
		if got := s.parts(t, part); strings.Join(got, " ") != strings.Join(names, " ") {
			t.Errorf("%q: %v, want %v", part, got, names)
		}
	}
	want("apple", "early-apple", "old-apple")
	create(t, s, newJob("late-apple", 4))
	want("apple", "early-apple", "late-apple", "old-apple")
	want("e", "early-apple", "late-apple", "old-apple", "old-pear")
	want("apple\nearly")
	undone := errors.New("undone")
	if err := s.Update(t.Context(), func(tx *Tx) error {
		if err := tx.CreateEndpoint(resource.Endpoint{Meta: resource.Meta{Key: resource.Key{Region: region, Kind: resource.KindEndpoint, Name: "no-apple"}}}); err != nil {
			return err
		}
		return undone
	}); err != undone {
		t.Fatal(err)
	}
	want("no-apple")
	update(t, s, func(tx *Tx) error { return tx.remove(jobKey("early-apple")) })
	want("apple", "late-apple", "old-apple")
	create(t, s, newJob("early-apple", 5)) // twice in the index now
	want("apple", "early-apple", "late-apple", "old-apple")
	want("zzz")
}

// Names that are gone are forgotten after a while, and none that is there.
func TestNamesAreTidied(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "state.db"))
	create(t, s, newJob("kept", 1))
	long := strings.Repeat("x", 50)
	g := nameGroup{region, resource.KindTransformJob}
	for n := range slack / 40 {
		s.names.add(g, fmt.Sprint(long, n)) // as a job of this name would have that has come and gone
	}
	create(t, s, newJob("kept-too", 2))
	if err := s.Close(); err != nil { // the writer has done all it does
		t.Fatal(err)
	}
	if text := string(s.names.of[g].text); text != "\nkept\nkept-too\n" && text != "\nkept-too\nkept\n" {
		t.Errorf("%.80q", text)
	}
}
