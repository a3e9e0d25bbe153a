// Package local is the embedded keystore: keys with their versions, aliases and
// states in the database, the material of each sealed under the master key.
//
// It is an adapter of keyring and what the key service's API (package kms) works
// on. A key that rotates gets a new version when it is next used after its date;
// older versions still decrypt. A key whose deletion is due is gone at that moment,
// and Run removes what is left of it.
package local

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/masterkey"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// Options are what a Store works with.
type Options struct {
	Account string // of ARNs
	State   *state.Store
	Master  *masterkey.Ring
	Log     *slog.Logger
	Now     func() time.Time
}

// Store is the embedded keystore. It is safe for concurrent use.
type Store struct{ Options }

var _ keyring.Keyring = (*Store)(nil)

// The kinds of records in the database.
const (
	kindKey   = "kms-key"
	kindAlias = "kms-alias"
)

// Open makes a Store over a database. Keys that are sealed under a former master
// key are sealed under the current one; a key that none of the ring's opens is an
// error, so that a server with the wrong master key does not start.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{o}
	return s, s.reseal(ctx)
}

// Key is a key with all that its owner may see of it.
type Key struct {
	keyring.Key
	Region      string
	Description string
	Created     time.Time
	// Manager is the alias of a key that belongs to the service, such as
	// "alias/aws/s3", or "". Its owner cannot change such a key.
	Manager string
	Tags    []resource.Tag
	// Deletes is when a key that is pending deletion is deleted.
	Deletes time.Time
	// RotationDays is how old a version gets, 0 for no rotation; Rotates is when the
	// next version is due.
	RotationDays int
	Rotates      time.Time
}

// row is a key as the database has it.
type row struct {
	Region, ID   string        `json:"-"`
	State        keyring.State // PendingDeletion is Deletes
	Description  string        `json:",omitempty"`
	Created      time.Time
	Manager      string         `json:",omitempty"`
	Tags         []resource.Tag `json:",omitempty"`
	Deletes      *time.Time     `json:",omitempty"`
	RotationDays int            `json:",omitempty"`
	Rotates      *time.Time     `json:",omitempty"`
	Versions     []version      // oldest first, at least one
}

// version is one version of a key's material.
type version struct {
	Number  uint32
	Created time.Time
	Sealed  []byte
}

func (r *row) arn(account string) string {
	return keyring.Ref{Region: r.Region, KeyID: r.ID}.ARN(account)
}

// key is what others may see of a row.
func (s *Store) key(r *row) Key {
	k := Key{
		Key:    keyring.Key{ID: r.ID, ARN: r.arn(s.Account), State: r.State},
		Region: r.Region, Description: r.Description, Created: r.Created, Manager: r.Manager,
		Tags: r.Tags, RotationDays: r.RotationDays,
	}
	if r.Deletes != nil {
		k.Deletes = *r.Deletes
	}
	if r.Rotates != nil {
		k.Rotates = *r.Rotates
	}
	return k
}

// purpose binds a version's seal to the key, so that versions cannot be exchanged.
func (r *row) purpose(number uint32) string {
	return fmt.Sprintf("%s/%s/%s/%d", kindKey, r.Region, r.ID, number)
}

// addVersion gives a key new material.
func (s *Store) addVersion(r *row) {
	material := make([]byte, keyring.DataKeySize)
	rand.Read(material) // It never fails: crypto/rand ends the program instead.
	n := uint32(len(r.Versions) + 1)
	r.Versions = append(r.Versions, version{Number: n, Created: s.Now(), Sealed: s.Master.Seal(material, r.purpose(n))})
	clear(material)
}

// material opens the material of a version.
func (s *Store) material(r *row, number uint32) (keyring.Secret, error) {
	for _, v := range r.Versions {
		if v.Number == number {
			return s.Master.Open(v.Sealed, r.purpose(number))
		}
	}
	return nil, errCiphertext()
}

// newRow makes a key, not yet stored.
func (s *Store) newRow(region string) *row {
	r := &row{Region: region, ID: uuid.NewString(), State: keyring.Enabled, Created: s.Now()}
	s.addVersion(r)
	return r
}

// load reads a key; one whose deletion is due is not there any more.
func (s *Store) load(tx *state.Tx, region, id string) (*row, error) {
	rec, err := tx.Record(kindKey, region, id)
	r, err := s.decode(rec, err)
	if fault.Is(err, fault.NotFound) || err == nil && r.gone(s.Now()) {
		return nil, keyring.Errorf(keyring.NotFoundException, "Key '%s' does not exist", keyring.Ref{Region: region, KeyID: id}.ARN(s.Account))
	}
	return r, err
}

func (r *row) gone(now time.Time) bool { return r.Deletes != nil && !now.Before(*r.Deletes) }

func (s *Store) decode(rec state.Record, err error) (*row, error) {
	if err != nil {
		return nil, err
	}
	r := &row{}
	if err := json.Unmarshal(rec.Body, r); err != nil || len(r.Versions) == 0 {
		return nil, fault.Wrap(fault.Internal, err, "The stored key %s cannot be read. The state database is damaged, or a newer program wrote it.", rec.Name)
	}
	r.Region, r.ID = rec.Region, rec.Name
	return r, nil
}

// save writes a key, a new one or one that is there.
func save(write func(state.Record) error, r *row) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return write(state.Record{Kind: kindKey, Region: r.Region, Name: r.ID, Body: body})
}

// change reads a key, lets fn change it and writes it, in one transaction.
func (s *Store) change(ctx context.Context, id keyring.ID, fn func(tx *state.Tx, r *row) error) (k Key, err error) {
	ref, err := id.Parse(s.Account)
	if err != nil {
		return k, err
	}
	err = s.State.Update(ctx, func(tx *state.Tx) error {
		r, err := s.resolve(tx, ref)
		if err == nil {
			err = fn(tx, r)
		}
		if err == nil {
			err = save(tx.SaveRecord, r)
		}
		if err == nil {
			k = s.key(r)
		}
		return err
	})
	return k, err
}

// find reads the key that an ID names. The service's own keys are made when they
// are first asked for.
func (s *Store) find(ctx context.Context, id keyring.ID) (r *row, err error) {
	ref, err := id.Parse(s.Account)
	if err != nil {
		return nil, err
	}
	err = s.State.View(ctx, func(tx *state.Tx) error {
		r, err = s.resolve(tx, ref)
		return err
	})
	if fault.Is(err, fault.NotFound) && ownAlias(ref.Alias) {
		err = s.State.Update(ctx, func(tx *state.Tx) error {
			r, err = s.ensureOwn(tx, ref)
			return err
		})
	}
	return r, err
}

// resolve finds the row of a key or of an alias' key.
func (s *Store) resolve(tx *state.Tx, ref keyring.Ref) (*row, error) {
	if ref.Alias == "" {
		return s.load(tx, ref.Region, ref.KeyID)
	}
	a, err := tx.Record(kindAlias, ref.Region, ref.Alias)
	if fault.Is(err, fault.NotFound) {
		return nil, keyring.Errorf(keyring.NotFoundException, "Alias %s is not found.", ref.ARN(s.Account))
	}
	if err != nil {
		return nil, err
	}
	return s.load(tx, ref.Region, a.Parent)
}

// Describe implements keyring.Keyring.
func (s *Store) Describe(ctx context.Context, id keyring.ID) (keyring.Key, error) {
	k, err := s.Get(ctx, id)
	return k.Key, err
}

// Get finds a key with all that its owner may see.
func (s *Store) Get(ctx context.Context, id keyring.ID) (Key, error) {
	r, err := s.find(ctx, id)
	if err != nil {
		return Key{}, err
	}
	return s.key(r), nil
}

// sweepEvery is how often Run looks for keys whose deletion is due.
const sweepEvery = time.Hour

// Run removes keys whose deletion is due, until ctx ends.
func (s *Store) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("keys whose deletion is due were not removed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweep removes the keys whose deletion is due, with their aliases.
func (s *Store) sweep(ctx context.Context) error {
	var removed []string
	err := s.State.Update(ctx, func(tx *state.Tx) error {
		return s.each(tx, func(r *row) error {
			if !r.gone(s.Now()) {
				return nil
			}
			removed = append(removed, r.arn(s.Account))
			return remove(tx, r)
		})
	})
	if err == nil {
		for _, arn := range removed {
			s.Log.Info("key deleted", "key", arn)
		}
	}
	return err
}

// each calls fn for every key of every region.
func (s *Store) each(tx *state.Tx, fn func(r *row) error) error {
	records, err := tx.Records(state.RecordQuery{Kind: kindKey, Every: true})
	if err != nil {
		return err
	}
	for _, rec := range records {
		r, err := s.decode(rec, nil)
		if err == nil {
			err = fn(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func remove(tx *state.Tx, r *row) error {
	aliases, err := tx.Records(state.RecordQuery{Kind: kindAlias, Region: r.Region, Parent: r.ID})
	for _, a := range aliases {
		err = errors.Join(err, tx.DeleteRecord(kindAlias, a.Region, a.Name))
	}
	return errors.Join(err, tx.DeleteRecord(kindKey, r.Region, r.ID))
}

// reseal opens every key and seals under the current master key what is not, in
// one transaction.
func (s *Store) reseal(ctx context.Context) error {
	return s.State.Update(ctx, func(tx *state.Tx) error {
		return s.each(tx, func(r *row) error {
			changed := false
			for i := range r.Versions {
				v := &r.Versions[i]
				material, err := s.Master.Open(v.Sealed, r.purpose(v.Number))
				if err != nil {
					return err
				}
				if !s.Master.Current(v.Sealed) {
					v.Sealed, changed = s.Master.Seal(material, r.purpose(v.Number)), true
				}
				clear(material)
			}
			if !changed {
				return nil
			}
			return save(tx.SaveRecord, r)
		})
	})
}
