package process

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"a/b:1", "a/b:1", true},
		{"a/b:1", "a/b:12", false},
		{"a/b:*", "a/b:1.7-1", true},
		{"a/b:*", "a/b:", true},
		{"a/b:*", "a/b", false},
		{"*", "", true},
		{"*", "anything/at:all", true},
		{"*:1", "a/b:1", true},
		{"*:1", "a/b:1:", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"ab*ba", "aba", false},
		{"**", "x", true},
		{"a?c", "abc", false},
		{"*.dkr.ecr.*.amazonaws.com/sagemaker-xgboost:*", "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", true},
		{"*.dkr.ecr.*.amazonaws.com/sagemaker-xgboost:*", "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost-gpu:1.7-1", false},
	}
	for _, tt := range tests {
		if got := match(tt.pattern, tt.name); got != tt.want {
			t.Errorf("match(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"run.sh": 0o755, "data": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	d := New(Config{Images: []Image{
		{Pattern: "first:1", Command: []string{"/bin/sh"}},
		{Pattern: "first:*", Command: []string{"sh", "-c"}},
		{Pattern: "relative:*", Command: []string{"./run.sh"}, Dir: dir},
		{Pattern: "empty:*"},
		{Pattern: "missing:*", Command: []string{"/no/such/program"}},
		{Pattern: "nowhere:*", Command: []string{"no-such-program-in-path"}},
		{Pattern: "data:*", Command: []string{filepath.Join(dir, "data")}},
	}})
	tests := []struct{ image, program, text string }{
		{"first:1", "/bin/sh", ""},
		{"first:2", "/sh", ""},
		{"relative:1", filepath.Join(dir, "run.sh"), ""},
		{"empty:1", "", "which is empty"},
		{"missing:1", "", `"/no/such/program", which does not exist`},
		{"nowhere:1", "", `"no-such-program-in-path", which does not exist`},
		{"data:1", "", "which may not be executed"},
		{"other/name:1", "", `add an entry with this name, or a pattern such as "other/name:*"`},
		{"host:5000/name", "", `a pattern such as "host:5000/name:*"`},
	}
	for _, tt := range tests {
		_, program, err := d.lookup(tt.image)
		if tt.text == "" {
			if err != nil || !strings.HasSuffix(program, tt.program) || !filepath.IsAbs(program) {
				t.Errorf("%s: %q, %v", tt.image, program, err)
			}
			continue
		}
		if !errors.Is(err, driver.ErrNoImage) || !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: error %v", tt.image, err)
		}
		if text := fault.TextOf(err); !strings.Contains(text, tt.text) || !strings.Contains(text, tt.image) {
			t.Errorf("%s: text %q does not say %q", tt.image, text, tt.text)
		}
	}
}
