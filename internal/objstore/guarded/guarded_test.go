package guarded_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/guarded"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/storetest"
)

// Where no role is acted for, nothing is different.
func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		s := memstore.New("bucket")
		return storetest.Harness{Store: guarded.New(s), Bucket: "bucket", Uploads: s.Writing, Claims: true}
	})
}

// A store of files is one still, and of no files is not.
func TestFiler(t *testing.T) {
	t.Parallel()
	files, err := filestore.Open(t.TempDir(), filestore.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if _, ok := guarded.New(files).(objstore.Filer); !ok {
		t.Error("the files are gone")
	}
	if _, ok := guarded.New(memstore.New("b")).(objstore.Filer); ok {
		t.Error("there are files in memory")
	}
}

// Each use of the store asks for its action on its resource, before it happens.
func TestAsked(t *testing.T) {
	t.Parallel()
	files, err := filestore.Open(t.TempDir(), filestore.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if err := files.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	st := guarded.New(files)
	w, err := st.Create(t.Context(), objstore.Ref{Bucket: "bucket", Key: "a/b"}, objstore.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	ref := info.Ref
	uses := map[string]func(ctx context.Context) error{
		"s3:GetObject arn:aws:s3:::bucket/a/b":    func(ctx context.Context) error { _, err := st.Stat(ctx, ref); return err },
		"s3:PutObject arn:aws:s3:::bucket/a/b":    func(ctx context.Context) error { _, err := st.Create(ctx, ref, objstore.Meta{}); return err },
		"s3:DeleteObject arn:aws:s3:::bucket/a/b": func(ctx context.Context) error { return st.Delete(ctx, ref) },
		"s3:ListBucket arn:aws:s3:::bucket": func(ctx context.Context) error {
			for _, err := range st.List(ctx, "bucket", "") {
				return err
			}
			return nil
		},
	}
	opens := map[string]func(ctx context.Context) error{
		"open": func(ctx context.Context) error { _, err := st.Open(ctx, ref, objstore.All); return err },
		"file": func(ctx context.Context) error { _, err := st.(objstore.Filer).OpenFile(ctx, ref, ""); return err },
		"view": func(ctx context.Context) error { _, err := objstore.NewView(ctx, st, info); return err },
		"read": func(ctx context.Context) error {
			_, err := objstore.NewReader(ctx, st, objstore.Info{Ref: ref, Size: 1}, objstore.ReaderOptions{}).Read(make([]byte, 1))
			return err
		},
	}
	check := func(want string, use func(context.Context) error) {
		var asked []string
		ctx := objstore.WithRights(t.Context(), func(action, resource string) error {
			asked = append(asked, action+" "+resource)
			return fault.New(fault.Denied, "no")
		})
		if err := use(ctx); !fault.Is(err, fault.Denied) || !slices.Equal(asked, []string{want}) {
			t.Errorf("%s: asked for %s, got %v", want, strings.Join(asked, ", "), err)
		}
	}
	for want, use := range uses {
		check(want, use)
	}
	for _, use := range opens {
		check("s3:GetObject arn:aws:s3:::bucket/a/b", use)
	}
	if _, err := st.Stat(objstore.WithRights(t.Context(), func(string, string) error { return fault.New(fault.Denied, "no") }), objstore.Ref{Bucket: "bucket"}); err != nil {
		t.Errorf("whether a bucket exists: %v", err)
	}
	if got, err := st.Stat(t.Context(), ref); err != nil || got.ETag != info.ETag {
		t.Errorf("what was refused has happened: %+v, %v", got, err)
	}
}
