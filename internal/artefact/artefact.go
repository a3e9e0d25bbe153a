// Package artefact unpacks the model archive that ModelDataUrl names (CC-10)
// into a folder, and trusts nothing that the archive says. It refuses what
// SageMaker refuses (links, CC-12), whatever would leave the folder, and
// archives that grow beyond their Limits.
//
// It does not download, cache, remove or share folders: the caller opens the
// object, makes the folder and removes it when Unpack fails.
package artefact

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Limits bound what one archive may become on disk. A field that is zero or
// negative takes the default that its comment names.
type Limits struct {
	// Bytes bounds the unpacked tar stream and the sum of all files: 200 GiB.
	Bytes int64
	// FileBytes bounds each single file: Bytes.
	FileBytes int64
	// Entries bounds the files and folders together, folders that the archive
	// only implies included: 1,000,000.
	Entries int
	// Ratio bounds unpacked bytes per archive byte, once more than RatioFloor has
	// been unpacked: 256. The format itself ends at about 1,030.
	Ratio int64
	// RatioFloor is the size in bytes below which any ratio is harmless: 1 GiB.
	RatioFloor int64
}

const (
	defaultBytes      = 200 << 30
	defaultEntries    = 1_000_000
	defaultRatio      = 256
	defaultRatioFloor = 1 << 30
)

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = defaultBytes
	}
	if l.FileBytes <= 0 || l.FileBytes > l.Bytes {
		l.FileBytes = l.Bytes
	}
	if l.Entries <= 0 {
		l.Entries = defaultEntries
	}
	if l.Ratio <= 0 {
		l.Ratio = defaultRatio
	}
	if l.RatioFloor <= 0 {
		l.RatioFloor = defaultRatioFloor
	}
	return l
}

// Stats says what an archive held.
type Stats struct {
	// Files and Dirs count what was created; a file that the archive holds twice
	// counts twice.
	Files, Dirs int
	// Bytes is the sum of the files' sizes.
	Bytes int64
	// ArchiveBytes is how much was read of the archive.
	ArchiveBytes int64
}

// Unpack reads a gzip-compressed tar from r to its end and recreates its files
// in dir, an existing, empty folder that nobody else writes to. Paths are those
// of the archive (CC-13). Folders get mode 0755, files 0644 or, when anybody may
// run them, 0755; owners, times, links to elsewhere and all other bits are lost.
// A file that occurs twice has its last content, as with tar.
//
// An archive that is damaged, refused or too large is a fault.Invalid that names
// the entry and the place; a failing r keeps its own kind; a full or broken disk
// is fault.Internal. After an error, dir holds what had been unpacked, and the
// caller removes it. Unpack ends soon after ctx does.
func Unpack(ctx context.Context, r io.Reader, dir string, limits Limits) (Stats, error) {
	root, err := openEmpty(dir)
	if err != nil {
		return Stats{}, err
	}
	defer root.Close()

	src := &source{ctx: ctx, r: r}
	in := bufio.NewReaderSize(src, readSize)
	u := &unpacker{
		root:   root,
		limits: limits.withDefaults(),
		src:    src,
		in:     in,
		buf:    make([]byte, readSize),
	}
	err = u.run()
	u.stats.ArchiveBytes = u.archiveOffset()
	return u.stats, err
}

func openEmpty(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the folder for the model artefacts cannot be opened")
	}
	d, err := root.Open(".")
	if err == nil {
		_, err = d.Readdirnames(1)
		d.Close()
	}
	if errors.Is(err, io.EOF) {
		return root, nil
	}
	root.Close()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the folder for the model artefacts cannot be read")
	}
	return nil, fault.New(fault.Internal, "the folder for the model artefacts is not empty")
}

// openGzip checks the first bytes itself, for an error text that says what the
// object is instead.
func (u *unpacker) openGzip() (*gzip.Reader, error) {
	head, err := u.in.Peek(262)
	if len(head) < 2 || head[0] != 0x1f || head[1] != 0x8b {
		if u.src.err != nil {
			return nil, u.src.fault()
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, u.damaged(err)
		}
		return nil, fault.New(fault.Invalid,
			"the model archive is %s, not a gzip-compressed tar: ModelDataUrl must name a .tar.gz object, made for example with tar -czf",
			describe(head))
	}
	z, err := gzip.NewReader(u.in)
	if err != nil {
		return nil, u.damaged(err)
	}
	return z, nil
}

// describe names the format of an object that is not gzip.
func describe(head []byte) string {
	known := []struct {
		at    int
		magic string
		name  string
	}{
		{0, "PK\x03\x04", "a zip file"},
		{0, "\x28\xb5\x2f\xfd", "zstd-compressed"},
		{0, "BZh", "bzip2-compressed"},
		{0, "\xfd7zXZ\x00", "xz-compressed"},
		{257, "ustar", "a tar that is not compressed"},
	}
	for _, k := range known {
		if len(head) > k.at && strings.HasPrefix(string(head[k.at:]), k.magic) {
			return k.name
		}
	}
	if len(head) == 0 {
		return "empty"
	}
	return "in an unknown format"
}

// run reads every entry, then the rest of the stream, so that a damaged or
// truncated end is seen.
func (u *unpacker) run() error {
	z, err := u.openGzip()
	if err != nil {
		return err
	}
	defer z.Close()
	u.plain = &plain{u: u, r: z}
	tr := tar.NewReader(u.plain)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return u.damaged(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		u.entry = h.Name
		u.entries++
		if u.entries > 2*u.limits.Entries {
			return u.tooManyEntries()
		}
		if err := u.unpack(h, tr); err != nil {
			return err
		}
	}
	u.entry = ""
	if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{u.plain}, u.buf); err != nil {
		return u.damaged(err)
	}
	return nil
}

// unpack recreates one entry.
func (u *unpacker) unpack(h *tar.Header, body io.Reader) error {
	name, err := u.cleanName(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.mkdir(name)
	case tar.TypeReg, tar.TypeGNUSparse:
		if name == "." {
			return u.refuse("is a file without a name")
		}
		return u.writeFile(name, h, body)
	default:
		return u.refuse("%s", typeRefusal(h.Typeflag))
	}
}

// typeRefusal says why an entry that is neither file nor folder is refused.
func typeRefusal(typeflag byte) string {
	switch typeflag {
	case tar.TypeSymlink:
		return "is a symbolic link, which a model archive must not contain: store the file itself, for example with tar --dereference"
	case tar.TypeLink:
		return "is a hard link, which a model archive must not contain: store the file itself, for example with tar --hard-dereference"
	case tar.TypeChar, tar.TypeBlock:
		return "is a device, which a model archive must not contain"
	case tar.TypeFifo:
		return "is a named pipe, which a model archive must not contain"
	}
	return "is neither a file nor a folder, and a model archive must contain nothing else"
}

// parentOf gives the folder of a clean relative name, "." at the top.
func parentOf(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return "."
}
