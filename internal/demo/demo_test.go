package demo

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func load(t testing.TB) *Dataset {
	t.Helper()
	d, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLoad(t *testing.T) {
	t.Parallel()
	d := load(t)
	if len(d.Prices) < 50_000 || len(d.Model) == 0 || d.Features[len(d.Features)-1] != '\n' {
		t.Errorf("%d rows, a model of %d bytes", len(d.Prices), len(d.Model))
	}
	for i, price := range d.Prices {
		if price <= 0 || math.IsNaN(d.Expected[i]) {
			t.Fatalf("row %d: price %v, prediction %v", i+1, price, d.Expected[i])
		}
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	d := load(t)
	for _, n := range []int{1, 2, 4, 7} {
		parts := d.Split(n)
		if len(parts) != n || !bytes.Equal(slices.Concat(parts...), d.Features) {
			t.Errorf("%d parts for %d do not add up", len(parts), n)
		}
		for i, part := range parts {
			if part[len(part)-1] != '\n' || len(part) > len(d.Features)/n+100 {
				t.Errorf("part %d of %d has %d bytes and ends in %q", i, n, len(part), part[len(part)-1])
			}
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	d := load(t)
	same, err := d.Compare(d.Expected)
	if err != nil || !same.Same() || same.Equal != same.Rows || same.MaxDifference != 0 {
		t.Errorf("XGBoost's own predictions: %+v, %v", same, err)
	}
	if same.HeldOutRows != len(d.Prices)/5 || math.Abs(same.R2-0.981) > 0.001 || math.Abs(same.RMSE-549.7) > 0.1 {
		t.Errorf("held out: %+v", same)
	}
	for _, c := range []struct {
		name  string
		value func(float64) float64
		same  bool
	}{
		{"a rounding", func(v float64) float64 { return v * (1 + 5e-6) }, true},
		{"another model", func(v float64) float64 { return v * (1 + 5e-5) }, false},
		{"not a number", func(float64) float64 { return math.NaN() }, false},
	} {
		other := slices.Clone(d.Expected)
		other[41] = c.value(other[41])
		got, err := d.Compare(other)
		if err != nil || got.Same() != c.same || got.WorstRow != 42 || got.Equal != got.Rows-1 {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	if _, err := d.Compare(d.Expected[1:]); err == nil {
		t.Error("a missing row was accepted")
	}
}

func TestColumn(t *testing.T) {
	t.Parallel()
	if got, err := Column([]byte("1\n-2.5\r\n3e2")); err != nil || !slices.Equal(got, []float64{1, -2.5, 300}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := Column([]byte("1\n\n2\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("an empty line gave %v", err)
	}
}

func TestDensity(t *testing.T) {
	t.Parallel()
	x := []float64{1, 10, 10, 10, 10, 10, 10, 10, 10, 10, 100, 100, 0}
	y := []float64{1, 10, 10, 10, 10, 10, 10, 10, 10, 10, 100, -5, 50}
	got := Plot{Width: 12, Height: 3, X: "x", Y: "y", ASCII: true}.Density(x, y)
	want := strings.Join([]string{
		"      y",
		"    100 |           .",
		"     20 |      #",
		"      2 |.          .",
		"        +------------",
		"         1   5 10   x",
		"",
	}, "\n")
	if got = trimEnds(got); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := (Plot{Width: 10, Height: 3}).Density(nil, nil); got != "" {
		t.Errorf("no points gave %q", got)
	}
}

func trimEnds(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// TestDensityFits draws the real points: the plot must leave room in a terminal
// of 80 by 24, and show most points near its diagonal.
func TestDensityFits(t *testing.T) {
	t.Parallel()
	d := load(t)
	text := Plot{Width: 60, Height: 12, X: "price ($)", Y: "predicted"}.Density(d.Prices, d.Expected)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) != 15 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("too wide: %q", line)
		}
	}
	t.Logf("\n%s", text)
}
