package filestore

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// maxUploads bounds what clients can leave open.
const maxUploads = 10_000

// Errors that S3 has names for. They come wrapped in a fault.Error.
var (
	ErrNoUpload  = errors.New("no such multipart upload")
	ErrBadPart   = errors.New("a part is missing or has another ETag")
	ErrPartOrder = errors.New("the parts are not in ascending order")
	ErrShortBody = errors.New("the body is shorter than announced")
)

// Part names one part of a multipart upload by its number and ETag.
type Part struct {
	Number int
	ETag   string
}

// upload is a multipart upload that is open. Its parts are unfinished files of
// the session, so uploads end with the Store.
type upload struct {
	ref     objstore.Ref
	attrs   Attrs
	sealing *sealing // of the parts, nil where they are plain
	started time.Time

	mu    sync.Mutex       // held while the upload is completed
	ended bool             // guarded by mu, as is parts
	parts map[int]partFile // by number
}

type partFile struct {
	path string
	size int64
	md5  [md5.Size]byte
}

// NewUpload starts a multipart upload and gives its ID.
func (s *Store) NewUpload(ctx context.Context, ref objstore.Ref, a Attrs) (string, error) {
	if err := checkRef(ref); err != nil {
		return "", err
	}
	b, err := s.bucket(ref.Bucket)
	if err != nil {
		return "", err
	}
	b.Close()
	if a.Encryption, err = s.encryptionFor(ctx, ref.Bucket, a.Encryption); err != nil {
		return "", err
	}
	k, secret, err := s.seal(ctx, ref, a.Encryption)
	if err != nil {
		return "", err
	}
	secret.Wipe() // each part has it unwrapped again
	if k != nil {
		a.Encryption = k.encryption()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.uploads) >= maxUploads {
		return "", fault.New(fault.Throttled, "%d multipart uploads are open; complete or abort some", len(s.uploads))
	}
	id := newID()
	s.uploads[id] = &upload{ref: ref, attrs: a, sealing: k, started: time.Now(), parts: map[int]partFile{}}
	return id, nil
}

// PutPart stores a part of exactly size bytes from r and gives its ETag. A part
// of that number that is there already is replaced. r is read to its end, so that
// what it checks there counts.
func (s *Store) PutPart(ctx context.Context, id string, number int, r io.Reader, size int64) (string, error) {
	u, err := s.upload(id)
	if err != nil {
		return "", err
	}
	f, err := s.newFile()
	if err != nil {
		return "", failed(u.ref, "writing a part of", err)
	}
	p := partFile{path: f.path}
	sum := md5.New()
	p.size, err = s.fillPart(ctx, u, f, io.TeeReader(io.LimitReader(r, size+1), sum))
	err = errors.Join(err, f.Close())
	if err == nil && p.size != size {
		err = fault.Wrap(fault.Invalid, ErrShortBody, "the part ended after %d of %d bytes", p.size, size)
	}
	if err == nil {
		sum.Sum(p.md5[:0])
		err = s.keepPart(u, number, p)
	}
	if err != nil {
		s.root.Remove(p.path)
		return "", failed(u.ref, "writing a part of", err)
	}
	return hex.EncodeToString(p.md5[:]), nil
}

// fillPart writes a part to its file, encrypted as the object is to be.
func (s *Store) fillPart(ctx context.Context, u *upload, f *tempFile, r io.Reader) (int64, error) {
	var to io.Writer = f
	if u.sealing != nil {
		secret, err := s.unseal(ctx, u.ref, u.sealing)
		if err != nil {
			return 0, err
		}
		defer secret.Wipe()
		seal, err := sealWriter(f, u.sealing, secret)
		if err != nil {
			return 0, err
		}
		to = seal
	}
	buf := s.buffer(to)
	defer s.release(buf)
	n, err := buf.ReadFrom(r)
	err = errors.Join(err, buf.Flush())
	if c, ok := to.(io.WriteCloser); ok && u.sealing != nil && err == nil {
		err = c.Close()
	}
	return n, err
}

func (s *Store) keepPart(u *upload, number int, p partFile) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return noUpload()
	}
	if old, ok := u.parts[number]; ok {
		s.root.Remove(old.path)
	}
	u.parts[number] = p
	return nil
}

// CompleteUpload makes the object of the given parts and ends the upload. When
// it fails the upload stays and may be completed again.
func (s *Store) CompleteUpload(ctx context.Context, id string, parts []Part, check Check) (Object, error) {
	u, err := s.upload(id)
	if err != nil {
		return Object{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return Object{}, noUpload()
	}
	files, etag, err := u.choose(parts)
	if err != nil {
		return Object{}, err
	}
	w, err := s.NewWriter(ctx, u.ref, u.attrs)
	if err != nil {
		return Object{}, err
	}
	for _, p := range files {
		if err := s.appendPart(ctx, w, u, p); err != nil {
			return Object{}, errors.Join(failed(u.ref, "joining the parts of", err), w.Abort())
		}
	}
	info, err := w.CommitAs(etag, check)
	if err != nil {
		return Object{}, err
	}
	s.forget(id, u)
	return Object{Info: info, Attrs: w.Attrs}, nil
}

// UploadEncryption tells how the object of an upload is to be encrypted.
func (s *Store) UploadEncryption(id string) Encryption {
	if u, err := s.upload(id); err == nil {
		return u.attrs.Encryption
	}
	return Encryption{}
}

// choose finds the files of the parts and the ETag of the whole: the MD5 of the
// parts' MD5s with their number, as S3 makes it.
func (u *upload) choose(parts []Part) ([]partFile, string, error) {
	if len(parts) == 0 {
		return nil, "", fault.Wrap(fault.Invalid, ErrBadPart, "a multipart upload needs at least one part")
	}
	files := make([]partFile, len(parts))
	sum := md5.New()
	for i, p := range parts {
		if i > 0 && p.Number <= parts[i-1].Number {
			return nil, "", fault.Wrap(fault.Invalid, ErrPartOrder, "part %d comes after part %d", p.Number, parts[i-1].Number)
		}
		f, ok := u.parts[p.Number]
		if !ok || hex.EncodeToString(f.md5[:]) != p.ETag {
			return nil, "", fault.Wrap(fault.Invalid, ErrBadPart, "part %d was not uploaded, or its ETag is not %q", p.Number, p.ETag)
		}
		sum.Write(f.md5[:])
		files[i] = f
	}
	return files, fmt.Sprintf("%x-%d", sum.Sum(nil), len(parts)), nil
}

func (s *Store) appendPart(ctx context.Context, w *Writer, u *upload, p partFile) error {
	f, err := s.root.Open(p.path)
	if err != nil {
		return err
	}
	defer f.Close()
	var from io.Reader = f
	if u.sealing != nil {
		fi, err := f.Stat()
		if err == nil {
			from, err = s.part(ctx, u.ref, f, fi.Size(), objstore.All, u.sealing)
		}
		if err != nil {
			return err
		}
	}
	n, err := w.ReadFrom(from)
	if err == nil && n != p.size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// AbortUpload ends an upload and removes its parts.
func (s *Store) AbortUpload(_ context.Context, id string) error {
	u, err := s.upload(id)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return noUpload()
	}
	s.forget(id, u)
	return nil
}

// ExpireUploads aborts the uploads that were started before a time and gives
// their IDs with the objects that they were for.
func (s *Store) ExpireUploads(ctx context.Context, before time.Time) map[string]objstore.Ref {
	gone := map[string]objstore.Ref{}
	s.mu.Lock()
	for id, u := range s.uploads {
		if u.started.Before(before) {
			gone[id] = u.ref
		}
	}
	s.mu.Unlock()
	for id := range gone {
		if s.AbortUpload(ctx, id) != nil {
			delete(gone, id) // it ended meanwhile
		}
	}
	return gone
}

// forget ends an upload whose mu is held.
func (s *Store) forget(id string, u *upload) {
	u.ended = true
	for _, p := range u.parts {
		s.root.Remove(p.path)
	}
	s.mu.Lock()
	delete(s.uploads, id)
	s.mu.Unlock()
}

func (s *Store) upload(id string) (*upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.uploads[id]
	if !ok {
		return nil, noUpload()
	}
	return u, nil
}

func noUpload() error {
	return fault.Wrap(fault.NotFound, ErrNoUpload, "the multipart upload does not exist; it may have been completed, aborted or lost in a restart")
}
