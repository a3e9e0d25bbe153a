package s3api

import (
	"bytes"
	"context"
	"strings"

	"github.com/rclone/gofakes3"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
)

// ListBucket gives one page of keys and of prefixes that end in the delimiter.
func (b *backend) ListBucket(ctx context.Context, bucket string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	l := lister{list: gofakes3.NewObjectList(), prefix: prefix.Prefix, delimiter: prefix.Delimiter, after: page.Marker, max: int(page.MaxKeys)}
	q := filestore.Query{Prefix: prefix.Prefix, After: page.Marker, Folders: prefix.Delimiter == "/"}
	for e, err := range b.store.Walk(ctx, bucket, q) {
		if err != nil {
			return nil, b.fail(ctx, objstore.Ref{Bucket: bucket}, err)
		}
		if !l.take(e) {
			break
		}
	}
	if c := callOf(ctx); l.count == 0 && c.listV2 {
		c.edit = withKeyCount
	}
	return l.list, nil
}

// lister fills a page. As in S3 a common prefix counts as one key.
type lister struct {
	list                     *gofakes3.ObjectList
	prefix, delimiter, after string
	max, count               int
	last                     string // key or common prefix of the page
}

// take puts an entry on the page and reports whether there may be more.
func (l *lister) take(e filestore.Entry) bool {
	name, common := e.Key, e.Folder
	if l.delimiter != "" && !common {
		rest := e.Key[len(l.prefix):]
		if i := strings.Index(rest, l.delimiter); i >= 0 {
			name, common = e.Key[:len(l.prefix)+i+len(l.delimiter)], true
		}
	}
	if common && (name == l.last && l.count > 0 || name == l.after) {
		return true
	}
	if l.max > 0 && l.count == l.max {
		l.list.IsTruncated, l.list.NextMarker = true, l.last
		return false
	}
	l.count, l.last = l.count+1, name
	if common {
		l.list.AddPrefix(name)
		return true
	}
	l.list.Add(&gofakes3.Content{
		Key: name, Size: e.Size, ETag: quote(e.ETag), StorageClass: gofakes3.StorageStandard,
		LastModified: gofakes3.NewContentTime(e.Modified),
	})
	return true
}

// withKeyCount adds the count that gofakes3 leaves out when it is 0 and that
// clients rely on.
func withKeyCount(xml []byte) []byte {
	const end = "</ListBucketResult>"
	return bytes.Replace(xml, []byte(end), []byte("<KeyCount>0</KeyCount>"+end), 1)
}
