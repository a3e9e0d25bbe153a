// Package masterkey holds the key under which everything secret in the database
// is sealed: a stolen database without it gives no usable secret. It comes from a
// file, a value (of an environment variable) or a passphrase.
//
// A Ring is the current key and, while keys are changed, the former ones. Seal
// uses the current key and Open whichever sealed, so that a change is: open the
// ring with the new key before the old, seal everything anew, drop the old.
package masterkey

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Size is the length of a master key in bytes.
const Size = 32

// Ring seals and opens small secrets. It is safe for concurrent use.
type Ring struct {
	current *key
	all     []*key // current first
}

// key is one master key. What was read is not kept: only keys derived from it.
type key struct {
	id   [idSize]byte
	aead cipher.AEAD
}

// A sealed secret is: format, id of the key, nonce, ciphertext with its tag. The
// head is authenticated too.
const (
	format   = 1
	idSize   = 8
	headSize = 1 + idSize
	// Overhead is how much longer a sealed secret is, in bytes.
	Overhead = headSize + 12 + 16
)

// newKey derives what a Ring needs from a master key.
func newKey(master []byte) (*key, error) {
	id, err := hkdf.Key(sha256.New, master, nil, "sagebrush master key id", idSize)
	if err != nil {
		return nil, err
	}
	sealing, err := hkdf.Key(sha256.New, master, nil, "sagebrush sealing 1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return nil, err
	}
	// Random nonces are good for 2^32 seals under one key.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &key{id: [idSize]byte(id), aead: aead}, nil
}

// newRing makes a ring of master keys, the current one first.
func newRing(masters [][]byte) (*Ring, error) {
	r := &Ring{}
	for _, m := range masters {
		if len(m) != Size {
			return nil, fault.New(fault.Invalid, "The master key has %d bytes, and must have %d.", len(m), Size)
		}
		k, err := newKey(m)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "The master key cannot be used.")
		}
		if r.find(k.id[:]) == nil { // a key may be given twice, as current and as former
			r.all = append(r.all, k)
		}
	}
	r.current = r.all[0]
	return r, nil
}

// Seal encrypts a secret. purpose names what it is and whose: Open gives it back
// for the same purpose only, so that sealed secrets cannot be exchanged for each
// other in the database.
func (r *Ring) Seal(secret []byte, purpose string) []byte {
	sealed := make([]byte, 0, len(secret)+Overhead)
	sealed = append(sealed, format)
	sealed = append(sealed, r.current.id[:]...)
	return r.current.aead.Seal(sealed, nil, secret, bound(sealed, purpose))
}

// Open gives a sealed secret back. It fails when it was sealed under a key that
// the ring does not have (the text says which), for another purpose, or changed.
// The caller owns the result.
func (r *Ring) Open(sealed []byte, purpose string) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != format {
		return nil, fault.New(fault.Internal, "A stored secret is damaged, or a newer program wrote it.")
	}
	head, rest := sealed[:headSize], sealed[headSize:]
	k := r.find(head[1:])
	if k == nil {
		return nil, fault.New(fault.Invalid, "A stored secret is sealed under the master key %x and the server has %s. Start it with that key, or with both to change from one to the other.", head[1:], r)
	}
	secret, err := k.aead.Open(nil, nil, rest, bound(head, purpose))
	if err != nil {
		return nil, fault.New(fault.Internal, "A stored secret is damaged or is not the one that belongs here.")
	}
	return secret, nil
}

// Current reports whether a secret is sealed under the current key.
func (r *Ring) Current(sealed []byte) bool {
	return len(sealed) >= Overhead && sealed[0] == format && bytes.Equal(sealed[1:headSize], r.current.id[:])
}

// Changing reports whether the ring has former keys.
func (r *Ring) Changing() bool { return len(r.all) > 1 }

// String names the keys by their ids, the current one first. An id tells nothing
// of its key.
func (r *Ring) String() string {
	text := hex.EncodeToString(r.current.id[:])
	for _, k := range r.all[1:] {
		text += fmt.Sprintf(" (before it %x)", k.id[:])
	}
	return text
}

func (r *Ring) find(id []byte) *key {
	for _, k := range r.all {
		if bytes.Equal(id, k.id[:]) {
			return k
		}
	}
	return nil
}

// bound is the additional data of a seal.
func bound(head []byte, purpose string) []byte {
	return append(bytes.Clone(head), purpose...)
}

// generate makes a master key.
func generate() []byte {
	k := make([]byte, Size)
	rand.Read(k) // It never fails: crypto/rand ends the program instead.
	return k
}
