package record

import (
	"bytes"
	"fmt"
	"testing"
)

// BenchmarkBatcher measures cutting and packing alone, from memory. The payload
// buffers go round a small ring, as in the engine.
func BenchmarkBatcher(b *testing.B) {
	for _, width := range []int{100, 1000} {
		row := append(bytes.Repeat([]byte("7"), width-1), '\n')
		data := bytes.Repeat(row, (64<<20)/len(row))
		for name, cfg := range map[string]Config{
			"multi":  {Split: Line, Limit: 6 << 20},
			"single": {Split: Line, Single: true, Limit: 6 << 20},
		} {
			b.Run(fmt.Sprintf("%s/%dB", name, width), func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				ring := make([]Group, 4)
				for b.Loop() {
					p := NewBatcher(bytes.NewReader(data), cfg)
					for i := 0; p.Fill(&ring[i%len(ring)], 256) == nil; i++ {
					}
				}
			})
		}
	}
}
