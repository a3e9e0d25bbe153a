package booster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// readLegacy reads the binary format of the releases before 2.0: C structures,
// little endian, one behind the other, with a "binf" in front in old files.
func readLegacy(data []byte) (*contents, error) {
	if bytes.HasPrefix(data, []byte("bs64")) {
		return nil, errors.New("the base64 form of a model is not supported: save it with save_model")
	}
	r := &binaryReader{data: bytes.TrimPrefix(data, []byte("binf"))}
	b := r.contents()
	if r.err != nil {
		return nil, fmt.Errorf("the file is neither a JSON nor a UBJSON model, and as an old binary one it fails: %w", r.err)
	}
	return b, nil
}

// A binaryReader keeps its first error; from then on all reads give zeros.
type binaryReader struct {
	data []byte
	err  error
}

func (r *binaryReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.data = nil
}

func (r *binaryReader) bytes(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.data) {
		r.fail(io.ErrUnexpectedEOF)
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *binaryReader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *binaryReader) int32() int32     { return int32(r.uint32()) }
func (r *binaryReader) float32() float32 { return math.Float32frombits(r.uint32()) }

// length reads the 64-bit length of a list whose elements take at least size
// bytes each, so that it cannot promise more than the file holds.
func (r *binaryReader) length(size int) int {
	b := r.bytes(8)
	if b == nil {
		return 0
	}
	n := binary.LittleEndian.Uint64(b)
	if n > uint64(len(r.data)/size) {
		r.fail(io.ErrUnexpectedEOF)
		return 0
	}
	return int(n)
}

func (r *binaryReader) text() string { return string(r.bytes(r.length(1))) }

func (r *binaryReader) floats() []float32 {
	out := make([]float32, r.length(4))
	for i := range out {
		out[i] = r.float32()
	}
	return out
}

// contents reads the learner's 34 words, the names of objective and booster,
// the booster itself and the attributes.
func (r *binaryReader) contents() *contents {
	b := &contents{}
	b.base = []float32{r.float32()}
	features := r.uint32()
	b.features = int(min(features, math.MaxInt32))
	b.classes = int(r.int32())
	attributes := r.int32() != 0
	r.int32() // whether evaluation metrics follow at the end
	b.baseIsMargin = r.uint32() == 0
	r.uint32() // minor version
	b.targets = int(r.uint32())
	r.bytes(26 * 4)
	b.objective = r.text()
	b.kind = r.text()
	if r.err != nil {
		return b
	}
	switch b.kind {
	case "gbtree", "dart":
		r.trees(b)
		if b.kind == "dart" && len(b.trees) > 0 {
			b.dropWeights = r.floats()
		}
	case "gblinear":
		r.bytes(34 * 4)
		b.linear = r.floats()
	default:
		r.fail(fmt.Errorf("booster %.40q is not supported", b.kind))
	}
	if attributes {
		for range r.length(16) {
			name, value := r.text(), r.text()
			if name == "best_ntree_limit" {
				b.bestTreeLimit = value
			}
		}
	}
	return b
}

func (r *binaryReader) trees(b *contents) {
	count := int(r.int32())
	b.parallelTrees = int(r.int32())
	r.bytes(2 * 4)
	if buffer := r.bytes(8); buffer != nil && binary.LittleEndian.Uint64(buffer) != 0 {
		r.fail(errors.New("it holds a prediction buffer, as releases before 0.6 wrote"))
	}
	r.bytes(4)
	b.leafVectorWidth = int(r.int32())
	r.bytes(32 * 4)
	const treeBytes = 37*4 + 20 + 16 + 4
	if r.err == nil && (count < 0 || count > len(r.data)/treeBytes) {
		r.fail(fmt.Errorf("%d trees do not fit into the file", count))
	}
	for i := 0; i < count && r.err == nil; i++ {
		b.trees = append(b.trees, r.tree(b))
	}
	for i := 0; i < count && r.err == nil; i++ {
		b.treeGroup = append(b.treeGroup, int(r.int32()))
	}
}

func (r *binaryReader) tree(b *contents) rawTree {
	r.int32() // roots
	n := int(r.int32())
	r.bytes(3 * 4)
	b.leafVectorWidth = max(b.leafVectorWidth, int(r.int32()))
	r.bytes(31 * 4)
	const nodeBytes, statBytes = 20, 16
	if r.err == nil && (n < 1 || n > len(r.data)/(nodeBytes+statBytes)) {
		r.fail(fmt.Errorf("a tree of %d nodes does not fit into the file", n))
	}
	if r.err != nil {
		return rawTree{}
	}
	t := rawTree{left: make([]int32, n), right: make([]int32, n), feature: make([]uint32, n),
		condition: make([]float32, n), defaultLeft: make([]bool, n)}
	for i := range n {
		r.int32() // parent
		t.left[i], t.right[i] = r.int32(), r.int32()
		split := r.uint32()
		t.feature[i], t.defaultLeft[i] = split&math.MaxInt32, split>>31 != 0
		t.condition[i] = r.float32()
	}
	r.bytes(n * statBytes)
	return t
}
