package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"strings"
)

// The forms of S3's chunked payloads whose chunks are signed.
const (
	SignedChunks         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	SignedChunksTrailers = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
)

// Chunks verifies the signatures of one body's chunks, in their order: each covers
// the one before it, and the first the signature of the request. It is not safe for
// concurrent use.
type Chunks struct {
	mac      hash.Hash
	scope    []byte // time and scope, as the strings to sign have them
	last     [32]byte
	trailers bool
}

// Chunks makes what verifies the chunks of a body that was declared as SignedChunks
// or SignedChunksTrailers; nil for any other declaration. s must have been verified
// with the secret.
func (v *Verifier) Chunks(s *Signature, secret, declared string) *Chunks {
	if declared != SignedChunks && declared != SignedChunksTrailers {
		return nil
	}
	scope := []byte(s.timestamp + "\n")
	for _, part := range [...]string{s.Scope.Date, s.Scope.Region, s.Scope.Service} {
		scope = append(append(scope, part...), '/')
	}
	return &Chunks{
		mac: deriveKey(secret, s.Scope).macs.Get().(hash.Hash), scope: append(scope, terminator+"\n"...),
		last: s.mac, trailers: declared == SignedChunksTrailers,
	}
}

// Trailers reports whether the body ends in trailers with a signature of their own.
func (c *Chunks) Trailers() bool { return c.trailers }

// Chunk verifies the next chunk by the SHA-256 of its bytes.
func (c *Chunks) Chunk(sum []byte, signature string) error {
	empty := sha256.Sum256(nil)
	return c.verify("-PAYLOAD", signature, hex.EncodeToString(empty[:])+"\n"+hex.EncodeToString(sum))
}

// Trailer verifies the trailers: lines of "name:value\n" in their order.
func (c *Chunks) Trailer(lines, signature string) error {
	sum := sha256.Sum256([]byte(lines))
	return c.verify("-TRAILER", signature, hex.EncodeToString(sum[:]))
}

func (c *Chunks) verify(what, signature, hashes string) error {
	var got [32]byte
	decoded := decodeMAC(&got, strings.TrimSpace(signature))
	text := append([]byte(Algorithm+what+"\n"), c.scope...)
	text = append(hex.AppendEncode(text, c.last[:]), '\n')
	c.mac.Reset()
	c.mac.Write(append(text, hashes...))
	want := c.mac.Sum(nil)
	if !decoded || subtle.ConstantTimeCompare(want, got[:]) != 1 {
		return newError(Mismatch, "The signature of a chunk of the body does not match the one that we calculated. Check your AWS Secret Access Key and signing method.")
	}
	c.last = got
	return nil
}
