package s3api

import (
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// gofakes3 keeps an ETag as bytes and shows them in hex, which cannot say
// MD5-N, the form of multipart uploads. Inside it such an ETag is the MD5's 16
// bytes followed by N in four; the functions of this file translate where
// headers go in and come out.

const md5Hex = 32

var (
	outerETag = regexp.MustCompile(`\b([0-9a-f]{32})-([0-9]{1,9})\b`)
	innerETag = regexp.MustCompile(`\b[0-9a-f]{40}\b`)
)

// etagBytes is an ETag as gofakes3 keeps it.
func etagBytes(etag string) []byte {
	sum, count, multi := strings.Cut(etag, "-")
	b, err := hex.DecodeString(sum)
	if err != nil || len(sum) != md5Hex {
		return []byte(etag) // not ours; still another one for other bytes
	}
	if multi {
		n, _ := strconv.ParseUint(count, 10, 32)
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return b
}

func etagHex(etag string) string { return hex.EncodeToString(etagBytes(etag)) }

// etagsIn translates the conditions of a request.
func etagsIn(h http.Header) {
	for _, name := range []string{"If-Match", "If-None-Match", "X-Amz-Copy-Source-If-Match", "X-Amz-Copy-Source-If-None-Match"} {
		if v := h.Get(name); v != "" {
			h.Set(name, outerETag.ReplaceAllStringFunc(v, etagHex))
		}
	}
}

// etagOut translates one ETag of a response.
func etagOut(s string) string {
	return innerETag.ReplaceAllStringFunc(s, func(h string) string {
		n, _ := strconv.ParseUint(h[md5Hex:], 16, 32)
		return h[:md5Hex] + "-" + strconv.FormatUint(n, 10)
	})
}

func etagsInXML(b []byte) []byte { return []byte(etagOut(string(b))) }
