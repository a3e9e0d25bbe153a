package local

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// maxAliases bounds the aliases of a key.
const maxAliases = 50

// ownPrefix begins the aliases of keys that belong to a service.
const ownPrefix = keyring.AliasPrefix + "aws/"

// ownAlias reports whether an alias names a key that is made when it is first
// asked for: the default keys of S3 and of volumes.
func ownAlias(alias string) bool {
	return slices.Contains([]string{ownPrefix + "s3", ownPrefix + "ebs"}, alias)
}

// Alias is a second name of a key.
type Alias struct {
	Name, ARN string
	KeyID     string
	Created   time.Time
	Updated   time.Time
}

// aliasBody is what an alias' record holds beside its key.
type aliasBody struct{ Created, Updated time.Time }

// ensureOwn finds a key of the service or makes it, with its alias.
func (s *Store) ensureOwn(tx *state.Tx, ref keyring.Ref) (*row, error) {
	r, err := s.resolve(tx, ref)
	if !fault.Is(err, fault.NotFound) {
		return r, err
	}
	r = s.newRow(ref.Region)
	r.Manager = ref.Alias
	r.Description = "Default key that protects data of " + strings.TrimPrefix(ref.Alias, ownPrefix) + " when no other key is named"
	if err := s.insert(tx, r); err != nil {
		return nil, err
	}
	return r, s.putAlias(tx, ref, r.ID)
}

func (s *Store) putAlias(tx *state.Tx, ref keyring.Ref, keyID string) error {
	body, err := json.Marshal(aliasBody{Created: s.Now(), Updated: s.Now()})
	if err != nil {
		return err
	}
	return tx.PutRecord(state.Record{Kind: kindAlias, Region: ref.Region, Name: ref.Alias, Parent: keyID, Body: body})
}

// aliasRef reads the name of an alias that its owner may make, move or delete.
func (s *Store) aliasRef(region, name string) (keyring.Ref, error) {
	ref := keyring.Ref{Region: region, Alias: name}
	if !strings.HasPrefix(name, keyring.AliasPrefix) || len(name) == len(keyring.AliasPrefix) {
		return ref, keyring.Errorf(keyring.ValidationException, `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`)
	}
	if strings.HasPrefix(name, ownPrefix) {
		return ref, keyring.Errorf(keyring.AccessDeniedException, "Aliases that begin with %s belong to services: %s cannot be made, moved or deleted.", ownPrefix, name)
	}
	return ref, nil
}

// target finds the key that an alias is to name. It is named by its id or its ARN.
func (s *Store) target(tx *state.Tx, id keyring.ID) (*row, error) {
	ref, err := id.Parse(s.Account)
	if err == nil && ref.Alias != "" {
		err = keyring.Errorf(keyring.ValidationException, "Aliases must refer to keys. Not aliases")
	}
	if err != nil {
		return nil, err
	}
	r, err := s.resolve(tx, ref)
	if err == nil && r.State == keyring.PendingDeletion {
		err = s.key(r).Usable()
	}
	if err != nil {
		return nil, err
	}
	n, err := tx.CountRecords(state.RecordQuery{Kind: kindAlias, Region: ref.Region, Parent: r.ID})
	if err == nil && n >= maxAliases {
		err = keyring.Errorf(keyring.LimitExceededException, "%s has %d aliases, the most that it may have.", r.arn(s.Account), n)
	}
	return r, err
}

// CreateAlias gives a key a second name.
func (s *Store) CreateAlias(ctx context.Context, region, name string, to keyring.ID) error {
	ref, err := s.aliasRef(region, name)
	if err != nil {
		return err
	}
	return s.State.Update(ctx, func(tx *state.Tx) error {
		r, err := s.target(tx, to)
		if err != nil {
			return err
		}
		err = s.putAlias(tx, ref, r.ID)
		if fault.Is(err, fault.Exists) {
			err = keyring.Errorf(keyring.AlreadyExistsException, "An alias with the name %s already exists", ref.ARN(s.Account))
		}
		return err
	})
}

// UpdateAlias lets an alias name another key.
func (s *Store) UpdateAlias(ctx context.Context, region, name string, to keyring.ID) error {
	return s.changeAlias(ctx, region, name, func(tx *state.Tx, rec state.Record) error {
		r, err := s.target(tx, to)
		if err != nil {
			return err
		}
		var body aliasBody
		if err := json.Unmarshal(rec.Body, &body); err != nil {
			return err
		}
		body.Updated = s.Now()
		if rec.Body, err = json.Marshal(body); err != nil {
			return err
		}
		rec.Parent = r.ID
		return tx.SaveRecord(rec)
	})
}

// DeleteAlias removes an alias. Its key stays.
func (s *Store) DeleteAlias(ctx context.Context, region, name string) error {
	return s.changeAlias(ctx, region, name, func(tx *state.Tx, rec state.Record) error {
		return tx.DeleteRecord(kindAlias, rec.Region, rec.Name)
	})
}

func (s *Store) changeAlias(ctx context.Context, region, name string, fn func(*state.Tx, state.Record) error) error {
	ref, err := s.aliasRef(region, name)
	if err != nil {
		return err
	}
	return s.State.Update(ctx, func(tx *state.Tx) error {
		rec, err := tx.Record(kindAlias, ref.Region, ref.Alias)
		if fault.Is(err, fault.NotFound) {
			return keyring.Errorf(keyring.NotFoundException, "Alias %s is not found.", ref.ARN(s.Account))
		}
		if err != nil {
			return err
		}
		return fn(tx, rec)
	})
}

// ListAliases gives aliases of a region in the order of their names, after one of
// them; with a key only those of it. next is after which the next page begins, ""
// when there is none.
func (s *Store) ListAliases(ctx context.Context, region string, of *keyring.ID, after string, limit int) (aliases []Alias, next string, err error) {
	q := state.RecordQuery{Kind: kindAlias, Region: region, After: after, Limit: limit}
	if of != nil {
		r, err := s.find(ctx, *of)
		if err != nil {
			return nil, "", err
		}
		q.Parent = r.ID
	}
	err = s.State.View(ctx, func(tx *state.Tx) error {
		var records []state.Record
		records, next, err = page(tx, q)
		for _, rec := range records {
			var body aliasBody
			if err := json.Unmarshal(rec.Body, &body); err != nil {
				return fault.Wrap(fault.Internal, err, "The stored alias %s cannot be read.", rec.Name)
			}
			aliases = append(aliases, Alias{
				Name: rec.Name, ARN: keyring.Ref{Region: region, Alias: rec.Name}.ARN(s.Account),
				KeyID: rec.Parent, Created: body.Created, Updated: body.Updated,
			})
		}
		return err
	})
	return aliases, next, err
}
