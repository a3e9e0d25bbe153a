package sigv4

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"
)

// The two worked examples of AWS's documentation of chunked uploads: an object of
// 66560 bytes 'a' in chunks of 65536 and 1024 bytes, without trailers and with one.
func TestChunks(t *testing.T) {
	t.Parallel()
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	v := NewVerifier(func() time.Time { return time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC) })
	for _, c := range []struct {
		declared, seed string
		chunks         [3]string
		trailer        string
	}{
		{SignedChunks, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9", [3]string{
			"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648", "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
			"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"}, ""},
		{SignedChunksTrailers, "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e", [3]string{
			"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2", "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
			"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"}, "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"},
	} {
		s := Signature{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", Scope: Scope{"20130524", "us-east-1", "s3"}, timestamp: "20130524T000000Z"}
		if !decodeMAC(&s.mac, c.seed) {
			t.Fatal(c.seed)
		}
		signed := v.Chunks(&s, secret, c.declared)
		for i, n := range []int{65536, 1024, 0} {
			sum := sha256.Sum256(bytes.Repeat([]byte("a"), n))
			wrong := sha256.Sum256(bytes.Repeat([]byte("b"), n+1))
			if signed.Chunk(wrong[:], c.chunks[i]) == nil || signed.Chunk(sum[:], "") == nil || signed.Chunk(sum[:], c.seed) == nil {
				t.Errorf("%s: a forged chunk %d is accepted", c.declared, i)
			}
			if err := signed.Chunk(sum[:], c.chunks[i]); err != nil {
				t.Errorf("%s: chunk %d: %v", c.declared, i, err)
			}
		}
		if signed.Trailers() != (c.trailer != "") {
			t.Errorf("%s: trailers %v", c.declared, signed.Trailers())
		}
		if c.trailer == "" {
			continue
		}
		if signed.Trailer("x-amz-checksum-crc32c:AAAAAA==\n", c.trailer) == nil {
			t.Error("a forged trailer is accepted")
		}
		if err := signed.Trailer("x-amz-checksum-crc32c:sOO8/Q==\n", c.trailer); err != nil {
			t.Error(err)
		}
	}
	for _, declared := range []string{UnsignedPayload, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", BodyHash(nil)} {
		if v.Chunks(&Signature{}, secret, declared) != nil {
			t.Errorf("%s has signed chunks", declared)
		}
	}
}
