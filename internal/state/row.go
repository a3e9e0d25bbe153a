package state

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// row is a resource as the table has it. body is the JSON of the whole noun;
// what Meta keeps out of the JSON has columns of its own.
type row struct {
	resource.Meta
	status string
	body   []byte
}

// rowColumns are the columns that scanRow reads, of the table under the name r.
const rowColumns = `r.region, r.kind, r.name, r.rev, r.created_ns, r.modified_ns, r.tags, r.status, r.body`

func scanRow(s scanner) (row, error) {
	var r row
	var created, modified int64
	var tags []byte
	if err := s.Scan(&r.Region, &r.Kind, &r.Name, &r.Rev, &created, &modified, &tags, &r.status, &r.body); err != nil {
		return row{}, fmt.Errorf("read a resource: %w", err)
	}
	r.Created, r.Modified = fromNano(created), fromNano(modified)
	if err := json.Unmarshal(tags, &r.Tags); err != nil {
		return row{}, damaged(r.Key, err)
	}
	return r, nil
}

// insert makes a new row with revision 1. It reports false, and writes nothing,
// when the name is taken (CP-9).
func (tx *Tx) insert(r row) (bool, error) {
	if r.Region == "" || r.Kind == "" || r.Name == "" {
		return false, fault.New(fault.Internal, "The resource %q cannot be stored without a region, a kind and a name.", r.Key)
	}
	tags, err := encodeTags(r.Tags)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(`INSERT INTO resources
		(region, kind, name_folded, name, rev, created_ns, modified_ns, status, tags, body)
		VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?)
		ON CONFLICT (region, kind, name_folded) DO NOTHING`,
		r.Region, string(r.Kind), r.Folded().Name, r.Name, toNano(r.Created), toNano(r.Modified), r.status, tags, string(r.body))
	if n == 0 || err != nil {
		return false, err
	}
	tx.names.add(nameGroup{r.Region, r.Kind}, r.Name)
	tx.touched(r.Key)
	return true, nil
}

// load reads the row of a key; the case of the key's name does not matter (CP-9).
func (tx *Tx) load(key resource.Key) (row, error) {
	var found []row
	err := tx.each(func(s scanner) error {
		r, err := scanRow(s)
		found = append(found, r)
		return err
	}, `SELECT `+rowColumns+` FROM resources AS r WHERE r.region = ? AND r.kind = ? AND r.name_folded = ?`,
		key.Region, string(key.Kind), key.Folded().Name)
	if err != nil {
		return row{}, err
	}
	if len(found) == 0 {
		return row{}, notFound(key)
	}
	return found[0], nil
}

// save writes the status, the modification time and the body of a row whose
// revision is still r.Rev, and counts the revision up by one.
func (tx *Tx) save(r row) error {
	n, err := tx.exec(`UPDATE resources SET rev = rev + 1, modified_ns = ?, status = ?, body = ?
		WHERE region = ? AND kind = ? AND name_folded = ? AND rev = ?`,
		toNano(r.Modified), r.status, string(r.body), r.Region, string(r.Kind), r.Folded().Name, r.Rev)
	if err != nil {
		return err
	}
	if n == 0 {
		if _, err := tx.id(r.Key); err != nil {
			return err
		}
		return fault.New(fault.Conflict, "The %s %s was changed by somebody else in the meantime. Read it again and repeat the change.", r.Kind, r.Name)
	}
	tx.touched(r.Key)
	return nil
}

// remove deletes a row and all that hangs on it.
func (tx *Tx) remove(key resource.Key) error {
	n, err := tx.exec(`DELETE FROM resources WHERE region = ? AND kind = ? AND name_folded = ?`,
		key.Region, string(key.Kind), key.Folded().Name)
	if err != nil {
		return err
	}
	if n == 0 {
		return notFound(key)
	}
	tx.touched(key)
	return nil
}

// id gives the number by which other tables refer to a resource.
func (tx *Tx) id(key resource.Key) (int64, error) {
	var id int64
	found, err := tx.get([]any{&id}, `SELECT id FROM resources WHERE region = ? AND kind = ? AND name_folded = ?`,
		key.Region, string(key.Kind), key.Folded().Name)
	if err == nil && !found {
		err = notFound(key)
	}
	return id, err
}

// encode makes a row of a noun.
func encode[T any](noun *T, meta resource.Meta, kind resource.Kind, status string) (row, error) {
	meta.Kind = kind
	body, err := json.Marshal(noun)
	if err != nil {
		return row{}, fmt.Errorf("encode %s: %w", meta.Key, err)
	}
	return row{Meta: meta, status: status, body: body}, nil
}

// decode makes a noun of a row; meta finds the Meta in it.
func decode[T any](r row, meta func(*T) *resource.Meta) (T, error) {
	var noun T
	if err := json.Unmarshal(r.body, &noun); err != nil {
		return noun, damaged(r.Key, err)
	}
	*meta(&noun) = r.Meta
	return noun, nil
}

func notFound(key resource.Key) error {
	return fault.New(fault.NotFound, "There is no %s %s in %s.", key.Kind, key.Name, key.Region)
}

func damaged(key resource.Key, err error) error {
	return fault.Wrap(fault.Internal, err, "The stored %s %s cannot be read. The state database is damaged, or a newer program wrote it.", key.Kind, key.Name)
}

// toNano turns a time into the number that the tables keep. The zero time is 0,
// and times that do not fit (before 1678 and after 2262) become the nearest that
// does, which keeps comparisons right.
func toNano(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() < 1678:
		return math.MinInt64
	case t.Year() > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

func fromNano(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
