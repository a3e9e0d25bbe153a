// Package filestore keeps objects as plain files: a bucket is a folder under
// the root, the object a/b.csv the file BUCKET/a/b.csv. Users may look at the
// files, edit them and drop new ones in; such a file is listed at once.
//
// It implements objstore.Store for jobs and, beyond that, what the room s3api
// needs to speak S3: buckets, headers, conditional writes, copies, multipart
// uploads, listings by delimiter. It knows nothing of HTTP.
//
// # Names
//
// A key whose segments can be file names is the path itself. Names that begin
// with "%~", "%=" or "%+" are ours and carry the segments that cannot be plain
// (see segmentPath): empty ones as in "a//b" and "a/", "." and "..", NUL, those
// over 255 bytes, those that begin with such a mark, and the object "a" where a
// folder "a" stands beside it. The mapping is reversible and without collisions.
// Symbolic links are never objects, and none leads out of its bucket.
//
// # Durability
//
// An object is written to a file of its own under .sagebrush/tmp, synced,
// renamed into place, and its folder synced: it appears at once, whole, and
// stays after a power failure. A delete is not synced.
//
// # What is known of an object
//
// ETag, content type and headers live in the file's extended attribute
// user.sagebrush.object, or in .sagebrush/meta where the file system has no
// attributes. They count only while the file's size and modification time are
// those recorded; a file that was edited or made by hand has an ETag derived
// from its size, time and inode and a content type by its extension.
package filestore
