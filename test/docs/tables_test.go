package docs_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

var update = flag.Bool("update", false, "write the table of settings anew")

// between gives what stands between <!-- name --> and <!-- /name --> on a page.
func between(t *testing.T, page, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, page), "<!-- "+name+" -->\n")
	text, _, ended := strings.Cut(rest, "<!-- /"+name+" -->")
	if !ok || !ended {
		t.Fatalf("%s has no table between <!-- %s --> and <!-- /%s -->", page, name, name)
	}
	return text
}

// code finds names in backquotes at the start of a table's rows.
var code = regexp.MustCompile("(?m)^\\| `([^`]+)`")

// firstColumn gives the names in the first column of a table.
func firstColumn(table string) []string {
	var names []string
	for _, m := range code.FindAllStringSubmatch(table, -1) {
		names = append(names, m[1])
	}
	return names
}

// The table of settings is that of the code.
func TestSettingsTable(t *testing.T) {
	t.Parallel()
	const page = "docs/configuration.md"
	var b strings.Builder
	b.WriteString("| setting | environment | default | |\n|---|---|---|---|\n")
	for _, s := range config.Settings() {
		help := strings.ReplaceAll(s.Help, "|", "\\|")
		if len(s.Choices) > 0 {
			help += "; one of `" + strings.Join(s.Choices, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", s.Name, s.Env(), defaultText(t, s), help)
	}
	got := between(t, page, "settings")
	if got == b.String() {
		return
	}
	if !*update {
		t.Fatalf("the table of settings in %s is not what config.Settings says; go test ./test/docs -run Settings -update writes it anew. It should be:\n%s", page, b.String())
	}
	text := strings.Replace(read(t, page), "<!-- settings -->\n"+got, "<!-- settings -->\n"+b.String(), 1)
	if err := os.WriteFile(filepath.Join(root, page), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// defaultText is how a page shows a default, which may depend on the machine.
func defaultText(t *testing.T, s config.Setting) string {
	t.Helper()
	switch {
	case s.Name == "data":
		home, err := os.UserHomeDir()
		if err != nil || s.Default != filepath.Join(home, ".sagebrush") {
			t.Errorf("the default of data is %v: %v", s.Default, err)
		}
		return "`~/.sagebrush`"
	case s.Name == "max-instances":
		if s.Default != max(32, 8*runtime.NumCPU()) {
			t.Errorf("the default of max-instances is %v", s.Default)
		}
		return "eight times the number of CPUs, at least 32"
	}
	switch v := s.Default.(type) {
	case time.Duration:
		text := v.String()
		if short, ok := strings.CutSuffix(text, "m0s"); ok {
			text = short + "m"
		}
		return "`" + text + "`"
	case string:
		if v == "" {
			return "none"
		}
	}
	return fmt.Sprintf("`%v`", s.Default)
}

// texts gives the string literals in a Go file for which keep says so.
func texts(t *testing.T, file string, keep func(parent ast.Node, text string) bool) []string {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(tree, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		for _, arg := range call.Args {
			lit, ok := arg.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				continue
			}
			if text, err := strconv.Unquote(lit.Value); err == nil && keep(call.Fun, text) {
				found = append(found, text)
			}
		}
		return true
	})
	if len(found) == 0 {
		t.Fatalf("nothing was found in %s: does this test still read it as it is written?", file)
	}
	return found
}

// The members that docs/differences.md calls refused are those that are refused.
func TestRefusedMembers(t *testing.T) {
	t.Parallel()
	want := texts(t, "internal/api/refuse.go", func(fun ast.Node, _ string) bool {
		s, ok := fun.(*ast.SelectorExpr)
		return ok && s.Sel.Name == "add"
	})
	same(t, "docs/differences.md", firstColumn(between(t, "docs/differences.md", "refused")), want)
}

// The metrics that docs/operations.md names are those that there are.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	for table, file := range map[string]string{"metrics": "internal/api/metrics.go", "endpoint metrics": "internal/api/runtime_metrics.go"} {
		want := texts(t, file, func(_ ast.Node, text string) bool { return strings.HasPrefix(text, "sagemaker_") })
		same(t, "docs/operations.md", firstColumn(between(t, "docs/operations.md", table)), want)
	}
}

// The moves between the statuses of endpoints that ARCHITECTURE.md lists are those
// that there are.
func TestEndpointMoves(t *testing.T) {
	t.Parallel()
	var want, got []string
	for from, moves := range resource.EndpointMoves {
		want = append(want, string(from))
		for _, to := range moves {
			want = append(want, fmt.Sprint(from, " -> ", to))
		}
	}
	words := regexp.MustCompile("`([A-Za-z]+)`")
	for row := range strings.Lines(between(t, "ARCHITECTURE.md", "endpoint moves")) {
		names := words.FindAllStringSubmatch(row, -1)
		for i, name := range names {
			if i == 0 {
				got = append(got, name[1])
				continue
			}
			got = append(got, names[0][1]+" -> "+name[1])
		}
	}
	same(t, "ARCHITECTURE.md", got, want)
}

// same compares two lists without regard to order and repetition.
func same(t *testing.T, page string, said, are []string) {
	t.Helper()
	for _, name := range said {
		if !slices.Contains(are, name) {
			t.Errorf("%s names %s, which the code does not have", page, name)
		}
	}
	for _, name := range are {
		if !slices.Contains(said, name) {
			t.Errorf("%s lacks %s", page, name)
		}
	}
}

// Configuration files and JSON on the pages are valid.
func TestExamplesParse(t *testing.T) {
	t.Parallel()
	found := 0
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			var err error
			switch b.lang {
			case "yaml":
				if _, other := b.word("file"); other {
					continue
				}
				found++
				path := filepath.Join(t.TempDir(), "sagebrush.yaml")
				if err = os.WriteFile(path, []byte(b.text()), 0o600); err == nil {
					_, err = config.Load(path, func(string) (string, bool) { return "", false }, nil)
				}
			case "json":
				err = json.Unmarshal([]byte(b.text()), new(any))
			}
			if err != nil {
				t.Errorf("%s:%d: %v", page, b.line, err)
			}
		}
	}
	if found == 0 {
		t.Error("no page has a configuration file")
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors gives what links to the headings of a page may name.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		slug := noSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(slug, " ", "-")] = true
	}
	return found
}

// Links between pages lead somewhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") {
				continue
			}
			name := page
			if to != "" {
				name = filepath.ToSlash(filepath.Join(filepath.Dir(page), to))
			}
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, m[1])
			} else if anchor != "" && !anchors(read(t, name))[anchor] {
				t.Errorf("%s: %s has no heading for the link %s", page, name, m[1])
			}
		}
	}
}
