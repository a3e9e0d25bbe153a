package identity

import (
	"context"
	"crypto/rand"
	"regexp"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// newKeyID makes the id of an access key; prefix is AKIA for a user's and ASIA for
// a session's, as AWS has it.
func newKeyID(prefix string) string { return prefix + rand.Text()[:16] }

// newSecret makes a secret of 40 characters with 200 random bits.
func newSecret() keyring.Secret { return keyring.Secret((rand.Text() + rand.Text())[:40]) }

// CreateKey gives a user an access key. The secret is told once: it is sealed from
// then on.
func (s *Store) CreateKey(ctx context.Context, user string) (id string, secret keyring.Secret, err error) {
	id, secret = newKeyID("AKIA"), newSecret()
	return id, secret, s.edit(ctx, User, user, func(r *record) error {
		return s.addKey(r, user, id, secret)
	})
}

// addKey gives a user a key, within the bound. Keys that have expired make room.
func (s *Store) addKey(r *record, user, id string, secret keyring.Secret) error {
	r.Keys = slices.DeleteFunc(r.Keys, func(k keyRecord) bool { return k.expired(s.Now()) })
	if len(r.Keys) >= maxKeys {
		return fault.New(fault.Limit, "The user %s has %d access keys, the most that it may have. Revoke one first.", user, len(r.Keys))
	}
	r.Keys = append(r.Keys, keyRecord{ID: id, Created: s.Now(), Active: true, Sealed: s.Master.Seal(secret, purpose(id))})
	return nil
}

func (k *keyRecord) expired(now time.Time) bool {
	return !k.Expires.IsZero() && !now.Before(k.Expires)
}

// Rotate gives the user of an access key a new one. The old one is good for the
// grace time still, so that nobody is locked out while the new one is put in place.
func (s *Store) Rotate(ctx context.Context, keyID string, grace time.Duration) (id string, secret keyring.Secret, err error) {
	id, secret = newKeyID("AKIA"), newSecret()
	return id, secret, s.change(ctx, s.editKey(keyID, func(user string, r *record, i int) error {
		if ends := s.Now().Add(grace); r.Keys[i].Expires.IsZero() || ends.Before(r.Keys[i].Expires) {
			r.Keys[i].Expires = ends
		}
		return s.addKey(r, user, id, secret)
	}))
}

// SetActive switches an access key on or off. The last one of the last administrator
// stays on.
func (s *Store) SetActive(ctx context.Context, keyID string, active bool) error {
	return s.remove(ctx, s.editKey(keyID, func(_ string, r *record, i int) error {
		r.Keys[i].Active = active
		return nil
	}))
}

// Revoke removes an access key for ever. The last one of the last administrator
// stays.
func (s *Store) Revoke(ctx context.Context, keyID string) error {
	return s.remove(ctx, s.editKey(keyID, func(_ string, r *record, i int) error {
		r.Keys = slices.Delete(r.Keys, i, i+1)
		return nil
	}))
}

// OwnerOf names the user of an access key, which may be switched off or have ended.
func (s *Store) OwnerOf(ctx context.Context, keyID string) (user string, err error) {
	err = s.State.View(ctx, func(tx *state.Tx) error {
		return s.each(tx, func(_ Kind, name string, r *record) error {
			if slices.ContainsFunc(r.Keys, func(k keyRecord) bool { return k.ID == keyID }) {
				user = name
			}
			return nil
		})
	})
	if err == nil && user == "" {
		err = noKey(keyID)
	}
	return user, err
}

func noKey(id string) error {
	return fault.New(fault.NotFound, "There is no access key %s.", printable(id))
}

// editKey makes a change of the user of an access key; i is which of its keys it is.
func (s *Store) editKey(keyID string, fn func(user string, r *record, i int) error) func(tx *state.Tx) error {
	return func(tx *state.Tx) error {
		found := false
		err := s.each(tx, func(kind Kind, name string, r *record) error {
			i := slices.IndexFunc(r.Keys, func(k keyRecord) bool { return k.ID == keyID })
			if i < 0 {
				return nil
			}
			found = true
			if err := fn(name, r, i); err != nil {
				return err
			}
			return save(tx.SaveRecord, kind, name, r)
		})
		if err == nil && !found {
			err = noKey(keyID)
		}
		return err
	}
}

// keyIDs and secrets are what an imported key may look like.
var (
	keyIDs  = regexp.MustCompile(`^[\w-]{16,128}$`)
	secrets = regexp.MustCompile(`^[!-~]{16,128}$`)
)

// kindImported is the kind of the records that tell which keys were imported, so
// that one that was revoked does not come back.
const kindImported = "identity-imported"

// Import gives a user an access key that was made elsewhere, such as by a server
// before there were users, and makes the user with the policies when there is none.
// Each key is imported once, whatever becomes of it then, and one that a user has
// already stays as it is; so this may be called at every start.
func (s *Store) Import(ctx context.Context, user string, policies []Document, keyID string, secret keyring.Secret) error {
	if !names.MatchString(user) || !keyIDs.MatchString(keyID) || !secrets.Match(secret) {
		return fault.New(fault.Invalid, "The access key %s cannot be imported for the user %s: a key must have 16 to 128 letters and digits, and its secret 16 to 128 characters of ASCII.", printable(keyID), printable(user))
	}
	if err := s.checkPolicies(policies); err != nil {
		return err
	}
	return s.change(ctx, func(tx *state.Tx) error {
		if known, err := s.imported(tx, keyID); err != nil || known {
			return err
		}
		r, write, err := s.userOrNew(tx, user, policies)
		if err != nil {
			return err
		}
		if err := s.addKey(r, user, keyID, secret); err != nil {
			return err
		}
		return save(write, User, user, r)
	})
}

// imported notes that a key is imported now, and reports whether it was before, or is
// a user's already.
func (s *Store) imported(tx *state.Tx, keyID string) (known bool, err error) {
	err = tx.PutRecord(state.Record{Kind: kindImported, Name: keyID})
	if fault.Is(err, fault.Exists) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	err = s.each(tx, func(_ Kind, _ string, r *record) error {
		known = known || slices.ContainsFunc(r.Keys, func(k keyRecord) bool { return k.ID == keyID })
		return nil
	})
	return known, err
}

// userOrNew gives a user, a new one with the policies where there is none, and how it
// is saved.
func (s *Store) userOrNew(tx *state.Tx, user string, policies []Document) (r *record, write func(state.Record) error, err error) {
	rec, err := tx.Record(User.recordKind(), "", user)
	if fault.Is(err, fault.NotFound) {
		return &record{Created: s.Now(), Policies: policies}, tx.PutRecord, nil
	}
	if err != nil {
		return nil, nil, err
	}
	r, err = decode(rec)
	return r, tx.SaveRecord, err
}

// printable bounds a stranger's text.
func printable(text string) string {
	if len(text) > 64 {
		text = text[:64] + "..."
	}
	return text
}
