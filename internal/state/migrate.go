package state

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Every migration is a file NNNN_what.sql, numbered from 0001 without gaps. A
// file that was released is never edited.
//
//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema to the newest version in one transaction. The
// version is kept in the file's user_version.
func migrate(ctx context.Context, ses *session, path string) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return fmt.Errorf("list migrations: %w", err)
	}
	var version int
	if err := ses.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return storeFault(err)
	}
	if version > len(files) {
		return fault.New(fault.Unsupported, "A newer Sagebrush wrote the state database %s (schema %d; this program knows up to %d). Use the newer program, or another data folder.", path, version, len(files))
	}
	if version == len(files) {
		return nil
	}
	if err := ses.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := apply(ctx, ses, files, version); err != nil {
		_ = ses.exec(context.WithoutCancel(ctx), "ROLLBACK") // The first error is the one to tell.
		return err
	}
	return ses.exec(ctx, "COMMIT")
}

func apply(ctx context.Context, ses *session, files []string, version int) error {
	for i, file := range files {
		number, _, _ := strings.Cut(strings.TrimPrefix(file, "migrations/"), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return fmt.Errorf("migration %s should have the number %04d", file, i+1)
		}
		if i < version {
			continue
		}
		text, err := migrations.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read migration: %w", err)
		}
		if _, err := ses.conn.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("migration %s: %w", file, storeFault(err))
		}
	}
	if _, err := ses.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(files))); err != nil {
		return storeFault(err)
	}
	return nil
}
