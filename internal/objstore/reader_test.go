package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
)

var (
	ref     = objstore.Ref{Bucket: "bucket", Key: "in/a.csv"}
	content = strings.Repeat("0123456789", 1000)
)

// readWith reads the object of content through a reader while the store fails
// as f says.
func readWith(ctx context.Context, t *testing.T, f func(memstore.Op) error) (string, error) {
	t.Helper()
	s := memstore.New("bucket")
	info := s.Put(ref, content)
	s.Fault = f
	r := objstore.NewReader(ctx, s, info, objstore.ReaderOptions{})
	defer r.Close()
	got, err := io.ReadAll(r)
	return string(got), err
}

func isOp(name string) func(memstore.Op) bool {
	return func(op memstore.Op) bool { return op.Name == name }
}

func down() error { return objstore.Unavailable(ref, "reading", errors.New("connection reset")) }

func TestReaderResumes(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(memstore.Op) error{
		"no failure":           nil,
		"open fails twice":     memstore.FailTimes(2, down(), isOp("open")),
		"read fails twice":     memstore.FailTimes(2, down(), isOp("read")),
		"breaks off in middle": memstore.FailTimes(20, &memstore.Short{N: 7, Err: down()}, isOp("read")),
		"early end":            memstore.FailTimes(1, &memstore.Short{N: 9, Err: io.EOF}, isOp("read")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got, err := readWith(t.Context(), t, f)
				if err != nil || got != content {
					t.Errorf("read %d bytes of %d and %v", len(got), len(content), err)
				}
			})
		})
	}
}

func TestReaderGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opens := 0
		began := time.Now()
		got, err := readWith(t.Context(), t, func(op memstore.Op) error {
			switch {
			case op.Name == "open":
				opens++
			case op.Name == "read" && op.Off == 0:
				return &memstore.Short{N: 100, Err: down()}
			case op.Name == "read":
				return down()
			}
			return nil
		})
		if got != content[:100] || !fault.Is(err, fault.Unavailable) {
			t.Fatalf("read %d bytes and %v", len(got), err)
		}
		for _, part := range []string{ref.String(), "at byte 100 of 10000", "3 times", "connection reset"} {
			if !strings.Contains(fault.TextOf(err), part) {
				t.Errorf("the text %q lacks %q", fault.TextOf(err), part)
			}
		}
		if opens != 4 {
			t.Errorf("the object was opened %d times, want once and 3 tries", opens)
		}
		if d := time.Since(began); d < 300*time.Millisecond || d > 600*time.Millisecond {
			t.Errorf("the pauses took %v, want two of up to 200 and 400 ms", d)
		}
	})
}

func TestReaderFinalErrors(t *testing.T) {
	t.Parallel()
	for kind, err := range map[fault.Kind]error{
		fault.Conflict: objstore.Changed(ref, "old"),
		fault.NotFound: objstore.NotFound(ref, nil),
		fault.Denied:   fault.New(fault.Denied, "no"),
	} {
		opens := 0
		_, got := readWith(t.Context(), t, func(op memstore.Op) error {
			if op.Name == "open" {
				opens++
				return err
			}
			return nil
		})
		if !fault.Is(got, kind) || opens != 1 {
			t.Errorf("%v: got %v after %d opens", kind, got, opens)
		}
	}
}

func TestReaderStopsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		_, err := readWith(ctx, t, func(memstore.Op) error {
			cancel()
			return down()
		})
		if !errors.Is(err, context.Canceled) || time.Since(began) > 0 {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

func TestReaderIsAReader(t *testing.T) {
	t.Parallel()
	s := memstore.New("bucket")
	info := s.Put(ref, content)
	r := objstore.NewReader(t.Context(), s, info, objstore.ReaderOptions{})
	if err := iotest.TestReader(r, []byte(content)); err != nil {
		t.Error(err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Errorf("Close twice: %v", err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("Read after Close = %d, %v", n, err)
	}
}

func TestReaderEmptyObject(t *testing.T) {
	t.Parallel()
	s := memstore.New("bucket")
	info := s.Put(ref, "")
	s.Fault = func(memstore.Op) error { return down() }
	got, err := io.ReadAll(objstore.NewReader(t.Context(), s, info, objstore.ReaderOptions{}))
	if err != nil || !bytes.Equal(got, nil) {
		t.Errorf("an empty object gave %q and %v", got, err)
	}
}
