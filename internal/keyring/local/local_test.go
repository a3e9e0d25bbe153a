package local_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/keyringtest"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/local"
	"github.com/sagebrush-ml/sagebrush/internal/masterkey"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

const (
	account = "111122223333"
	region  = "us-east-1"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(days int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Duration(days) * 24 * time.Hour)
}

func newClock() *clock { return &clock{now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)} }

func master(b byte) masterkey.Source {
	return masterkey.Source{Value: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, masterkey.Size))}
}

// open opens a store over a database, which is closed at the test's end.
func open(t testing.TB, path string, c *clock, current masterkey.Source, former ...masterkey.Source) (*local.Store, *state.Store) {
	t.Helper()
	db, err := state.Open(t.Context(), path, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := openOver(t, db, c, current, former...)
	if err != nil {
		t.Fatal(err)
	}
	return s, db
}

func openOver(t testing.TB, db *state.Store, c *clock, current masterkey.Source, former ...masterkey.Source) (*local.Store, error) {
	t.Helper()
	ring, err := masterkey.Open(current, former...)
	if err != nil {
		t.Fatal(err)
	}
	return local.Open(t.Context(), local.Options{Account: account, State: db, Master: ring, Log: slog.New(slog.DiscardHandler), Now: c.Now})
}

func id(name string) keyring.ID { return keyring.ID{Region: region, Name: name} }

func create(t testing.TB, s *local.Store) local.Key {
	t.Helper()
	k, err := s.Create(t.Context(), region, "a key", []resource.Tag{{Key: "team", Value: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func no(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeyring(t *testing.T) {
	t.Parallel()
	keyringtest.Run(t, func(t *testing.T) keyringtest.Harness {
		c := newClock()
		s, _ := open(t, "", c, master(1))
		in := func(region, key string) keyring.ID { return keyring.ID{Region: region, Name: key} }
		return keyringtest.Harness{
			Keyring: s, Account: account,
			NewKey: func(t *testing.T, region string) string {
				k, err := s.Create(t.Context(), region, "", nil)
				no(t, err)
				return k.ID
			},
			Alias: func(t *testing.T, region, alias, key string) {
				no(t, s.CreateAlias(t.Context(), region, alias, in(region, key)))
			},
			SetState: func(t *testing.T, region, key string, to keyring.State) {
				k, err := s.Get(t.Context(), in(region, key))
				no(t, err)
				if k.State == keyring.PendingDeletion {
					_, err = s.CancelDeletion(t.Context(), in(region, key))
					no(t, err)
				}
				if to == keyring.PendingDeletion {
					_, err = s.ScheduleDeletion(t.Context(), in(region, key), 7)
				} else {
					err = s.SetEnabled(t.Context(), in(region, key), to == keyring.Enabled)
				}
				no(t, err)
			},
			Rotate: func(t *testing.T, region, key string) {
				_, err := s.SetRotation(t.Context(), in(region, key), 90)
				no(t, err)
				c.move(90)
			},
		}
	})
}

// Keys, aliases and what they wrapped outlive the server.
func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	c := newClock()
	s, db := open(t, path, c, master(1))
	k := create(t, s)
	no(t, s.CreateAlias(t.Context(), region, "alias/a", id(k.ID)))
	d, err := s.GenerateDataKey(t.Context(), id("alias/a"), nil)
	no(t, err)
	no(t, db.Close())

	s, _ = open(t, path, c, master(1))
	if got, err := s.Decrypt(t.Context(), id("alias/a"), d.Wrapped, nil); err != nil || !bytes.Equal(got, d.Plaintext) {
		t.Error(err)
	}
	if again, err := s.Get(t.Context(), id(k.ID)); err != nil || fmt.Sprint(again) != fmt.Sprint(k) {
		t.Errorf("got %v, %v; want %v", again, err, k)
	}
}

// With another master key the store does not open; with both it does, and is
// sealed anew so that the new one alone is enough from then on.
func TestMasterKeyChanges(t *testing.T) {
	t.Parallel()
	c := newClock()
	s, db := open(t, "", c, master(1))
	k := create(t, s)
	d, err := s.GenerateDataKey(t.Context(), id(k.ID), nil)
	no(t, err)

	if _, err := openOver(t, db, c, master(2)); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.TextOf(err), "sealed under the master key") {
		t.Errorf("opened with another master key: %v", err)
	}
	_, err = openOver(t, db, c, master(2), master(1))
	no(t, err)
	s, err = openOver(t, db, c, master(2))
	no(t, err)
	if got, err := s.Decrypt(t.Context(), id(k.ID), d.Wrapped, nil); err != nil || !bytes.Equal(got, d.Plaintext) {
		t.Error(err)
	}
	if _, err := openOver(t, db, c, master(1)); err == nil {
		t.Error("the former master key still opens")
	}
}

// The database's files hold neither material nor the master key, and no two keys
// can exchange their material in it.
func TestStolenDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newClock()
	s, db := open(t, filepath.Join(dir, "state.db"), c, master(1))
	a, b := create(t, s), create(t, s)
	d, err := s.GenerateDataKey(t.Context(), id(a.ID), nil)
	no(t, err)
	secrets := [][]byte{d.Plaintext, bytes.Repeat([]byte{1}, masterkey.Size), []byte(master(1).Value[:40])}
	no(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		for i, secret := range secrets {
			if bytes.Contains(text, secret) || bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString(secret))) {
				t.Errorf("secret %d is in %s", i, name)
			}
		}
		return err
	}))
	no(t, db.Update(t.Context(), func(tx *state.Tx) error {
		other, err := tx.Record("kms-key", region, b.ID)
		if err != nil {
			return err
		}
		other.Name = a.ID
		return tx.SaveRecord(other)
	}))
	if _, err := s.Decrypt(t.Context(), id(a.ID), d.Wrapped, nil); err == nil || fault.Is(err, fault.Invalid) {
		t.Errorf("another key's material was taken: %v", err)
	}
	if _, err := openOver(t, db, c, master(1)); err == nil {
		t.Error("a store with exchanged material opened")
	}
}

// A key whose deletion is due is gone at once, and Run removes what is left of it.
func TestDeletionIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		s, db := open(t, "", c, master(1))
		k := create(t, s)
		no(t, s.CreateAlias(t.Context(), region, "alias/a", id(k.ID)))
		gone, err := s.ScheduleDeletion(t.Context(), id(k.ID), 7)
		no(t, err)
		if gone.State != keyring.PendingDeletion || !gone.Deletes.Equal(c.Now().Add(7*24*time.Hour)) {
			t.Errorf("%+v", gone)
		}
		c.move(7)
		if keys, next, err := s.List(t.Context(), region, "", 1); err != nil || len(keys) != 0 || next != "" {
			t.Errorf("listed after its date: %v, %q, %v", keys, next, err)
		}
		if _, err := s.Get(t.Context(), id(k.ID)); !fault.Is(err, fault.NotFound) {
			t.Errorf("after its date: %v", err)
		}
		if _, err := s.CancelDeletion(t.Context(), id(k.ID)); !fault.Is(err, fault.NotFound) {
			t.Errorf("cancelled after its date: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		synctest.Wait()
		for _, kind := range []string{"kms-key", "kms-alias"} {
			no(t, db.View(t.Context(), func(tx *state.Tx) error {
				n, err := tx.CountRecords(state.RecordQuery{Kind: kind, Every: true})
				if n != 0 {
					t.Errorf("%d records of the kind %s are left", n, kind)
				}
				return err
			}))
		}
		cancel()
		running.Wait()
		no(t, db.Close())
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	c := newClock()
	s, _ := open(t, "", c, master(1))
	k := create(t, s)
	k, err := s.SetRotation(t.Context(), id(k.ID), 90)
	no(t, err)
	first := c.Now().Add(90 * 24 * time.Hour)
	if k.RotationDays != 90 || !k.Rotates.Equal(first) {
		t.Errorf("%+v", k)
	}
	c.move(30)
	if k, err = s.SetRotation(t.Context(), id(k.ID), 90); err != nil || !k.Rotates.Equal(first) {
		t.Errorf("setting it again moved the date: %+v, %v", k, err)
	}
	version := func() byte {
		t.Helper()
		d, err := s.GenerateDataKey(t.Context(), id(k.ID), nil)
		no(t, err)
		return d.Wrapped[20] // the last byte of the version
	}
	if v := version(); v != 1 {
		t.Errorf("version %d before its date", v)
	}
	c.move(60)
	var all sync.WaitGroup // many at once rotate once
	for range 8 {
		all.Go(func() {
			if d, err := s.GenerateDataKey(t.Context(), id(k.ID), nil); err != nil || d.Wrapped[20] != 2 {
				t.Errorf("version %v, %v", d.Wrapped, err)
			}
		})
	}
	all.Wait()
	if k, err = s.Get(t.Context(), id(k.ID)); err != nil || !k.Rotates.Equal(first.Add(90*24*time.Hour)) {
		t.Errorf("next %v, %v", k.Rotates, err)
	}
	if k, err = s.SetRotation(t.Context(), id(k.ID), 0); err != nil || k.RotationDays != 0 || !k.Rotates.IsZero() {
		t.Errorf("%+v, %v", k, err)
	}
	c.move(1000)
	if v := version(); v != 2 {
		t.Errorf("version %d without rotation", v)
	}
}

// What may not be is refused with KMS's codes.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s, _ := open(t, "", newClock(), master(1))
	k, own := create(t, s), "alias/aws/s3"
	_, err := s.Get(t.Context(), id(own))
	no(t, err)
	no(t, s.CreateAlias(t.Context(), region, "alias/a", id(k.ID)))
	many := make([]resource.Tag, 51)
	for i := range many {
		many[i].Key = fmt.Sprint(i)
	}
	gone := create(t, s)
	_, err = s.ScheduleDeletion(t.Context(), id(gone.ID), 7)
	no(t, err)
	for name, tt := range map[string]struct {
		err  error
		code keyring.Code
	}{
		"own disabled":        {s.SetEnabled(t.Context(), id(own), false), keyring.AccessDeniedException},
		"own tagged":          {s.Tag(t.Context(), id(own), many[:1]), keyring.AccessDeniedException},
		"gone enabled":        {s.SetEnabled(t.Context(), id(gone.ID), true), keyring.InvalidStateException},
		"gone aliased":        {s.CreateAlias(t.Context(), region, "alias/g", id(gone.ID)), keyring.InvalidStateException},
		"alias taken":         {s.CreateAlias(t.Context(), region, "alias/a", id(k.ID)), keyring.AlreadyExistsException},
		"alias of alias":      {s.CreateAlias(t.Context(), region, "alias/b", id("alias/a")), keyring.ValidationException},
		"alias without a":     {s.CreateAlias(t.Context(), region, "b", id(k.ID)), keyring.ValidationException},
		"alias empty":         {s.CreateAlias(t.Context(), region, "alias/", id(k.ID)), keyring.ValidationException},
		"alias of a service":  {s.CreateAlias(t.Context(), region, "alias/aws/x", id(k.ID)), keyring.AccessDeniedException},
		"alias not there":     {s.DeleteAlias(t.Context(), region, "alias/none"), keyring.NotFoundException},
		"alias moved nowhere": {s.UpdateAlias(t.Context(), region, "alias/a", id("1234abcd-12ab-34cd-56ef-1234567890ab")), keyring.NotFoundException},
		"tags too many":       {s.Tag(t.Context(), id(k.ID), many), keyring.LimitExceededException},
		"tag twice":           {second(s.Create(t.Context(), region, "", []resource.Tag{{Key: "a"}, {Key: "a"}})), keyring.TagException},
		"tag reserved":        {s.Tag(t.Context(), id(k.ID), []resource.Tag{{Key: "aws:x"}}), keyring.TagException},
		"not pending":         {second(s.CancelDeletion(t.Context(), id(k.ID))), keyring.InvalidStateException},
		"rotation, pending":   {second(s.SetRotation(t.Context(), id(gone.ID), 90)), keyring.InvalidStateException},
	} {
		if e, ok := tt.err.(*keyring.Error); !ok || e.Code != tt.code {
			t.Errorf("%s: %v, want %s", name, tt.err, tt.code)
		}
	}
	if _, _, err := s.Encrypt(t.Context(), id(k.ID), make([]byte, 4097), nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("4097 bytes: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestAliases(t *testing.T) {
	t.Parallel()
	s, _ := open(t, "", newClock(), master(1))
	a, b := create(t, s), create(t, s)
	for _, name := range []string{"alias/1", "alias/2", "alias/Two"} {
		no(t, s.CreateAlias(t.Context(), region, name, id(a.ID)))
	}
	no(t, s.CreateAlias(t.Context(), region, "alias/two", id(b.ID))) // case matters
	no(t, s.UpdateAlias(t.Context(), region, "alias/2", id(b.ID)))
	no(t, s.DeleteAlias(t.Context(), region, "alias/1"))
	list := func(of *keyring.ID, after string, limit int) (names, next string) {
		aliases, next, err := s.ListAliases(t.Context(), region, of, after, limit)
		no(t, err)
		for _, x := range aliases {
			names += x.Name + " "
		}
		return names, next
	}
	of := id(b.ID)
	for _, tt := range []struct {
		of    *keyring.ID
		after string
		limit int
		want  string
		next  string
	}{
		{nil, "", 10, "alias/2 alias/Two alias/two ", ""},
		{nil, "", 2, "alias/2 alias/Two ", "alias/Two"},
		{nil, "alias/Two", 2, "alias/two ", ""},
		{&of, "", 10, "alias/2 alias/two ", ""},
	} {
		if got, next := list(tt.of, tt.after, tt.limit); got != tt.want || next != tt.next {
			t.Errorf("%+v: %s %s", tt, got, next)
		}
	}
	if k, err := s.Get(t.Context(), id("alias/2")); err != nil || k.ID != b.ID {
		t.Errorf("%+v, %v", k, err)
	}
}

func BenchmarkGenerateDataKey(b *testing.B) {
	s, _ := open(b, filepath.Join(b.TempDir(), "state.db"), newClock(), master(1))
	k := create(b, s)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.GenerateDataKey(b.Context(), id(k.ID), keyring.Context{"aws:s3:arn": "arn:aws:s3:::bucket"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecrypt(b *testing.B) {
	s, _ := open(b, filepath.Join(b.TempDir(), "state.db"), newClock(), master(1))
	k := create(b, s)
	d, err := s.GenerateDataKey(b.Context(), id(k.ID), nil)
	no(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Decrypt(b.Context(), id(k.ID), d.Wrapped, nil); err != nil {
			b.Fatal(err)
		}
	}
}
