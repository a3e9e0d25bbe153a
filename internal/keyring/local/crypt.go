package local

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// GenerateDataKey implements keyring.Keyring.
func (s *Store) GenerateDataKey(ctx context.Context, id keyring.ID, c keyring.Context) (keyring.DataKey, error) {
	plaintext := make([]byte, keyring.DataKeySize)
	rand.Read(plaintext) // It never fails: crypto/rand ends the program instead.
	wrapped, key, err := s.Encrypt(ctx, id, plaintext, c)
	if err != nil {
		return keyring.DataKey{}, err
	}
	return keyring.DataKey{KeyARN: key.ARN, Plaintext: plaintext, Wrapped: wrapped}, nil
}

// Encrypt encrypts up to 4096 bytes with a key, and tells which it was.
func (s *Store) Encrypt(ctx context.Context, id keyring.ID, plaintext keyring.Secret, c keyring.Context) ([]byte, Key, error) {
	if len(plaintext) > maxPlaintext {
		return nil, Key{}, keyring.Errorf(keyring.ValidationException, "The plaintext has %d bytes, and may have %d.", len(plaintext), maxPlaintext)
	}
	context, err := c.Bytes()
	if err != nil {
		return nil, Key{}, err
	}
	r, err := s.find(ctx, id)
	if err != nil {
		return nil, Key{}, err
	}
	if r, err = s.rotated(ctx, r); err != nil {
		return nil, Key{}, err
	}
	key := s.key(r)
	if err := key.Usable(); err != nil {
		return nil, Key{}, err
	}
	newest := r.Versions[len(r.Versions)-1].Number
	material, err := s.material(r, newest)
	if err != nil {
		return nil, Key{}, err
	}
	defer material.Wipe()
	blob, err := encrypt(origin{r.ID, newest}, material, plaintext, context)
	return blob, key, err
}

// Decrypt implements keyring.Keyring.
func (s *Store) Decrypt(ctx context.Context, id keyring.ID, wrapped []byte, c keyring.Context) (keyring.Secret, error) {
	ref, err := id.Parse(s.Account)
	if err != nil {
		return nil, err
	}
	// A key that is named by the id that the ciphertext has needs no look of its own.
	if by, err := originOf(wrapped); err != nil || ref.KeyID != by.keyID {
		want, found := s.Get(ctx, id)
		switch {
		case found != nil:
			return nil, found
		case err != nil:
			return nil, err
		case want.ID != by.keyID:
			return nil, errIncorrectKey()
		}
	}
	plaintext, _, err := s.Open(ctx, id.Region, wrapped, c)
	return plaintext, err
}

// errIncorrectKey is the refusal of a ciphertext that another key made.
func errIncorrectKey() error {
	return keyring.Errorf(keyring.IncorrectKeyException, "The key ID in the request does not identify a CMK that can perform this operation.")
}

// Open decrypts what a key of a region encrypted, and tells which key it was.
func (s *Store) Open(ctx context.Context, region string, blob []byte, c keyring.Context) (keyring.Secret, Key, error) {
	context, err := c.Bytes()
	if err != nil {
		return nil, Key{}, err
	}
	by, err := originOf(blob)
	if err != nil {
		return nil, Key{}, err
	}
	r, err := s.find(ctx, keyring.ID{Region: region, Name: by.keyID})
	if fault.Is(err, fault.NotFound) {
		return nil, Key{}, keyring.Errorf(keyring.AccessDeniedException, "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
	}
	if err != nil {
		return nil, Key{}, err
	}
	key := s.key(r)
	if err := key.Usable(); err != nil {
		return nil, key, err
	}
	material, err := s.material(r, by.version)
	if err != nil {
		return nil, key, err
	}
	defer material.Wipe()
	plaintext, err := decrypt(blob, material, context)
	return plaintext, key, err
}

// errRotated ends the transaction of somebody who found that another was first.
var errRotated = errors.New("rotated by another request")

// rotated gives a key its next version when that is due.
func (s *Store) rotated(ctx context.Context, r *row) (*row, error) {
	if !r.rotationDue(s.Now()) {
		return r, nil
	}
	err := s.State.Update(ctx, func(tx *state.Tx) (err error) {
		if r, err = s.load(tx, r.Region, r.ID); err != nil {
			return err
		}
		if !r.rotationDue(s.Now()) {
			return errRotated
		}
		s.addVersion(r)
		next := s.Now().Add(days(r.RotationDays))
		r.Rotates = &next
		return save(tx.SaveRecord, r)
	})
	if errors.Is(err, errRotated) {
		err = nil
	}
	return r, err
}

func (r *row) rotationDue(now time.Time) bool {
	return r.State == keyring.Enabled && r.Rotates != nil && !now.Before(*r.Rotates)
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
