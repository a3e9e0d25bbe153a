package dirstore_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/dirstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConformance runs the suite. Plain files can have neither every key that the
// suite tries nor a content type, so it runs over a store that spells each key as
// the path of a file and remembers the types; all the rest is dirstore's.
func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		root := t.TempDir()
		s := open(t, map[string]string{"bucket": root})
		return storetest.Harness{
			Store:  &spelled{Store: s, types: map[objstore.Ref]string{}},
			Bucket: "bucket",
			Uploads: func() int {
				entries, err := os.ReadDir(root)
				if err != nil {
					t.Error(err)
				}
				n := 0
				for _, e := range entries {
					if strings.HasPrefix(e.Name(), ".sagebrush-part-") {
						n++
					}
				}
				return n
			},
		}
	})
}

func open(t testing.TB, buckets map[string]string) *dirstore.Store {
	t.Helper()
	s, err := dirstore.New(buckets)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// spelled writes keys in hexadecimal, cut into folders where a name would be too
// long. Prefixes and the order of keys survive that.
type spelled struct {
	*dirstore.Store
	mu    sync.Mutex
	types map[objstore.Ref]string
}

const piece = 200

func spell(ref objstore.Ref) objstore.Ref {
	text := hex.EncodeToString([]byte(ref.Key))
	ref.Key = ""
	for len(text) > piece {
		ref.Key += text[:piece] + "+/"
		text = text[piece:]
	}
	ref.Key += text
	return ref
}

func read(key string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(key, "+/", ""))
	if err != nil {
		return "not spelled: " + key
	}
	return string(b)
}

// explain names the real key in an error.
func explain(ref objstore.Ref, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	return &fault.Error{Kind: f.Kind, Text: strings.ReplaceAll(f.Text, spell(ref).String(), ref.String()), Err: f.Err}
}

func (s *spelled) info(ref objstore.Ref, info objstore.Info) objstore.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	info.Ref = ref
	if t := s.types[ref]; t != "" {
		info.ContentType = t
	}
	return info
}

func (s *spelled) Stat(ctx context.Context, ref objstore.Ref) (objstore.Info, error) {
	info, err := s.Store.Stat(ctx, spell(ref))
	return s.info(ref, info), explain(ref, err)
}

func (s *spelled) Open(ctx context.Context, ref objstore.Ref, r objstore.Range) (io.ReadCloser, error) {
	rc, err := s.Store.Open(ctx, spell(ref), r)
	return rc, explain(ref, err)
}

func (s *spelled) OpenFile(ctx context.Context, ref objstore.Ref, etag string) (*os.File, error) {
	f, err := s.Store.OpenFile(ctx, spell(ref), etag)
	return f, explain(ref, err)
}

func (s *spelled) Create(ctx context.Context, ref objstore.Ref, m objstore.Meta) (objstore.Writer, error) {
	w, err := s.Store.Create(ctx, spell(ref), m)
	if err != nil {
		return nil, explain(ref, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.types[ref] = m.ContentType
	return &spelledWriter{Writer: w, s: s, ref: ref}, nil
}

type spelledWriter struct {
	objstore.Writer
	s   *spelled
	ref objstore.Ref
}

func (w *spelledWriter) Commit() (objstore.Info, error) {
	info, err := w.Writer.Commit()
	return w.s.info(w.ref, info), explain(w.ref, err)
}

func (s *spelled) List(ctx context.Context, bucket, prefix string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		ref := objstore.Ref{Bucket: bucket, Key: prefix}
		for info, err := range s.Store.List(ctx, bucket, spell(ref).Key) {
			if !yield(s.info(objstore.Ref{Bucket: bucket, Key: read(info.Key)}, info), explain(ref, err)) {
				return
			}
		}
	}
}

func (s *spelled) Delete(ctx context.Context, ref objstore.Ref) error {
	return explain(ref, s.Store.Delete(ctx, spell(ref)))
}
