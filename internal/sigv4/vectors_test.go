package sigv4

import (
	"bufio"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	vectorKey    = "AKIDEXAMPLE"
	vectorSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	vectorFolder = "../../../shared/vectors/sigv4"
)

func vectorVerifier() *Verifier {
	at := time.Date(2015, 8, 30, 12, 38, 0, 0, time.UTC)
	return NewVerifier(func() time.Time { return at })
}

// readVector makes a request of a vector's text. http.ReadRequest cannot do it:
// some vectors have blanks in the path, none ends its header.
func readVector(t *testing.T, text string) (*http.Request, string) {
	t.Helper()
	head, body, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
	line, rest, _ := strings.Cut(head, "\n")
	method, target, _ := strings.Cut(line, " ")
	target = strings.TrimSuffix(target, " HTTP/1.1")
	// The header goes through net/http, as it would in a server.
	raw := method + " / HTTP/1.1\r\n" + strings.ReplaceAll(strings.TrimRight(rest, "\n"), "\n", "\r\n") + "\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = target
	_, r.URL.RawQuery, _ = strings.Cut(target, "?")
	r.ContentLength = int64(len(body))
	return r, body
}

func verifyVector(t *testing.T, text string) error {
	t.Helper()
	r, body := readVector(t, text)
	s, err := Parse(r)
	if err != nil {
		return err
	}
	if s.AccessKeyID != vectorKey {
		t.Errorf("access key = %q", s.AccessKeyID)
	}
	if want := (Scope{"20150830", "us-east-1", "service"}); s.Scope != want {
		t.Errorf("scope = %+v", s.Scope)
	}
	return vectorVerifier().Verify(r, &s, vectorSecret, BodyHash([]byte(body)), JSONRules())
}

// The published test suite, where a copy of it lies beside the repository.
func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(vectorFolder); errors.Is(err, fs.ErrNotExist) {
		t.Logf("no vectors in %s: only the ones written down here ran", vectorFolder)
		t.Skip()
	}
	n := 0
	err := filepath.WalkDir(vectorFolder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".sreq") {
			return err
		}
		n++
		t.Run(strings.TrimSuffix(d.Name(), ".sreq"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			// The Authorization header comes from the .authz file: in one vector
			// (get-vanilla-with-session-token) the .sreq file has another one.
			auth, err := os.ReadFile(strings.TrimSuffix(path, ".sreq") + ".authz")
			if err != nil {
				t.Fatal(err)
			}
			start := strings.Index(string(text), "Authorization: ")
			rest := string(text[start:])
			_, body, found := strings.Cut(rest, "\n")
			request := string(text[:start]) + "Authorization: " + strings.TrimSpace(string(auth))
			if found {
				request += "\n" + body
			}
			if err := verifyVector(t, request); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 30 {
		t.Errorf("only %d vectors found", n)
	}
}

// Some of the suite, so that something always runs.
var ownVectors = []struct{ name, request, signedHeaders, signature string }{
	{"plain", "GET / HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z",
		"host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"repeated header", "GET / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1:value2\nMy-Header1:value2\nMy-Header1:value1\nX-Amz-Date:20150830T123600Z",
		"host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
	{"utf-8 path", "GET /\u1234 HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z",
		"host;x-amz-date", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
	{"form body", "POST / HTTP/1.1\nContent-Type:application/x-www-form-urlencoded; charset=utf8\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z\n\nParam1=value1",
		"content-type;host;x-amz-date", "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
}

func TestOwnVectors(t *testing.T) {
	t.Parallel()
	for _, v := range ownVectors {
		head, body, hasBody := strings.Cut(v.request, "\n\n")
		text := head + "\nAuthorization: " + Algorithm + " Credential=" + vectorKey + "/20150830/us-east-1/service/aws4_request, SignedHeaders=" +
			v.signedHeaders + ", Signature=" + v.signature
		if hasBody {
			text += "\n\n" + body
		}
		if err := verifyVector(t, text); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		wrong := strings.Replace(text, "amazonaws.com", "amazonaws.org", 1)
		if err := verifyVector(t, wrong); reasonOf(err) != Mismatch {
			t.Errorf("%s with another host: %v", v.name, err)
		}
	}
}

func reasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return 0
}

// The example of a presigned URL in the S3 documentation.
func TestS3DocumentationPresigned(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", nil)
	r.Host = "examplebucket.s3.amazonaws.com"
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := DeclaredPayloadHash(r, &s)
	if err != nil || hash != UnsignedPayload {
		t.Fatalf("payload hash = %q, %v", hash, err)
	}
	verify := func(at time.Time) error {
		v := NewVerifier(func() time.Time { return at })
		return v.Verify(r, &s, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", hash, S3Rules())
	}
	signed := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	if err := verify(signed.Add(86400 * time.Second)); err != nil {
		t.Error(err)
	}
	if err := verify(signed.Add(86401 * time.Second)); reasonOf(err) != Expired {
		t.Errorf("after its time: %v", err)
	}
	if err := verify(signed.Add(-16 * time.Minute)); reasonOf(err) != Skewed {
		t.Errorf("before its time: %v", err)
	}
}
