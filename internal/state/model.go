package state

import (
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func modelMeta(m *resource.Model) *resource.Meta { return &m.Meta }

// PutModel stores a new model with its tags. A name that is taken, in whatever
// case, is fault.Exists (CP-32). m.Rev is not looked at; the stored revision is 1.
func (tx *Tx) PutModel(m resource.Model) error {
	r, err := encode(&m, m.Meta, resource.KindModel, "")
	if err != nil {
		return err
	}
	created, err := tx.insert(r)
	if err != nil {
		return err
	}
	if !created {
		return fault.New(fault.Exists, "There is already a model %s in %s.", m.Name, m.Region)
	}
	return nil
}

// Model reads a model, or gives fault.NotFound. key.Kind is not looked at.
func (tx *Tx) Model(key resource.Key) (resource.Model, error) {
	key.Kind = resource.KindModel
	r, err := tx.load(key)
	if err != nil {
		return resource.Model{}, err
	}
	return decode(r, modelMeta)
}

// DeleteModel removes a model and its tags, or gives fault.NotFound. Nothing
// that uses the model stops it (CP-38). key.Kind is not looked at.
func (tx *Tx) DeleteModel(key resource.Key) error {
	key.Kind = resource.KindModel
	return tx.remove(key)
}

// ListModels gives one page of models and, when there are more, the cursor of
// the next page.
func (tx *Tx) ListModels(q Query) ([]resource.Model, *Cursor, error) {
	return list(tx, resource.KindModel, q, modelMeta)
}
