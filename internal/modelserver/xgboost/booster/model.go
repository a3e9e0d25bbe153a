package booster

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// maxFeatures bounds the columns of a model. It keeps a small hostile file from
// asking for a table of billions of columns.
const maxFeatures = 1 << 24

// maxGroups bounds the classes, or targets, of a model for the same reason.
const maxGroups = 1 << 16

// Model is a loaded booster. It never changes, so any number of goroutines may
// use it at once.
type Model struct {
	objective objective
	name      string // of the objective
	booster   string
	features  int
	groups    int
	base      []float32 // margin a row starts with, for each group

	column  []int32 // feature -> column of a block, -1 when no tree asks for it
	columns int
	trees   []tree
	weights []float32 // gblinear: groups values for each feature, then the bias
}

// Features is the number of columns that the model was trained with. A row may
// be shorter, which makes the rest missing, and must not be longer.
func (m *Model) Features() int { return m.features }

// Outputs is the number of predictions made for a row: the classes under
// multi:softprob, the targets of a multi-output model, otherwise 1.
func (m *Model) Outputs() int {
	if m.objective.single {
		return 1
	}
	return m.groups
}

// String describes the model in one line for a log.
func (m *Model) String() string {
	if m.booster == "gblinear" {
		return fmt.Sprintf("gblinear, %s, %d features", m.name, m.features)
	}
	return fmt.Sprintf("%s of %d trees, %s, %d features", m.booster, len(m.trees), m.name, m.features)
}

// Load reads a model in any format that XGBoost writes, found by its first
// bytes. The model keeps nothing of data. The error says what is wrong with
// the file; a pickled Python object is not a model file.
func Load(data []byte) (*Model, error) {
	b, err := read(data)
	if err != nil {
		return nil, err
	}
	return b.model()
}

func read(data []byte) (*contents, error) {
	text := bytes.TrimLeft(data, " \t\r\n")
	if len(text) > 1 && text[0] == '{' {
		if rest := bytes.TrimLeft(text[1:], " \t\r\n"); len(rest) > 0 && (rest[0] == '"' || rest[0] == '}') {
			return readDocument("JSON", text, parseJSON)
		}
		return readDocument("UBJSON", text, parseUBJSON)
	}
	b, err := readLegacy(data)
	if err != nil && len(data) > 1 && data[0] == 0x80 && data[1] <= 5 {
		return nil, errors.New("the file is a Python pickle, which is not supported: " +
			"save the booster with its save_model method")
	}
	return b, err
}

// contents are what a model file says, whatever its format, before any of it
// was checked against the rest.
type contents struct {
	objective       string
	kind            string // gbtree, dart or gblinear
	features        int
	classes         int
	targets         int
	base            []float32
	baseIsMargin    bool // releases before 1.0 stored the margin itself
	parallelTrees   int
	iterations      []int // where each iteration's trees start, if stored
	trees           []rawTree
	treeGroup       []int
	dropWeights     []float32
	linear          []float32
	bestTreeLimit   string // attribute best_ntree_limit
	leafVectorWidth int
}

func (b *contents) model() (*Model, error) {
	o, err := objectiveNamed(b.objective)
	if err != nil {
		return nil, err
	}
	m := &Model{objective: o, name: b.objective, booster: b.kind, features: b.features,
		groups: max(b.classes, b.targets, 1)}
	switch {
	case b.features < 0 || b.features > maxFeatures:
		return nil, fmt.Errorf("num_feature is %d; at most %d are supported", b.features, maxFeatures)
	case m.groups > maxGroups:
		return nil, fmt.Errorf("the model has %d classes or targets; at most %d are supported", m.groups, maxGroups)
	case b.leafVectorWidth > 1:
		return nil, errors.New("trees with vector leaves (multi_strategy multi_output_tree) are not supported")
	}
	if m.base, err = b.margins(o, m.groups); err != nil {
		return nil, err
	}
	switch b.kind {
	case "gbtree", "dart":
		err = b.fillTrees(m)
	case "gblinear":
		err = b.fillLinear(m)
	default:
		err = fmt.Errorf("booster %q is not supported", b.kind)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// margins spreads the stored base score, one value or one for each group.
func (b *contents) margins(o objective, groups int) ([]float32, error) {
	if len(b.base) != 1 && len(b.base) != groups {
		return nil, fmt.Errorf("base_score has %d values for %d outputs", len(b.base), groups)
	}
	margins := make([]float32, groups)
	for i := range margins {
		score := b.base[min(i, len(b.base)-1)]
		if math.IsNaN(float64(score)) || math.IsInf(float64(score), 0) {
			return nil, fmt.Errorf("base_score %v is not a number to start from", score)
		}
		if o.margin != nil && !b.baseIsMargin {
			if bad := o.check(score); bad != "" {
				return nil, fmt.Errorf("base_score %v of %s %s", score, b.objective, bad)
			}
			score = o.margin(score)
		}
		margins[i] = score
	}
	return margins, nil
}

func (b *contents) fillLinear(m *Model) error {
	if want := (m.features + 1) * m.groups; len(b.linear) != want {
		return fmt.Errorf("gblinear has %d weights, %d features and %d outputs need %d",
			len(b.linear), m.features, m.groups, want)
	}
	m.weights = b.linear
	// XGBoost starts every group of a linear model from the first base score.
	for i := range m.base {
		m.base[i] = m.base[0]
	}
	m.column = make([]int32, m.features)
	for i := range m.column {
		m.column[i] = int32(i)
	}
	m.columns = max(m.features, 1)
	return nil
}

func (b *contents) fillTrees(m *Model) error {
	if len(b.treeGroup) != len(b.trees) {
		return fmt.Errorf("tree_info has %d entries for %d trees", len(b.treeGroup), len(b.trees))
	}
	if len(b.dropWeights) != 0 && len(b.dropWeights) != len(b.trees) {
		return fmt.Errorf("weight_drop has %d entries for %d trees", len(b.dropWeights), len(b.trees))
	}
	if b.kind == "dart" && len(b.dropWeights) != len(b.trees) {
		return fmt.Errorf("a dart model without weight_drop")
	}
	used, err := b.usedTrees(m.groups)
	if err != nil {
		return err
	}
	m.trees = make([]tree, 0, used)
	for i := range b.trees[:used] {
		if g := b.treeGroup[i]; g < 0 || g >= m.groups {
			return fmt.Errorf("tree %d adds to output %d of %d", i, g, m.groups)
		}
		weight := float32(1)
		if len(b.dropWeights) != 0 {
			weight = b.dropWeights[i]
		}
		t, err := m.flatten(&b.trees[i], weight)
		if err != nil {
			return fmt.Errorf("tree %d: %w", i, err)
		}
		t.group = b.treeGroup[i]
		m.trees = append(m.trees, t)
	}
	m.columns = max(m.columns, 1)
	return nil
}

// usedTrees applies the attribute best_ntree_limit, which counts trees of one
// group: it is divided by the parallel trees and makes so many iterations.
func (b *contents) usedTrees(groups int) (int, error) {
	if b.bestTreeLimit == "" {
		return len(b.trees), nil
	}
	limit, err := strconv.Atoi(b.bestTreeLimit)
	if err != nil || limit < 0 {
		return 0, fmt.Errorf("the attribute best_ntree_limit is %q, which is no number of trees", b.bestTreeLimit)
	}
	parallel := max(b.parallelTrees, 1)
	rounds := limit / parallel
	if rounds == 0 {
		return len(b.trees), nil
	}
	if rounds < len(b.iterations) {
		if end := b.iterations[rounds]; end >= 0 && end <= len(b.trees) {
			return end, nil
		}
		return 0, fmt.Errorf("iteration_indptr leads outside of the %d trees", len(b.trees))
	}
	if rounds > len(b.trees)/parallel/groups {
		return len(b.trees), nil
	}
	return rounds * parallel * groups, nil
}
