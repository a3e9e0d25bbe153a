package front

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// heads are heads of requests, and what is made of them.
var heads = []struct {
	name, head string
	want       progress
	status     int // of the refusal
}{
	{"plain", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\n\r\n", whole, 0},
	{"name and port", "POST /endpoints/E-1/invocations?a=b&c HTTP/1.1\r\nhost:h-1.x:8080\r\ncontent-length: 007 \r\n\r\n", whole, 0},
	{"an address of IPv6", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", whole, 0},
	{"bytes over 127 in a value", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nX: \xc3\xa4\r\n\r\n", whole, 0},
	{"an empty value", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nX:\r\n\r\n", whole, 0},
	{"half", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\n", partial, 0},
	{"nothing", "", partial, 0},
	{"half a method", "PO", partial, 0},

	{"GET", "GET /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\n\r\n", elsewhere, 0},
	{"lower case", "post /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\n\r\n", elsewhere, 0},
	{"HTTP/1.0", "POST /endpoints/e/invocations HTTP/1.0\r\nHost: h\r\n\r\n", elsewhere, 0},
	{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", elsewhere, 0},
	{"TLS", "\x16\x03\x01\x02\x00", elsewhere, 0},
	{"a whole URL", "POST http://h/endpoints/e/invocations HTTP/1.1\r\nHost: h\r\n\r\n", elsewhere, 0},
	{"another operation", "POST /endpoints/e/async-invocations HTTP/1.1\r\nHost: h\r\n\r\n", elsewhere, 0},
	{"no name", "POST /endpoints//invocations HTTP/1.1\r\nHost: h\r\n\r\n", elsewhere, 0},
	{"a wrong name", "POST /endpoints/-e/invocations HTTP/1.1\r\nHost: h\r\n\r\n", elsewhere, 0}, // RT-1
	{"a long name", "POST /endpoints/" + strings.Repeat("e", 64) + "/invocations HTTP/1.1\r\nHost: h\r\n\r\n", elsewhere, 0},
	{"a name with a slash", "POST /endpoints/e/f/invocations HTTP/1.1\r\nHost: h\r\n\r\n", elsewhere, 0},
	{"an encoded path", "POST /endpoints/%65/invocations HTTP/1.1\r\nHost: h\r\n\r\n", elsewhere, 0},
	{"two blanks", "POST  /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\n\r\n", elsewhere, 0},
	{"a blank in the target", "POST /endpoints/e/invocations x HTTP/1.1\r\nHost: h\r\n\r\n", elsewhere, 0},
	{"chunked", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", elsewhere, 0},
	{"Expect", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n", elsewhere, 0},
	{"Upgrade", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", elsewhere, 0},
	{"Trailer", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nTrailer: x\r\n\r\n", elsewhere, 0},

	{"bare LF", "POST /endpoints/e/invocations HTTP/1.1\nHost: h\n\n", refused, 400},
	{"bare LF at the end", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\n\n", refused, 400},
	{"bare LF in a field", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", refused, 400},
	{"bare CR in the request line", "POST /endpoints/e/invocations\r HTTP/1.1\r\nHost: h\r\n\r\n", refused, 400},
	{"bare CR in a field", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", refused, 400},
	{"NUL in a value", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", refused, 400},
	{"NUL in a name", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nX\x00: a\r\n\r\n", refused, 400},
	{"a folded field", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", refused, 400},
	{"a field that begins with a blank", "POST /endpoints/e/invocations HTTP/1.1\r\n Host: h\r\n\r\n", refused, 400},
	{"a blank before the colon", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\n", refused, 400},
	{"no colon", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", refused, 400},
	{"no field name", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", refused, 400},
	{"no Host", "POST /endpoints/e/invocations HTTP/1.1\r\nX: y\r\n\r\n", refused, 400},
	{"two Hosts", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", refused, 400},
	{"an odd Host", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: a/b\r\n\r\n", refused, 400},
	{"two lengths", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", refused, 400},
	{"different lengths", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\ncontent-length: 4\r\n\r\n", refused, 400},
	{"a list of lengths", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\n", refused, 400},
	{"a length with a sign", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\n", refused, 400},
	{"a hexadecimal length", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\n", refused, 400},
	{"an empty length", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", refused, 400},
	{"a huge length", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999999999999\r\n\r\n", refused, 400},
	{"length and coding", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", refused, 400},
	{"coding and length", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\ntransfer-encoding: identity\r\nContent-Length: 3\r\n\r\n", refused, 400},
	{"too many fields", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", maxFields) + "\r\n", refused, 431},
	{"too long", "POST /endpoints/e/invocations HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("y", maxHead), refused, 431},
}

func TestHeads(t *testing.T) {
	t.Parallel()
	for _, h := range heads {
		t.Run(h.name, func(t *testing.T) {
			var r headReader
			n, got := r.read([]byte(h.head), new(lineReader))
			if got != h.want {
				t.Fatalf("state %d, want %d", got, h.want)
			}
			if got == whole && n != len(h.head) {
				t.Errorf("the head has %d bytes, want %d", n, len(h.head))
			}
			if got == refused && (r.fault == nil || r.fault.status != h.status) {
				t.Errorf("refused with %v, want %d", r.fault, h.status)
			}
		})
	}
}

// A head that comes byte by byte is the same head.
func TestHeadsInPieces(t *testing.T) {
	t.Parallel()
	for _, h := range heads {
		var r headReader
		var lines lineReader
		state, n := partial, 0
		for i := 1; i <= len(h.head) && state == partial; i++ {
			n, state = r.read([]byte(h.head[:i]), &lines)
		}
		if state != h.want && h.head != "" {
			t.Errorf("%s: state %d, want %d", h.name, state, h.want)
		}
		if state == whole && n != len(h.head) {
			t.Errorf("%s: the head has %d bytes, want %d", h.name, n, len(h.head))
		}
	}
}

// FuzzHead: what front takes, net/http reads in the same way, to the last byte.
func FuzzHead(f *testing.F) {
	for _, h := range heads {
		f.Add([]byte(h.head + "abcdefgh"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r headReader
		n, state := r.read(data, new(lineReader))
		if state != whole {
			return
		}
		in := bufio.NewReader(bytes.NewReader(data))
		req, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("net/http refuses what front takes: %v", err)
		}
		if req.Method != string(r.Method) || req.Host != string(r.Host) || req.URL.Path != string(r.Path) ||
			req.URL.RawQuery != string(r.Query) || req.ContentLength != r.ContentLength || req.Close != r.close {
			t.Fatalf("net/http reads %s %s %s %d %v, front %s %s %s %d %v", req.Method, req.Host, req.URL, req.ContentLength, req.Close,
				r.Method, r.Host, r.Path, r.ContentLength, r.close)
		}
		fields := http.Header{}
		for _, f := range r.Fields {
			fields.Add(string(f.Name), string(f.Value))
		}
		fields.Del("Host")
		if len(fields) != len(req.Header) {
			t.Fatalf("net/http reads the fields %v, front %v", req.Header, fields)
		}
		for name, values := range req.Header {
			if got := fields[name]; strings.Join(got, "\n") != strings.Join(values, "\n") {
				t.Fatalf("%s: net/http reads %q, front %q", name, values, got)
			}
		}
		body, err := io.ReadAll(req.Body)
		want := data[n:]
		if int64(len(want)) >= r.ContentLength {
			want = want[:r.ContentLength]
		} else if err == nil {
			t.Fatal("net/http sees the end of a body that has not come")
		}
		if !bytes.Equal(body, want) {
			t.Fatalf("net/http reads the body %q, front %q", body, want)
		}
	})
}

// FuzzAnswer: of what front takes as the head of an answer, net/http reads the same
// status and length.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/csv\r\n\r\n",
		"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 500 Oops\r\nConnection: x, close\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var lines lineReader
		n, state := lines.find(data)
		var h answerHead
		if state != whole || n > maxHead || !h.parse(data[:n]) || h.status < 200 {
			return
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data[:n])), &http.Request{Method: "POST"})
		if err != nil {
			t.Skip() // net/http is stricter in places that do no harm here: the reason, the names of fields
		}
		want := resp.ContentLength
		switch {
		case h.length == 0 && want <= 0:
		case h.length == chunked && len(resp.TransferEncoding) == 1:
		case h.length == toEnd && want == -1 && len(resp.TransferEncoding) == 0:
		case h.length != want:
			t.Fatalf("net/http reads the length %d (%v), front %d", want, resp.TransferEncoding, h.length)
		}
		if resp.StatusCode != h.status || resp.Close && !h.close {
			t.Fatalf("net/http reads %d, close %v; front %d, %v", resp.StatusCode, resp.Close, h.status, h.close)
		}
	})
}

func BenchmarkHead(b *testing.B) {
	head := []byte("POST /endpoints/bench/invocations HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\nContent-Type: text/csv\r\n" +
		"X-Amz-Date: 20261128T060000Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDBENCH/20261128/us-west-2/sagemaker/aws4_request, " +
		"SignedHeaders=accept;content-length;content-type;host;x-amz-date, Signature=" + strings.Repeat("0", 64) + "\r\nContent-Length: 1024\r\n\r\n")
	b.ReportAllocs()
	var r headReader
	for b.Loop() {
		if _, state := r.read(head, new(lineReader)); state != whole {
			b.Fatal(state)
		}
	}
}
