package storetest

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// testList covers BT-40 and BT-41: a prefix is a plain prefix, recursive, and
// nothing is filtered by its name.
func testList(t *testing.T, h Harness) {
	for _, key := range []string{
		"in/a.csv", "in/b/c.csv", "in/_SUCCESS", "in/.hidden", "in/_manifest.json",
		"inner/b.csv", "in-1", "in.csv", "in0", "in", "other",
	} {
		h.put(t, key, []byte(key))
	}
	for _, c := range []struct {
		prefix string
		want   []string
	}{
		{"in/", []string{"in/.hidden", "in/_SUCCESS", "in/_manifest.json", "in/a.csv", "in/b/c.csv"}},
		{"in", []string{"in", "in-1", "in.csv", "in/.hidden", "in/_SUCCESS", "in/_manifest.json", "in/a.csv", "in/b/c.csv", "in0", "inner/b.csv"}},
		{"in/b", []string{"in/b/c.csv"}},
		{"in/b/c.csv", []string{"in/b/c.csv"}},
		{"in/b/c.csv/", nil},
		{"nothing", nil},
		{"no/thing/", nil},
	} {
		if got := h.keys(t, c.prefix); !slices.Equal(got, c.want) {
			t.Errorf("List(%q)\n got %q\nwant %q", c.prefix, got, c.want)
		}
	}
	for info, err := range h.Store.List(t.Context(), h.Bucket, "") {
		if err != nil {
			t.Fatal(err)
		}
		seen, err := h.Store.Stat(t.Context(), info.Ref)
		if err != nil || seen.Size != info.Size || seen.ETag != info.ETag || int(info.Size) != len(info.Key) {
			t.Errorf("List gave %+v, Stat %+v and %v", info, seen, err)
		}
		break // stopping early must be harmless
	}
}

// oddKeys cannot all be plain file paths.
var oddKeys = []string{
	"a", "a/b", "a/b/c", "a/", "a//", "a//b", "/lead", "//", "/", ".", "..", "./x", "../x", "x/..", "x/../y", "x/./y",
	"%", "%2F", "%~", "%~x", "%=a", "%+a/b", "a%00b", "sp ace", "plus+sign", "tab\there", "new\nline", "umläut/日本", "quote\"'&<>",
	"back\\slash", ".sagebrush/tmp/x", "con", "a-b", "a.b", "a0", "~", "-rf", "#?;=&", strings.Repeat("n", 255), strings.Repeat("n", 256),
	strings.Repeat("n", 256) + "/" + strings.Repeat("m", 300) + "/x", strings.Repeat("%", 300), strings.Repeat("é", 400), strings.Repeat("d/", 300) + "x",
}

func testOddKeys(t *testing.T, h Harness) {
	for _, key := range oddKeys {
		h.put(t, key, []byte("body of "+key))
	}
	for _, key := range oddKeys {
		if got := h.get(t, key, objstore.All); string(got) != "body of "+key {
			t.Errorf("%q holds %q", key, got)
		}
	}
	want := slices.Sorted(slices.Values(oddKeys))
	if got := h.keys(t, ""); !slices.Equal(got, want) {
		t.Errorf("List\n got %q\nwant %q", got, want)
	}
	for i, key := range oddKeys {
		if err := h.Store.Delete(t.Context(), h.ref(key)); err != nil {
			t.Errorf("deleting %q: %v", key, err)
		}
		if i == len(oddKeys)/2 {
			want := slices.Sorted(slices.Values(oddKeys[i+1:]))
			if got := h.keys(t, ""); !slices.Equal(got, want) {
				t.Errorf("half deleted, List\n got %q\nwant %q", got, want)
			}
		}
	}
	if got := h.keys(t, ""); len(got) != 0 {
		t.Errorf("after all deletes there are still %q", got)
	}
}

// Keys draws keys that crowd together: short segments of the characters around
// '/' in byte order, so that folders, objects and prefixes collide.
func Keys() *rapid.Generator[string] {
	segment := rapid.SampledFrom([]string{"", "a", "b", "a-", "a.", "a0", "-", ".", "..", "%~", "%=a", "%+", "é", strings.Repeat("l", 260), strings.Repeat("l", 300)})
	return rapid.Map(rapid.SliceOfN(segment, 1, 3), func(segs []string) string {
		if key := strings.Join(segs, "/"); key != "" {
			return key
		}
		return "k"
	})
}

// testListProperty compares the store with a sorted set through puts, deletes
// and lists in any order.
func testListProperty(t *testing.T, h Harness) {
	rapid.Check(t, func(rt *rapid.T) {
		for _, key := range h.keys(t, "") {
			if err := h.Store.Delete(t.Context(), h.ref(key)); err != nil {
				rt.Fatalf("Delete %q: %v", key, err)
			}
		}
		model := map[string]bool{}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			key := Keys().Draw(rt, "key")
			if rapid.IntRange(0, 3).Draw(rt, "delete") == 0 {
				if err := h.Store.Delete(t.Context(), h.ref(key)); err != nil {
					rt.Fatalf("Delete %q: %v", key, err)
				}
				delete(model, key)
				continue
			}
			h.put(t, key, []byte(key))
			model[key] = true
		}
		whole := Keys().Draw(rt, "prefix")
		prefix := whole[:rapid.IntRange(0, len(whole)).Draw(rt, "cut")]
		var want []string
		for key := range model {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		slices.Sort(want)
		if got := h.keys(t, prefix); !slices.Equal(got, want) {
			rt.Fatalf("List(%q)\n got %q\nwant %q", prefix, got, want)
		}
	})
}
