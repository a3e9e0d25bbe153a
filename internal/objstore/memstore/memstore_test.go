package memstore_test

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		s := memstore.New("bucket")
		return storetest.Harness{Store: s, Bucket: "bucket", Uploads: s.Writing, Claims: true}
	})
}
