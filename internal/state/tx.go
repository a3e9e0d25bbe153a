package state

import (
	"context"
	"database/sql"
	"errors"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"

	sqlite3 "modernc.org/sqlite/lib"
)

// Tx is the inside of one Update or View. It is valid until the closure that
// was given it returns, and in that closure's goroutine only.
type Tx struct {
	ctx    context.Context
	ses    *session
	names  *nameIndex
	writes bool
	// keys are the folded keys of what was written.
	keys []resource.Key
	// broken is the first failure of the machine, such as a full disk. SQLite may
	// then have undone the transaction, and what ran after it would be kept on
	// its own; so nothing runs after it and the Update fails, whatever fn says.
	broken error
}

var (
	errEnded    = fault.New(fault.Internal, "A transaction was used after it had ended.")
	errReadOnly = fault.New(fault.Internal, "A View tried to write.")
)

// end makes tx useless and gives the keys that it wrote.
func (tx *Tx) end() []resource.Key {
	tx.ses = nil
	return tx.keys
}

// touched notes that a resource was written.
func (tx *Tx) touched(key resource.Key) { tx.keys = append(tx.keys, key.Folded()) }

func (tx *Tx) usable() error {
	if tx.ses == nil {
		return errEnded
	}
	return tx.broken
}

// failed translates an error of the database and remembers it when the
// transaction cannot be trusted any more.
func (tx *Tx) failed(err error) error {
	if primaryCode(err) == sqlite3.SQLITE_CONSTRAINT {
		return storeFault(err)
	}
	tx.broken = storeFault(err)
	return tx.broken
}

// exec runs a writing statement of a fixed text and gives the number of rows that
// it changed.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	if err := tx.usable(); err != nil {
		return 0, err
	}
	if !tx.writes {
		return 0, errReadOnly
	}
	stmt, err := tx.ses.prepare(tx.ctx, query)
	if err != nil {
		return 0, tx.failed(err)
	}
	result, err := stmt.ExecContext(tx.ctx, args...)
	if err != nil {
		return 0, tx.failed(err)
	}
	return result.RowsAffected()
}

// get runs a query of a fixed text that gives at most one row. It reports
// whether there was one.
func (tx *Tx) get(dest []any, query string, args ...any) (bool, error) {
	if err := tx.usable(); err != nil {
		return false, err
	}
	stmt, err := tx.ses.prepare(tx.ctx, query)
	if err != nil {
		return false, tx.failed(err)
	}
	err = stmt.QueryRowContext(tx.ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, tx.failed(err)
	}
	return true, nil
}

// scanner reads the columns of the row at hand.
type scanner interface{ Scan(dest ...any) error }

// each runs a query of a fixed text and calls fn for every row.
func (tx *Tx) each(fn func(scanner) error, query string, args ...any) error {
	if err := tx.usable(); err != nil {
		return err
	}
	stmt, err := tx.ses.prepare(tx.ctx, query)
	if err != nil {
		return tx.failed(err)
	}
	rows, err := stmt.QueryContext(tx.ctx, args...)
	return tx.drain(rows, err, fn)
}

// eachOnce is each for a text that is put together anew every time, and which is
// therefore not worth keeping prepared.
func (tx *Tx) eachOnce(fn func(scanner) error, query string, args ...any) error {
	if err := tx.usable(); err != nil {
		return err
	}
	rows, err := tx.ses.conn.QueryContext(tx.ctx, query, args...)
	return tx.drain(rows, err, fn)
}

func (tx *Tx) drain(rows *sql.Rows, err error, fn func(scanner) error) error {
	if err != nil {
		return tx.failed(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return tx.failed(err)
	}
	return nil
}
