package record

import "io"

// firstWindow is the size at which a window starts; it grows only for records
// that do not fit.
const firstWindow = 256 << 10

// window is the part of a source that is in memory. Unread bytes are buf[r:w].
type window struct {
	src io.Reader
	buf []byte
	r,
	w int
	off int64 // offset in the source of buf[r]
	err error // what the source ended with; io.EOF at its end
}

// need makes at least n unread bytes available, moving and growing the buffer
// where it must. When the source has fewer left it returns what the source
// ended with, and the bytes that there are stay available.
func (w *window) need(n int) error {
	for w.w-w.r < n {
		if w.err != nil {
			return w.err
		}
		w.reserve(n)
		m, err := w.src.Read(w.buf[w.w:])
		w.w += m
		if err == nil && m == 0 {
			err = w.retryEmpty()
		}
		w.err = err
	}
	return nil
}

// retryEmpty reads again after a read of nothing, up to the number of times that
// the standard library tolerates.
func (w *window) retryEmpty() error {
	for range 100 {
		m, err := w.src.Read(w.buf[w.w:])
		w.w += m
		if m > 0 || err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// reserve makes room for n unread bytes in all, and for at least one more.
func (w *window) reserve(n int) {
	if len(w.buf)-w.r >= n && w.w < len(w.buf) {
		return
	}
	buf := w.buf
	if size := max(n, firstWindow); size > len(buf) {
		buf = make([]byte, max(size, min(2*len(buf), size+firstWindow*16)))
	}
	copy(buf, w.buf[w.r:w.w])
	w.buf, w.r, w.w = buf, 0, w.w-w.r
}

// unread gives the bytes that are in memory and not yet taken.
func (w *window) unread() []byte { return w.buf[w.r:w.w] }

// take gives the next n unread bytes, which must be there.
func (w *window) take(n int) []byte {
	b := w.buf[w.r : w.r+n : w.r+n]
	w.r += n
	w.off += int64(n)
	return b
}
