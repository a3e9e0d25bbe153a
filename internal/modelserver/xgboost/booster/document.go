package booster

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A value of a parsed document is nil, bool, float64, string, object, []any or
// []float64. Arrays of numbers are always []float64, with a boolean in them
// as 0 or 1, because they make up nearly all of a model; an empty array is an
// empty []float64.
type object map[string]any

// readDocument turns a JSON or UBJSON model into a booster. A memory snapshot,
// which holds the model under "Model" beside its training configuration, is
// read as well.
func readDocument(format string, data []byte, parse func([]byte) (any, error)) (*contents, error) {
	root, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("reading the %s model: %w", format, err)
	}
	o, ok := root.(object)
	if !ok {
		return nil, fmt.Errorf("the %s model is not an object", format)
	}
	if snapshot, ok := o["Model"].(object); ok && o["learner"] == nil {
		o = snapshot
	}
	learner, ok := o["learner"].(object)
	if !ok {
		return nil, fmt.Errorf("the %s file has no object \"learner\": it is not an XGBoost model", format)
	}
	f := &fields{}
	b := f.contents(learner)
	if f.err != nil {
		return nil, fmt.Errorf("reading the %s model: %w", format, f.err)
	}
	return b, nil
}

// fields takes typed fields out of objects and keeps the first error, so that
// a reader is a plain list of what it wants.
type fields struct{ err error }

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, args...)
	}
}

func (f *fields) contents(learner object) *contents {
	b := &contents{}
	param := f.object(learner, "learner_model_param")
	b.features = f.integer(param, "num_feature", 0, math.MaxUint32)
	b.classes = f.optionalInteger(param, "num_class")
	b.targets = f.optionalInteger(param, "num_target")
	b.base = f.baseScore(param)
	b.objective = f.text(f.object(learner, "objective"), "name")
	if attributes, ok := learner["attributes"].(object); ok {
		b.bestTreeLimit, _ = attributes["best_ntree_limit"].(string)
	}
	gradient := f.object(learner, "gradient_booster")
	b.kind = f.text(gradient, "name")
	switch b.kind {
	case "gblinear":
		b.linear = floats32(f.numbers(f.object(gradient, "model"), "weights"))
	case "dart":
		b.dropWeights = floats32(f.numbers(gradient, "weight_drop"))
		f.trees(b, f.object(f.object(gradient, "gbtree"), "model"))
	case "gbtree":
		f.trees(b, f.object(gradient, "model"))
	}
	return b
}

func (f *fields) trees(b *contents, model object) {
	param := f.object(model, "gbtree_model_param")
	b.parallelTrees = f.optionalInteger(param, "num_parallel_tree")
	b.treeGroup = integers(f.numbers(model, "tree_info"))
	if _, ok := model["iteration_indptr"]; ok {
		b.iterations = integers(f.numbers(model, "iteration_indptr"))
	}
	if _, ok := model["weight_drop"]; ok { // where XGBoost 3 keeps the weights of dart
		b.dropWeights = floats32(f.numbers(model, "weight_drop"))
	}
	list := f.list(model, "trees")
	b.trees = make([]rawTree, len(list))
	placed := make([]bool, len(list))
	for i, v := range list {
		o, ok := v.(object)
		if !ok {
			f.fail("tree %d is not an object", i)
			return
		}
		id := i
		if _, ok := o["id"]; ok {
			id = f.integer(o, "id", 0, len(list)-1)
		}
		if placed[id] {
			f.fail("two trees have the id %d", id)
		}
		placed[id] = true
		b.trees[id] = f.tree(b, o)
		if f.err != nil {
			f.err = fmt.Errorf("tree %d: %w", id, f.err)
			return
		}
	}
}

func (f *fields) tree(b *contents, o object) rawTree {
	if param, ok := o["tree_param"].(object); ok {
		b.leafVectorWidth = max(b.leafVectorWidth, f.optionalInteger(param, "size_leaf_vector"))
	}
	if b.leafVectorWidth > 1 {
		return rawTree{} // refused later, and its arrays have another form
	}
	t := rawTree{
		left:      indexes32(f.numbers(o, "left_children")),
		right:     indexes32(f.numbers(o, "right_children")),
		condition: floats32(f.numbers(o, "split_conditions")),
	}
	for _, v := range f.numbers(o, "split_indices") {
		if !(v >= 0 && v <= math.MaxUint32) {
			f.fail("split_indices holds %v", v)
		}
		t.feature = append(t.feature, uint32(v))
	}
	for _, v := range f.numbers(o, "default_left") {
		t.defaultLeft = append(t.defaultLeft, v != 0)
	}
	f.categories(&t, o)
	return t
}

// categories reads the category sets. The nodes of split type 1 are the ones
// that use them; a node without a set sends every category left.
func (f *fields) categories(t *rawTree, o object) {
	if _, ok := o["split_type"]; !ok {
		return
	}
	sets := map[int32][]int32{}
	for i, kind := range f.numbers(o, "split_type") {
		if kind == 1 {
			sets[int32(i)] = nil
		}
	}
	if len(sets) == 0 {
		return
	}
	all := f.numbers(o, "categories")
	nodes, starts, sizes := f.numbers(o, "categories_nodes"), f.numbers(o, "categories_segments"), f.numbers(o, "categories_sizes")
	if len(starts) != len(nodes) || len(sizes) != len(nodes) {
		f.fail("the categories of a tree have %d nodes, %d segments and %d sizes", len(nodes), len(starts), len(sizes))
		return
	}
	taken := 0.0
	for i, at := range nodes {
		start, size := starts[i], sizes[i]
		taken += size
		if !(start >= 0 && size >= 0 && start+size <= float64(len(all)) && taken <= float64(len(all))) {
			f.fail("the categories of node %v lie outside of the list of %d", at, len(all))
			return
		}
		if _, ok := sets[index32(at)]; ok {
			sets[index32(at)] = indexes32(all[int(start):int(start+size)])
		}
	}
	t.categories = sets
}

// baseScore is a number, the text of one or, from XGBoost 3 on, the text of a
// list such as "[5E-1]".
func (f *fields) baseScore(param object) []float32 {
	switch v := param["base_score"].(type) {
	case float64:
		return []float32{float32(v)}
	case []float64:
		return floats32(v)
	case string:
		var scores []float32
		for part := range strings.SplitSeq(strings.Trim(v, "[] "), ",") {
			score, err := strconv.ParseFloat(strings.TrimSpace(part), 32)
			if err != nil && !errors.Is(err, strconv.ErrRange) {
				f.fail("base_score is %q", v)
				return nil
			}
			scores = append(scores, float32(score))
		}
		return scores
	}
	f.fail("base_score is missing")
	return nil
}

func (f *fields) object(o object, name string) object {
	v, ok := o[name].(object)
	if !ok {
		f.fail("the object %q is missing", name)
	}
	return v
}

func (f *fields) text(o object, name string) string {
	v, ok := o[name].(string)
	if !ok {
		f.fail("the text %q is missing", name)
	}
	return v
}

func (f *fields) numbers(o object, name string) []float64 {
	v, ok := o[name].([]float64)
	if !ok {
		f.fail("the list of numbers %q is missing", name)
	}
	return v
}

func (f *fields) list(o object, name string) []any {
	switch v := o[name].(type) {
	case []any:
		return v
	case []float64:
		if len(v) == 0 {
			return nil
		}
	}
	f.fail("the list %q is missing", name)
	return nil
}

// integer reads a whole number, or its text, between low and high. Outside of
// these it fails and returns low.
func (f *fields) integer(o object, name string, low, high int) int {
	number, ok := o[name].(float64)
	if text, isText := o[name].(string); isText {
		parsed, err := strconv.ParseInt(text, 10, 64)
		number, ok = float64(parsed), err == nil
	}
	if !ok || number != math.Trunc(number) || number < float64(low) || number > float64(high) {
		f.fail("%q is %.40q, not a whole number from %d to %d", name, fmt.Sprint(o[name]), low, high)
		return low
	}
	return int(number)
}

func (f *fields) optionalInteger(o object, name string) int {
	if _, ok := o[name]; !ok {
		return 0
	}
	return f.integer(o, name, 0, math.MaxInt32)
}

func floats32(list []float64) []float32 {
	out := make([]float32, len(list))
	for i, v := range list {
		out[i] = float32(v)
	}
	return out
}

// index32 turns anything that is no index into -2, which no check lets pass.
func index32(v float64) int32 {
	if v >= -1 && v <= math.MaxInt32 && v == math.Trunc(v) {
		return int32(v)
	}
	return -2
}

func indexes32(list []float64) []int32 {
	out := make([]int32, len(list))
	for i, v := range list {
		out[i] = index32(v)
	}
	return out
}

func integers(list []float64) []int {
	out := make([]int, len(list))
	for i, v := range list {
		out[i] = int(index32(v))
	}
	return out
}
