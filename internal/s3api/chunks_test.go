package s3api

import (
	"bytes"
	"io"
	"strings"
	"testing"
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
