package joblog

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// sweepEvery is how often Keep sweeps.
const sweepEvery = 10 * time.Minute

// Keep enforces the limits, now and then, until ctx ends. It may run once.
func (d *Dir) Keep(ctx context.Context, log *slog.Logger) {
	every := time.NewTicker(sweepEvery)
	defer every.Stop()
	for {
		if err := d.Sweep(); err != nil {
			log.Warn("old logs were not all removed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// Sweep removes files whose newest line is older than their group keeps lines,
// and then the oldest ones until the total is within its bound. What is being
// written stays.
func (d *Dir) Sweep() error {
	regions, err := os.ReadDir(d.root)
	if err != nil {
		return ignoreMissing(err)
	}
	var errs []error
	var kept []logFile
	for _, region := range regions {
		groups, err := d.Groups(region.Name())
		errs = append(errs, err)
		for _, g := range groups {
			left, err := d.sweepGroup(g)
			errs = append(errs, err)
			kept = append(kept, left...)
		}
	}
	return errors.Join(append(errs, d.sweepTotal(kept))...)
}

// sweepGroup removes what is too old and gives what is left. A group that has
// nothing left is removed too, unless somebody said how long to keep its lines.
func (d *Dir) sweepGroup(g GroupInfo) (left []logFile, err error) {
	age := d.limits.Age
	if g.RetentionDays > 0 {
		age = time.Duration(g.RetentionDays) * 24 * time.Hour
	}
	folder, err := d.folder(g.Group)
	if err != nil {
		return nil, err
	}
	files, err := logFiles(folder)
	if err != nil || age == 0 {
		return files, err
	}
	oldest := d.now().Add(-age)
	var errs []error
	for _, f := range files {
		if !f.modified.Before(oldest) {
			left = append(left, f)
			continue
		}
		gone, err := d.remove(f)
		if errs = append(errs, err); !gone {
			left = append(left, f)
		}
	}
	if len(left) == 0 && g.RetentionDays == 0 && g.Created.Before(oldest) {
		errs = append(errs, d.removeGroup(folder))
	}
	return left, errors.Join(errs...)
}

// sweepTotal removes the oldest files until the total is within its bound.
func (d *Dir) sweepTotal(files []logFile) error {
	total := int64(0)
	for _, f := range files {
		total += f.size
	}
	slices.SortFunc(files, func(a, b logFile) int { return a.modified.Compare(b.modified) })
	var errs []error
	for _, f := range files {
		if d.limits.Total == 0 || total <= d.limits.Total {
			break
		}
		gone, err := d.remove(f)
		if errs = append(errs, err); gone {
			total -= f.size
		}
	}
	return errors.Join(errs...)
}

// remove removes a file, unless it is being written or is another one by now, and
// the folders that are empty then.
func (d *Dir) remove(f logFile) (gone bool, err error) {
	d.files.Lock()
	defer d.files.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		return false, ignoreMissing(err)
	}
	if f.path == f.stream && d.open[f.stream] > 0 || !info.ModTime().Equal(f.modified) {
		return false, nil
	}
	if err := os.Remove(f.path); err != nil {
		return false, err
	}
	d.removeEmpty(filepath.Dir(f.path))
	return true, nil
}

// removeGroup removes the marker of a group without streams. d.files is not held.
func (d *Dir) removeGroup(folder string) error {
	d.files.Lock()
	defer d.files.Unlock()
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 1 {
		return ignoreMissing(err) // a stream was begun meanwhile
	}
	err := os.Remove(filepath.Join(folder, marker))
	d.removeEmpty(folder)
	return err
}

// removeEmpty removes a folder and those above it while they are empty.
func (d *Dir) removeEmpty(folder string) {
	for folder != d.root {
		if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
		folder = filepath.Dir(folder)
	}
}
