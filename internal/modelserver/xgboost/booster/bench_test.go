package booster

import (
	"math/rand/v2"
	"testing"
)

// forest makes a model of complete trees with random splits.
func forest(b *testing.B, trees, depth, features int) *Model {
	random := rand.New(rand.NewPCG(1, 1))
	c := &contents{objective: "binary:logistic", kind: "gbtree", features: features, base: []float32{0.5}}
	n := 1<<(depth+1) - 1
	for range trees {
		raw := rawTree{left: make([]int32, n), right: make([]int32, n), feature: make([]uint32, n),
			condition: make([]float32, n), defaultLeft: make([]bool, n)}
		for i := range n {
			raw.left[i], raw.right[i] = int32(2*i+1), int32(2*i+2)
			if raw.right[i] >= int32(n) {
				raw.left[i], raw.right[i] = -1, -1
			}
			raw.feature[i] = random.Uint32N(uint32(features))
			raw.condition[i] = float32(random.NormFloat64()) * 0.5
			raw.defaultLeft[i] = random.IntN(2) == 0
		}
		c.trees, c.treeGroup = append(c.trees, raw), append(c.treeGroup, 0)
	}
	m, err := c.model()
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// BenchmarkPredict measures 100 trees of depth 6 over 30 features with 5 % of
// the values missing: four rows at once, as they are walked, and row by row.
func BenchmarkPredict(b *testing.B) {
	const features = 30
	m := forest(b, 100, 6, features)
	random := rand.New(rand.NewPCG(2, 2))
	values := make([]float32, 4096*features)
	for i := range values {
		values[i] = float32(random.NormFloat64())
	}
	present := make([]bool, len(values))
	for i := range present {
		present[i] = random.IntN(20) != 0
	}
	measure := func(b *testing.B, predict func(*Block)) {
		block := m.NewBlock()
		rows, at := 0, 0
		for b.Loop() {
			for full := false; !full; {
				for f := range features {
					if present[at+f] {
						block.Set(f, values[at+f])
					}
				}
				at = (at + features) % len(values)
				full = block.End()
			}
			rows += block.Rows()
			predict(block)
		}
		b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	}
	var out []float32
	b.Run("four rows", func(b *testing.B) { measure(b, func(k *Block) { out = k.Predict(out[:0]) }) })
	b.Run("row by row", func(b *testing.B) {
		measure(b, func(k *Block) {
			for i := range m.trees {
				for r := range k.rows {
					k.sums[r] += m.trees[i].leaf(k.keys[r*k.stride : (r+1)*k.stride])
				}
			}
			k.rows = 0
			k.begin()
		})
	})
}
