package modelcache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sort"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// maxObjects bounds the objects of one S3Prefix source.
const maxObjects = 100_000

// found is model data as it lies in the store at one moment: where each object
// goes in the folder, and which bytes it has.
type found struct {
	source  resource.ModelData
	objects []place // sorted by key
	bytes   int64
}

// place is one object and its path in the folder; "" unpacks it there.
type place struct {
	objstore.Info
	path string
}

// key names what the folder will hold: equal keys, equal bytes.
func (f found) key() string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, o := range f.objects {
		// Encoding strings and numbers to a hash cannot fail.
		_ = enc.Encode([]any{o.Bucket, o.Key, o.ETag, o.Size, o.Modified.UnixNano(), o.path, f.source.Gzip})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// find looks model data up and decides where each object goes (CC-14).
func find(ctx context.Context, store objstore.Store, source resource.ModelData) (found, error) {
	ref, err := objstore.ParseURI(source.S3URI)
	if err != nil {
		return found{}, err
	}
	if source.Prefix {
		return findPrefix(ctx, store, source, ref)
	}
	info, err := store.Stat(ctx, ref)
	if err != nil {
		return found{}, err
	}
	if source.ETag != "" && strings.Trim(source.ETag, `"`) != info.ETag {
		return found{}, fault.New(fault.Conflict, "its ETag is %q and the model asks for %q", info.ETag, source.ETag)
	}
	p := place{Info: info}
	if !source.Gzip {
		p.path = ref.Key[strings.LastIndexByte(ref.Key, '/')+1:]
		if err := checkPath(ref.Key, p.path); err != nil {
			return found{}, err
		}
	}
	return found{source: source, objects: []place{p}, bytes: info.Size}, nil
}

// findPrefix lists the objects below a prefix.
func findPrefix(ctx context.Context, store objstore.Store, source resource.ModelData, ref objstore.Ref) (found, error) {
	f := found{source: source}
	for info, err := range store.List(ctx, ref.Bucket, ref.Key) {
		if err != nil {
			return found{}, err
		}
		p := place{Info: info, path: strings.TrimPrefix(info.Key, ref.Key)}
		if source.Gzip {
			if !strings.HasSuffix(info.Key, ".tar.gz") {
				continue
			}
			p.path = ""
		} else if err := checkPath(info.Key, p.path); err != nil {
			return found{}, err
		}
		// To list is not to read: what others have fetched is not for everybody.
		if err := objstore.Ask(ctx, "GetObject", info.Ref); err != nil {
			return found{}, err
		}
		f.objects = append(f.objects, p)
		f.bytes += info.Size
		if len(f.objects) > maxObjects {
			return found{}, fault.New(fault.Limit, "there are more than %d objects", maxObjects)
		}
	}
	switch {
	case len(f.objects) == 0:
		return found{}, fault.New(fault.NotFound, "no objects are there")
	case source.Gzip && len(f.objects) > 1:
		return found{}, fault.New(fault.Invalid, "%d objects end in .tar.gz there, and with CompressionType Gzip there must be one", len(f.objects))
	}
	return f, checkFolders(f.objects)
}

// checkPath refuses the names that a folder cannot hold (CC-14).
func checkPath(key, path string) error {
	for name := range strings.SplitSeq(path, "/") {
		if strings.TrimSpace(name) == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsRune(name, 0) {
			return fault.New(fault.Invalid, "the object %q cannot become a file: %q is not a name that a file may have", key, name)
		}
	}
	return nil
}

// checkFolders refuses a key that is a file and a folder at once (CC-14).
func checkFolders(objects []place) error {
	paths := make([]string, len(objects))
	files := make(map[string]bool, len(objects))
	for i, o := range objects {
		paths[i], files[o.path] = o.path, true
	}
	sort.Strings(paths)
	for _, path := range paths {
		for i := range len(path) {
			if path[i] == '/' && files[path[:i]] {
				return fault.New(fault.Invalid, "%q is a file and a folder at the same time", path[:i])
			}
		}
	}
	return nil
}
