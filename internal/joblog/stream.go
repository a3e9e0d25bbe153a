package joblog

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// Stream is a stream being written. It is safe for concurrent use.
type Stream struct {
	dir  *Dir
	path string
	aead cipher.AEAD // seals lines, nil for none that are sealed
	head []byte      // the first line of each file of a sealed stream

	mu   sync.Mutex
	f    *os.File
	size int64
	part []byte // a line that has no end yet
	out  []byte // lines that are not on disk yet
	torn bool   // what is on disk has no newline at its end
}

var _ io.WriteCloser = (*Stream)(nil)

// Create opens a stream of a job or an endpoint for writing, behind what it holds
// already. Names may hold slashes, as SageMaker's do: "i-0123/data-log".
func (d *Dir) Create(in Place, stream string) (*Stream, error) {
	file, err := d.path(in.Group, in.Prefix+stream)
	if err != nil {
		return nil, err
	}
	return d.begin(&Stream{dir: d, path: file}, in.Group)
}

// begin opens a stream's file, and notes that it is being written.
func (d *Dir) begin(s *Stream, in Group) (*Stream, error) {
	d.start.Do(d.resume)
	d.files.Lock()
	defer d.files.Unlock()
	if err := d.ensureGroup(in); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	if last, err := lastOf(s.path); err == nil { // a clock that was set back must not mix lines
		d.raise(last)
	}
	d.open[s.path]++
	d.tell()
	return s, nil
}

// open opens the file for appending.
func (s *Stream) open() error {
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	s.f, s.size, s.torn = f, info.Size(), false
	if s.size == 0 && s.head != nil {
		n, err := f.Write(s.head)
		if s.size = int64(n); err != nil {
			return errors.Join(err, f.Truncate(0), f.Close())
		}
	}
	if s.size > 0 {
		var end [1]byte
		_, err := f.ReadAt(end[:], s.size-1)
		if err != nil || end[0] != '\n' {
			n, err := f.WriteString("\n") // what a crash cut short becomes a line of its own
			s.size, s.torn = s.size+int64(n), err != nil
		}
	}
	return nil
}

// flushBytes is how many bytes of lines are collected before they are written.
const flushBytes = 256 << 10

// Write takes what an instance printed, cuts it into lines and stamps each. It
// always claims to have written everything, so that an instance never stalls on
// a full disk.
func (s *Stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dir.writing.Lock()
	defer s.dir.writing.Unlock()
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.part = append(s.part, p...)
			break
		}
		s.part = append(s.part, p[:i]...)
		s.line()
		p = p[i+1:]
	}
	s.part = append(s.part[:0], s.long(s.part)...)
	s.flush()
	return n, nil
}

// Line writes one line of text; newlines in it begin further ones.
func (s *Stream) Line(text string) { s.Write([]byte(text + "\n")) }

// line ends the line at hand.
func (s *Stream) line() {
	s.emit(s.long(s.part))
	s.part = s.part[:0]
}

// long makes lines of the beginning of a text that is too long for one, and gives
// the rest.
func (s *Stream) long(text []byte) []byte {
	for len(text) > lineBytes {
		at := cut(text)
		s.emit(text[:at])
		text = text[at:]
	}
	return text
}

func (s *Stream) emit(text []byte) {
	s.out = appendLine(s.out, s.dir.stamp(), text, s.aead)
	if len(s.out) > flushBytes {
		s.flush()
	}
}

// flush writes the lines at hand, and begins a new file when this one is full.
// Lines that the disk does not take are lost.
func (s *Stream) flush() {
	if len(s.out) == 0 {
		return
	}
	out := s.out
	s.out = s.out[:0]
	if s.f == nil {
		return
	}
	if s.torn {
		out = append([]byte("\n"), out...)
	}
	n, err := s.f.Write(out)
	if n > 0 {
		s.torn = err != nil && out[n-1] != '\n'
	}
	s.size += int64(n)
	if s.size > fileBytes {
		s.rotate()
	}
	s.dir.tell()
}

// rotate puts the file aside, and those that were put aside before further away;
// what would exceed the bound of a stream is removed. Without a file the stream
// drops what comes: an instance must not stall.
func (s *Stream) rotate() {
	s.dir.files.Lock()
	defer s.dir.files.Unlock()
	s.f.Close()
	s.f = nil
	s.dir.shift(s.path)
	_ = s.open()
}

// shift makes room under a stream's name. d.files is held.
func (d *Dir) shift(file string) {
	keep := max(1, int(d.limits.Stream/fileBytes)-1)
	aside := segments(file)[1:]
	for n := len(aside); n > 0; n-- { // from the oldest
		if n >= keep {
			os.Remove(aside[n-1])
		} else {
			os.Rename(aside[n-1], numbered(file, n+1))
		}
	}
	if err := os.Rename(file, numbered(file, 1)); err != nil {
		os.Remove(file)
	}
}

// putAside is shift for a stream that nobody writes.
func (d *Dir) putAside(file string) {
	d.files.Lock()
	defer d.files.Unlock()
	d.shift(file)
}

// Close writes a line that has no end yet and closes the file. What is written
// after that is dropped.
func (s *Stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dir.writing.Lock()
	if len(s.part) > 0 {
		s.line()
	}
	s.flush()
	s.dir.writing.Unlock()
	return s.release()
}

// release gives the file back, once.
func (s *Stream) release() (err error) {
	d := s.dir
	d.files.Lock()
	defer d.files.Unlock()
	if s.f != nil {
		err = s.f.Close()
		s.f = nil
	}
	if s.path != "" {
		if d.open[s.path]--; d.open[s.path] <= 0 {
			delete(d.open, s.path)
		}
		s.path = ""
	}
	return err
}

// numbered is the name of a file that was put aside.
func numbered(file string, n int) string { return fmt.Sprintf("%s.%d", file, n) }

// segments names the files of a stream, the newest first: the one being written,
// which may be missing, and those that were put aside.
func segments(file string) []string {
	all := []string{file}
	for n := 1; ; n++ {
		if _, err := os.Stat(numbered(file, n)); err != nil {
			return all
		}
		all = append(all, numbered(file, n))
	}
}

// streamOf gives, for a file of a stream, the path of the one being written.
func streamOf(file string) (stream string, ok bool) {
	if strings.HasSuffix(file, ending) {
		return file, true
	}
	stream, number, _ := cutLast(file, '.')
	n, err := strconv.Atoi(number)
	return stream, err == nil && n > 0 && strings.HasSuffix(stream, ending)
}

// cutLast cuts a text at the last of a character.
func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
