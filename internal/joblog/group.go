package joblog

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// GroupInfo is a group with what is kept about it.
type GroupInfo struct {
	Group
	Created time.Time
	// RetentionDays is how long its lines are kept, where somebody said so; else 0.
	RetentionDays int
	Bytes         int64
}

// marker is the file in a group's folder that makes it a group.
const marker = "group.json"

type markerFile struct {
	CreationTime    time.Time `json:"creationTime"`
	RetentionInDays int       `json:"retentionInDays,omitempty"`
}

// ensureGroup makes a group with its first stream (OB-22). d.files is held.
func (d *Dir) ensureGroup(g Group) error {
	folder, err := d.folder(g)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(folder, marker)); err == nil {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return writeMarker(folder, markerFile{CreationTime: d.now().UTC().Truncate(time.Millisecond)})
}

func readMarker(folder string) (m markerFile, err error) {
	data, err := os.ReadFile(filepath.Join(folder, marker))
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(data, &m)
}

// writeMarker replaces the file at once.
func writeMarker(folder string, m markerFile) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	fresh := filepath.Join(folder, marker+".new")
	if err := os.WriteFile(fresh, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, filepath.Join(folder, marker))
}

// HasGroup reports whether a group is there.
func (d *Dir) HasGroup(g Group) bool {
	folder, err := d.folder(g)
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(folder, marker))
	return err == nil
}

// SetRetention says for how many days a group's lines are kept; 0 leaves it to the
// Dir's limits. An error that is fs.ErrNotExist says that there is no such group.
func (d *Dir) SetRetention(g Group, days int) error {
	folder, err := d.folder(g)
	if err != nil {
		return err
	}
	d.files.Lock()
	defer d.files.Unlock()
	m, err := readMarker(folder)
	if err != nil {
		return err
	}
	m.RetentionInDays = days
	return writeMarker(folder, m)
}

// Groups lists the groups of a region, by name.
func (d *Dir) Groups(region string) ([]GroupInfo, error) {
	if !safe(region) || strings.Contains(region, "/") {
		return nil, nil
	}
	base := filepath.Join(d.root, region)
	var all []GroupInfo
	err := filepath.WalkDir(base, func(file string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.Name() != marker {
			return err
		}
		g, err := d.describe(region, base, filepath.Dir(file))
		if err != nil {
			return ignoreMissing(err)
		}
		all = append(all, g)
		return nil
	})
	slices.SortFunc(all, func(a, b GroupInfo) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// describe reads what is kept about the group of a folder and adds up its streams.
func (d *Dir) describe(region, base, folder string) (GroupInfo, error) {
	rel, err := filepath.Rel(base, folder)
	if err != nil {
		return GroupInfo{}, err
	}
	m, err := readMarker(folder)
	if err != nil {
		return GroupInfo{}, err
	}
	g := GroupInfo{Group: Group{Region: region, Name: "/" + filepath.ToSlash(rel)}, Created: m.CreationTime, RetentionDays: m.RetentionInDays}
	streams, err := d.Streams(g.Group, "")
	for _, s := range streams {
		g.Bytes += s.Bytes
	}
	return g, err
}
