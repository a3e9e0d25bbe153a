package filestore_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/keyringtest"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]filestore.Options{
		"attributes": {NoSync: true},
		"sidecars":   {NoSync: true, NoAttributes: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) storetest.Harness {
				ring := keyringtest.NewRing()
				key := ring.Make()
				o.Keys = ring
				s, root := open(t, o)
				return storetest.Harness{
					Store: s, Bucket: "bucket", Uploads: func() int { return unfinished(t, root) },
					Key: key.ARN, Disable: func() { ring.Set(key.ID, keyring.Disabled) },
				}
			})
		})
	}
}

// open makes a store with an empty bucket.
func open(t testing.TB, o filestore.Options) (*filestore.Store, string) {
	t.Helper()
	root := t.TempDir()
	s, err := filestore.Open(root, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if err := s.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	return s, root
}

// unfinished counts the files that writers have in the reserved folder.
func unfinished(t testing.TB, root string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(root, ".sagebrush", "tmp"), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
