package s3api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/s3api"
)

// do sends a request as it is written, without a client's help.
func (s server) do(t testing.TB, method, path string, header map[string]string, body string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = path
	for name, v := range header {
		req.Header.Set(name, v)
	}
	if h := header["Host"]; h != "" {
		req.Host = h
	}
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

const crcOfHello = "NhCmhg==" // CRC32 of "hello"

func TestChunkedBodies(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	const sig = ";chunk-signature=0123456789abcdef"
	for i, c := range []struct {
		name, mode, length, trailer, body string
		status                            int
		want                              string
	}{
		{"unsigned with trailer", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "5", "x-amz-checksum-crc32",
			"2\r\nhe\r\n3\r\nllo\r\n0\r\nx-amz-checksum-crc32:" + crcOfHello + "\r\n\r\n", 200, ""},
		{"signed", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "5", "", "5" + sig + "\r\nhello\r\n0" + sig + "\r\n\r\n", 200, ""},
		{"signed with signed trailer", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "5", "x-amz-checksum-crc32",
			"5" + sig + "\r\nhello\r\n0" + sig + "\r\nx-amz-checksum-crc32:" + crcOfHello + "\r\nx-amz-trailer-signature:abc\r\n\r\n", 200, ""},
		{"wrong trailer", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "5", "x-amz-checksum-crc32",
			"5\r\nhallo\r\n0\r\nx-amz-checksum-crc32:" + crcOfHello + "\r\n\r\n", 400, "BadDigest"},
		{"empty with wrong trailer", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "0", "x-amz-checksum-crc32",
			"0\r\nx-amz-checksum-crc32:" + crcOfHello + "\r\n\r\n", 400, "BadDigest"},
		{"missing trailer", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "5", "x-amz-checksum-crc32", "5\r\nhello\r\n0\r\n\r\n", 400, "IncompleteBody"},
		{"too short", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "6", "", "5\r\nhello\r\n0\r\n\r\n", 400, "IncompleteBody"},
		{"too long", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "4", "", "5\r\nhello\r\n0\r\n\r\n", 400, "IncompleteBody"},
		{"no length", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "", "", "0\r\n\r\n", 400, "MissingContentLength"},
		{"not framed", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "5", "", "hello", 400, ""},
	} {
		path := fmt.Sprintf("/bucket/k%d", i)
		status, body, _ := s.do(t, "PUT", path, map[string]string{
			"X-Amz-Content-Sha256": c.mode, "X-Amz-Decoded-Content-Length": c.length,
			"X-Amz-Trailer": c.trailer, "Content-Encoding": "aws-chunked",
		}, c.body)
		if status != c.status && !(c.status == 400 && c.want == "" && status >= 400) || !strings.Contains(body, c.want) {
			t.Errorf("%s: PUT answered %d %s", c.name, status, body)
		}
		status, body, h := s.do(t, "GET", path, nil, "")
		if c.status == 200 && (body != "hello" || h.Get("Content-Encoding") != "") || c.status != 200 && status != 404 {
			t.Errorf("%s: GET answered %d %q %v", c.name, status, body, h)
		}
	}
	if n := s.unfinished(t); n != 0 {
		t.Errorf("%d unfinished files are left", n)
	}
}

func TestPayloadHash(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	const ofHello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	for body, want := range map[string]int{"hello": 200, "hallo": 400, "": 400} {
		if status, text, _ := s.do(t, "PUT", "/bucket/k-"+body, map[string]string{"X-Amz-Content-Sha256": ofHello}, body); status != want {
			t.Errorf("%q: %d %s", body, status, text)
		}
	}
	if status, _, _ := s.do(t, "PUT", "/bucket/md5", map[string]string{"Content-Md5": "XUFAKrxLKna5cZ2REBfFkg=="}, "hallo"); status != 400 {
		t.Errorf("a wrong Content-MD5 was answered with %d", status)
	}
	up, err := s.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: aws.String("mp")})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []map[string]string{
		{"X-Amz-Checksum-Crc32": crcOfHello}, {"X-Amz-Content-Sha256": ofHello}, {"Content-Md5": "XUFAKrxLKna5cZ2REBfFkg=="},
	} {
		path := "/bucket/mp?partNumber=1&uploadId=" + *up.UploadId
		if status, text, _ := s.do(t, "PUT", path, h, "hallo"); status != 400 {
			t.Errorf("a part with a wrong %v: %d %s", h, status, text)
		}
		if status, text, _ := s.do(t, "PUT", path, h, "hello"); status != 200 {
			t.Errorf("a part with a right %v: %d %s", h, status, text)
		}
	}
}

// TestInterruptedUpload cuts the connection in the middle of a body.
func TestInterruptedUpload(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	s.put(t, "k", "old")
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PUT /bucket/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat("x", 300_000))
	conn.(*net.TCPConn).CloseWrite()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	conn.Close()
	if res.StatusCode != 400 {
		t.Errorf("the upload was answered with %s", res.Status)
	}
	if got := s.get(t, &s3.GetObjectInput{Key: aws.String("k")}); got != "old" {
		t.Errorf("the object holds %d bytes", len(got))
	}
	if n := s.unfinished(t); n != 0 {
		t.Errorf("%d unfinished files are left", n)
	}
}

func TestVirtualHosts(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	s.put(t, "dir/k", "body")
	for host, path := range map[string]string{
		"bucket.localhost:7243": "/dir/k", "bucket.s3.localhost": "/dir/k", "bucket.s3.us-east-1.amazonaws.com": "/dir/k",
		"bucket.s3.amazonaws.com": "/dir/k", "bucket.s3-eu-west-1.amazonaws.com": "/dir/k",
		"localhost": "/bucket/dir/k", "s3.localhost:1": "/bucket/dir/k", "s3.us-east-1.amazonaws.com": "/bucket/dir/k",
		"sagebrush.localhost": "/bucket/dir/k", "127.0.0.1": "/bucket/dir/k", "[::1]:80": "/bucket/dir/k",
	} {
		if status, body, _ := s.do(t, "GET", path, map[string]string{"Host": host}, ""); status != 200 || body != "body" {
			t.Errorf("%s%s: %d %s", host, path, status, body)
		}
	}
	if status, body, _ := s.do(t, "PUT", "/", map[string]string{"Host": "fresh.localhost"}, ""); status != 200 {
		t.Errorf("creating a bucket by host: %d %s", status, body)
	}
	if _, err := s.store.Stat(t.Context(), objstore.Ref{Bucket: "fresh"}); err != nil {
		t.Error(err)
	}
}

func TestKeysInPaths(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	for path, key := range map[string]string{
		"/bucket/a//b": "a//b", "/bucket//lead": "/lead", "/bucket/../x": "../x", "/bucket/a%2Fb": "a/b",
		"/bucket/..%2f..%2fetc": "../../etc", "/bucket/sp%20ace+x": "sp ace+x", "/bucket/marker/": "marker/",
	} {
		if status, body, _ := s.do(t, "PUT", path, nil, path); status != 200 {
			t.Errorf("PUT %s: %d %s", path, status, body)
		}
		if _, err := s.store.Stat(t.Context(), objstore.Ref{Bucket: "bucket", Key: key}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"/.sagebrush/lock", "/../etc/passwd", "/..", "/%2e%2e/x"} {
		if status, body, _ := s.do(t, "GET", path, nil, ""); status != 404 {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
}

// TestForeignPages: a server that trusts its own machine must not be open to
// the pages that a browser on it shows.
func TestForeignPages(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	s.put(t, "k", "secret")
	origin := map[string]string{"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}
	if status, _, h := s.do(t, "OPTIONS", "/bucket/k", origin, ""); status != 403 || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the preflight was answered with %d %v", status, h)
	}
	if _, _, h := s.do(t, "GET", "/bucket/k", origin, ""); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the object is open to all pages: %v", h)
	}
	form := map[string]string{"Content-Type": "multipart/form-data; boundary=b"}
	body := "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nx\r\n--b--\r\n"
	if status, text, _ := s.do(t, "POST", "/bucket", form, body); status != 501 || !strings.Contains(text, "NotImplemented") {
		t.Errorf("the form was answered with %d %s", status, text)
	}
}

// TestContinue: botocore waits for "100 Continue" also when the object is empty.
func TestContinue(t *testing.T) {
	t.Parallel()
	s := serve(t, s3api.Options{})
	for _, body := range []string{"", "hello"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "PUT /bucket/k HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
		r := bufio.NewReader(conn)
		for _, want := range []int{100, 200} {
			res, err := http.ReadResponse(r, nil)
			if err != nil || res.StatusCode != want {
				t.Fatalf("body %q: got %v, %v, want %d", body, res, err, want)
			}
			io.WriteString(conn, body)
			body = ""
		}
	}
}
