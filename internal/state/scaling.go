package state

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func scalableTargetMeta(t *resource.ScalableTarget) *resource.Meta { return &t.Meta }

// ScalableTarget reads a target, or gives fault.NotFound. key.Kind is not looked at.
func (tx *Tx) ScalableTarget(key resource.Key) (resource.ScalableTarget, error) {
	key.Kind = resource.KindScalableTarget
	r, err := tx.load(key)
	if err != nil {
		return resource.ScalableTarget{}, err
	}
	return decode(r, scalableTargetMeta)
}

// CreateScalableTarget stores a new target. A name that is taken is fault.Exists.
func (tx *Tx) CreateScalableTarget(t resource.ScalableTarget) error {
	r, err := encode(&t, t.Meta, resource.KindScalableTarget, "")
	if err != nil {
		return err
	}
	return tx.insertNew(r)
}

// SaveScalableTarget stores what became of a target. It is fault.Conflict when the
// stored revision is no longer t.Rev.
func (tx *Tx) SaveScalableTarget(t resource.ScalableTarget) error {
	r, err := encode(&t, t.Meta, resource.KindScalableTarget, "")
	if err != nil {
		return err
	}
	return tx.save(r)
}

// DeleteScalableTarget removes a target with its policies and activities, or gives
// fault.NotFound.
func (tx *Tx) DeleteScalableTarget(key resource.Key) error {
	key.Kind = resource.KindScalableTarget
	return tx.remove(key)
}

// errEnough ends EachScalableTarget early.
var errEnough = errors.New("state: enough")

// EachScalableTarget calls fn for the targets of a region whose folded names are
// not before from, in the order of these names, until it returns false.
func (tx *Tx) EachScalableTarget(region, from string, fn func(resource.ScalableTarget) (more bool)) error {
	err := tx.each(func(s scanner) error {
		r, err := scanRow(s)
		if err != nil {
			return err
		}
		t, err := decode(r, scalableTargetMeta)
		if err != nil {
			return err
		}
		if !fn(t) {
			return errEnough
		}
		return nil
	}, `SELECT `+rowColumns+` FROM resources AS r WHERE r.region = ? AND r.kind = ? AND r.name_folded >= ? ORDER BY r.name_folded`,
		region, string(resource.KindScalableTarget), strings.ToLower(from))
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// ScalableTargetsOf gives the targets of an endpoint, ordered by the variants' names.
func (tx *Tx) ScalableTargetsOf(endpoint resource.Key) (targets []resource.ScalableTarget, err error) {
	prefix := strings.ToLower(resource.ScalableName(endpoint.Name, ""))
	err = tx.EachScalableTarget(endpoint.Region, prefix, func(t resource.ScalableTarget) bool {
		if !strings.HasPrefix(strings.ToLower(t.Name), prefix) {
			return false
		}
		targets = append(targets, t)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("read the scalable targets of %s: %w", endpoint, err)
	}
	return targets, nil
}
