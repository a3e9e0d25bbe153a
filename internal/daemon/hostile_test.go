package daemon

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// asWritten sends a request as it is and gives the answer; its status is 0 when the
// connection was closed without one.
func asWritten(t *testing.T, d *Daemon, request string) (status int, head http.Header, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, request) }() // it may be refused before its end
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, nil, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(b)
}

// tree lists the files under a folder that are not under another.
func tree(t *testing.T, dir, without string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == without:
			return fs.SkipDir
		case !e.IsDir() && e.Type().IsRegular() && !strings.HasPrefix(e.Name(), "sagebrush.db") && !strings.HasPrefix(e.Name(), "audit.log"):
			text, err := os.ReadFile(path)
			fmt.Fprintf(&all, "%s %q\n", path, text)
			return err
		}
		fmt.Fprintln(&all, path, e.Type())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// Whatever the path of a request, the source of a copy or a link in a bucket says, what is
// written is in the bucket, and what is read as well (I10).
func TestHostileKeys(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	d := start(t, filepath.Join(data, "server"), nil)
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/a", []byte("plain"))
	const secret = "what nobody may read"
	outside := filepath.Join(data, "outside")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	s3 := filepath.Join(d.data, "s3")
	for link, to := range map[string]string{
		"bucket/file": filepath.Join(outside, "secret"), "bucket/dir": outside, "bucket/up": "../..", "linked": outside, "bucket/key": filepath.Join(d.data, "credentials"),
	} {
		if err := os.Symlink(to, filepath.Join(s3, link)); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, data, filepath.Join(s3, "bucket"))
	keys := []string{
		"bucket/../../outside/secret", "bucket/%2e%2e/%2e%2e/outside/secret", "bucket/..%2f..%2foutside%2fsecret", "bucket/....//....//outside/secret", "bucket/%2e%2e%5c%2e%2e%5coutside",
		"bucket/%00/../x", "bucket/a%00", "bucket//etc/passwd", "bucket/%2fetc%2fpasswd", "bucket/./a/.", "bucket/%c0%ae%c0%ae/x", "bucket/..", "bucket/.", "bucket/a/../../b",
		"../outside/secret", "..%2foutside/secret", "%2e%2e/outside/secret", ".sagebrush/x", ".sagebrush", "..", "%2e%2e", "%2e", "linked", "linked/secret", "linked/new",
		"bucket/file", "bucket/dir/secret", "bucket/dir/new", "bucket/up/server/credentials", "bucket/key", "bucket/" + strings.Repeat("d/", 600) + "x", "bucket/" + strings.Repeat("n", 1025),
	}
	for _, key := range keys {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "HEAD"} {
			for _, query := range []string{"", "?uploads=", "?list-type=2&prefix=..%2f", "?encryption="} {
				status, _, text := asWritten(t, d, method+" /"+key+query+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad")
				if status >= 500 && status != 501 || strings.Contains(text, secret) || strings.Contains(text, "secretAccessKey") {
					t.Errorf("%s /%s%s: %d %s", method, key, query, status, text)
				}
			}
		}
		for _, source := range []string{key, "/" + key, "http://127.0.0.1:1/" + key, "file:///" + key} {
			status, _, text := asWritten(t, d, "PUT /bucket/copy HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\nX-Amz-Copy-Source: "+source+"\r\n\r\n")
			if status >= 500 && status != 501 {
				t.Errorf("copy of %s: %d %s", source, status, text)
			}
			if got, err := os.ReadFile(filepath.Join(s3, "bucket", "copy")); err == nil && strings.Contains(string(got), secret) {
				t.Errorf("a copy of %s is %q", source, got)
			}
		}
	}
	if after := tree(t, data, filepath.Join(s3, "bucket")); after != before {
		t.Errorf("something outside of the bucket was changed:\n%s\nand before:\n%s", after, before)
	}
	if list := string(object(t, d, "GET", "/", nil)); strings.Contains(list, "linked") {
		t.Errorf("a link is a bucket: %s", list)
	}
}

// What a manifest names is an object of its prefix, or nothing (BT-24, I10).
func TestHostileManifests(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	d := start(t, filepath.Join(data, "server"), withModel)
	object(t, d, "PUT", "/bucket", nil)
	must(t, d, "CreateModel", map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{"Image": "test/model"}})
	if err := os.WriteFile(filepath.Join(data, "secret"), []byte("what nobody may read"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(data, "secret"), filepath.Join(d.data, "s3", "bucket", "link")); err != nil {
		t.Fatal(err)
	}
	for i, manifest := range []string{
		`[{"prefix":"s3://bucket/"},"../../../secret"]`, `[{"prefix":"s3://bucket/../../../"},"secret"]`, `[{"prefix":"file://` + data + `/"},"secret"]`,
		`[{"prefix":"s3:///"},"` + data + `/secret"]`, `[{"prefix":"http://127.0.0.1:1/"},"secret"]`, `[{"prefix":"s3://bucket/"},"link"]`, `[{"prefix":"s3://bucket/"},"a\u0000b"]`,
		`[{"prefix":"s3://../"},"secret"]`, `[{"prefix":"s3://bucket/"},"` + strings.Repeat("x", 5000) + `"]`, `[{"prefix":"s3://bucket/"}` + strings.Repeat(",[", 100_000), strings.Repeat("[", 1_000_000),
		`[{"prefix":"s3://bucket/","prefix":"s3://other/"},"x"]`, `[{"prefix":7},8]`, "[null,null]",
	} {
		name := fmt.Sprint("m", i)
		object(t, d, "PUT", "/bucket/"+name, []byte(manifest))
		in := job(name, "m", func(in map[string]any) {
			in["TransformInput"].(map[string]any)["DataSource"] = map[string]any{"S3DataSource": map[string]any{"S3DataType": "ManifestFile", "S3Uri": "s3://bucket/" + name}}
			in["TransformOutput"].(map[string]any)["S3OutputPath"] = "s3://bucket/out-" + name
		})
		if code, out := call(t, d, "CreateTransformJob", in); code != 200 {
			if code/100 != 4 {
				t.Errorf("%.80s: %d %v", manifest, code, out)
			}
			continue
		}
		if end := await(t, d, name); end["TransformJobStatus"] != "Failed" || utf8.RuneCountInString(fmt.Sprint(end["FailureReason"])) > 1024 {
			t.Errorf("%.80s: %v", manifest, end)
		}
	}
	if list := string(object(t, d, "GET", "/bucket?list-type=2&prefix=out-", nil)); strings.Contains(list, "<Key>") {
		t.Errorf("something was read: %s", list)
	}
}

// An object of four gigabytes in as many megabytes fails its job at the payload's limit,
// in whatever way it is split, and is unpacked no further (I5, I7).
func TestGzipBomb(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), withModel)
	object(t, d, "PUT", "/bucket", nil)
	var member bytes.Buffer
	z, err := gzip.NewWriterLevel(&member, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(make([]byte, 16<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	object(t, d, "PUT", "/bucket/bomb/x", bytes.Repeat(member.Bytes(), 256))
	must(t, d, "CreateModel", map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{"Image": "test/model"}})
	for _, split := range []string{"None", "Line", "RecordIO", "TFRecord"} {
		name := "bomb-" + split
		must(t, d, "CreateTransformJob", job(name, "m", func(in map[string]any) {
			input := in["TransformInput"].(map[string]any)
			input["CompressionType"], input["SplitType"] = "Gzip", split
			input["DataSource"].(map[string]any)["S3DataSource"].(map[string]any)["S3Uri"] = "s3://bucket/bomb/"
			in["TransformOutput"] = map[string]any{"S3OutputPath": "s3://bucket/out"}
			in["MaxPayloadInMB"] = 1
		}))
		end := await(t, d, name)
		reason := fmt.Sprint(end["FailureReason"])
		if end["TransformJobStatus"] != "Failed" || !strings.HasPrefix(reason, "ClientError: See job logs") {
			t.Errorf("%s ended as %v", name, end)
		}
		t.Log(reason)
	}
}

// Heads are bounded in bytes and in the number of their fields, for every kind of
// request, and who sends too much of them harms nobody else (I7).
func TestHostileHeads(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), nil)
	many := strings.Repeat("X-A: b\r\n", 40_000)
	for name, line := range map[string]string{
		"operation": "POST /", "invocation": "POST /endpoints/e/invocations", "object": "PUT /bucket/key", "ours": "GET /-/api/v1/server", "health": "GET /-/health",
	} {
		for what, head := range map[string]string{
			"one long field": "X-A: " + strings.Repeat("a", 1<<20) + "\r\n", "a long name": strings.Repeat("a", 1<<20) + ": b\r\n", "many fields": many,
			"a folded field": "X-A: b\r\n" + strings.Repeat(" c\r\n", 40_000), "many cookies": strings.Repeat("Cookie: a=b; c=d\r\n", 40_000),
		} {
			if status, _, _ := asWritten(t, d, line+" HTTP/1.1\r\nHost: x\r\n"+head+"\r\n"); status/100 != 4 && status != 0 {
				t.Errorf("%s, %s: %d", name, what, status)
			}
		}
		if status, _, _ := asWritten(t, d, line+strings.Repeat("a", 1<<20)+" HTTP/1.1\r\nHost: x\r\n\r\n"); status/100 != 4 && status != 0 {
			t.Errorf("%s, a long path: %d", name, status)
		}
		for what, head := range map[string]string{
			"two lengths": "Content-Length: 1\r\nContent-Length: 2\r\n", "a sign": "Content-Length: +1\r\n",
			"chunks twice": "Transfer-Encoding: chunked, chunked\r\n", "another encoding": "Transfer-Encoding: gzip\r\n", "a space": "X-A : b\r\n", "NUL": "X-A: \x00\r\n", "no host": "Host: y\r\n",
		} {
			if status, _, _ := asWritten(t, d, line+" HTTP/1.1\r\nHost: x\r\n"+head+"\r\n0\r\n\r\nGET /-/health HTTP/1.1\r\nHost: x\r\n\r\n"); status/100 != 4 && status != 501 && status != 0 {
				t.Errorf("%s, %s: %d", name, what, status)
			}
		}
	}
	if string(object(t, d, "GET", "/-/health", nil)) != "ok\n" {
		t.Error("the server is not well")
	}
}

// No object and no path sends its reader to another server.
func TestObjectsDoNotRedirect(t *testing.T) {
	t.Parallel()
	d := start(t, t.TempDir(), nil)
	object(t, d, "PUT", "/bucket", nil)
	req, err := http.NewRequestWithContext(t.Context(), "PUT", d.URL()+"/bucket/a", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Website-Redirect-Location", "http://169.254.169.254/")
	do(t, req)
	for _, path := range []string{"/bucket/a", "/bucket", "/bucket/", "//evil.example/%2e%2e", "/bucket//evil.example", "/-/../bucket", "/-//evil.example", "/-/..//evil.example", "/-/../%5cevil.example"} {
		status, head, text := asWritten(t, d, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if to := head.Get("Location"); status/100 == 3 && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
			t.Errorf("%s: %d to %s: %s", path, status, to, text)
		}
	}
}
