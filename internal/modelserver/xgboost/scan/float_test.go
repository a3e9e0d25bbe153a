package scan

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// agrees checks Float against strconv on a text that is a number as a whole.
func agrees(t *testing.T, text string) {
	t.Helper()
	want64, _ := strconv.ParseFloat(text, 32)
	want := float32(want64)
	got, n := Float([]byte(text))
	if n != len(text) || math.Float32bits(got) != math.Float32bits(want) {
		t.Errorf("Float(%q) = %v (%x) in %d bytes, want %v (%x)", text, got, math.Float32bits(got), n, want, math.Float32bits(want))
	}
}

func TestFloatIsNearest(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"0", "-0", "+1", ".5", "5.", "-1.25e-3", "1E5", "16777217", "16777219", "0.1",
		"1.00000005960464477539062500", // exactly between two float32 values
		"1.00000005960464477539062501", // a little above
		"1.00000017881393432617187499", // a little below
		"3.4028235e38", "3.4028236e38", "1e39", "-1e400", "1e-400", "1.1754943e-38", "1e-45", "7e-46", "7.1e-46",
		"123456789012345678901234567890", "0.000000000000000000000000000001234567", "9007199254740993", "1e22", "1e23",
		"00000000000000000000000000001.5", "1e000000000000000000005", "1e-999999999999"} {
		agrees(t, text)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		v := math.Float32frombits(random.Uint32())
		if v != v || math.IsInf(float64(v), 0) {
			continue
		}
		agrees(t, strconv.FormatFloat(float64(v), "efg"[random.IntN(3)], random.IntN(20)-1, 64))
		next := math.Nextafter32(v, math.MaxFloat32)
		agrees(t, strconv.FormatFloat((float64(v)+float64(next))/2, 'e', 15+random.IntN(4), 64))
	}
}

func TestFloatStopsWhereTheNumberEnds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": 0, "-": 0, ".": 0, "e5": 0, "nan": 0, "inf": 0, "0x10": 1, "1e": 1, "1e+": 1,
		"1,2": 1, "1.5.2": 3, "1_000": 1, "--1": 0, "-.e1": 0} {
		if _, n := Float([]byte(text)); n != want {
			t.Errorf("Float(%q) takes %d bytes, want %d", text, n, want)
		}
	}
}

func TestAppendFloat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    float32
		want string
	}{{0, "0.0"}, {1, "1.0"}, {-3, "-3.0"}, {0.1, "0.1"}, {0.43861908, "0.43861908"}, {16777216, "16777216.0"},
		{0.000001, "0.000001"}, {9.5e-7, "9.5e-07"}, {1e21, "1e+21"}, {1e20, "100000000000000000000.0"},
		{float32(math.NaN()), "nan"}, {float32(math.Inf(1)), "inf"}, {float32(math.Inf(-1)), "-inf"}} {
		if got := string(AppendFloat(nil, c.v)); got != c.want {
			t.Errorf("AppendFloat(%g) = %s, want %s", c.v, got, c.want)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 100_000 {
		v := math.Float32frombits(random.Uint32())
		if v != v || math.IsInf(float64(v), 0) {
			continue
		}
		text := AppendFloat(nil, v)
		if back, n := Float(text); n != len(text) || back != v {
			t.Fatalf("%s reads back as %v, not %v", text, back, v)
		}
	}
}

func FuzzFloat(f *testing.F) {
	for _, s := range []string{"1.5", "-1e10", "1e-46", "9007199254740993e5", ".5e", "99999999999999999999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, n := Float(data)
		if n > 0 {
			agrees(t, string(data[:n]))
		}
	})
}

func BenchmarkFloat(b *testing.B) {
	text := []byte("-1.2345678,")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Float(text)
	}
}
