package scan

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestSkip(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	for text, ok := range map[string]bool{
		`{"a": [1, -2.5e3, true, null], "b": {"c": "x\"y"}} `: true,
		`[]`: true, `{}`: true, `NaN`: true, `-Infinity`: true, `"a`: false, `"a\`: false, `[1`: false, `[1 2]`: false,
		`{"a"}`: false, `{"a":1`: false, `{1:2}`: false, `tru`: false, ``: false, `{"a":1,}`: false, deep: false,
	} {
		c := &Cursor{Data: []byte(text)}
		if err := c.Skip(MaxDepth); (err == nil) != ok {
			t.Errorf("Skip(%.40s) = %v, want ok %t", text, err, ok)
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"2147483647": 2147483647, "-5": -5, "0.1": float64(float32(0.1)),
		"5E-1": 0.5, "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)} {
		c := &Cursor{Data: []byte(text)}
		if got, ok := c.Number(); !ok || got != want || c.At != len(text) {
			t.Errorf("Number(%s) = %v, %t", text, got, ok)
		}
	}
}

// FuzzSkip proves that what the standard library takes for JSON is skipped whole.
func FuzzSkip(f *testing.F) {
	f.Add([]byte(`{"a":[1,2,{"b":null}],"c":"\u00e9"}`))
	f.Add([]byte(`[[[[]]]]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &Cursor{Data: data}
		err := c.Skip(MaxDepth)
		if json.Valid(data) && err != nil && !strings.Contains(err.Error(), "too deep") {
			t.Errorf("%q: %v", data, err)
		}
		if json.Valid(data) && err == nil {
			if c.Peek(); c.At != len(data) {
				t.Errorf("%q: %d bytes are left", data, len(data)-c.At)
			}
		}
	})
}
