package objstore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Filer is a Store whose objects are files of this machine, so that a job can
// look at them where they lie.
type Filer interface {
	Store
	// OpenFile opens the file that is the object now, for reading, pinned to an ETag
	// as by Range.IfMatch. Another object that takes the name later is another file.
	OpenFile(ctx context.Context, ref Ref, etag string) (*os.File, error)
}

// View shows any part of an object that is a file. It is safe for concurrent
// use. Nobody should write to the file meanwhile, but users may: a View then fails
// with fault.Conflict and gives no bytes that are neither old nor new unnoticed.
type View struct {
	info Info
	file *os.File
	seen fs.FileInfo // as the file was when it was opened
}

// NewView opens a View of an object, pinned to info.ETag. It gives fault.Unsupported
// where the store keeps no files; any object can be read instead.
func NewView(ctx context.Context, st Store, info Info) (*View, error) {
	files, ok := st.(Filer)
	if !ok {
		return nil, fault.New(fault.Unsupported, "the store of %s keeps no files", info.Ref)
	}
	f, err := files.OpenFile(ctx, info.Ref, info.ETag)
	if err != nil {
		return nil, err
	}
	v := &View{info: info, file: f}
	if v.seen, err = f.Stat(); err == nil && v.seen.Size() != info.Size {
		err = Changed(info.Ref, info.ETag)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return v, nil
}

// Close ends the View. Its Windows must have been closed before.
func (v *View) Close() error { return v.file.Close() }

// ReadAt implements io.ReaderAt.
func (v *View) ReadAt(p []byte, off int64) (int, error) {
	n, err := v.file.ReadAt(p, off)
	if errors.Is(err, io.EOF) && off+int64(n) < v.info.Size {
		return n, Changed(v.info.Ref, v.info.ETag)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = Unavailable(v.info.Ref, "reading", err)
	}
	return n, err
}

// Window maps n bytes, at least one, from off. They must lie within the object.
func (v *View) Window(off int64, n int) (*Window, error) {
	lead := int(off % int64(os.Getpagesize()))
	pages, err := unix.Mmap(int(v.file.Fd()), off-int64(lead), lead+n, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, Unavailable(v.info.Ref, "mapping", err)
	}
	_ = unix.Madvise(pages, unix.MADV_SEQUENTIAL) // advice
	return &Window{view: v, pages: pages, bytes: pages[lead:]}, nil
}

// check fails when the file is not what it was when it was opened.
func (v *View) check() error {
	now, err := v.file.Stat()
	if err != nil {
		return Unavailable(v.info.Ref, "reading", err)
	}
	if now.Size() != v.seen.Size() || !now.ModTime().Equal(v.seen.ModTime()) {
		return Changed(v.info.Ref, v.info.ETag)
	}
	return nil
}

// Window is a part of an object in memory that belongs to the kernel. Close must
// follow, once.
type Window struct {
	view  *View
	pages []byte // what is mapped
	bytes []byte // what was asked for
}

// Bytes are for system calls that read memory, such as a write to a socket, and
// for those only. Where the file has become shorter they fail with EFAULT; any
// other look would end the process, and is what Look is for.
func (w *Window) Bytes() []byte { return w.bytes }

// Look lets f look at Bytes()[from:to]. It fails with fault.Conflict when the file
// has become shorter than that. f must not call Look and must keep nothing.
func (w *Window) Look(from, to int, f func([]byte)) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch broken := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // the runtime's error of a fault
			err = Changed(w.view.info.Ref, w.view.info.ETag)
		default:
			panic(broken)
		}
	}()
	f(w.bytes[from:to])
	return nil
}

// Close ends the Window. It fails with fault.Conflict when the file was changed
// since the View was opened: what was seen may then be neither old nor new.
func (w *Window) Close() error {
	err := w.view.check()
	return errors.Join(err, unix.Munmap(w.pages))
}
