package control

import (
	"context"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/artefact"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

// workspace is the folder of a running job: its unpacked model and a scratch
// folder for each instance. It holds nothing that outlives the run.
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

// modelDir is where the artefact is unpacked: /opt/ml/model to the containers.
const modelDir = "model"

// scratchDir names the scratch folder of instance i.
func scratchDir(i int) string { return "scratch-" + strconv.Itoa(i) }

// fetchModel downloads and unpacks the model's artefact (CC-10). A model without
// one has an empty folder.
func (x *execution) fetchModel(ctx context.Context) error {
	dir, err := x.work.sub(modelDir)
	if err != nil {
		return err
	}
	uri := x.job.Model.Container.ModelDataURL
	if uri == "" {
		return nil
	}
	ref, err := objstore.ParseURI(uri)
	if err != nil {
		return err
	}
	info, err := x.Objects.Stat(ctx, ref)
	if err != nil {
		return modelFailure(uri, err)
	}
	r := objstore.NewReader(ctx, x.Objects, info, objstore.ReaderOptions{})
	defer r.Close()
	_, err = artefact.Unpack(ctx, r, dir, artefact.Limits{})
	return modelFailure(uri, err)
}

// modelFailure names the artefact in an error about it.
func modelFailure(uri string, err error) error {
	if err == nil {
		return nil
	}
	f := transform.AsFailure(err)
	return &transform.Failure{Class: f.Class, Text: "the model data at " + uri + " cannot be used: " + f.Text, Err: err}
}
