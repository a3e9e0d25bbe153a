package state

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Sort is the order of a list (CP-21).
type Sort string

// The orders. Resources that are equal in them are ordered by name (CP-24), and
// names by their bytes.
const (
	SortByName         Sort = "Name"
	SortByCreationTime Sort = "CreationTime"
	SortByStatus       Sort = "Status"
)

// MaxPage is the largest Query.Limit.
const MaxPage = 1000

// Query says which resources of a region a page holds and in which order. Zero
// members do not filter.
type Query struct {
	Region string
	// NameContains is a plain part of the name; case matters and no character is
	// special (CP-22).
	NameContains string
	// The bounds of the times. Before is exclusive; After is too, unless
	// AfterInclusive is set (CP-22).
	CreatedAfter, CreatedBefore   *time.Time
	ModifiedAfter, ModifiedBefore *time.Time
	AfterInclusive                bool
	Status                        string
	// SortBy is SortByCreationTime when it is "".
	SortBy     Sort
	Descending bool
	// Limit is the length of the page, from 1 to MaxPage.
	Limit int
	// After is the cursor that came with the page before, nil for the first page.
	// It means something only for a query that is otherwise the same.
	After *Cursor
}

// Cursor is the place of the last resource of a page in the order of its query:
// what it was sorted by, and its name. It stays good while resources come and go,
// that of the cursor included.
type Cursor struct {
	Name    string `json:",omitempty"`
	Created int64  `json:",omitempty"` // nanoseconds since 1970
	Status  string `json:",omitempty"`
}

// list gives one page of a kind.
func list[T any](tx *Tx, kind resource.Kind, q Query, meta func(*T) *resource.Meta) ([]T, *Cursor, error) {
	p, err := newPage(tx, kind, q)
	if err != nil {
		return nil, nil, err
	}
	nouns := make([]T, 0, min(q.Limit, 100))
	var last row
	more := false
	text, args := p.statement()
	err = tx.eachOnce(func(s scanner) error {
		if len(nouns) == q.Limit {
			more = true
			return nil
		}
		r, err := scanRow(s)
		if err != nil {
			return err
		}
		last = r
		noun, err := decode(r, meta)
		nouns = append(nouns, noun)
		return err
	}, text, args...)
	if err != nil || !more {
		return nouns, nil, err
	}
	return nouns, p.cursor(last), nil
}

// Summary is what a list tells of a resource whose noun it need not show.
type Summary struct {
	resource.Key
	Status            string
	Created, Modified time.Time
}

// summaries is list for those who need no more: an index holds all of it, so that
// nothing else is read.
func summaries(tx *Tx, kind resource.Kind, q Query) ([]Summary, *Cursor, error) {
	p, err := newPage(tx, kind, q)
	if err != nil {
		return nil, nil, err
	}
	found := make([]Summary, 0, min(q.Limit, 100))
	more := false
	text, args := p.summaryStatement()
	err = tx.eachOnce(func(s scanner) error {
		if len(found) == q.Limit {
			more = true
			return nil
		}
		one := Summary{Key: resource.Key{Region: q.Region, Kind: kind}}
		var created, modified int64
		if err := s.Scan(&one.Name, &created, &modified, &one.Status); err != nil {
			return fmt.Errorf("read a resource: %w", err)
		}
		one.Created, one.Modified = fromNano(created), fromNano(modified)
		found = append(found, one)
		return nil
	}, text, args...)
	if err != nil || !more {
		return found, nil, err
	}
	last := found[len(found)-1]
	return found, p.cursor(row{Meta: resource.Meta{Key: last.Key, Created: last.Created}, status: last.Status}), nil
}

// index is one of the indexes of the resources table. All of them begin with the
// region and the kind and hold every column that a query filters by.
type index string

const (
	byName     index = "resources_by_name"
	byCreated  index = "resources_by_created"
	byStatus   index = "resources_by_status"
	byModified index = "resources_by_modified"
)

// term is one condition of a WHERE clause.
type term struct {
	text string
	args []any
}

// page is a query on its way to SQL.
type page struct {
	kind  resource.Kind
	q     Query
	sort  []string // the columns of the order
	using index
	terms []term
	// narrow holds, for each index other than that of the order, the terms that
	// it can look up.
	narrow []narrowing
}

type narrowing struct {
	using index
	terms []term
}

// newPage reads a query and finds the way to its rows.
func newPage(tx *Tx, kind resource.Kind, q Query) (*page, error) {
	if q.Limit < 1 || q.Limit > MaxPage {
		return nil, fault.New(fault.Invalid, "A page holds 1 to %d resources, not %d.", MaxPage, q.Limit)
	}
	p := &page{kind: kind, q: q}
	if err := p.order(); err != nil {
		return nil, err
	}
	p.filter()
	return p, p.choose(tx)
}

// order finds the columns to sort by and the index that has them in this order.
func (p *page) order() error {
	switch p.q.SortBy {
	case SortByName:
		p.sort, p.using = []string{"name"}, byName
	case SortByCreationTime, "":
		p.sort, p.using = []string{"created_ns", "name"}, byCreated
	case SortByStatus:
		p.sort, p.using = []string{"status", "name"}, byStatus
		if p.q.Status != "" {
			p.sort = []string{"name"} // All rows have the one status.
		}
	default:
		return fault.New(fault.Invalid, "Resources cannot be sorted by %s.", p.q.SortBy)
	}
	if p.q.Status != "" && p.q.SortBy == SortByName {
		p.using = byStatus // Its rows of one status are in the order of their names.
	}
	return nil
}

// filter makes the terms.
func (p *page) filter() {
	q := p.q
	after := " > ?"
	if q.AfterInclusive {
		after = " >= ?"
	}
	bounds := func(column string, from, to *time.Time) (terms []term) {
		if from != nil {
			terms = append(terms, term{column + after, []any{toNano(*from)}})
		}
		if to != nil {
			terms = append(terms, term{column + " < ?", []any{toNano(*to)}})
		}
		return terms
	}
	var status []term
	if q.Status != "" {
		status = []term{{"status = ?", []any{q.Status}}}
	}
	p.add(byStatus, status)
	p.add(byCreated, bounds("created_ns", q.CreatedAfter, q.CreatedBefore))
	p.add(byModified, bounds("modified_ns", q.ModifiedAfter, q.ModifiedBefore))
	if q.NameContains != "" {
		p.terms = append(p.terms, term{"instr(name, ?) > 0", []any{q.NameContains}})
	}
	if q.After != nil {
		p.terms = append(p.terms, p.beyond(*q.After))
	}
}

func (p *page) add(using index, terms []term) {
	p.terms = append(p.terms, terms...)
	if len(terms) > 0 && using != p.using {
		p.narrow = append(p.narrow, narrowing{using, terms})
	}
}

// beyond is the term that begins a page after the one before (CP-24).
func (p *page) beyond(c Cursor) term {
	op := ">"
	if p.q.Descending {
		op = "<"
	}
	switch p.sort[0] {
	case "created_ns":
		return term{"(created_ns, name) " + op + " (?, ?)", []any{c.Created, c.Name}}
	case "status":
		return term{"(status, name) " + op + " (?, ?)", []any{c.Status, c.Name}}
	}
	return term{"name " + op + " ?", []any{c.Name}}
}

func (p *page) cursor(last row) *Cursor {
	c := &Cursor{Name: last.Name}
	switch p.sort[0] {
	case "created_ns":
		c.Created = toNano(last.Created)
	case "status":
		c.Status = last.status
	}
	return c
}

// fewRows is how many rows are sorted rather than looked for along the order.
const fewRows = 4000

// fewNames is how many names are looked up one by one.
const fewNames = 1000

// choose picks the index to walk. The index of the order gives the page without
// sorting, but walks far when few rows pass a filter; then the index of that
// filter finds them at once. It counts no further than fewRows to know.
func (p *page) choose(tx *Tx) error {
	if found, err := p.named(tx); err != nil || found {
		return err
	}
	for _, n := range p.narrow {
		where, args := p.where(n.terms)
		var count int
		err := tx.eachOnce(func(s scanner) error { return s.Scan(&count) },
			"SELECT count(*) FROM (SELECT 1 FROM resources INDEXED BY "+string(n.using)+where+" LIMIT ?) AS few",
			append(args, fewRows+1)...)
		if err != nil {
			return err
		}
		if count <= fewRows {
			p.using = n.using
			return nil
		}
	}
	return nil
}

// named looks the names up that contain NameContains, and reports whether they are few.
func (p *page) named(tx *Tx) (bool, error) {
	if p.q.NameContains == "" {
		return false, nil
	}
	found, few, err := tx.names.containing(tx, nameGroup{p.q.Region, p.kind}, p.q.NameContains, fewNames)
	if err != nil || !few {
		return false, err
	}
	list, err := json.Marshal(found)
	if err != nil {
		return false, fmt.Errorf("look names up: %w", err)
	}
	p.using = byName
	p.terms = append(p.terms, term{nameIsIn, []any{string(list)}})
	return true, nil
}

// statement gives the text of the query. The page is found in an index alone; only
// its rows are then read whole. One row more than the page tells whether there is
// a next page.
func (p *page) statement() (string, []any) {
	where, args := p.where(p.terms)
	text := "SELECT " + rowColumns + " FROM (SELECT id FROM resources INDEXED BY " + string(p.using) + where +
		p.orderBy("") + " LIMIT ?) AS page JOIN resources AS r ON r.id = page.id" + p.orderBy("r.")
	return text, append(args, p.q.Limit+1)
}

// summaryStatement is statement for summaries, which the index holds whole.
func (p *page) summaryStatement() (string, []any) {
	where, args := p.where(p.terms)
	text := "SELECT name, created_ns, modified_ns, status FROM resources INDEXED BY " + string(p.using) + where + p.orderBy("") + " LIMIT ?"
	return text, append(args, p.q.Limit+1)
}

func (p *page) orderBy(prefix string) string {
	var columns []string
	for _, column := range p.sort {
		if p.q.Descending {
			column += " DESC"
		}
		columns = append(columns, prefix+column)
	}
	return " ORDER BY " + strings.Join(columns, ", ")
}

func (p *page) where(terms []term) (string, []any) {
	text := " WHERE region = ? AND kind = ?"
	args := []any{p.q.Region, string(p.kind)}
	for _, t := range terms {
		text += " AND " + t.text
		args = append(args, t.args...)
	}
	return text, args
}
