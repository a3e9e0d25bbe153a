// Command bigs3 is an S3 with one large object of CSV lines that it makes up as
// it is read, at in/big.csv of the bucket "bucket". Whatever is written to it is
// thrown away. It speaks what a job needs: list, head, ranges, put, multipart.
//
// It prints {"addr": ...} when it listens, and ends at SIGTERM.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	key  = "in/big.csv"
	etag = `"5d41402abc4b2a76b9719d911017c592"`
)

var made = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func main() {
	size := flag.Int64("size", 1<<30, "bytes of the object")
	row := flag.Int("row", 200, "bytes of one of its lines")
	flag.Parse()
	if err := run(*size, *row); err != nil {
		fmt.Fprintln(os.Stderr, "bigs3:", err)
		os.Exit(1)
	}
}

func run(size int64, row int) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"addr": l.Addr().String()}); err != nil {
		return err
	}
	line := append(bytes.Repeat([]byte("7"), row-1), '\n')
	s := &store{size: size, block: bytes.Repeat(line, max(1, (1<<20)/row))}
	return http.Serve(l, s)
}

// store answers requests in path style.
type store struct {
	size  int64
	block []byte // the object is this, over and over
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	reading := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case bucket != "bucket":
		w.WriteHeader(http.StatusNotFound)
	case reading && name == "":
		s.list(w, r)
	case reading && name == key:
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, key, made, &content{store: s})
	case reading:
		w.WriteHeader(http.StatusNotFound)
	default:
		s.swallow(w, r, name)
	}
}

func (s *store) list(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/xml")
	if r.Method == http.MethodHead || !strings.HasPrefix(key, r.URL.Query().Get("prefix")) {
		fmt.Fprint(w, `<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>`)
		return
	}
	fmt.Fprintf(w, `<ListBucketResult><Name>bucket</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>`+
		`<Contents><Key>%s</Key><Size>%d</Size><ETag>%s</ETag><LastModified>%s</LastModified></Contents></ListBucketResult>`,
		key, s.size, etag, made.Format(time.RFC3339))
}

// swallow takes an object or a part, and answers the multipart calls.
func (s *store) swallow(w http.ResponseWriter, r *http.Request, name string) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	w.Header().Set("ETag", etag)
	switch q := r.URL.Query(); {
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPost && q.Has("uploads"):
		fmt.Fprintf(w, `<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>%s</Key><UploadId>1</UploadId></InitiateMultipartUploadResult>`, name)
	case r.Method == http.MethodPost:
		fmt.Fprintf(w, `<CompleteMultipartUploadResult><Bucket>bucket</Bucket><Key>%s</Key><ETag>%s</ETag></CompleteMultipartUploadResult>`, name, etag)
	}
}

// content is the object as http.ServeContent wants it.
type content struct {
	*store
	at int64
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, errors.New("before the beginning")
	}
	c.at = offset
	return offset, nil
}

func (c *content) Read(p []byte) (int, error) {
	if c.at >= c.size {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), c.size-c.at)], c.block[c.at%int64(len(c.block)):])
	c.at += int64(n)
	return n, nil
}
