package xgboost

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/booster"
)

const demoFolder = "../../demo/data/"

func unzip(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(demoFolder + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func demoModel(t testing.TB) *booster.Model {
	t.Helper()
	archive := tar.NewReader(bytes.NewReader(unzip(t, "model.tar.gz")))
	entry, err := archive.Next()
	if err != nil || entry.Name != "xgboost-model" {
		t.Fatalf("%v, %v", entry, err)
	}
	data, err := io.ReadAll(archive)
	if err != nil {
		t.Fatal(err)
	}
	m, err := booster.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func column(t testing.TB, name string) []float64 {
	t.Helper()
	var out []float64
	for line := range bytes.Lines(unzip(t, name)) {
		v, err := strconv.ParseFloat(string(bytes.TrimSpace(line)), 32)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// TestDemoData runs the whole demo file from CSV to predictions and compares
// all 53,940 with those of XGBoost's own library.
func TestDemoData(t *testing.T) {
	t.Parallel()
	got, err := score(demoModel(t), formatCSV, unzip(t, "diamonds.csv.gz"), 4)
	if err != nil {
		t.Fatal(err)
	}
	want, price := column(t, "expected.csv.gz"), column(t, "price.csv.gz")
	if len(got) != 53_940 || len(want) != len(got) || len(price) != len(got) {
		t.Fatalf("%d predictions, %d expected, %d prices", len(got), len(want), len(price))
	}
	most, equal := 0.0, 0
	for i := range got {
		d := math.Abs(float64(got[i]) - want[i])
		most = max(most, d)
		if d == 0 {
			equal++
		}
		if !(d <= 1e-5*max(1, math.Abs(want[i]))) {
			t.Fatalf("row %d: %v, XGBoost says %v", i+1, got[i], want[i])
		}
	}
	t.Logf("largest difference %g, %d of %d equal to the last bit", most, equal, len(got))
	if r2 := heldOutR2(got, price); !(r2 > 0.97) {
		t.Errorf("R2 of the rows held out is %f", r2)
	} else {
		t.Logf("R2 of the rows held out: %.4f", r2)
	}
}

// heldOutR2 looks at every fifth row only, which training did not see.
func heldOutR2(got []float32, price []float64) float64 {
	mean, n := 0.0, 0
	for i := 4; i < len(price); i += 5 {
		mean += price[i]
		n++
	}
	mean /= float64(n)
	left, all := 0.0, 0.0
	for i := 4; i < len(price); i += 5 {
		left += (price[i] - float64(got[i])) * (price[i] - float64(got[i]))
		all += (price[i] - mean) * (price[i] - mean)
	}
	return 1 - left/all
}
