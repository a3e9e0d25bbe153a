package filestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

const (
	attrName       = "user.sagebrush.object"
	maxRecord      = 64 << 10 // what we accept of a record; S3 allows 2 kB of metadata
	defaultContent = "binary/octet-stream"
)

// Attrs is what the writer of an object says about it. The maps belong to the
// store after a call that takes an Attrs.
type Attrs struct {
	ContentType string `json:"type,omitempty"`
	// Metadata are S3's x-amz-meta- pairs, keys in lower case without the prefix.
	Metadata map[string]string `json:"meta,omitempty"`
	// Headers are other HTTP headers to give back with the object, such as
	// Content-Encoding. The store does not interpret them.
	Headers map[string]string `json:"headers,omitempty"`
	// Encryption is how the object is encrypted, or is to be; Unencrypted is then what
	// its bucket says. The file has it, not the record.
	Encryption Encryption `json:"-"`
}

// Object is everything the store knows of an object.
type Object struct {
	objstore.Info
	Attrs
}

// sealedWord ends the line of a record whose file is a sealed one.
const sealedWord = " sealed"

// record is the stored form of an object's description: one line "ETAG SIZE
// MTIME", which is all that a listing reads, and the Attrs as JSON. SIZE is the
// file's; sealedWord may follow.
func encodeRecord(etag string, fi fs.FileInfo, a Attrs) ([]byte, error) {
	js, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	word := ""
	if a.Encryption.Algorithm != Unencrypted {
		word = sealedWord
	}
	return fmt.Appendf(nil, "%s %d %d%s\n%s", etag, fi.Size(), fi.ModTime().UnixNano(), word, js), nil
}

// decodeRecord gives the ETag of a record that was made for this very state of
// the file, the encoded Attrs, and whether the file is sealed. A record of another
// state does not count.
func decodeRecord(rec []byte, fi fs.FileInfo) (etag string, attrs []byte, sealed, ok bool) {
	line, attrs, ok := bytes.Cut(rec, []byte("\n"))
	if !ok {
		return "", nil, false, false
	}
	name, rest, _ := strings.Cut(string(line), " ")
	size, mtime, _ := strings.Cut(rest, " ")
	mtime, sealed = strings.CutSuffix(mtime, sealedWord)
	if name == "" || size != strconv.FormatInt(fi.Size(), 10) ||
		mtime != strconv.FormatInt(fi.ModTime().UnixNano(), 10) {
		return "", nil, false, false
	}
	return name, attrs, sealed, true
}

// describe fills in what the store knows of the open file that holds an object.
// The Attrs are left out unless full.
func (s *Store) describe(ref objstore.Ref, f *os.File, fi fs.FileInfo, full bool) (Object, error) {
	o := Object{Info: objstore.Info{Ref: ref, Size: fi.Size(), Modified: fi.ModTime()}}
	var buf [1024]byte
	rec, err := s.readRecord(ref, f, fi, buf[:])
	if err != nil {
		return Object{}, err
	}
	etag, attrs, sealed, ok := decodeRecord(rec, fi)
	if !ok {
		o.ETag = derivedETag(fi)
		o.setContentType(contentTypeOf(ref.Key))
		return o, o.look(f, fi)
	}
	if sealed {
		o.Size = plainSize(fi.Size())
	}
	o.ETag = etag
	if full {
		if err := json.Unmarshal(attrs, &o.Attrs); err != nil {
			return Object{}, fmt.Errorf("the record of %s: %w", ref, err)
		}
		if o.Attrs.ContentType == "" {
			o.Attrs.ContentType = defaultContent
		}
		o.setContentType(o.Attrs.ContentType)
		if sealed {
			return o, o.look(f, fi)
		}
	}
	return o, nil
}

// look reads in the file itself whether and how it is sealed.
func (o *Object) look(f *os.File, fi fs.FileInfo) error {
	k, err := readSealing(f, fi.Size())
	if k != nil {
		o.Size, o.Encryption = plainSize(fi.Size()), k.encryption()
	}
	return err
}

func (o *Object) setContentType(t string) { o.Info.ContentType, o.Attrs.ContentType = t, t }

// readRecord returns the stored record, nil when there is none. It uses buf
// when the record fits.
func (s *Store) readRecord(ref objstore.Ref, f *os.File, fi fs.FileInfo, buf []byte) ([]byte, error) {
	if s.xattrs {
		n, err := unix.Fgetxattr(int(f.Fd()), attrName, buf)
		if errors.Is(err, unix.ERANGE) {
			buf = make([]byte, maxRecord)
			n, err = unix.Fgetxattr(int(f.Fd()), attrName, buf)
		}
		if err == nil {
			return buf[:n], nil
		}
		if !noAttr(err) {
			return nil, fmt.Errorf("reading the attributes of %s: %w", ref, err)
		}
	}
	if !s.sidecars.Load() {
		return nil, nil
	}
	rec, err := s.root.ReadFile(sidecarPath(ref, fi))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return rec, err
}

// writeRecord stores the description of a file that is not yet in its place.
func (s *Store) writeRecord(ref objstore.Ref, f *os.File, fi fs.FileInfo, rec []byte) error {
	if s.xattrs {
		err := unix.Fsetxattr(int(f.Fd()), attrName, rec, 0)
		if err == nil {
			return nil
		}
		// ext4 says ENOSPC of a record that is too long for it; when the disk
		// itself is full the sidecar file will say so.
		if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.E2BIG) && !errors.Is(err, unix.ERANGE) && !noAttr(err) {
			return err
		}
	}
	return s.writeSidecar(sidecarPath(ref, fi), rec)
}

func (s *Store) writeSidecar(name string, rec []byte) error {
	s.sidecars.Store(true)
	if err := s.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := s.root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(rec)
	if err == nil {
		err = s.sync(f)
	}
	return errors.Join(err, f.Close())
}

// dropSidecar forgets the record of a file that is gone or replaced.
func (s *Store) dropSidecar(ref objstore.Ref, fi fs.FileInfo) {
	if s.sidecars.Load() {
		s.root.Remove(sidecarPath(ref, fi)) // what stays behind describes no file
	}
}

// sidecarPath names the record of one file at one key. The inode keeps the old
// object's record apart from the new one's while the new one is not yet visible.
func sidecarPath(ref objstore.Ref, fi fs.FileInfo) string {
	sum := sha256.Sum256([]byte(ref.Bucket + "/" + ref.Key))
	h := hex.EncodeToString(sum[:16])
	return path.Join(metaFolder, h[:2], h[2:]+"."+strconv.FormatUint(inode(fi), 36))
}

func inode(fi fs.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}

// derivedETag stands for the bytes of a file that we did not write. Its form is
// that of a multipart upload's, so that no client takes it for an MD5.
func derivedETag(fi fs.FileInfo) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %d", fi.Size(), fi.ModTime().UnixNano(), inode(fi)))
	return hex.EncodeToString(sum[:16]) + "-1"
}

// contentTypeOf guesses by the extension.
func contentTypeOf(key string) string {
	if t := mime.TypeByExtension(path.Ext(key)); t != "" {
		return t
	}
	return defaultContent
}
