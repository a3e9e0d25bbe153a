package booster

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// matrix reads a CSV of numbers; an empty field is NaN.
func matrix(t testing.TB, path string) [][]float32 {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return numbers(t, data)
}

func numbers(t testing.TB, data []byte) [][]float32 {
	t.Helper()
	var rows [][]float32
	for line := range strings.Lines(string(data)) {
		var row []float32
		for field := range strings.SplitSeq(strings.TrimSpace(line), ",") {
			v := math.NaN()
			if field != "" {
				var err error
				if v, err = strconv.ParseFloat(field, 32); err != nil {
					t.Fatal(err)
				}
			}
			row = append(row, float32(v))
		}
		rows = append(rows, row)
	}
	return rows
}

func load(t testing.TB, path string) *Model {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Load(data)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m
}

// predict runs rows through blocks; NaN is missing.
func predict(m *Model, rows [][]float32) []float32 {
	b := m.NewBlock()
	var out []float32
	for _, row := range rows {
		for f, v := range row {
			if v == v {
				b.Set(f, v)
			}
		}
		if b.End() {
			out = b.Predict(out)
		}
	}
	return b.Predict(out)
}

// difference is the largest absolute difference of got from want.
func difference(t testing.TB, got []float32, want [][]float32) float64 {
	t.Helper()
	flat := []float32{}
	for _, row := range want {
		flat = append(flat, row...)
	}
	if len(got) != len(flat) {
		t.Fatalf("%d predictions, want %d", len(got), len(flat))
	}
	most := 0.0
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(flat[i]))
		if !(d <= most) {
			most = d
		}
	}
	return most
}

// TestPredictAsXGBoost compares every trained model, in every format it is kept
// in, with the predictions of XGBoost's own library.
func TestPredictAsXGBoost(t *testing.T) {
	t.Parallel()
	expected, err := filepath.Glob("testdata/*.expected.csv")
	if err != nil || len(expected) < 20 {
		t.Fatalf("%d expected files, %v", len(expected), err)
	}
	numeric, categorical := matrix(t, "testdata/numeric.csv"), matrix(t, "testdata/categorical.csv")
	for _, path := range expected {
		name := strings.TrimSuffix(filepath.Base(path), ".expected.csv")
		if name == "early.all" {
			continue
		}
		want := matrix(t, path)
		inputs := numeric
		if name == "categorical" {
			inputs = categorical
		}
		files := 0
		for _, ext := range []string{".json", ".ubj", ".bin"} {
			file := "testdata/" + name + ext
			if _, err := os.Stat(file); err != nil {
				continue
			}
			files++
			m := load(t, file)
			most := difference(t, predict(m, inputs), want)
			t.Logf("%-16s largest difference %.3g (%s)", name+ext, most, m)
			if !(most <= 1e-5) {
				t.Errorf("%s differs by %g", file, most)
			}
		}
		if files == 0 {
			t.Errorf("no model %s", name)
		}
	}
}

// TestBestTreeLimit proves that the attribute counts: without it the same file
// predicts with all of its trees.
func TestBestTreeLimit(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/early.json")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Load(bytes.Replace(data, []byte(`"best_ntree_limit"`), []byte(`"another_name"`), 1))
	if err != nil {
		t.Fatal(err)
	}
	got := predict(m, matrix(t, "testdata/numeric.csv"))
	if most := difference(t, got, matrix(t, "testdata/early.all.expected.csv")); !(most <= 1e-5) {
		t.Errorf("all trees differ by %g", most)
	}
	if most := difference(t, got, matrix(t, "testdata/early.expected.csv")); most < 1e-3 {
		t.Errorf("the limit changes nothing (%g): the test proves nothing", most)
	}
}
