package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"strings"
)

// UnsignedPayload stands for the hash of a body that the client did not sign.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

// streamingPrefix starts the names of S3's chunked payload forms.
const streamingPrefix = "STREAMING-"

// BodyHash is the payload hash of a body in memory, in lower-case hexadecimal:
// what Verify wants for the JSON services.
func BodyHash(body []byte) string {
	sum := sha256.Sum256(body)
	var text [hexSumLen]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

// DeclaredPayloadHash is the payload hash that the client says it signed, as
// S3 wants it: the header X-Amz-Content-Sha256 (a hash, UnsignedPayload or a
// STREAMING form as it stands), and UnsignedPayload for a presigned request
// without the header. After Verify the body must still be read through
// VerifyBody, or the claim stays unproved.
func DeclaredPayloadHash(r *http.Request, s *Signature) (string, error) {
	declared := r.Header.Get(amzBodyHash)
	switch {
	case declared == "" && s.Presigned:
		return UnsignedPayload, nil
	case declared == "":
		return "", incomplete("The request must have the header x-amz-content-sha256.")
	case declared == UnsignedPayload, strings.HasPrefix(declared, streamingPrefix):
		return declared, nil
	case decodeMAC(new([32]byte), declared):
		return declared, nil
	}
	return "", incomplete("The header x-amz-content-sha256 must be a SHA-256 hash in hexadecimal, %s or a %s form.", UnsignedPayload, streamingPrefix)
}

// VerifyBody gives body back such that its last Read answers an *Error with the
// reason PayloadMismatch, instead of io.EOF, when the bytes do not have the
// declared hash. A consumer must therefore not act on the bytes before it saw
// io.EOF. For a declaration that is no hash it returns body itself. It takes
// ownership of body: Close closes it.
func VerifyBody(body io.ReadCloser, declared string) io.ReadCloser {
	v := &verifiedBody{body: body}
	if !decodeMAC(&v.want, declared) {
		return body
	}
	v.sum = sha256.New()
	return v
}

type verifiedBody struct {
	body io.ReadCloser
	sum  hash.Hash
	want [32]byte
	end  error // what every Read after the end answers
}

func (v *verifiedBody) Read(p []byte) (int, error) {
	if v.end != nil {
		return 0, v.end
	}
	n, err := v.body.Read(p)
	v.sum.Write(p[:n])
	if err == io.EOF {
		v.end = io.EOF
		if subtle.ConstantTimeCompare(v.sum.Sum(nil), v.want[:]) != 1 {
			v.end = newError(PayloadMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed.")
		}
		err = v.end
	}
	return n, err
}

func (v *verifiedBody) Close() error { return v.body.Close() }
