package state

import (
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Record is a row of a room that keeps nouns of its own, such as a key of the key
// service. State knows where it is and not what it says. Records are no resources:
// Watch does not tell of them, and their names are case-sensitive.
type Record struct {
	// Kind, Region and Name are its key. Region is "" for what belongs to none.
	Kind, Region, Name string
	// Parent is the name of another record on which it hangs, or "".
	Parent string
	// Body is the room's JSON.
	Body []byte
}

// PutRecord stores a new record. A name that is taken is fault.Exists.
func (tx *Tx) PutRecord(r Record) error {
	n, err := tx.exec(`INSERT INTO records (kind, region, name, parent, body) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (kind, region, name) DO NOTHING`, r.Kind, r.Region, r.Name, r.Parent, string(r.Body))
	if err == nil && n == 0 {
		err = fault.New(fault.Exists, "There is already a %s %s.", r.Kind, r.Name)
	}
	return err
}

// SaveRecord writes the parent and the body of a record that exists, or gives
// fault.NotFound.
func (tx *Tx) SaveRecord(r Record) error {
	n, err := tx.exec(`UPDATE records SET parent = ?, body = ? WHERE kind = ? AND region = ? AND name = ?`,
		r.Parent, string(r.Body), r.Kind, r.Region, r.Name)
	if err == nil && n == 0 {
		err = noRecord(r.Kind, r.Name)
	}
	return err
}

// DeleteRecord removes a record, or gives fault.NotFound. What hangs on it stays.
func (tx *Tx) DeleteRecord(kind, region, name string) error {
	n, err := tx.exec(`DELETE FROM records WHERE kind = ? AND region = ? AND name = ?`, kind, region, name)
	if err == nil && n == 0 {
		err = noRecord(kind, name)
	}
	return err
}

// Record reads a record, or gives fault.NotFound.
func (tx *Tx) Record(kind, region, name string) (Record, error) {
	r := Record{Kind: kind, Region: region, Name: name}
	found, err := tx.get([]any{&r.Parent, &r.Body},
		`SELECT parent, body FROM records WHERE kind = ? AND region = ? AND name = ?`, kind, region, name)
	if err == nil && !found {
		err = noRecord(kind, name)
	}
	return r, err
}

// RecordQuery chooses records of one kind.
type RecordQuery struct {
	Kind   string
	Region string // of one region, "" included
	Every  bool   // of every region instead
	Parent string // only those that hang on it; "" is all
	After  string // only names after it, in byte order; with Every it must be ""
	Limit  int    // 0 is all
}

// Records gives the records that a query chooses, by region and name.
func (tx *Tx) Records(q RecordQuery) (records []Record, err error) {
	text, args := q.statement(`SELECT region, name, parent, body`)
	text += ` ORDER BY region, name`
	if q.Limit > 0 {
		text += ` LIMIT ?`
		args = append(args, q.Limit)
	}
	err = tx.eachOnce(func(s scanner) error {
		r := Record{Kind: q.Kind}
		err := s.Scan(&r.Region, &r.Name, &r.Parent, &r.Body)
		records = append(records, r)
		return err
	}, text, args...)
	return records, err
}

// CountRecords gives the number of records that a query chooses, whatever its Limit.
func (tx *Tx) CountRecords(q RecordQuery) (n int, err error) {
	text, args := q.statement(`SELECT count(*)`)
	err = tx.eachOnce(func(s scanner) error { return s.Scan(&n) }, text, args...)
	return n, err
}

func (q RecordQuery) statement(selects string) (string, []any) {
	text, args := selects+` FROM records WHERE kind = ?`, []any{q.Kind}
	narrow := func(term, value string) {
		text += ` AND ` + term
		args = append(args, value)
	}
	if !q.Every {
		narrow(`region = ?`, q.Region)
	}
	if q.Parent != "" {
		narrow(`parent = ?`, q.Parent)
	}
	if q.After != "" {
		narrow(`name > ?`, q.After)
	}
	return text, args
}

func noRecord(kind, name string) error {
	return fault.New(fault.NotFound, "There is no %s %s.", kind, name)
}
