// Package joblog keeps what the instances of a job print, and the job's
// data-logs, as plain files that survive the server. Each stream is bounded: it
// keeps its newest lines in at most two files.
//
// A line on disk is its time, a blank and the text:
//
//	2026-11-24T07:30:00.123Z listening on :8080
package joblog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// The bounds of a stream: a file is put aside when it has grown to fileBytes, and
// a longer line is cut into several.
const (
	fileBytes = 8 << 20
	lineBytes = 32 << 10
)

// stampLayout is the time of a line, in UTC, with milliseconds.
const stampLayout = "2006-01-02T15:04:05.000Z"

// Dir is a folder of jobs' streams. It is safe for concurrent use.
type Dir struct {
	root string
	now  func() time.Time
}

// JobName is the name under which a job's streams are kept.
func JobName(job resource.Key) string {
	k := job.Folded()
	return k.Region + "/" + k.Name
}

// EndpointName is the name under which an endpoint's streams are kept.
func EndpointName(endpoint resource.Key) string {
	k := endpoint.Folded()
	return k.Region + "/endpoints/" + k.Name
}

// New makes a Dir over a folder, which is created when the first stream is.
func New(root string, now func() time.Time) *Dir { return &Dir{root: root, now: now} }

// Create opens a stream of a job for writing, behind what it holds already. Names
// may hold slashes, as SageMaker's do: "i-0123/data-log".
func (d *Dir) Create(job, stream string) (*Stream, error) {
	path, err := d.path(job, stream)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	s := &Stream{path: path, now: d.now}
	return s, s.open()
}

// path finds a stream's file, which never is outside the job's folder.
func (d *Dir) path(job, stream string) (string, error) {
	rel := filepath.Join(job, filepath.FromSlash(stream)+".log")
	if !filepath.IsLocal(job) || !filepath.IsLocal(filepath.FromSlash(stream)) || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%q of %q is not a log stream", stream, job)
	}
	return filepath.Join(d.root, rel), nil
}

// Streams names a job's streams in order; a job without any has none.
func (d *Dir) Streams(job string) ([]string, error) {
	if !filepath.IsLocal(job) {
		return nil, fmt.Errorf("%q is not a job", job)
	}
	base := filepath.Join(d.root, job)
	var names []string
	err := filepath.WalkDir(base, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".log" {
			return err
		}
		rel, err := filepath.Rel(base, path)
		names = append(names, strings.TrimSuffix(filepath.ToSlash(rel), ".log"))
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	sort.Strings(names)
	return names, err
}

// Line is one line of a stream.
type Line struct {
	At     time.Time
	Stream string
	Text   string
}

// Read gives all lines of a stream that are kept, oldest first.
func (d *Dir) Read(job, stream string) ([]Line, error) {
	path, err := d.path(job, stream)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for _, file := range []string{path + ".1", path} {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		lines = append(lines, parse(stream, data)...)
	}
	return lines, nil
}

// parse reads a file's lines; a last one that a crash cut short is left out.
func parse(stream string, data []byte) []Line {
	var lines []Line
	for line := range bytes.Lines(data) {
		stamp, text, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		at, err := time.Parse(stampLayout, string(stamp))
		if !ok || err != nil || line[len(line)-1] != '\n' {
			continue
		}
		lines = append(lines, Line{At: at, Stream: stream, Text: string(text)})
	}
	return lines
}

// Stream is a stream being written. It is safe for concurrent use.
type Stream struct {
	path string
	now  func() time.Time

	mu   sync.Mutex
	f    *os.File
	size int64
	part []byte // a line that has no end yet
}

// open opens the file for appending.
func (s *Stream) open() error {
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	s.f, s.size = f, info.Size()
	return nil
}

// Write takes what an instance printed, cuts it into lines and stamps each. It
// always claims to have written everything, so that an instance never stalls on
// a full disk.
func (s *Stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.part = append(s.part, p...)
			break
		}
		s.part = append(s.part, p[:i]...)
		s.flush()
		p = p[i+1:]
	}
	for len(s.part) > lineBytes {
		rest := bytes.Clone(s.part[lineBytes:])
		s.part = s.part[:lineBytes]
		s.flush()
		s.part = rest
	}
	return n, nil
}

// Line writes one line of text; newlines in it begin further ones.
func (s *Stream) Line(text string) { s.Write([]byte(text + "\n")) }

// flush writes the line at hand.
func (s *Stream) flush() {
	if s.f == nil {
		s.part = s.part[:0]
		return
	}
	line := s.now().UTC().AppendFormat(nil, stampLayout)
	line = append(append(line, ' '), clean(s.part)...)
	line = append(line, '\n')
	s.part = s.part[:0]
	n, _ := s.f.Write(line)
	if s.size += int64(n); s.size > fileBytes {
		s.rotate()
	}
}

// rotate puts the file aside, over the one that was put aside before.
func (s *Stream) rotate() {
	s.f.Close()
	s.f = nil
	if err := os.Rename(s.path, s.path+".1"); err != nil {
		os.Remove(s.path)
	}
	// Without a file the stream drops what comes: an instance must not stall.
	_ = s.open()
}

// clean makes a line safe to show in a terminal: control characters other than
// the tab, and bytes that are not UTF-8, become the replacement character.
func clean(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\r"))
	safe := utf8.Valid(b) && bytes.IndexFunc(b, isControl) < 0
	if safe {
		return b
	}
	return bytes.Map(func(r rune) rune {
		if isControl(r) {
			return utf8.RuneError
		}
		return r
	}, b)
}

func isControl(r rune) bool { return (r < ' ' && r != '\t') || (r >= 0x7F && r < 0xA0) }

// Close writes a line that has no end yet and closes the file.
func (s *Stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.part) > 0 {
		s.flush()
	}
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return err
}

var _ io.WriteCloser = (*Stream)(nil)
