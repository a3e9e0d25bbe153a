package process

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRecords(t *testing.T) {
	t.Parallel()
	r := records{filepath.Join(t.TempDir(), "made", "when", "missing")}
	if recs, err := r.list(); err != nil || len(recs) != 0 {
		t.Fatalf("no folder: %v, %v", recs, err)
	}
	one := record{ID: "a", Token: newToken(), Leader: process{Pid: 5, Start: 6, Boot: "b"}}
	two := record{ID: "a", Token: newToken()}
	for _, rec := range []record{one, two, one} {
		if err := r.save(rec); err != nil {
			t.Fatal(err)
		}
	}
	recs, err := r.list()
	if err != nil || len(recs) != 2 || !slices.Contains(recs, one) || !slices.Contains(recs, two) {
		t.Errorf("records %v, %v", recs, err)
	}
	for range 2 {
		if err := r.remove(one); err != nil {
			t.Error(err)
		}
	}
	if recs, err := r.list(); err != nil || len(recs) != 1 {
		t.Errorf("records %v, %v", recs, err)
	}
}

func TestRecordsDamaged(t *testing.T) {
	t.Parallel()
	r := records{t.TempDir()}
	if err := r.save(record{ID: "good", Token: newToken()}); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"half" + recordSuffix:   `{"ID": "ha`,
		"escape" + recordSuffix: `{"ID": "../../x", "Token": "` + newToken() + `"}`,
		"token" + recordSuffix:  `{"ID": "x", "Token": ""}`,
		"other.json":            "not ours",
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	recs, err := r.list()
	if len(recs) != 1 || recs[0].ID != "good" {
		t.Errorf("records %v", recs)
	}
	for _, name := range []string{"half", "escape", "token"} {
		if err == nil || !strings.Contains(err.Error(), name+recordSuffix) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
	if err := New(Config{StateDir: r.dir}).Sweep(t.Context(), nil); err == nil {
		t.Error("Sweep says nothing of damaged records")
	}
	if left, _ := r.list(); len(left) != 0 {
		t.Errorf("Sweep stopped at the damaged records: %v", left)
	}
}

func TestAlive(t *testing.T) {
	t.Parallel()
	me, err := identify(os.Getpid())
	if err != nil || !me.alive() {
		t.Errorf("this test is not alive: %+v, %v", me, err)
	}
	later, boot := me, me
	later.Start++
	boot.Boot += "x"
	for _, p := range []process{{}, later, boot, {Pid: -1}} {
		if p.alive() {
			t.Errorf("%+v is alive", p)
		}
	}
}

// What a killed server had begun to write is removed, and nothing else.
func TestRecordsUnfinished(t *testing.T) {
	t.Parallel()
	r := records{filepath.Join(t.TempDir(), "missing [so far]")}
	if err := r.removeUnfinished(); err != nil {
		t.Fatal(err)
	}
	whole := record{ID: "whole", Token: newToken()}
	if err := r.save(whole); err != nil {
		t.Fatal(err)
	}
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	living, _ := json.Marshal(record{ID: "living", Token: newToken(), Owner: self})
	dead, _ := json.Marshal(record{ID: "dead", Token: newToken(), Owner: process{Pid: os.Getpid(), Start: self.Start - 1, Boot: self.Boot}})
	for name, content := range map[string]string{"half": `{"ID": "ha`, "none": "", "dead": string(dead), "living": string(living)} {
		if err := os.WriteFile(filepath.Join(r.dir, name+recordSuffix+unfinished), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.removeUnfinished(); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"living" + recordSuffix + unfinished, filepath.Base(r.file(whole))}; !slices.Equal(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}
}
