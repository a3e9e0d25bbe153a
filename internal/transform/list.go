package transform

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// List yields the objects of a job's input in a stable order, each with the place
// of its output. Seq counts from 1.
//
// S3Prefix is a plain key prefix: nothing is filtered by name (BT-40, BT-41), but
// the zero-byte objects that consoles make for folders are left out (BT-42).
func List(ctx context.Context, store objstore.Store, in resource.TransformInput, yield func(Object) error) error {
	ref, err := objstore.ParseURI(in.S3URI)
	if err != nil {
		return err
	}
	if in.S3DataType == "ManifestFile" {
		return listManifest(ctx, store, ref, yield)
	}
	seq := int64(0)
	for info, err := range store.List(ctx, ref.Bucket, ref.Key) {
		if err != nil {
			return err
		}
		if info.Size == 0 && strings.HasSuffix(info.Key, "/") {
			continue
		}
		seq++
		if err := yield(Object{Seq: seq, Info: info, Rel: Relative(ref.Key, info.Key)}); err != nil {
			return err
		}
	}
	return nil
}

// Relative is the rule of BT-103: what follows the prefix where the prefix is
// empty, ends in a slash, or is followed by one in the key; otherwise what
// follows the last slash of the prefix.
func Relative(prefix, key string) string {
	rest := strings.TrimPrefix(key, prefix)
	if prefix == "" || strings.HasSuffix(prefix, "/") {
		return rest
	}
	if after, ok := strings.CutPrefix(rest, "/"); ok {
		return after
	}
	return key[strings.LastIndexByte(prefix, '/')+1:]
}

// maxManifestBytes bounds a manifest: it is read whole.
const maxManifestBytes = 256 << 20

// listManifest reads a manifest and looks up every object that it names. One
// that cannot be looked up is yielded all the same, without size and ETag: it
// fails when its turn comes, and the others are tried (BT-24, BT-47).
func listManifest(ctx context.Context, store objstore.Store, ref objstore.Ref, yield func(Object) error) error {
	base, names, err := readManifest(ctx, store, ref)
	if err != nil {
		return err
	}
	for i, name := range names {
		at := objstore.Ref{Bucket: base.Bucket, Key: base.Key + name}
		info, err := store.Stat(ctx, at)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			info = objstore.Info{Ref: at}
		}
		if err := yield(Object{Seq: int64(i) + 1, Info: info, Rel: strings.TrimLeft(name, "/")}); err != nil {
			return err
		}
	}
	return nil
}

// readManifest reads and parses the manifest object.
func readManifest(ctx context.Context, store objstore.Store, ref objstore.Ref) (prefix objstore.Ref, names []string, err error) {
	info, err := store.Stat(ctx, ref)
	if err != nil {
		return prefix, nil, err
	}
	if info.Size > maxManifestBytes {
		return prefix, nil, fault.New(fault.Invalid, "the manifest %s has %d bytes, and may have %d", ref, info.Size, maxManifestBytes)
	}
	r := objstore.NewReader(ctx, store, info, objstore.ReaderOptions{})
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return prefix, nil, err
	}
	if prefix, names, err = ParseManifest(data); err != nil {
		return prefix, nil, fault.Wrap(fault.Invalid, err, "%s is not a manifest: %v", ref, err)
	}
	return prefix, names, nil
}

// ParseManifest reads a ManifestFile: a JSON array of {"prefix": uri} and then
// keys, each literal and joined to the prefix as it is (BT-43, BT-45). Duplicates
// come once.
func ParseManifest(data []byte) (prefix objstore.Ref, names []string, err error) {
	var entries []json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		return prefix, nil, fmt.Errorf("a manifest is a JSON array of {\"prefix\": \"s3://...\"} and then keys")
	}
	if len(entries) == 0 {
		return prefix, nil, fmt.Errorf("it has no entries; the first must be {\"prefix\": \"s3://...\"}")
	}
	var head struct {
		Prefix *string `json:"prefix"`
	}
	if err := json.Unmarshal(entries[0], &head); err != nil || head.Prefix == nil {
		return prefix, nil, fmt.Errorf("its first entry must be {\"prefix\": \"s3://...\"}")
	}
	if prefix, err = objstore.ParseURI(*head.Prefix); err != nil {
		return prefix, nil, fmt.Errorf("its prefix: %s", fault.TextOf(err))
	}
	seen := make(map[string]bool, len(entries)-1)
	for i, raw := range entries[1:] {
		var name *string
		if err := json.Unmarshal(raw, &name); err != nil || name == nil {
			return prefix, nil, fmt.Errorf("its entry %d is not a string", i+2)
		}
		if *name == "" && prefix.Key == "" {
			return prefix, nil, fmt.Errorf("its entry %d is empty and names no object", i+2)
		}
		if !seen[*name] {
			seen[*name] = true
			names = append(names, *name)
		}
	}
	if len(names) == 0 {
		return prefix, nil, fmt.Errorf("it names no objects")
	}
	return prefix, names, nil
}
