package s3store_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// The stores are compared over one set of files: directly, as jobs use the
// embedded store, and over HTTP.
func stores(b *testing.B, run func(b *testing.B, st objstore.Store)) {
	s, _ := serve(b)
	b.Run("files", func(b *testing.B) { run(b, s.files) })
	b.Run("http", func(b *testing.B) { run(b, s.client) })
}

func BenchmarkWrite(b *testing.B) {
	for name, size := range map[string]int{"4KiB": 4 << 10, "64MiB": 64 << 20} {
		b.Run(name, func(b *testing.B) {
			body := make([]byte, size)
			stores(b, func(b *testing.B, st objstore.Store) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for i := range b.N {
					must(b, writeAs(b, st, fmt.Sprintf("k%d", i%100), body))
				}
			})
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for name, size := range map[string]int{"4KiB": 4 << 10, "64MiB": 64 << 20} {
		b.Run(name, func(b *testing.B) {
			stores(b, func(b *testing.B, st objstore.Store) {
				must(b, writeAs(b, st, "k", make([]byte, size)))
				buf := make([]byte, 256<<10)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					rc, err := st.Open(b.Context(), ref, objstore.All)
					must(b, err)
					_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{rc}, buf)
					must(b, err)
					must(b, rc.Close())
				}
			})
		})
	}
}

func BenchmarkList20000(b *testing.B) {
	s, _ := serve(b)
	for i := range 20_000 {
		must(b, writeAs(b, s.files, fmt.Sprintf("in/%05d.csv", i), nil))
	}
	for name, st := range map[string]objstore.Store{"files": s.files, "http": s.client} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				n := 0
				for _, err := range st.List(b.Context(), "bucket", "in/") {
					must(b, err)
					n++
				}
				if n != 20_000 {
					b.Fatal(n)
				}
			}
		})
	}
}

func writeAs(b *testing.B, st objstore.Store, key string, body []byte) error {
	w, err := st.Create(b.Context(), objstore.Ref{Bucket: "bucket", Key: key}, objstore.Meta{})
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(body); err != nil {
		return err
	}
	_, err = w.Commit()
	return err
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
