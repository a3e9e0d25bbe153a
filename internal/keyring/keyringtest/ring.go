package keyringtest

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// Ring is a keyring in memory, for tests of those who use one. Its keys are found
// by id and by ARN, in every region alike.
type Ring struct {
	mu    sync.Mutex
	keys  map[string]*ringKey // by id
	calls int
}

type ringKey struct {
	keyring.Key
	material []byte
}

var _ keyring.Keyring = (*Ring)(nil)

// NewRing makes a Ring without keys.
func NewRing() *Ring { return &Ring{keys: map[string]*ringKey{}} }

// Make makes a key.
func (r *Ring) Make() keyring.Key {
	id := uuid.NewString()
	k := &ringKey{Key: keyring.Key{ID: id, ARN: "arn:aws:kms:us-east-1:000000000000:key/" + id, State: keyring.Enabled}, material: make([]byte, 32)}
	rand.Read(k.material)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[id] = k
	return k.Key
}

// Set gives a key another state.
func (r *Ring) Set(id string, s keyring.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[id].State = s
}

// Calls counts the calls of GenerateDataKey and Decrypt.
func (r *Ring) Calls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

// find finds a key. r.mu is held.
func (r *Ring) find(name string) (*ringKey, error) {
	if k := r.keys[name[strings.LastIndexByte(name, '/')+1:]]; k != nil {
		return k, nil
	}
	return nil, keyring.Errorf(keyring.NotFoundException, "Key '%s' does not exist", name)
}

// Describe implements keyring.Keyring.
func (r *Ring) Describe(_ context.Context, id keyring.ID) (keyring.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, err := r.find(id.Name)
	if err != nil {
		return keyring.Key{}, err
	}
	return k.Key, nil
}

// usable gives what seals under a key and the context as bytes. r.mu is held.
func (r *Ring) usable(id keyring.ID, c keyring.Context) (*ringKey, cipher.AEAD, []byte, error) {
	r.calls++
	k, err := r.find(id.Name)
	if err == nil {
		err = k.Usable()
	}
	if err != nil {
		return nil, nil, nil, err
	}
	bound, err := c.Bytes()
	if err != nil {
		return nil, nil, nil, err
	}
	block, err := aes.NewCipher(k.material)
	if err != nil {
		return nil, nil, nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return k, aead, bound, err
}

// GenerateDataKey implements keyring.Keyring.
func (r *Ring) GenerateDataKey(_ context.Context, id keyring.ID, c keyring.Context) (keyring.DataKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, aead, bound, err := r.usable(id, c)
	if err != nil {
		return keyring.DataKey{}, err
	}
	secret := make([]byte, keyring.DataKeySize)
	rand.Read(secret)
	wrapped := append([]byte(k.ID), aead.Seal(nil, nil, secret, bound)...)
	return keyring.DataKey{KeyARN: k.ARN, Plaintext: secret, Wrapped: wrapped}, nil
}

// Decrypt implements keyring.Keyring.
func (r *Ring) Decrypt(_ context.Context, id keyring.ID, wrapped []byte, c keyring.Context) (keyring.Secret, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, aead, bound, err := r.usable(id, c)
	if err != nil {
		return nil, err
	}
	sealed, ok := bytes.CutPrefix(wrapped, []byte(k.ID))
	if !ok {
		return nil, keyring.Errorf(keyring.IncorrectKeyException, "The key ID in the request does not identify a CMK that can perform this operation.")
	}
	secret, err := aead.Open(nil, nil, sealed, bound)
	if err != nil {
		return nil, keyring.Wrap(keyring.InvalidCiphertextException, err, "The ciphertext is not whole, or its context is another one.")
	}
	return secret, nil
}
