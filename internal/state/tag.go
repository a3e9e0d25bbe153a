package state

import (
	"encoding/json"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// SetTags replaces all tags of a resource and keeps their order, or gives
// fault.NotFound. It moves neither the revision nor the modification time, so
// that tagging never gets in the way of a controller that is saving.
func (tx *Tx) SetTags(key resource.Key, tags []resource.Tag) error {
	text, err := encodeTags(tags)
	if err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE resources SET tags = ? WHERE region = ? AND kind = ? AND name_folded = ?`,
		text, key.Region, string(key.Kind), key.Folded().Name)
	if err != nil {
		return err
	}
	if n == 0 {
		return notFound(key)
	}
	tx.touched(key)
	return nil
}

// Tags gives the tags of a resource of any kind in the order in which SetTags was
// given them, or fault.NotFound.
func (tx *Tx) Tags(key resource.Key) ([]resource.Tag, error) {
	r, err := tx.load(key)
	return r.Tags, err
}

func encodeTags(tags []resource.Tag) (string, error) {
	if len(tags) == 0 {
		return "[]", nil
	}
	text, err := json.Marshal(tags)
	if err != nil {
		return "", fmt.Errorf("encode tags: %w", err)
	}
	return string(text), nil
}
