package s3api

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/rclone/gofakes3"

	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
)

const (
	hashHeader     = "X-Amz-Content-Sha256"
	lengthHeader   = "X-Amz-Decoded-Content-Length"
	checksumPrefix = "X-Amz-Checksum-"
)

// payload is the body of a request in plain form. It takes the aws-chunked form
// apart and, with the body's last byte, compares every hash that the client
// gave: x-amz-content-sha256 and x-amz-checksum-*, in a header or a trailer.
// Signatures of single chunks are compared where the caller's key is known; see
// WithChunks.
type payload struct {
	src    io.Reader // without framing
	body   io.Closer
	chunks *chunks // nil when the body is not aws-chunked
	// left is how many bytes must still come, -1 when the client did not say.
	left   int64
	limit  int64 // how many more may come
	claims []claim
	done   bool // the body's end was seen and judged
	err    error
}

// claim is what the client says a hash of the body is.
type claim struct {
	name string // canonical name of the header or trailer
	hash hash.Hash
	want []byte // nil until the trailer comes
}

// newPayload prepares the body and changes the header to fit it. With data the
// body is object data and its x-amz-checksum- header is judged here, or else
// left to gofakes3.
func newPayload(r *http.Request, data bool, limit int64) (*payload, *failure) {
	p := &payload{src: r.Body, body: r.Body, left: r.ContentLength, limit: limit}
	h := r.Header
	if err := p.unframe(h, chunksOf(r.Context())); err != nil {
		return nil, err
	}
	if p.left > limit {
		return nil, invalid("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size of "+strconv.FormatInt(limit, 10)+" bytes.")
	}
	if sum, err := hex.DecodeString(h.Get(hashHeader)); err == nil && len(sum) == sha256.Size {
		p.claims = append(p.claims, claim{name: hashHeader, hash: sha256.New(), want: sum})
	}
	if data && h.Get("X-Amz-Copy-Source") == "" {
		if err := p.claimChecksum(h); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// unframe sets up the reading of an aws-chunked body, and makes the header that
// of a plain one.
func (p *payload) unframe(h http.Header, signed *sigv4.Chunks) *failure {
	if !strings.HasPrefix(h.Get(hashHeader), "STREAMING-") {
		return nil
	}
	n, err := strconv.ParseInt(h.Get(lengthHeader), 10, 64)
	if err != nil || n < 0 {
		return invalid("MissingContentLength", "The aws-chunked body needs a valid x-amz-decoded-content-length.")
	}
	p.chunks = newChunks(p.src, signed)
	p.src, p.left = p.chunks, n
	for name := range strings.SplitSeq(h.Get("X-Amz-Trailer"), ",") {
		name = http.CanonicalHeaderKey(strings.TrimSpace(name))
		if hash := newChecksum(name); hash != nil {
			p.claims = append(p.claims, claim{name: name, hash: hash})
		}
	}
	h.Set(hashHeader, "UNSIGNED-PAYLOAD")
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	h.Del(lengthHeader)
	h.Del("X-Amz-Trailer")
	return nil
}

// claimChecksum takes the checksum out of the header, so that gofakes3 does not
// compute it once more.
func (p *payload) claimChecksum(h http.Header) *failure {
	for name, values := range h {
		if !strings.HasPrefix(name, checksumPrefix) || name == checksumPrefix+"Type" || name == checksumPrefix+"Mode" || name == checksumPrefix+"Algorithm" {
			continue
		}
		hash := newChecksum(name)
		if hash == nil {
			return invalid("InvalidRequest", "The checksum algorithm of the header "+name+" is not supported.")
		}
		want, err := base64.StdEncoding.DecodeString(values[0])
		if err != nil || len(want) != hash.Size() {
			return invalid("InvalidRequest", "Value for "+strings.ToLower(name)+" header is invalid.")
		}
		p.claims = append(p.claims, claim{name: name, hash: hash, want: want})
		h.Del(name)
	}
	h.Del("X-Amz-Sdk-Checksum-Algorithm")
	return nil
}

// newChecksum makes the hash of an x-amz-checksum- header, or gives nil.
func newChecksum(name string) hash.Hash {
	switch strings.TrimPrefix(name, checksumPrefix) {
	case "Crc32":
		return crc32.NewIEEE()
	case "Crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "Crc64nvme":
		return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5))
	case "Sha1":
		return sha1.New()
	case "Sha256":
		return sha256.New()
	}
	return nil
}

// Read gives an error in place of the last bytes when the body is not what the
// client said it would be.
func (p *payload) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	if p.done {
		return 0, io.EOF
	}
	if p.left >= 0 && int64(len(b)) > p.left {
		b = b[:p.left]
	}
	n := 0
	var err error
	if p.left != 0 {
		n, err = p.src.Read(b)
	}
	for _, c := range p.claims {
		c.hash.Write(b[:n])
	}
	if p.left >= 0 {
		p.left -= int64(n)
	}
	p.limit -= int64(n)
	switch {
	case p.limit < 0:
		p.err = gofakes3.ErrEntityTooLarge
	case p.left == 0 || err == io.EOF && p.left < 0:
		p.finish()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		p.err = gofakes3.ErrIncompleteBody
	case err != nil:
		p.err = err
	}
	return n, p.err
}

// verify judges the body after the last byte was read; it fails when the bytes
// did not all come.
func (p *payload) verify() error {
	if !p.done && p.err == nil {
		if p.left > 0 {
			return gofakes3.ErrIncompleteBody
		}
		if _, err := p.Read(make([]byte, 1)); err != nil && err != io.EOF {
			return err
		}
	}
	return p.err
}

func (p *payload) finish() {
	p.done = true
	if p.chunks != nil {
		trailer, err := p.chunks.end()
		if errors.As(err, new(*sigv4.Error)) {
			p.err = err
			return
		}
		if err != nil {
			p.err = gofakes3.ErrIncompleteBody
			return
		}
		p.takeTrailer(trailer)
	}
	for _, c := range p.claims {
		if c.want == nil { // the trailer that was announced never came
			p.err = gofakes3.ErrIncompleteBody
			return
		}
		if !bytes.Equal(c.hash.Sum(nil), c.want) {
			p.err = gofakes3.ErrorMessagef(gofakes3.ErrBadDigest, "The %s you specified did not match what we received.", strings.ToLower(c.name))
			return
		}
	}
}

func (p *payload) takeTrailer(trailer map[string]string) {
	for i := range p.claims {
		c := &p.claims[i]
		v, ok := trailer[c.name]
		if !ok {
			continue
		}
		want, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			want = []byte{} // equals no hash
		}
		c.want = want
	}
}

// checksums are the checksums that were given, as the headers that give them
// back. It is for a body that was found right.
func (p *payload) checksums() map[string]string {
	sums := map[string]string{}
	for _, c := range p.claims {
		if strings.HasPrefix(c.name, checksumPrefix) {
			sums[c.name] = base64.StdEncoding.EncodeToString(c.want)
		}
	}
	return sums
}

// Close implements io.Closer.
func (p *payload) Close() error { return p.body.Close() }

func invalid(code, message string) *failure {
	return &failure{Code: code, Message: message, status: http.StatusBadRequest}
}
