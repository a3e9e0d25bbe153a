// Package house checks the shape of the whole repository: which room may import
// which, and the bars for files and functions. ARCHITECTURE.md draws what it
// checks. It holds nothing but tests.
package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sagebrush-ml/sagebrush/"

// levels are the rooms from the bottom up. A room may import rooms of lower levels
// only, and its own sub-folders' parents; an adapter (a folder under a seam) stands
// one level above its seam. The reason for an edge that is missing here is always
// the same: a lower room must be testable without the higher one.
var levels = map[string]int{
	"internal/fault":               0,
	"internal/logpattern":          0,
	"internal/record":              0,
	"internal/sigv4":               1, // faults only
	"internal/reconcile":           0,
	"internal/driver":              1,
	"internal/config":              0,
	"internal/instancetype":        0,
	"internal/keyring":             1,
	"internal/keyring/awskms":      2,
	"internal/keyring/keyringtest": 2,
	"internal/keyring/local":       3, // the keystore itself, over state
	"internal/kms":                 4,
	"internal/masterkey":           1,
	"internal/policy":              1,
	"internal/identity":            3,
	"internal/volume":              2,
	"internal/wire/kmsapi":         3,
	"internal/driver/process":      2,
	"internal/driver/docker":       2,
	"internal/driver/kube":         2,
	"internal/driver/fake":         2,
	"internal/driver/drivertest":   2,
	"internal/front":               0,
	"internal/artefact":            1,
	"internal/audit":               0,
	"internal/capacity":            1,
	"internal/resource":            1,
	"internal/objstore":            1,
	"internal/objstore/memstore":   2,
	"internal/objstore/filestore":  2,
	"internal/objstore/s3store":    2,
	"internal/objstore/dirstore":   2,
	"internal/objstore/storetest":  2,
	"internal/objstore/guarded":    2,
	"internal/joblog":              2,
	"internal/state":               2,
	"internal/instance":            2,
	"internal/wire":                2,
	"internal/wire/cwlogs":         3,
	"internal/wire/autoscaling":    3,
	"internal/wire/wiretest":       3,
	"internal/s3api":               3,
	"internal/modelcache":          2,
	"internal/fleet":               3,
	"internal/transform":           3,
	"internal/endpoint":            2,
	"internal/autoscale":           2,
	"internal/router":              4,
	"internal/control":             5,
	"internal/api":                 6,
	"internal/daemon":              7,
	"internal/demo":                8,
	"internal/cli":                 9,
	"cmd/sagebrush":                10,
	"internal/modelserver":         0,
	"internal/modelserver/xgboost": 1,
	"internal/house":               0,
}

// only is what some rooms may import of this module and nothing else, with why.
var only = map[string]struct {
	rooms []string
	why   string
}{
	"internal/transform": {[]string{"internal/fault", "internal/record", "internal/resource", "internal/objstore"}, "the engine knows neither adapters nor the database nor HTTP"},
	"internal/record":    {nil, "cutting and packing is pure"},
	"internal/autoscale": {[]string{"internal/resource"}, "how many instances is decided without knowing what runs"},
	"internal/capacity":  {[]string{"internal/fault", "internal/instancetype"}, "who may run is decided without knowing what runs"},
	"internal/control":   {[]string{"internal/fault", "internal/capacity", "internal/instancetype", "internal/fleet", "internal/driver", "internal/instance", "internal/joblog", "internal/objstore", "internal/reconcile", "internal/resource", "internal/state", "internal/transform", "internal/endpoint", "internal/autoscale", "internal/router", "internal/keyring", "internal/volume"}, "control knows seams, not adapters, and no wire shapes"},
	"internal/policy":    {[]string{"internal/fault"}, "a decision is pure"},
}

// adapters are named by the daemon and the command line alone.
var adapters = []string{"internal/driver/process", "internal/driver/docker", "internal/driver/kube", "internal/objstore/filestore", "internal/objstore/s3store", "internal/objstore/dirstore", "internal/keyring/awskms"}

func TestImports(t *testing.T) {
	t.Parallel()
	for room, files := range rooms(t) {
		if strings.HasPrefix(room, "internal/modelserver/") {
			for _, f := range files {
				for _, to := range imports(t, f) {
					if !strings.HasPrefix(to, "internal/modelserver/") {
						t.Errorf("%s imports %s: a model server is a process of its own and imports nothing of the service", f, to)
					}
				}
			}
			continue
		}
		level, known := levels[room]
		if !known {
			t.Errorf("%s is not in the table of rooms: give it a level, and a line in ARCHITECTURE.md", room)
			continue
		}
		for _, f := range files {
			for _, to := range imports(t, f) {
				checkEdge(t, f, room, level, to)
			}
		}
	}
}

// checkEdge checks one import of a file that is not a test.
func checkEdge(t *testing.T, file, room string, level int, to string) {
	t.Helper()
	if strings.HasPrefix(to, "internal/modelserver/") && room == "internal/cli" {
		return // the hidden command that is the model server's process
	}
	if levels[to] >= level {
		t.Errorf("%s imports %s: level %d may not import level %d", file, to, level, levels[to])
	}
	if limit, ok := only[room]; ok && !contains(limit.rooms, to) {
		t.Errorf("%s imports %s: %s", file, to, limit.why)
	}
	if contains(adapters, to) && level < levels["internal/daemon"] && room != "internal/s3api" {
		t.Errorf("%s imports %s: only the daemon and the command line name adapters", file, to)
	}
}

// The bars. Names on the lists are exceptions, each with its reason; the lists may
// not grow past one in a hundred.
const (
	maxFileLines     = 600
	maxFunctionLines = 80
)

var longFunctions = map[string]string{}

func TestBars(t *testing.T) {
	t.Parallel()
	for room, files := range rooms(t) {
		documented := 0
		for _, f := range files {
			fset := token.NewFileSet()
			tree, err := parser.ParseFile(fset, filepath.Join(root, f), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if tree.Doc != nil {
				documented++
			}
			if ast.IsGenerated(tree) {
				continue
			}
			if n := fset.Position(tree.End()).Line; n > maxFileLines {
				t.Errorf("%s has %d lines: is it still one idea? The bar is %d", f, n, maxFileLines)
			}
			checkFile(t, f, fset, tree)
		}
		if documented != 1 {
			t.Errorf("%s has %d package comments, want one", room, documented)
		}
	}
}

// checkFile checks functions, exported names and init.
func checkFile(t *testing.T, f string, fset *token.FileSet, tree *ast.File) {
	t.Helper()
	for _, d := range tree.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := f + ":" + fn.Name.Name
		if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; n > maxFunctionLines && longFunctions[name] == "" {
			t.Errorf("%s has %d lines, the bar is %d", name, n, maxFunctionLines)
		}
		if fn.Name.Name == "init" && fn.Recv == nil {
			t.Errorf("%s: registration by init() makes import order into behaviour", name)
		}
	}
}

// TestNames refuses folders that are drawers without an owner.
func TestNames(t *testing.T) {
	t.Parallel()
	for room := range rooms(t) {
		for _, drawer := range []string{"util", "utils", "common", "helper", "helpers", "types", "constants", "misc"} {
			if filepath.Base(room) == drawer {
				t.Errorf("%s: a folder of this name belongs to nobody", room)
			}
		}
	}
}

const root = "../.."

// rooms lists the Go files, tests excluded, of every folder of the module.
func rooms(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (path == "tools" || path == "test" || e.Name() == "testdata" || strings.HasPrefix(e.Name(), ".") && path != ".") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			found[filepath.ToSlash(filepath.Dir(path))] = append(found[filepath.ToSlash(filepath.Dir(path))], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 10 {
		t.Fatalf("only %d rooms found: %v", len(found), fmt.Sprint(found))
	}
	return found
}

// imports gives what a file imports of this module.
func imports(t *testing.T, file string) []string {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range tree.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if rest, ok := strings.CutPrefix(path, module); ok {
			out = append(out, rest)
		}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
