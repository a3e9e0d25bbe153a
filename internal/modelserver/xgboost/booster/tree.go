package booster

import (
	"fmt"
	"math"
	"slices"
)

// A rawTree is one tree as a file tells it: a node is an index into each of
// the slices. It is not checked.
type rawTree struct {
	left, right []int32
	feature     []uint32
	condition   []float32 // the split's threshold, or the leaf's value
	defaultLeft []bool
	categories  map[int32][]int32 // nodes that split by category: the ones that go right
}

// A node is laid out so that a step down the tree needs no branch. Values are
// compared as ordered integers, see key. The right child stands behind the
// left one, and a leaf has itself for its left child and is never passed.
type node struct {
	split int32  // go right when the key is at least this
	slot  uint32 // twice the column, plus 1 when a missing value goes right
	left  uint32
	value float32 // of a leaf, times the tree's weight
}

type tree struct {
	nodes      []node
	depth      int
	group      int
	categories [][]int32 // nil when no node splits by category; sorted
}

// missingLeft and missingRight are the keys that a missing value has in the
// two slots of its column: below every split and above every split.
const (
	missingLeft  = math.MinInt32
	missingRight = math.MaxInt32
)

// key maps a float32, not NaN, to an integer that orders as the float does and
// lies strictly between missingLeft+1 and missingRight. Both zeros are 0.
func key(v float32) int32 {
	bits := int32(math.Float32bits(v))
	if bits >= 0 {
		return bits
	}
	if v == 0 {
		return 0
	}
	return bits ^ math.MaxInt32
}

// unkey is the inverse of key.
func unkey(k int32) float32 {
	if k < 0 {
		k ^= math.MaxInt32
	}
	return math.Float32frombits(uint32(k))
}

// splitKey is the key of a threshold. Nothing is below NaN, so every value that
// is present goes right.
func splitKey(v float32) int32 {
	if v != v {
		return missingLeft + 1
	}
	return key(v)
}

// flatten checks a tree, numbers its nodes level by level with siblings side by
// side, and gives the features it asks for columns of the model. Every node
// may be reached once: a cycle or a shared child is an error.
func (m *Model) flatten(raw *rawTree, weight float32) (tree, error) {
	n := len(raw.left)
	if n == 0 || len(raw.right) != n || len(raw.feature) != n || len(raw.condition) != n || len(raw.defaultLeft) != n {
		return tree{}, fmt.Errorf("its node arrays differ in length or are empty")
	}
	t := tree{nodes: make([]node, 1, n)}
	order := make([]int32, 1, n) // old index by new one
	seen := make([]bool, n)
	seen[0] = true
	if len(raw.categories) > 0 {
		t.categories = make([][]int32, n)
	}
	for start, end := 0, 1; start < end; start, end = end, len(order) {
		for at := start; at < end; at++ {
			old := order[at]
			if raw.left[old] == -1 {
				t.nodes[at] = node{split: math.MaxInt32, left: uint32(at), value: weight * raw.condition[old]}
				continue
			}
			for _, child := range [2]int32{raw.left[old], raw.right[old]} {
				if child < 0 || int(child) >= n || seen[child] {
					return tree{}, fmt.Errorf("node %d has child %d, which does not exist or has a parent already", old, child)
				}
				seen[child] = true
				order = append(order, child)
			}
			if err := m.fillSplit(&t, at, raw, old); err != nil {
				return tree{}, err
			}
			t.nodes[at].left = uint32(len(t.nodes))
			t.nodes = append(t.nodes, node{}, node{})
		}
		if len(order) > end {
			t.depth++
		}
	}
	return t, nil
}

func (m *Model) fillSplit(t *tree, at int, raw *rawTree, old int32) error {
	feature := raw.feature[old]
	if int64(feature) >= int64(m.features) {
		return fmt.Errorf("node %d splits by feature %d of %d", old, feature, m.features)
	}
	nd := &t.nodes[at]
	nd.slot = 2 * uint32(m.columnOf(int(feature)))
	if !raw.defaultLeft[old] {
		nd.slot++
	}
	nd.split = splitKey(raw.condition[old])
	if set, ok := raw.categories[old]; ok {
		sorted := slices.Clone(set)
		slices.Sort(sorted)
		t.categories[at] = append(make([]int32, 0, len(sorted)), sorted...)
	}
	return nil
}

// columnOf gives a feature a column when the first tree asks for it.
func (m *Model) columnOf(feature int) int32 {
	for len(m.column) <= feature {
		m.column = append(m.column, -1)
	}
	if m.column[feature] < 0 {
		m.column[feature] = int32(m.columns)
		m.columns++
	}
	return m.column[feature]
}

// over is 1 when k is at least split and 0 otherwise, without a branch.
func over(k, split int32) uint32 {
	return uint32(uint64(int64(split)-int64(k)-1) >> 63)
}

// deepest is the depth up to which a walk takes every step without looking
// whether all rows have reached their leaves.
const deepest = 12

// leaves4 walks four rows down at once. Their loads do not wait for each other,
// which is what makes it faster than one row after the other.
func (t *tree) leaves4(k0, k1, k2, k3 []int32) (v0, v1, v2, v3 float32) {
	nodes := t.nodes
	var a, b, c, d uint32
	steps := min(t.depth, deepest)
	for range steps {
		na, nb, nc, nd := &nodes[a], &nodes[b], &nodes[c], &nodes[d]
		a = na.left + over(k0[na.slot], na.split)
		b = nb.left + over(k1[nb.slot], nb.split)
		c = nc.left + over(k2[nc.slot], nc.split)
		d = nd.left + over(k3[nd.slot], nd.split)
	}
	for range t.depth - steps {
		na, nb, nc, nd := &nodes[a], &nodes[b], &nodes[c], &nodes[d]
		if na.left == a && nb.left == b && nc.left == c && nd.left == d {
			break
		}
		a = na.left + over(k0[na.slot], na.split)
		b = nb.left + over(k1[nb.slot], nb.split)
		c = nc.left + over(k2[nc.slot], nc.split)
		d = nd.left + over(k3[nd.slot], nd.split)
	}
	return nodes[a].value, nodes[b].value, nodes[c].value, nodes[d].value
}

// leaf walks one row down, by category where the tree says so.
func (t *tree) leaf(keys []int32) float32 {
	at := uint32(0)
	for {
		n := &t.nodes[at]
		if n.left == at {
			return n.value
		}
		k := keys[n.slot]
		if t.categories != nil && t.categories[at] != nil {
			at = n.left + categoryStep(k, t.categories[at])
		} else {
			at = n.left + over(k, n.split)
		}
	}
}

// categoryStep goes right for a category of the set. XGBoost sends a value that
// is no category, negative or 2^24 and more, to the left as it does an unknown
// category, and drops the fraction of any other.
func categoryStep(k int32, set []int32) uint32 {
	switch k {
	case missingLeft:
		return 0
	case missingRight:
		return 1
	}
	v := unkey(k)
	if v < 0 || v >= 1<<24 {
		return 0
	}
	if _, found := slices.BinarySearch(set, int32(v)); found {
		return 1
	}
	return 0
}
