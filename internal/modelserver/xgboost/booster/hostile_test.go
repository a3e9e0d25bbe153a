package booster

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

// stump is a whole model of one tree, with places to break.
const stump = `{"learner":{"attributes":{},"gradient_booster":{"model":{"gbtree_model_param":{"num_parallel_tree":"1","num_trees":"1"},
"tree_info":[0],"trees":[{"id":0,"left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_indices":[1,0,0],
"split_conditions":[0.5,-2.0,3.0],"default_left":[1,0,0],"tree_param":{"num_nodes":"3","size_leaf_vector":"0"}}]},"name":"gbtree"},
"learner_model_param":{"base_score":"5E-1","num_class":"0","num_feature":"2"},"objective":{"name":"reg:squarederror"}},"version":[1,7,4]}`

func change(t testing.TB, from, to string) []byte {
	t.Helper()
	if !strings.Contains(stump, from) {
		t.Fatalf("the stump has no %s", from)
	}
	return []byte(strings.Replace(stump, from, to, 1))
}

func TestFormsOfTheSameModel(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"as written":           []byte(stump),
		"base score a number":  change(t, `"5E-1"`, `0.5`),
		"base score a list":    change(t, `"5E-1"`, `"[5E-1]"`),
		"default left boolean": change(t, `"default_left":[1,0,0]`, `"default_left":[true,false,false]`),
		"no id":                change(t, `"id":0,`, ``),
		"old objective name":   change(t, `reg:squarederror`, `reg:linear`),
		"numbers, not text":    change(t, `"num_class":"0","num_feature":"2"`, `"num_class":0,"num_feature":2`),
		"white space in front": append([]byte("\n \t"), stump...),
		"memory snapshot":      []byte(`{"Model":` + stump + `,"Config":{}}`),
		"unknown members":      change(t, `"id":0,`, `"id":0,"unknown":{"a":[NaN,"\u00e9\n"]},`),
		"siblings swapped": change(t, `"left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_indices":[1,0,0],
"split_conditions":[0.5,-2.0,3.0]`, `"left_children":[2,-1,-1],"right_children":[1,-1,-1],"split_indices":[1,0,0],
"split_conditions":[0.5,3.0,-2.0]`),
	} {
		m, err := Load(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		nan := float32(math.NaN())
		got := fmt.Sprint(predict(m, [][]float32{{9, 0.4}, {0, 0.5}, {0, nan}, {0, float32(math.Copysign(0, -1))}, {0, 7}}))
		if want := "[-1.5 3.5 -1.5 -1.5 3.5]"; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestDartOfXGBoost3 reads dart as release 3 writes it: a gbtree with weights.
func TestDartOfXGBoost3(t *testing.T) {
	t.Parallel()
	m, err := Load(change(t, `"tree_info":[0]`, `"tree_info":[0],"weight_drop":[0.5]`))
	if err != nil {
		t.Fatal(err)
	}
	if got := predict(m, [][]float32{{0, 1}}); got[0] != 2 {
		t.Errorf("got %v, want 2", got)
	}
}

// TestBaseScorePerClass reads the list that XGBoost 3 writes for several outputs.
func TestBaseScorePerClass(t *testing.T) {
	t.Parallel()
	data := bytes.Replace(change(t, `"5E-1"`, `"[1E0,2E0]"`), []byte(`"num_class":"0"`), []byte(`"num_target":"2"`), 1)
	m, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(predict(m, [][]float32{{0, 1}})); got != "[4 2]" {
		t.Errorf("got %s, want [4 2]", got)
	}
}

// TestInfiniteThresholds: a missing value takes the default side whatever the
// threshold, and nothing lies below NaN or minus infinity.
func TestInfiniteThresholds(t *testing.T) {
	t.Parallel()
	nan := float32(math.NaN())
	for _, c := range []struct{ threshold, want string }{{"NaN", "[3.5 -1.5]"}, {"-Infinity", "[3.5 -1.5]"}, {"Infinity", "[-1.5 -1.5]"}} {
		m, err := Load(change(t, `[0.5,`, `[`+c.threshold+`,`))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(predict(m, [][]float32{{0, -math.MaxFloat32}, {0, nan}})); got != c.want {
			t.Errorf("threshold %s: %s, want %s", c.threshold, got, c.want)
		}
	}
}

func TestRefusedModels(t *testing.T) {
	t.Parallel()
	pickle := append([]byte{0x80, 4, 0x95}, make([]byte, 50)...)
	for _, c := range []struct {
		data []byte
		want string
	}{
		{nil, "unexpected EOF"},
		{[]byte("{"), "neither"},
		{[]byte("{}"), `no object "learner"`},
		{[]byte("PK\x03\x04 a zip"), "unexpected EOF"},
		{pickle, "pickle"},
		{[]byte("bs64AAAA"), "base64"},
		{[]byte(stump[:len(stump)-2]), "is missing"},
		{[]byte(stump + "{}"), "more data"},
		{change(t, `reg:squarederror`, `reg:quantileerror`), `objective "reg:quantileerror" is not supported`},
		{change(t, `"name":"gbtree"`, `"name":"gbforest"`), `booster "gbforest" is not supported`},
		{change(t, `"num_feature":"2"`, `"num_feature":"1"`), "feature 1 of 1"},
		{change(t, `"num_feature":"2"`, `"num_feature":"4294967295"`), "at most"},
		{change(t, `"num_feature":"2"`, `"num_feature":"-1"`), "num_feature"},
		{change(t, `"num_class":"0"`, `"num_class":"99999999"`), "at most"},
		{change(t, `"5E-1"`, `"half"`), "base_score"},
		{change(t, `"5E-1"`, `"NaN"`), "base_score"},
		{change(t, `"5E-1"`, `"[1,2,3]"`), "3 values for 1 outputs"},
		{change(t, `"tree_info":[0]`, `"tree_info":[1]`), "output 1 of 1"},
		{change(t, `"tree_info":[0]`, `"tree_info":[0,0]`), "2 entries for 1 trees"},
		{change(t, `"tree_info":[0]`, `"tree_info":[0],"weight_drop":[1,1]`), "weight_drop"},
		{change(t, `"left_children":[1,`, `"left_children":[0,`), "node 0 has child 0"},
		{change(t, `"left_children":[1,`, `"left_children":[2,`), "node 0 has child 2"},
		{change(t, `"left_children":[1,-1,-1]`, `"left_children":[1,0,-1]`), "node 1 has child 0"},
		{change(t, `"left_children":[1,`, `"left_children":[3,`), "child 3"},
		{change(t, `"left_children":[1,`, `"left_children":[1.5,`), "child -2"},
		{change(t, `"left_children":[1,-1,-1]`, `"left_children":[]`), "differ in length"},
		{change(t, `"default_left":[1,0,0]`, `"default_left":[1]`), "differ in length"},
		{change(t, `"size_leaf_vector":"0"`, `"size_leaf_vector":"3"`), "vector leaves"},
		{change(t, `"id":0`, `"id":7`), `"id"`},
		{change(t, `"attributes":{}`, `"attributes":{"best_ntree_limit":"many"}`), "best_ntree_limit"},
		{change(t, `"default_left"`, `"split_type":[1,0,0],"categories":[1],"categories_nodes":[0],"categories_segments":[0],"categories_sizes":[9],"default_left"`), "outside of the list"},
		{change(t, `"attributes":{}`, `"attributes":`+strings.Repeat("[", 200)), "too deep"},
		{[]byte("{L\x00\x00\x00\x00\x00\x00\x00\x07learner[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff"), "beyond the end"},
		{[]byte("{i\x07learner[$Z#i\x7f"), "array of type"},
		{[]byte("{i\x07learner[#l\x7f\xff\xff\xff"), "beyond the end"},
		{[]byte("{i\xff"), "beyond the end"},
		{[]byte("{i\x07learner" + strings.Repeat("[", 200)), "too deep"},
		{[]byte("{i\x07learnerH"), "unknown type"},
	} {
		m, err := Load(c.data)
		if err == nil || m != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Load(%.60q) = %v, want an error with %q", c.data, err, c.want)
		}
	}
}

// TestRefusedLegacy breaks the counts of an old binary file one by one.
func TestRefusedLegacy(t *testing.T) {
	t.Parallel()
	whole, err := os.ReadFile("testdata/regression.bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(append([]byte("binf"), bytes.TrimPrefix(whole, []byte("binf"))...)); err != nil {
		t.Errorf("with binf in front: %v", err)
	}
	data := bytes.TrimPrefix(whole, []byte("binf"))
	trees := 136 + 8 + len("reg:squarederror") + 8 + len("gbtree")
	for _, at := range []int{4, 136, trees, trees + 16, trees + 160 + 4, trees + 160 + 148 + 4} {
		broken := bytes.Clone(data)
		binary.LittleEndian.PutUint32(broken[at:], 0x7ffffff0)
		if _, err := Load(broken); err == nil {
			t.Errorf("a huge word at %d is taken", at)
		}
	}
	for n := range len(data) - 1 {
		if _, err := Load(data[:n]); err == nil && n < len(data)-1000 {
			t.Fatalf("the first %d of %d bytes are taken", n, len(data))
		}
	}
}

// TestDeepTree walks a chain that is deeper than the unrolled steps.
func TestDeepTree(t *testing.T) {
	t.Parallel()
	const depth = 5000
	raw := rawTree{}
	add := func(left, right int32, condition float32) {
		raw.left, raw.right = append(raw.left, left), append(raw.right, right)
		raw.feature, raw.condition = append(raw.feature, 0), append(raw.condition, condition)
		raw.defaultLeft = append(raw.defaultLeft, false)
	}
	for i := range int32(depth) {
		add(2*i+1, 2*i+2, float32(i))
		add(-1, -1, float32(i))
	}
	add(-1, -1, depth)
	c := &contents{objective: "reg:squarederror", kind: "gbtree", features: 1, base: []float32{0}, trees: []rawTree{raw}, treeGroup: []int{0}}
	m, err := c.model()
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float32
	for _, v := range []float32{-1, 0, 10, 4000.5, 9999, 17, 3} {
		rows = append(rows, []float32{v})
	}
	if got, want := fmt.Sprint(predict(m, rows)), "[0 1 11 4001 5000 18 4]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestKeysKeepTheOrder(t *testing.T) {
	t.Parallel()
	inf := float32(math.Inf(1))
	values := []float32{-inf, -math.MaxFloat32, -1, -math.SmallestNonzeroFloat32, 0, math.SmallestNonzeroFloat32, 1, math.MaxFloat32, inf}
	for i, v := range values {
		if unkey(key(v)) != v {
			t.Errorf("unkey(key(%v)) = %v", v, unkey(key(v)))
		}
		for j, w := range values {
			if (key(v) < key(w)) != (i < j) {
				t.Errorf("keys of %v and %v are out of order", v, w)
			}
		}
		if k := key(v); k <= missingLeft+1 || k >= missingRight {
			t.Errorf("the key of %v is a missing one", v)
		}
	}
	if key(float32(math.Copysign(0, -1))) != key(0) {
		t.Error("the zeros differ")
	}
}

// predictsSafely runs rows of every kind through a model that was loaded.
func predictsSafely(t *testing.T, data []byte) {
	m, err := Load(data)
	if err != nil {
		return
	}
	b := m.NewBlock()
	for _, v := range []float32{-1e30, -1, 0, 0.5, 3, 1e30} {
		for f := range min(m.Features(), 8) {
			b.Set(f, v)
		}
		if b.End() {
			b.Predict(nil)
		}
	}
	b.End()
	rows := b.Rows()
	if out := b.Predict(nil); len(out) != rows*m.Outputs() {
		t.Errorf("%d predictions for %d rows of %d", len(out), rows, m.Outputs())
	}
}

func seeds(f *testing.F, files ...string) {
	for _, name := range files {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

func FuzzLoadJSON(f *testing.F) {
	f.Add([]byte(stump))
	seeds(f, "categorical.json", "linear.json")
	f.Fuzz(func(t *testing.T, data []byte) { predictsSafely(t, data) })
}

func FuzzLoadUBJSON(f *testing.F) {
	seeds(f, "poisson.ubj", "categorical.ubj", "linear.ubj", "dart.ubj")
	f.Fuzz(func(t *testing.T, data []byte) { predictsSafely(t, data) })
}

func FuzzLoadLegacy(f *testing.F) {
	seeds(f, "poisson.bin", "linear.bin", "dart.bin", "early.bin")
	f.Fuzz(func(t *testing.T, data []byte) { predictsSafely(t, data) })
}
