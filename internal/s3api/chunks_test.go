package s3api

import (
	"bytes"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
)

func FuzzChunks(f *testing.F) {
	for _, s := range []string{
		"5\r\nhello\r\n0\r\n\r\n", "5;chunk-signature=ab\r\nhello\r\n0;chunk-signature=cd\r\nx-amz-checksum-crc32:AA==\r\n\r\n",
		"", "0\r\n", "ffffffffffffffff\r\n", "-1\r\n", "5\r\nhe", "5\r\nhello0\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c := newChunks(bytes.NewReader(in), nil)
		out, err := io.ReadAll(c)
		if len(out) > len(in) {
			t.Fatalf("%d bytes became %d", len(in), len(out))
		}
		if err != nil {
			return
		}
		trailer, err := c.end()
		if len(trailer) > maxTrailers {
			t.Errorf("%d trailers", len(trailer))
		}
		if err == nil && !strings.Contains(string(in), "0") {
			t.Errorf("%q has no last chunk", in)
		}
	})
}

func TestETagForms(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0123456789abcdef", 2)
	for _, etag := range []string{sum, sum + "-1", sum + "-10000"} {
		inner := etagHex(etag)
		if got := etagOut(`"` + inner + `"`); got != `"`+etag+`"` {
			t.Errorf("%s became %s and came back as %s", etag, inner, got)
		}
	}
	if a, b := etagHex(sum), etagHex(sum+"-1"); a == b {
		t.Error("two ETags have one inner form")
	}
}

func TestHostLabel(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"a.b.s3.localhost:80": "a.b", "my.bucket.s3.eu-west-1.amazonaws.com": "my.bucket", "x.localhost": "x",
		"localhost": "", "localhost:1": "", "s3.amazonaws.com": "", "s3-eu-west-1.amazonaws.com": "", "runtime.sagemaker.us-east-1.amazonaws.com": "",
		"example.com": "", "": "", "[::1]": "", "127.0.0.1:9": "",
	} {
		if got, _ := hostLabel(host); got != want {
			t.Errorf("hostLabel(%q) = %q, want %q", host, got, want)
		}
	}
}

// A body of signed chunks gives no bytes to its end that its key has not signed, however
// it is put together: all that is accepted is what was signed.
func FuzzSignedChunks(f *testing.F) {
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	v := sigv4.NewVerifier(func() time.Time { return time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC) })
	r := httptest.NewRequest("PUT", "/examplebucket/chunkObject.txt", nil)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
	r.Header.Set("X-Amz-Date", "20130524T000000Z")
	s, err := sigv4.Parse(r)
	if err != nil {
		f.Fatal(err)
	}
	// The worked example of AWS's documentation.
	signed := strings.Repeat("a", 66560)
	whole := "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + signed[:65536] +
		"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + signed[65536:] +
		"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
	read := func(in string) (string, error) {
		c := newChunks(strings.NewReader(in), v.Chunks(&s, secret, sigv4.SignedChunks))
		out, err := io.ReadAll(c)
		if err == nil {
			_, err = c.end()
		}
		return string(out), err
	}
	if got, err := read(whole); got != signed || err != nil {
		f.Fatalf("%d bytes, %v", len(got), err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-90])
	f.Add("0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n")
	f.Add("5;chunk-signature=\r\nhello\r\n0;chunk-signature=\r\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		if got, err := read(in); err == nil && got != signed {
			t.Errorf("%d bytes that nobody signed are accepted", len(got))
		}
	})
}
