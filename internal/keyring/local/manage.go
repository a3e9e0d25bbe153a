package local

import (
	"context"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// maxKeys bounds the keys of a region, and maxTags the tags of a key.
const (
	maxKeys = 10_000
	maxTags = 50
)

// Create makes a key.
func (s *Store) Create(ctx context.Context, region, description string, tags []resource.Tag) (Key, error) {
	if err := checkTags(tags); err != nil {
		return Key{}, err
	}
	r := s.newRow(region)
	r.Description, r.Tags = description, tags
	err := s.State.Update(ctx, func(tx *state.Tx) error { return s.insert(tx, r) })
	return s.key(r), err
}

// insert stores a new key within the bound.
func (s *Store) insert(tx *state.Tx, r *row) error {
	n, err := tx.CountRecords(state.RecordQuery{Kind: kindKey, Region: r.Region})
	if err != nil {
		return err
	}
	if n >= maxKeys {
		return keyring.Errorf(keyring.LimitExceededException, "The region %s has %d keys, the most that it may have.", r.Region, n)
	}
	return save(tx.PutRecord, r)
}

// List gives keys of a region in the order of their ids, after one of them. next is
// after which the next page begins, "" when there is none.
func (s *Store) List(ctx context.Context, region, after string, limit int) (keys []Key, next string, err error) {
	err = s.State.View(ctx, func(tx *state.Tx) error {
		var records []state.Record
		records, next, err = page(tx, state.RecordQuery{Kind: kindKey, Region: region, After: after, Limit: limit})
		for _, rec := range records {
			r, err := s.decode(rec, nil)
			if err != nil {
				return err
			}
			if !r.gone(s.Now()) {
				keys = append(keys, s.key(r))
			}
		}
		return err
	})
	return keys, next, err
}

// page reads the records of a page, and after which name the next one begins.
func page(tx *state.Tx, q state.RecordQuery) (records []state.Record, next string, err error) {
	limit := q.Limit
	q.Limit++
	if records, err = tx.Records(q); len(records) > limit {
		records = records[:limit]
		next = records[limit-1].Name
	}
	return records, next, err
}

// SetEnabled enables or disables a key.
func (s *Store) SetEnabled(ctx context.Context, id keyring.ID, enabled bool) error {
	_, err := s.change(ctx, id, func(_ *state.Tx, r *row) error {
		if err := s.changeable(r); err != nil {
			return err
		}
		r.State = keyring.Disabled
		if enabled {
			r.State = keyring.Enabled
		}
		return nil
	})
	return err
}

// changeable refuses to change keys of the service and those pending deletion.
func (s *Store) changeable(r *row) error {
	if r.Manager != "" {
		return keyring.Errorf(keyring.AccessDeniedException, "%s is the key behind %s, which belongs to the service: it cannot be changed.", r.arn(s.Account), r.Manager)
	}
	if r.State == keyring.PendingDeletion {
		return s.key(r).Usable()
	}
	return nil
}

// SetRotation sets how old versions of a key get, in days; 0 ends its rotation.
// Setting what is set already does not move the date.
func (s *Store) SetRotation(ctx context.Context, id keyring.ID, period int) (Key, error) {
	return s.change(ctx, id, func(_ *state.Tx, r *row) error {
		if err := s.changeable(r); err != nil {
			return err
		}
		if err := s.key(r).Usable(); err != nil {
			return err
		}
		if period == r.RotationDays {
			return nil
		}
		r.RotationDays, r.Rotates = period, nil
		if period > 0 {
			next := s.Now().Add(days(period))
			r.Rotates = &next
		}
		return nil
	})
}

// ScheduleDeletion disables a key at once and deletes it after some days.
func (s *Store) ScheduleDeletion(ctx context.Context, id keyring.ID, window int) (Key, error) {
	return s.change(ctx, id, func(_ *state.Tx, r *row) error {
		if err := s.changeable(r); err != nil {
			return err
		}
		when := s.Now().Add(days(window)).Truncate(time.Second)
		r.State, r.Deletes = keyring.PendingDeletion, &when
		return nil
	})
}

// CancelDeletion keeps a key; it is disabled then.
func (s *Store) CancelDeletion(ctx context.Context, id keyring.ID) (Key, error) {
	return s.change(ctx, id, func(_ *state.Tx, r *row) error {
		if r.State != keyring.PendingDeletion {
			return keyring.Errorf(keyring.InvalidStateException, "%s is not pending deletion.", r.arn(s.Account))
		}
		r.State, r.Deletes = keyring.Disabled, nil
		return nil
	})
}

// Tag sets tags, over those of the same key.
func (s *Store) Tag(ctx context.Context, id keyring.ID, tags []resource.Tag) error {
	_, err := s.change(ctx, id, func(_ *state.Tx, r *row) error {
		if err := s.changeable(r); err != nil {
			return err
		}
		for _, t := range tags {
			i := slices.IndexFunc(r.Tags, func(o resource.Tag) bool { return o.Key == t.Key })
			if i < 0 {
				r.Tags = append(r.Tags, t)
			} else {
				r.Tags[i] = t
			}
		}
		return checkTags(r.Tags)
	})
	return err
}

// Untag removes tags by their keys; those that are not there are no error.
func (s *Store) Untag(ctx context.Context, id keyring.ID, keys []string) error {
	_, err := s.change(ctx, id, func(_ *state.Tx, r *row) error {
		if err := s.changeable(r); err != nil {
			return err
		}
		r.Tags = slices.DeleteFunc(r.Tags, func(t resource.Tag) bool { return slices.Contains(keys, t.Key) })
		return nil
	})
	return err
}

func checkTags(tags []resource.Tag) error {
	if len(tags) > maxTags {
		return keyring.Errorf(keyring.LimitExceededException, "The key would have %d tags, and may have %d.", len(tags), maxTags)
	}
	seen := map[string]bool{}
	for _, t := range tags {
		if seen[t.Key] {
			return keyring.Errorf(keyring.TagException, "The tag key %q is given twice.", t.Key)
		}
		seen[t.Key] = true
		if len(t.Key) >= 4 && (t.Key[:4] == "aws:" || t.Key[:4] == "AWS:") {
			return keyring.Errorf(keyring.TagException, "The tag key %q begins with aws:, which is reserved.", t.Key)
		}
	}
	return nil
}
