package local

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// A ciphertext is: format, id of the key (16 bytes), version of its material (4
// bytes, big endian), salt, ciphertext with its tag. Each has an AES-256-GCM key
// and nonce of its own, derived from the material and the salt, so that the number
// of ciphertexts under one key is not bounded by that of nonces. All before the
// ciphertext, and the encryption context, are authenticated.
const (
	blobFormat  = 1
	saltSize    = 24
	blobHead    = 1 + 16 + 4 + saltSize
	tagSize     = 16
	nonceSize   = 12
	derivedSize = keyring.DataKeySize + nonceSize
	// maxPlaintext is the most that KMS encrypts, in bytes.
	maxPlaintext = 4096
)

// origin says which key and which version of it made a ciphertext.
type origin struct {
	keyID   string
	version uint32
}

// encrypt makes a ciphertext. context is that of keyring.Context.Bytes.
func encrypt(by origin, material, plaintext, context []byte) ([]byte, error) {
	id, err := uuid.Parse(by.keyID)
	if err != nil {
		return nil, err
	}
	blob := make([]byte, 0, blobHead+len(plaintext)+tagSize)
	blob = append(blob, blobFormat)
	blob = append(blob, id[:]...)
	blob = binary.BigEndian.AppendUint32(blob, by.version)
	blob = blob[:blobHead]
	rand.Read(blob[blobHead-saltSize:]) // It never fails: crypto/rand ends the program instead.
	aead, nonce, err := derive(material, blob[blobHead-saltSize:])
	if err != nil {
		return nil, err
	}
	return aead.Seal(blob, nonce, plaintext, bound(blob, context)), nil
}

// originOf reads who made a ciphertext. Nothing of it is proven before decrypt.
func originOf(blob []byte) (origin, error) {
	if len(blob) < blobHead+tagSize || blob[0] != blobFormat {
		return origin{}, errCiphertext()
	}
	return origin{uuid.UUID(blob[1:17]).String(), binary.BigEndian.Uint32(blob[17:21])}, nil
}

// decrypt opens a ciphertext of which originOf has said what to open it with.
func decrypt(blob, material, context []byte) ([]byte, error) {
	head := blob[:blobHead]
	aead, nonce, err := derive(material, head[blobHead-saltSize:])
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nonce, blob[blobHead:], bound(head, context))
	if err != nil {
		return nil, errCiphertext()
	}
	return plaintext, nil
}

// derive makes the key and the nonce of one ciphertext.
func derive(material, salt []byte) (cipher.AEAD, []byte, error) {
	derived, err := hkdf.Key(sha256.New, material, salt, "sagebrush kms 1", derivedSize)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(derived[:keyring.DataKeySize])
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, derived[keyring.DataKeySize:], err
}

// bound is the additional data of a ciphertext. The head has a fixed length, so
// that nothing can flow from it into the context.
func bound(head, context []byte) []byte {
	return append(append(make([]byte, 0, blobHead+len(context)), head...), context...)
}

// errCiphertext is the one answer to everything that is wrong with a ciphertext.
func errCiphertext() error {
	return keyring.Errorf(keyring.InvalidCiphertextException, "The ciphertext is damaged, is not of this key service, or was made with another encryption context.")
}
