package api

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A client that sends its body byte by byte, or stops in the middle, does not hold
// its connection: it is told so, and is gone.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	s := New(Options{
		Open: true, Account: "000000000000", Region: "us-east-1", Log: slog.New(slog.DiscardHandler), Now: time.Now,
		S3: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusRequestTimeout)
			}
		}),
	})
	s.slow = patience{body: 50 * time.Millisecond, step: 50 * time.Millisecond}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	for name, head := range map[string]string{
		"operation": "POST / HTTP/1.1\r\nX-Amz-Target: SageMaker.ListModels\r\n",
		"query":     "POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n",
		"ours":      "POST /-/api/v1/endpoints/e/maintenance HTTP/1.1\r\n",
		"S3":        "PUT /bucket/key HTTP/1.1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", h.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, head+"Host: x\r\nContent-Length: 100\r\n\r\nonly this"); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusRequestTimeout && !(name == "query" && strings.Contains(string(text), "did not arrive")) {
				t.Errorf("%d %s", resp.StatusCode, text)
			}
			if _, err := in.ReadByte(); err == nil {
				t.Error("the connection goes on")
			}
		})
	}
}
