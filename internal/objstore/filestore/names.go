package filestore

import (
	"path"
	"strings"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

const (
	// MaxKey is S3's limit for a key in bytes.
	MaxKey = 1024

	maxName      = 255  // bytes of a file name on every file system we know
	markEscaped  = "%~" // a segment that cannot be a plain name
	markBeside   = "%=" // an object that stands beside a folder of its name
	markContinue = "%+" // a folder that holds the rest of an over-long segment
)

// checkRef refuses names that no object can have.
func checkRef(ref objstore.Ref) error {
	if !ValidBucket(ref.Bucket) {
		return objstore.NotFound(objstore.Ref{Bucket: ref.Bucket}, nil)
	}
	if ref.Key == "" {
		return fault.New(fault.Invalid, "an object of the bucket %q needs a key", ref.Bucket)
	}
	if len(ref.Key) > MaxKey {
		return fault.New(fault.Invalid, "the key %.40q... has %d bytes, more than %d", ref.Key, len(ref.Key), MaxKey)
	}
	return nil
}

// ValidBucket reports whether a folder of this name can be a bucket. It is
// laxer than S3, so that a folder made by hand is a bucket too: letters, digits
// and . _ - with a letter or digit first.
func ValidBucket(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// plain reports whether a segment of a key can be a file name as it is.
func plain(seg string) bool {
	if seg == "" || seg == "." || seg == ".." || len(seg) > maxName || strings.IndexByte(seg, 0) >= 0 {
		return false
	}
	return len(seg) < 2 || seg[0] != '%' || seg[1] != '~' && seg[1] != '=' && seg[1] != '+'
}

// segmentPath maps one segment of a key to a relative path: the segment itself
// when it is plain; else a mark and the segment with '%' and NUL percent-encoded,
// cut into folders when that is longer than a file name may be.
func segmentPath(seg string, beside bool) string {
	if !beside && plain(seg) {
		return seg
	}
	mark := markEscaped
	if beside {
		mark = markBeside
	}
	rest := escape(seg)
	var b strings.Builder
	for len(mark)+len(rest) > maxName {
		cut := cutPoint(rest, maxName-len(markContinue))
		b.WriteString(markContinue + rest[:cut] + "/")
		rest = rest[cut:]
	}
	return b.String() + mark + rest
}

// cutPoint finds the last place at or before limit that divides neither an
// escape nor a character.
func cutPoint(s string, limit int) int {
	for cut := limit; cut > limit-utf8.UTFMax; cut-- {
		if utf8.RuneStart(s[cut]) && s[cut-1] != '%' && s[cut-2] != '%' {
			return cut
		}
	}
	return limit // only continuation bytes here: not text, and no escape near
}

func escape(seg string) string {
	if strings.IndexByte(seg, '%') < 0 && strings.IndexByte(seg, 0) < 0 {
		return seg
	}
	return strings.NewReplacer("%", "%25", "\x00", "%00").Replace(seg)
}

func unescape(name string) (string, bool) {
	if strings.IndexByte(name, '%') < 0 {
		return name, true
	}
	seg := strings.NewReplacer("%25", "%", "%00", "\x00").Replace(name)
	return seg, escape(seg) == name
}

// objectPath is where an object lives in its bucket's folder. With beside it
// is the place it takes when a folder has the plain one.
func objectPath(key string, beside bool) string {
	if !beside && allPlain(key) {
		return key
	}
	cut := strings.LastIndexByte(key, '/') + 1
	return path.Join(folderPath(key[:cut]), segmentPath(key[cut:], beside))
}

// folderPath is the folder of the keys that begin with base, which is "" or
// ends in '/'. The bucket's own folder is ".".
func folderPath(base string) string {
	if base == "" {
		return "."
	}
	segs := strings.Split(base[:len(base)-1], "/")
	for i, seg := range segs {
		segs[i] = segmentPath(seg, false)
	}
	return strings.Join(segs, "/")
}

func allPlain(key string) bool {
	for {
		seg, rest, more := strings.Cut(key, "/")
		if !plain(seg) {
			return false
		}
		if !more {
			return true
		}
		key = rest
	}
}
