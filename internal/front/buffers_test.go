package front

import "testing"

// A buffer has the room that was asked for, comes back by its size, and what is kept
// is bounded.
func TestBuffers(t *testing.T) {
	t.Parallel()
	var p buffers
	for _, n := range []int{0, 1, 4095, 4096, 4097, 8192, 100_000, 1 << 20, 8 << 20, 8<<20 + 1, 20 << 20} {
		b := p.get(n)
		if len(b) != 0 || cap(b) < n {
			t.Errorf("get(%d): %d of %d", n, len(b), cap(b))
		}
		p.put(b)
		if n > 8<<20 {
			continue // not kept
		}
		if again := p.get(n); cap(again) != cap(b) || cap(b) > 0 && &again[:1][0] != &b[:1][0] {
			t.Errorf("get(%d) does not give back what was put", n)
		}
	}
	p.put(nil)
	p.put(make([]byte, 100))
	if p.held != 0 {
		t.Errorf("%d bytes are held", p.held)
	}
	for range 100 {
		p.put(make([]byte, 0, 1<<20))
	}
	if p.held > maxFreeBytes {
		t.Errorf("%d bytes are held", p.held)
	}
	b := append(p.get(10), "abc"...)
	if b = p.grow(b, 5000); string(b) != "abc" || cap(b) < 5000 {
		t.Errorf("grown to %q of %d", b, cap(b))
	}
}
