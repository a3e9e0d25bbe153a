package process

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// process identifies a process for ever: numbers are used again, but not in the
// same boot with the same start time.
type process struct {
	Pid   int
	Start uint64 // in units of the system
	Boot  string // "" where the system has no such name
}

// identify names a process that runs now.
func identify(pid int) (process, error) {
	start, err := startTime(pid)
	if err != nil {
		return process{}, err
	}
	return process{Pid: pid, Start: start, Boot: bootID()}, nil
}

// alive reports whether it still runs.
func (p process) alive() bool {
	if p.Pid <= 0 {
		return false
	}
	now, err := identify(p.Pid)
	return err == nil && now == p
}

// record is what a later server must know to clean up after this one.
type record struct {
	ID     string
	Token  string
	Owner  process // the server
	Shim   process
	Leader process // the command
	Cgroup string
}

// newToken gives 128 random bits as text.
func newToken() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// records is a folder with one file for each instance.
type records struct{ dir string }

const recordSuffix = ".instance.json"

// file names a record. The token keeps an instance apart from an earlier one of
// the same ID that is not quite gone.
func (r records) file(rec record) string {
	return filepath.Join(r.dir, rec.ID+"."+rec.Token[:8]+recordSuffix)
}

// save writes a record whole or not at all.
func (r records) save(rec record) error {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	name := r.file(rec)
	if err := os.WriteFile(name+unfinished, data, 0o600); err != nil {
		return err
	}
	return os.Rename(name+unfinished, name)
}

// unfinished ends the name of a record that is being written.
const unfinished = ".new"

// removeUnfinished removes what servers that were killed while they wrote a record have
// left of it. One that a living server writes at this moment stays.
func (r records) removeUnfinished() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var failed []error
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), recordSuffix+unfinished) {
			continue
		}
		name := filepath.Join(r.dir, e.Name())
		var rec record
		if data, err := os.ReadFile(name); err == nil && json.Unmarshal(data, &rec) == nil && rec.Owner.alive() {
			continue
		}
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func (r records) remove(rec record) error {
	err := os.Remove(r.file(rec))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// list reads all records. A file that cannot be understood is an error beside
// the others, and stays.
func (r records) list() ([]record, error) {
	entries, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []record
	var bad []error
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), recordSuffix) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(r.dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // its instance has just ended
		}
		var rec record
		if err == nil {
			err = json.Unmarshal(data, &rec)
		}
		if err == nil && (!validID.MatchString(rec.ID) || len(rec.Token) != 32) {
			err = errors.New("it has no valid ID or token")
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("record %s of the process runtime: %w", e.Name(), err))
			continue
		}
		found = append(found, rec)
	}
	return found, errors.Join(bad...)
}
