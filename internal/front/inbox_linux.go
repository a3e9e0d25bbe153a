package front

// inbox is what a client has sent and no request has taken yet.
type inbox struct {
	buf      []byte
	off      int  // how much of buf is taken
	borrowed bool // buf is the loop's, until the event has been dealt with
}

func (in *inbox) bytes() []byte { return in.buf[in.off:] }

// take takes n bytes.
func (in *inbox) take(n int) { in.off += n }

// settle gives what is borrowed a buffer of its own, and an empty one back.
func (in *inbox) settle(pool *buffers) {
	switch {
	case in.off == len(in.buf):
		if !in.borrowed {
			pool.put(in.buf)
		}
		*in = inbox{}
	case in.borrowed:
		*in = inbox{buf: append(pool.get(len(in.buf)-in.off), in.bytes()...)}
	}
}

// room gives space to read into, behind what is there: at least enough for want
// bytes in all, or the loop's buffer where nothing is there.
func (in *inbox) room(l *loop, want int) []byte {
	in.settle(&l.pool)
	if in.buf == nil {
		in.borrowed = true
		in.buf = l.buf[:0]
		return l.buf[:firstRead]
	}
	if in.off > 0 {
		in.buf = in.buf[:copy(in.buf, in.bytes())]
		in.off = 0
	}
	in.buf = l.pool.grow(in.buf, max(want, len(in.buf)+1))
	return in.buf[len(in.buf):cap(in.buf)]
}

// read takes note of n bytes read into room.
func (in *inbox) read(n int) { in.buf = in.buf[:len(in.buf)+n] }
