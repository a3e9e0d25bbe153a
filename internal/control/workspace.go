package control

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// workspace is the folder of a running job, for answers that wait for their object
// to be whole. It holds nothing that outlives the run.
type workspace struct{ dir string }

// openWorkspace makes an empty workspace, over what a killed server left there.
func openWorkspace(root string, job resource.Key) (workspace, error) {
	k := job.Folded()
	w := workspace{dir: filepath.Join(root, k.Region, k.Name)}
	if err := w.remove(); err != nil {
		return w, err
	}
	return w, os.MkdirAll(w.dir, 0o700)
}

// remove deletes the workspace.
func (w workspace) remove() error { return os.RemoveAll(w.dir) }

// sub makes a folder in the workspace.
func (w workspace) sub(name string) (string, error) {
	dir := filepath.Join(w.dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// scratchDir names the scratch folder of instance i.
func scratchDir(i int) string { return "scratch-" + strconv.Itoa(i) }
