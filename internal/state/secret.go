package state

import (
	"context"
	"crypto/rand"
)

// secretSize is the length of every secret, in bytes.
const secretSize = 32

// Secret gives the server's secret of a name: 32 random bytes that are made when
// they are first asked for and are the same ever after. The caller owns the slice.
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	read := func(tx *Tx) error {
		_, err := tx.get([]any{&value}, `SELECT value FROM secrets WHERE name = ?`, name)
		return err
	}
	if err := s.View(ctx, read); err != nil || value != nil {
		return value, err
	}
	fresh := make([]byte, secretSize)
	rand.Read(fresh) // It never fails: crypto/rand ends the program instead.
	err := s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.exec(`INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, name, fresh); err != nil {
			return err
		}
		return read(tx)
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}
