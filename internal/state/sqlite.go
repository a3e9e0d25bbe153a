package state

import (
	"context"
	"database/sql"
	"errors"
	"net/url"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// This file and migrations/ are all that is SQLite's own. The statements in the
// other files are meant to run on PostgreSQL too, except the index hint in
// list.go.

// nameIsIn is the condition that a name is one of a JSON array's.
const nameIsIn = "name IN (SELECT value FROM json_each(?))"

// writeDSN opens the one connection that writes. The log is synced with every
// commit, because an accepted job must survive a loss of power; macOS needs
// fullfsync for that, and elsewhere it means nothing.
func writeDSN(path, synchronous string) string {
	return dsn(path, "journal_mode(WAL)", "synchronous("+synchronous+")", "fullfsync(1)", "busy_timeout(10000)",
		"foreign_keys(1)", "cache_size(-8000)", "journal_size_limit(67108864)", "temp_store(MEMORY)") +
		"&_txlock=immediate"
}

// readDSN opens the connections that read.
func readDSN(path string) string {
	return dsn(path, "query_only(1)", "busy_timeout(10000)", "cache_size(-8000)", "temp_store(MEMORY)")
}

func dsn(path string, pragmas ...string) string {
	file := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	return file.String()
}

// openHandle makes a handle that keeps no idle connection: sessions own theirs.
func openHandle(dsn string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxIdleConns(0)
	return db, nil
}

// session is one connection with its prepared statements. It is used by one
// goroutine at a time.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func openSession(ctx context.Context, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, storeFault(err)
	}
	return &session{conn: conn, stmts: make(map[string]*sql.Stmt)}, nil
}

// prepare gives the session's statement for a query text. Only texts of which
// there are a fixed few may come here, because a statement lives as long as its
// session.
func (s *session) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := s.stmts[query]; ok {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.stmts[query] = stmt
	return stmt, nil
}

// exec runs a statement that moves a transaction.
func (s *session) exec(ctx context.Context, query string) error {
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return storeFault(err)
	}
	if _, err := stmt.ExecContext(ctx); err != nil {
		return storeFault(err)
	}
	return nil
}

// close ends the connection. Its errors could only repeat what the last commit
// has already said.
func (s *session) close() {
	for _, stmt := range s.stmts {
		_ = stmt.Close()
	}
	_ = s.conn.Close()
}

// storeFault says in words what the database reported. Errors of a context pass
// through, because they are the caller's own.
func storeFault(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	switch primaryCode(err) {
	case sqlite3.SQLITE_FULL:
		return fault.Wrap(fault.Unavailable, err, "The disk that holds the state database is full. Nothing was changed; free some space and try again.")
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fault.Wrap(fault.Internal, err, "The state database is damaged or is not a database of Sagebrush. Restore it from a backup or use another data folder.")
	case sqlite3.SQLITE_IOERR:
		return fault.Wrap(fault.Unavailable, err, "The disk that holds the state database could not be read or written.")
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fault.Wrap(fault.Unavailable, err, "The state database cannot be opened for writing. Check the permissions of the data folder.")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.Wrap(fault.Unavailable, err, "Another program holds the state database locked. Close it and try again.")
	default:
		return fault.Wrap(fault.Internal, err, "The state database failed.")
	}
}

// primaryCode gives SQLite's result code without its extension, or SQLITE_OK
// when err did not come from SQLite.
func primaryCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return sqlite3.SQLITE_OK
}
