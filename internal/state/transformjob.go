package state

import (
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func transformJobMeta(j *resource.TransformJob) *resource.Meta { return &j.Meta }

// CreateTransformJob stores a new transform job with its tags. A name that was
// ever used, in whatever case, is fault.InUse (BT-21). j.Rev is not looked at;
// the stored revision is 1.
func (tx *Tx) CreateTransformJob(j resource.TransformJob) error {
	r, err := encode(&j, j.Meta, resource.KindTransformJob, string(j.Status))
	if err != nil {
		return err
	}
	created, err := tx.insert(r)
	if err != nil {
		return err
	}
	if !created {
		return fault.New(fault.InUse, "There is already a transform job %s in %s.", j.Name, j.Region)
	}
	return nil
}

// TransformJob reads a job, or gives fault.NotFound. key.Kind is not looked at.
func (tx *Tx) TransformJob(key resource.Key) (resource.TransformJob, error) {
	key.Kind = resource.KindTransformJob
	r, err := tx.load(key)
	if err != nil {
		return resource.TransformJob{}, err
	}
	return decode(r, transformJobMeta)
}

// SaveTransformJob stores what became of a job. It is fault.Conflict when the
// stored revision is no longer j.Rev, and the stored revision is j.Rev+1
// afterwards. The name, the creation time and the tags stay as they are stored;
// SetTags changes tags.
func (tx *Tx) SaveTransformJob(j resource.TransformJob) error {
	r, err := encode(&j, j.Meta, resource.KindTransformJob, string(j.Status))
	if err != nil {
		return err
	}
	return tx.save(r)
}

// ListTransformJobs gives one page of jobs and, when there are more, the cursor
// of the next page.
func (tx *Tx) ListTransformJobs(q Query) ([]resource.TransformJob, *Cursor, error) {
	return list(tx, resource.KindTransformJob, q, transformJobMeta)
}

// ActiveTransformJobs gives the folded keys of all jobs of every region whose
// status is not terminal, ordered by region and name. They are the keys that
// Watch would give, so both may feed one queue.
func (tx *Tx) ActiveTransformJobs() ([]resource.Key, error) {
	var keys []resource.Key
	err := tx.each(func(s scanner) error {
		key := resource.Key{Kind: resource.KindTransformJob}
		if err := s.Scan(&key.Region, &key.Name); err != nil {
			return fmt.Errorf("read the active transform jobs: %w", err)
		}
		keys = append(keys, key)
		return nil
	}, `SELECT region, name_folded FROM resources
		WHERE kind = ? AND status IN ('InProgress', 'Stopping')
		ORDER BY region, name_folded`, string(resource.KindTransformJob))
	return keys, err
}
