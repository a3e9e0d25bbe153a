package artefact

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

const (
	// readSize is the unit of reading and of copying.
	readSize = 256 << 10
	// maxPath leaves room for the folder in front within the 4,096 of PATH_MAX.
	maxPath = 3 << 10
	// maxName is what file systems take for one path element (CC-14).
	maxName = 255
	// maxDepth bounds the work that one name can cause.
	maxDepth = 100
	// shownName is how much of a name an error text repeats.
	shownName = 200
)

// unpacker is the state of one Unpack.
type unpacker struct {
	root   *os.Root
	limits Limits
	src    *source
	in     *bufio.Reader
	plain  *plain
	buf    []byte

	entry   string // name of the entry at hand, for errors
	entries int    // headers seen, which duplicates raise above what is on disk
	lastDir string // the folder made last, "" before the first
	stats   Stats
}

// source is the archive as it comes in. It remembers how it failed, so that a
// broken connection is not taken for a broken archive.
type source struct {
	ctx context.Context
	r   io.Reader
	n   int64
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// fault gives the failure of the source, with the kind that it came with.
func (s *source) fault() error {
	kind := fault.Unavailable
	var known *fault.Error
	if errors.As(s.err, &known) {
		kind = known.Kind
	}
	return fault.Wrap(kind, s.err, "the model archive could not be read beyond byte %d", s.n)
}

// plain is the tar stream. It counts and bounds what the gzip layer gives.
type plain struct {
	u *unpacker
	r io.Reader
	n int64
}

func (p *plain) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	if over := p.u.overgrown(p.n); over != nil {
		return 0, over
	}
	return n, err
}

// archiveOffset is how far the archive has been decompressed.
func (u *unpacker) archiveOffset() int64 { return u.src.n - int64(u.in.Buffered()) }

// overgrown checks a count of unpacked bytes against the size and the ratio.
func (u *unpacker) overgrown(n int64) error {
	if n > u.limits.Bytes {
		return u.tooManyBytes()
	}
	if n > u.limits.RatioFloor && n/u.limits.Ratio > u.archiveOffset() {
		return u.refuse("makes the archive unpack to more than %d times its size, the limit for model artefacts", u.limits.Ratio)
	}
	return nil
}

// cleanName gives the entry's path below the root, "." for the root itself.
func (u *unpacker) cleanName(name string) (string, error) {
	switch {
	case strings.HasPrefix(name, "/"):
		return "", u.refuse("has an absolute path: paths in a model archive are relative to its root")
	case strings.ContainsRune(name, 0):
		return "", u.refuse("has a name that contains a NUL byte")
	case len(name) > maxPath:
		return "", u.refuse("has a path of %d bytes; the limit is %d", len(name), maxPath)
	}
	elements := 0
	for element := range strings.SplitSeq(name, "/") {
		switch {
		case element == "..":
			return "", u.refuse(`has ".." in its path, which could leave the model folder`)
		case len(element) > maxName:
			return "", u.refuse("has a path element of %d bytes; the limit is %d", len(element), maxName)
		}
		elements++
	}
	if elements > maxDepth {
		return "", u.refuse("lies %d folders deep; the limit is %d", elements, maxDepth)
	}
	return path.Clean(name), nil
}

// mkdir makes a folder and those above it that are missing.
func (u *unpacker) mkdir(name string) error {
	if name == "." || name == u.lastDir {
		return nil
	}
	err := u.root.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		if err := u.mkdir(parentOf(name)); err != nil {
			return err
		}
		err = u.root.Mkdir(name, 0o755)
	}
	switch {
	case err == nil:
		u.stats.Dirs++
		if u.stats.Files+u.stats.Dirs > u.limits.Entries {
			return u.tooManyEntries()
		}
		if err := u.openToAll(name); err != nil {
			return u.disk(err)
		}
	case errors.Is(err, fs.ErrExist):
		info, err := u.root.Lstat(name)
		if err != nil {
			return u.disk(err)
		}
		if !info.IsDir() {
			return u.refuse("needs a folder %s, which is a file elsewhere in the archive", quote(name))
		}
	case errors.Is(err, syscall.ENOTDIR):
		return u.refuse("lies below a path that is a file elsewhere in the archive")
	default:
		return u.disk(err)
	}
	u.lastDir = name
	return nil
}

// openToAll sets a folder's mode in spite of the process's umask.
func (u *unpacker) openToAll(name string) error {
	d, err := u.root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Chmod(0o755)
}

// writeFile creates a file with the body, in place of one of the same name.
func (u *unpacker) writeFile(name string, h *tar.Header, body io.Reader) error {
	switch {
	case h.Size > u.limits.FileBytes:
		return u.refuse("is a file of %d bytes; the limit for one file is %d", h.Size, u.limits.FileBytes)
	case h.Size > u.limits.Bytes-u.stats.Bytes:
		return u.tooManyBytes()
	case u.stats.Files+u.stats.Dirs >= u.limits.Entries:
		return u.tooManyEntries()
	}
	if err := u.mkdir(parentOf(name)); err != nil {
		return err
	}
	f, err := u.create(name)
	if err != nil {
		return err
	}
	u.stats.Files++
	err = u.fill(f, body)
	if err == nil {
		if err = f.Chmod(fileMode(h)); err != nil {
			err = u.disk(err)
		}
	}
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = u.disk(closeErr)
	}
	return err
}

// create opens a new file, after removing an earlier one of the same name.
func (u *unpacker) create(name string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := u.root.OpenFile(name, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		info, statErr := u.root.Lstat(name)
		if statErr != nil {
			return nil, u.disk(statErr)
		}
		if info.IsDir() {
			return nil, u.refuse("is a file here and a folder elsewhere in the archive")
		}
		if err := u.root.Remove(name); err != nil {
			return nil, u.disk(err)
		}
		f, err = u.root.OpenFile(name, flags, 0o644)
	}
	if err != nil {
		return nil, u.disk(err)
	}
	return f, nil
}

// fill copies a body, telling the archive's errors from the disk's.
func (u *unpacker) fill(f *os.File, body io.Reader) error {
	for {
		n, readErr := body.Read(u.buf)
		if n > 0 {
			u.stats.Bytes += int64(n)
			if err := u.overgrown(u.stats.Bytes); err != nil {
				return err
			}
			if _, err := f.Write(u.buf[:n]); err != nil {
				return u.disk(err)
			}
		}
		if errors.Is(readErr, io.EOF) {
			return nil
		}
		if readErr != nil {
			return u.damaged(readErr)
		}
	}
}

// fileMode keeps of a mode only whether the file may be run.
func fileMode(h *tar.Header) fs.FileMode {
	if h.Mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// refuse is an archive that is well formed and not allowed.
func (u *unpacker) refuse(format string, args ...any) error {
	e := fault.New(fault.Invalid, format, args...)
	if u.entry == "" {
		e.Text = "the model archive is refused: its end " + e.Text
	} else {
		e.Text = "the model archive is refused: entry " + quote(u.entry) + " " + e.Text
	}
	return e
}

func (u *unpacker) tooManyBytes() error {
	return u.refuse("makes the archive unpack to more than %d bytes, the limit for model artefacts", u.limits.Bytes)
}

func (u *unpacker) tooManyEntries() error {
	return u.refuse("makes the archive hold more than %d files and folders, the limit for model artefacts", u.limits.Entries)
}

// damaged is an archive that cannot be decoded, unless the cause was the source
// or one of our own refusals.
func (u *unpacker) damaged(err error) error {
	if u.src.err != nil {
		return u.src.fault()
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return known
	}
	what := "is damaged"
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		what = "is cut off"
	case errors.Is(err, tar.ErrHeader) && u.entries == 0:
		what = "is gzip but holds no tar"
	}
	where := "before its first entry"
	if u.entry != "" {
		where = "in or after entry " + quote(u.entry)
	} else if u.entries > 0 {
		where = "after its last entry"
	}
	var at int64
	if u.plain != nil {
		at = u.plain.n
	}
	return fault.Wrap(fault.Invalid, err,
		"the model archive %s %s, near byte %d of the archive (byte %d unpacked): upload it again",
		what, where, u.archiveOffset(), at)
}

// disk is a failure to write what the archive says.
func (u *unpacker) disk(err error) error {
	entry := quote(u.entry)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(fault.Internal, err,
			"the disk for model artefacts is full: %d bytes were unpacked when entry %s no longer fitted; free space or use a larger disk",
			u.stats.Bytes, entry)
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EILSEQ), errors.Is(err, syscall.EINVAL):
		return fault.Wrap(fault.Invalid, err,
			"the model archive is refused: the file system cannot hold the name of entry %s", entry)
	}
	return fault.Wrap(fault.Internal, err, "entry %s of the model archive cannot be written", entry)
}

// quote shows a name from the archive, bounded and without control characters.
func quote(name string) string {
	if len(name) > shownName {
		name = name[:shownName] + "..."
	}
	return strconv.Quote(name)
}
