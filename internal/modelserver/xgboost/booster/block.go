package booster

// blockBytes is about the size of the keys that are predicted together: they
// stay in the cache while every tree passes over them.
const blockBytes = 48 << 10

// A Block holds some rows, as keys, until they are predicted together. It is
// reused from block to block and belongs to one goroutine.
type Block struct {
	m      *Model
	stride int
	limit  int // rows that fit
	rows   int // rows that are complete
	blank  []int32
	keys   []int32 // of row r: keys[r*stride:], two slots a column
	row    []int32 // the row being filled
	sums   []float32
}

// NewBlock returns an empty block with the first row begun.
func (m *Model) NewBlock() *Block {
	stride := 2 * m.columns
	limit := min(max(blockBytes/(4*max(stride, m.groups)), 4), 256)
	b := &Block{m: m, stride: stride, limit: limit,
		blank: make([]int32, stride),
		keys:  make([]int32, stride*limit),
		sums:  make([]float32, limit*m.groups)}
	for i := range m.columns {
		b.blank[2*i], b.blank[2*i+1] = missingLeft, missingRight
	}
	b.begin()
	return b
}

// Features is Model.Features of the block's model.
func (b *Block) Features() int { return b.m.features }

// Rows is the number of complete rows.
func (b *Block) Rows() int { return b.rows }

// begin starts a row, or starts the current one again, with every value missing.
func (b *Block) begin() {
	b.row = b.keys[b.rows*b.stride : (b.rows+1)*b.stride]
	copy(b.row, b.blank)
}

// Set gives a feature of the row in hand a value, which must not be NaN. What is
// not set is missing. The feature must lie between 0 and Features()-1.
func (b *Block) Set(feature int, v float32) {
	if feature >= len(b.m.column) {
		return // no tree asks for it
	}
	if c := b.m.column[feature]; c >= 0 {
		k := key(v)
		b.row[2*c], b.row[2*c+1] = k, k
	}
}

// End completes the row in hand and begins the next one. It reports whether the
// block is full: then Predict must be called first.
func (b *Block) End() bool {
	b.rows++
	if b.rows == b.limit {
		return true
	}
	b.begin()
	return false
}

// Predict appends the predictions of the complete rows to out, Model.Outputs of
// them for each row, and empties the block.
func (b *Block) Predict(out []float32) []float32 {
	groups := b.m.groups
	for r := range b.rows {
		copy(b.sums[r*groups:], b.m.base)
	}
	if b.m.weights != nil {
		b.addLinear()
	}
	for i := range b.m.trees {
		b.addTree(&b.m.trees[i])
	}
	for r := range b.rows {
		out = append(out, b.m.objective.values(b.sums[r*groups:(r+1)*groups])...)
	}
	b.rows = 0
	b.begin()
	return out
}

func (b *Block) addTree(t *tree) {
	groups, stride := b.m.groups, b.stride
	sums := b.sums[t.group:]
	r := 0
	if t.categories == nil {
		for ; r+4 <= b.rows; r += 4 {
			k := b.keys[r*stride : (r+4)*stride]
			v0, v1, v2, v3 := t.leaves4(k[:stride], k[stride:2*stride], k[2*stride:3*stride], k[3*stride:])
			at := r * groups
			sums[at] += v0
			sums[at+groups] += v1
			sums[at+2*groups] += v2
			sums[at+3*groups] += v3
		}
	}
	for ; r < b.rows; r++ {
		sums[r*groups] += t.leaf(b.keys[r*stride : (r+1)*stride])
	}
}

// addLinear adds the products of the values that are present in the order of
// their features. The conversions keep the compiler from fusing product and
// sum, which would round otherwise than XGBoost does.
func (b *Block) addLinear() {
	m, groups := b.m, b.m.groups
	bias := m.weights[m.features*groups:]
	for r := range b.rows {
		keys, sums := b.keys[r*b.stride:(r+1)*b.stride], b.sums[r*groups:(r+1)*groups]
		for g := range sums {
			sums[g] = bias[g] + sums[g]
		}
		for f := range m.features {
			k := keys[2*f]
			if k == missingLeft {
				continue
			}
			v := unkey(k)
			for g, w := range m.weights[f*groups : (f+1)*groups] {
				sums[g] += float32(v * w)
			}
		}
	}
}
