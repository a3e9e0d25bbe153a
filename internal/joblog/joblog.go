// Package joblog keeps what instances print, and the data-logs of jobs, as plain
// files that survive the server. It knows regions, log groups and streams under
// the names that CloudWatch Logs has for them (OB-20, OB-21), and the path of a
// stream says all three:
//
//	REGION/aws/sagemaker/TransformJobs/JOB/INSTANCE.log
//	REGION/aws/sagemaker/TransformJobs/JOB/INSTANCE/data-log.log
//	REGION/aws/sagemaker/Endpoints/ENDPOINT/VARIANT/INSTANCE.log
//
// A line on disk is its time, a blank and the text:
//
//	2026-11-24T07:30:00.123456Z listening on :8080
//
// No two lines of a Dir have the same time, and those of a stream rise: a line's
// time is its Position, which stays true however files are rotated and removed.
// A stream that has grown is put aside as .log.1, what was there as .log.2 and so
// on; readers see one stream.
package joblog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Group is a log group of a region, under its name at AWS.
type Group struct{ Region, Name string }

// TransformJobs is the group of all transform jobs of a region (OB-20).
func TransformJobs(region string) Group {
	return Group{Region: region, Name: "/aws/sagemaker/TransformJobs"}
}

// Place is where the streams of one job or one endpoint are: in a group, under
// names that begin alike.
type Place struct {
	Group
	Prefix string
}

// JobName is the place of a job's streams, "JOB/..." in the group of all (OB-20).
func JobName(job resource.Key) Place {
	return Place{Group: TransformJobs(job.Region), Prefix: job.Name + "/"}
}

// EndpointName is the place of an endpoint's streams, which has a group of its
// own; their names are "VARIANT/INSTANCE" (OB-21).
func EndpointName(endpoint resource.Key) Place {
	return Place{Group: Group{Region: endpoint.Region, Name: "/aws/sagemaker/Endpoints/" + endpoint.Name}}
}

// Limits bound what is kept. Sweep enforces Age and Total, writing enforces Stream.
type Limits struct {
	Age    time.Duration // of a line, about, where its group says nothing else; 0 keeps for ever
	Total  int64         // bytes of all streams together; 0 is without bound
	Stream int64         // bytes of one stream, about; at least two files
}

// fileBytes is the size at which a file is put aside.
const fileBytes = 8 << 20

// Dir is a folder of groups. It is safe for concurrent use; no other process and
// no other Dir may use the folder.
type Dir struct {
	// Keys opens and makes the keys of sealed streams. It is set before the first use.
	Keys keyring.Keyring

	root   string
	limits Limits
	now    func() time.Time

	start sync.Once
	last  atomic.Int64 // the newest Position given out
	// writing is held while lines get their Positions and are written, so that who
	// sees a line has seen all before it.
	writing sync.Mutex

	// files is held for reading while files are found and read, for writing while
	// they are renamed or removed.
	files sync.RWMutex
	open  map[string]int // paths of streams being written, and by how many

	armed atomic.Bool // somebody waits on wake
	mu    sync.Mutex
	wake  chan struct{}
}

// New makes a Dir over a folder, which is created when the first stream is.
func New(root string, limits Limits, now func() time.Time) *Dir {
	return &Dir{root: root, limits: limits, now: now, open: map[string]int{}, wake: make(chan struct{})}
}

// Position is the time of a line in microseconds since 1970, and so its place in
// its stream. 0 is before all lines.
type Position int64

// At makes a Position of a time.
func At(t time.Time) Position { return Position(t.UnixMicro()) }

// Time is the Position as a time.
func (p Position) Time() time.Time { return time.UnixMicro(int64(p)).UTC() }

// Line is one line of a stream.
type Line struct {
	Position
	Stream string // its name in the group
	Text   string
}

// Now is a Position behind all lines that were written and before all that will be.
func (d *Dir) Now() Position {
	d.start.Do(d.resume)
	d.writing.Lock()
	defer d.writing.Unlock()
	return Position(d.last.Load())
}

// resume begins behind the lines of earlier servers, whatever the clock says.
func (d *Dir) resume() {
	files, err := logFiles(d.root)
	if err != nil || len(files) == 0 {
		return
	}
	newest := slices.MaxFunc(files, func(a, b logFile) int { return a.modified.Compare(b.modified) })
	d.raise(At(newest.modified))
	if last, err := lastOf(newest.stream); err == nil {
		d.raise(last)
	}
}

// raise makes Positions that are given out later than one.
func (d *Dir) raise(to Position) {
	for old := d.last.Load(); old < int64(to) && !d.last.CompareAndSwap(old, int64(to)); old = d.last.Load() {
	}
}

// stamp gives the Position of a line that is written now: later than all before.
// d.writing is held.
func (d *Dir) stamp() Position {
	d.start.Do(d.resume)
	now := d.now().UnixMicro()
	for {
		last := d.last.Load()
		next := max(now, last+1)
		if d.last.CompareAndSwap(last, next) {
			return Position(next)
		}
	}
}

// The longest names of groups and streams that AWS allows, and what file systems
// allow for one part of them, with room for our endings.
const (
	longestName = 512
	longestPart = 200
)

// folder finds a group's folder, which never is outside the Dir.
func (d *Dir) folder(g Group) (string, error) {
	name, rooted := strings.CutPrefix(g.Name, "/")
	if !rooted || !safe(name) || !safe(g.Region) || strings.Contains(g.Region, "/") {
		return "", fmt.Errorf("%q is not a log group: %w", g.Region+g.Name, fs.ErrNotExist)
	}
	return filepath.Join(d.root, g.Region, filepath.FromSlash(name)), nil
}

// path finds a stream's file.
func (d *Dir) path(g Group, stream string) (string, error) {
	folder, err := d.folder(g)
	if err != nil {
		return "", err
	}
	if !safe(stream) {
		return "", fmt.Errorf("%q is not a log stream: %w", stream, fs.ErrNotExist)
	}
	return filepath.Join(folder, filepath.FromSlash(stream)) + ending, nil
}

// ending is what names of files end in, before the number of one put aside.
const ending = ".log"

// safe reports whether a name of one or more parts can be a path below a folder,
// and is the only name of that path.
func safe(name string) bool {
	if name == "" || len(name) > longestName || path.Clean(name) != name || !filepath.IsLocal(filepath.FromSlash(name)) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > longestPart || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == '\\' || r == ':' }) {
			return false
		}
	}
	return true
}

// StreamInfo is what is known of a stream without reading it.
type StreamInfo struct {
	Name     string
	Modified time.Time // when it was last written to
	Bytes    int64
}

// Streams lists the streams of a group whose names begin with a prefix, by name.
// A group that is not there has none.
func (d *Dir) Streams(g Group, prefix string) ([]StreamInfo, error) {
	base, err := d.folder(g)
	if err != nil {
		return nil, nil
	}
	from := base
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 { // the folder that holds all of them
		if !safe(prefix[:i]) {
			return nil, nil
		}
		from = filepath.Join(base, filepath.FromSlash(prefix[:i]))
	}
	files, err := logFiles(from)
	if err != nil {
		return nil, err
	}
	found := map[string]StreamInfo{}
	for _, f := range files {
		rel, err := filepath.Rel(base, strings.TrimSuffix(f.stream, ending))
		if err != nil {
			return nil, err
		}
		name := filepath.ToSlash(rel)
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		s := found[name]
		s.Name, s.Bytes = name, s.Bytes+f.size
		if f.modified.After(s.Modified) {
			s.Modified = f.modified
		}
		found[name] = s
	}
	all := make([]StreamInfo, 0, len(found))
	for _, s := range found {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b StreamInfo) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// logFile is a file of a stream.
type logFile struct {
	path     string
	stream   string // the path of the one being written
	size     int64
	modified time.Time
}

// logFiles lists the files of all streams below a folder; one that is not there
// has none.
func logFiles(folder string) (all []logFile, err error) {
	err = filepath.WalkDir(folder, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return ignoreMissing(err) // swept meanwhile
		}
		stream, ok := streamOf(file)
		if !ok {
			return nil
		}
		info, err := e.Info()
		if err == nil {
			all = append(all, logFile{file, stream, info.Size(), info.ModTime()})
		}
		return ignoreMissing(err)
	})
	return all, err
}

// ignoreMissing forgives that a file is gone.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// HasStream reports whether a stream is there.
func (d *Dir) HasStream(g Group, stream string) bool {
	file, err := d.path(g, stream)
	if err != nil {
		return false
	}
	d.files.RLock()
	defer d.files.RUnlock()
	for _, f := range segments(file) {
		if _, err := os.Stat(f); err == nil {
			return true
		}
	}
	return false
}

// Changed gives a channel that is closed when something is written after this
// call. Whoever follows calls it, reads what there is, and then waits.
func (d *Dir) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed.Store(true)
	return d.wake
}

// tell wakes whoever waits. It costs writers next to nothing when nobody does.
func (d *Dir) tell() {
	if !d.armed.CompareAndSwap(true, false) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.wake)
	d.wake = make(chan struct{})
}
