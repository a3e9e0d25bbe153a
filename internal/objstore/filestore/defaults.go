package filestore

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// defaultsFolder has a file for each bucket whose objects are encrypted where
// their writer says nothing.
const defaultsFolder = ownFolder + "/encryption"

// BucketEncryption tells how objects of a bucket are encrypted whose writer says
// nothing.
func (s *Store) BucketEncryption(_ context.Context, name string) (e Encryption, err error) {
	ref := objstore.Ref{Bucket: name}
	if !ValidBucket(name) {
		return e, objstore.NotFound(ref, nil)
	}
	text, err := s.root.ReadFile(path.Join(defaultsFolder, name))
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	return e, failed(ref, "reading the settings of", err)
}

// SetBucketEncryption sets what BucketEncryption tells; Unencrypted removes it.
func (s *Store) SetBucketEncryption(_ context.Context, name string, e Encryption) error {
	b, err := s.bucket(name)
	if err != nil {
		return err
	}
	b.Close()
	return failed(objstore.Ref{Bucket: name}, "changing", s.writeDefaults(name, e))
}

func (s *Store) writeDefaults(name string, e Encryption) error {
	file := path.Join(defaultsFolder, name)
	if e.Algorithm == Unencrypted {
		return ignoreMissing(s.root.Remove(file))
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := s.root.MkdirAll(defaultsFolder, 0o755); err != nil {
		return err
	}
	f, err := s.newFile()
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = s.sync(f.File)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.root.Rename(f.path, file)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(s.root.Remove(f.path)))
	}
	return s.syncFolder(defaultsFolder)
}

// encryptionFor is what an object gets: what its writer says, or else the bucket.
func (s *Store) encryptionFor(ctx context.Context, bucket string, asked Encryption) (Encryption, error) {
	if asked.Algorithm != Unencrypted {
		return asked, nil
	}
	return s.BucketEncryption(ctx, bucket)
}
