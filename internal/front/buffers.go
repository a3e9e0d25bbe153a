package front

import "math/bits"

// buffers keeps buffers of a loop for the next use, by size: powers of two from
// 4 KiB to 8 MiB. It is not for concurrent use.
type buffers struct {
	free [12][][]byte
	held int // bytes in free
}

const (
	smallestBuffer = 4 << 10
	maxFreeBytes   = 64 << 20 // more than that goes back to the collector
)

func bufferClass(n int) int {
	if n <= smallestBuffer {
		return 0
	}
	return bits.Len(uint(n-1)) - 12
}

// get gives an empty buffer with room for n bytes.
func (p *buffers) get(n int) []byte {
	class := bufferClass(n)
	if class >= len(p.free) {
		return make([]byte, 0, n)
	}
	if list := p.free[class]; len(list) > 0 {
		b := list[len(list)-1]
		p.free[class] = list[:len(list)-1]
		p.held -= cap(b)
		return b[:0]
	}
	return make([]byte, 0, smallestBuffer<<class)
}

// put takes a buffer back. nil is none.
func (p *buffers) put(b []byte) {
	class := bufferClass(cap(b))
	if cap(b) < smallestBuffer || class >= len(p.free) || cap(b) != smallestBuffer<<class || p.held+cap(b) > maxFreeBytes {
		return
	}
	p.held += cap(b)
	p.free[class] = append(p.free[class], b)
}

// grow gives b room for n bytes in all, in a larger buffer if need be.
func (p *buffers) grow(b []byte, n int) []byte {
	if n <= cap(b) {
		return b
	}
	larger := append(p.get(n), b...)
	p.put(b)
	return larger
}
