package process

import "testing"

// noneLeft looks for processes of an instance, whatever became of them.
func noneLeft(t *testing.T, rec record) {
	t.Helper()
	if shim, others := leftovers(rec); shim != nil || len(others) != 0 {
		t.Errorf("of %s are left: shim %v, others %v", rec.ID, shim, others)
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	const tail = " S 12 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 22 33"
	tests := []struct {
		name, stat string
		ok         bool
	}{
		{"plain", "7 (cat)" + tail, true},
		{"a name like an entry", "7 (a) Z 1 (b)" + tail, true},
		{"a name with a line", "7 (a\nb)" + tail, true},
		{"empty", "", false},
		{"short", "7 (cat) S 12 1", false},
		{"no number", "7 (cat) S x 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseStat(7, tt.stat)
			if (err == nil) != tt.ok {
				t.Fatalf("error %v", err)
			}
			if want := (procEntry{pid: 7, parent: 12, state: 'S', start: 98765}); tt.ok && got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (cat) S 12 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 22 33")
	f.Add(")")
	f.Fuzz(func(_ *testing.T, stat string) { _, _ = parseStat(1, stat) })
}
