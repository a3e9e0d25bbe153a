package state

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

func names(records []Record) string {
	var all []string
	for _, r := range records {
		all = append(all, r.Region+"/"+r.Name)
	}
	return strings.Join(all, " ")
}

func TestRecords(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	for _, r := range []Record{
		{Kind: "k", Region: "r1", Name: "b", Body: []byte(`{"a":1}`)},
		{Kind: "k", Region: "r1", Name: "a", Parent: "p"},
		{Kind: "k", Region: "r1", Name: "A", Parent: "p"}, // names are case-sensitive
		{Kind: "k", Region: "r0", Name: "c", Parent: "p"},
		{Kind: "other", Region: "r1", Name: "b"},
		{Kind: "k", Name: "b"},
	} {
		update(t, s, func(tx *Tx) error { return tx.PutRecord(r) })
	}
	wantKind(t, s.Update(t.Context(), func(tx *Tx) error { return tx.PutRecord(Record{Kind: "k", Region: "r1", Name: "b"}) }), fault.Exists)
	for _, tt := range []struct {
		q    RecordQuery
		want string
	}{
		{RecordQuery{Kind: "k", Region: "r1"}, "r1/A r1/a r1/b"},
		{RecordQuery{Kind: "k"}, "/b"},
		{RecordQuery{Kind: "k", Every: true}, "/b r0/c r1/A r1/a r1/b"},
		{RecordQuery{Kind: "k", Region: "r1", Parent: "p"}, "r1/A r1/a"},
		{RecordQuery{Kind: "k", Every: true, Parent: "p"}, "r0/c r1/A r1/a"},
		{RecordQuery{Kind: "k", Region: "r1", After: "A", Limit: 1}, "r1/a"},
		{RecordQuery{Kind: "none"}, ""},
	} {
		err := s.View(t.Context(), func(tx *Tx) error {
			got, err := tx.Records(tt.q)
			if names(got) != tt.want {
				t.Errorf("%+v: %s, want %s", tt.q, names(got), tt.want)
			}
			n, err2 := tx.CountRecords(tt.q)
			if tt.q.Limit == 0 && n != len(got) {
				t.Errorf("%+v: counted %d", tt.q, n)
			}
			if err == nil {
				err = err2
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	update(t, s, func(tx *Tx) error {
		if err := tx.DeleteRecord("k", "r1", "a"); err != nil {
			return err
		}
		return tx.SaveRecord(Record{Kind: "k", Region: "r1", Name: "b", Parent: "q", Body: []byte(`{}`)})
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path)
	err := s.View(t.Context(), func(tx *Tx) error {
		r, err := tx.Record("k", "r1", "b")
		if d := cmp.Diff(Record{Kind: "k", Region: "r1", Name: "b", Parent: "q", Body: []byte(`{}`)}, r); d != "" {
			t.Error(d)
		}
		_, gone := tx.Record("k", "r1", "a")
		wantKind(t, gone, fault.NotFound)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, fn := range []func(*Tx) error{
		func(tx *Tx) error { return tx.DeleteRecord("k", "r1", "a") },
		func(tx *Tx) error { return tx.SaveRecord(Record{Kind: "k", Region: "r1", Name: "a"}) },
	} {
		wantKind(t, s.Update(t.Context(), fn), fault.NotFound)
	}
}
