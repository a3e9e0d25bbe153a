package instance

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// parseAnswer reads one answer from src as a Conn does.
func parseAnswer(src io.Reader, limit int64) (answerHead, []byte, error) {
	rd := &reader{src: src}
	var h answerHead
	if err := h.read(rd); err != nil {
		return h, nil, err
	}
	var b body
	b.reset(rd, &h)
	got, err := b.appendTo(nil, limit)
	if rd.r != rd.w {
		h.keepAlive = false
	}
	return h, got, err
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer string
		status       int
		contentType  string
		body         string
		keepAlive    bool
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 4\r\n\r\n1,2\n", 200, "text/csv", "1,2\n", true},
		{"no reason", "HTTP/1.1 200\r\nContent-Length:0\r\n\r\n", 200, "", "", true},
		{"bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nab", 200, "", "ab", true},
		{"any case", "HTTP/1.1 200 OK\r\ncONTENT-lENGTH:\t 2 \r\nCONTENT-TYPE: a\r\n\r\nab", 200, "a", "ab", true},
		{"same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab", 200, "", "ab", true},
		{"close", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nab", 200, "", "ab", false},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n00A;x=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", 200, "", "ab0123456789", true},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nabc", 200, "", "abc", false},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", 200, "", "ab", false},
		{"HTTP/1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab", 200, "", "ab", true},
		{"1xx before", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\nContent-Type: no\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 200, "", "a", true},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", "", true},
		{"304 with length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", 304, "", "", true},
		{"error", "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig", 413, "", "big", true},
		{"more than the answer", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", 200, "", "a", false},
	} {
		for _, src := range []io.Reader{strings.NewReader(c.answer), iotest.OneByteReader(strings.NewReader(c.answer)), iotest.DataErrReader(strings.NewReader(c.answer))} {
			h, got, err := parseAnswer(src, 1<<20)
			if c.name == "more than the answer" { // one byte at a time leaves the rest unread
				h.keepAlive = false
			}
			if err != nil || h.status != c.status || string(got) != c.body || h.keepAlive != c.keepAlive || h.contentType != c.contentType {
				t.Errorf("%s: %v, %q, %+v", c.name, err, got, h)
			}
		}
	}
}

func TestMalformedAnswers(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, answer := range map[string]string{
		"not HTTP":             "SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/2":               "HTTP/2.0 200 OK\r\n\r\n",
		"no status":            "HTTP/1.1 \r\n\r\n",
		"two digits":           "HTTP/1.1 20 OK\r\n\r\n",
		"four digits":          "HTTP/1.1 2000\r\n\r\n",
		"letters":              "HTTP/1.1 2x0 OK\r\n\r\n",
		"status 099":           "HTTP/1.1 099 OK\r\n\r\n",
		"switching":            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"no colon":             ok + "Nonsense\r\n\r\n",
		"blank before colon":   ok + "Content-Length : 1\r\n\r\na",
		"folded":               ok + "A: b\r\n c\r\n\r\n",
		"empty name":           ok + ": b\r\n\r\n",
		"negative length":      ok + "Content-Length: -1\r\n\r\n",
		"signed length":        ok + "Content-Length: +1\r\n\r\na",
		"list of lengths":      ok + "Content-Length: 1, 1\r\n\r\na",
		"empty length":         ok + "Content-Length:\r\n\r\n",
		"huge length":          ok + "Content-Length: 99999999999999999999\r\n\r\n",
		"two lengths":          ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"length and chunked":   ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked HTTP/1.0":     "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"gzip":                 ok + "Transfer-Encoding: gzip, chunked\r\n\r\n",
		"chunked twice":        ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunk size letters":   ok + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"chunk size empty":     ok + "Transfer-Encoding: chunked\r\n\r\n\r\n",
		"chunk size negative":  ok + "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
		"chunk size prefix":    ok + "Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n",
		"chunk size huge":      ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
		"chunk longer":         ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
		"endless status line":  "HTTP/1.1 200 " + strings.Repeat("x", 2*maxHead),
		"endless header":       ok + strings.Repeat("A: b\r\n", maxHead),
		"endless 1xx":          strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxHead),
		"endless trailers":     ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", maxHead),
		"endless chunk header": ok + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 2*maxHead),
	} {
		_, _, err := parseAnswer(strings.NewReader(answer), 1<<20)
		var m malformed
		if !errors.As(err, &m) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, answer := range map[string]string{
		"head":         ok + "Content-Le",
		"end of head":  ok,
		"body":         ok + "Content-Length: 5\r\n\r\nab",
		"no body":      ok + "Content-Length: 5\r\n\r\n",
		"chunk":        ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
		"last chunk":   ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
		"trailers":     ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n",
		"after a 100":  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
		"end of chunk": ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nab",
	} {
		if _, _, err := parseAnswer(strings.NewReader(answer), 1<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut in the %s: %v", name, err)
		}
	}
}

func TestAnswerLimit(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"length":        "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
		"chunked":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n",
		"until the end": "HTTP/1.1 200 OK\r\n\r\n",
	} {
		answer := head + strings.Repeat("x", 1001)
		if strings.Contains(head, "chunked") {
			answer += "\r\n0\r\n\r\n"
		}
		if _, got, err := parseAnswer(strings.NewReader(answer), 1001); err != nil || len(got) != 1001 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if _, _, err := parseAnswer(strings.NewReader(answer), 1000); !fault.Is(err, fault.Limit) {
			t.Errorf("%s over the limit: %v", name, err)
		}
	}
	// A length that is only claimed gets no memory for itself.
	_, got, err := parseAnswer(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nx"), 1<<40)
	if !errors.Is(err, io.ErrUnexpectedEOF) || cap(got) > 2*trustedLength {
		t.Errorf("%v with %d bytes of memory", err, cap(got))
	}
}

// FuzzAnswer compares with net/http wherever both accept an answer.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 4\r\n\r\n1,2\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r\nT: x\r\n\r\n",
		"HTTP/1.0 500 No\nConnection: keep-alive\n\nabc",
		"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		h, got, err := parseAnswer(bytes.NewReader(answer), 1<<20)
		if err != nil || bytes.HasPrefix(answer[7:], []byte(" 1")) || bytes.HasPrefix(answer[8:], []byte(" 1")) {
			return
		}
		req, _ := http.NewRequest("POST", "http://x/", nil)
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), req)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		want, err := io.ReadAll(resp.Body)
		if err != nil {
			return
		}
		if resp.StatusCode != h.status || !bytes.Equal(got, want) {
			t.Errorf("%q: status %d, body %q; net/http: %d, %q", answer, h.status, got, resp.StatusCode, want)
		}
		if h.keepAlive && resp.Close {
			t.Errorf("%q: net/http closes the connection", answer)
		}
		if h.contentType != strings.Trim(resp.Header.Get("Content-Type"), " \t") {
			t.Errorf("%q: Content-Type %q, net/http: %q", answer, h.contentType, resp.Header.Get("Content-Type"))
		}
	})
}
