// Package store keeps in state.db what has to outlive the process beside the values themselves: which number stands for which tag and
// device, what is out of service, and what was learned of each device.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"millrace/internal/tag"
)

// FileName is the store's file in the data directory. SQLite keeps two more beside it while it is open.
const FileName = "state.db"

// Store is an open state.db. All methods are safe for concurrent use; changes are made one at a time, and are on the disk when a
// method returns.
type Store struct {
	db      *sql.DB
	name    string
	tags    numbers
	devices numbers
}

// Error says what could not be done to which store.
type Error struct {
	Op   string // open, migrate, load, ensure, mark, ...
	File string
	Err  error
}

func (e *Error) Error() string { return "store: " + e.Op + " " + e.File + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// VersionError says that a newer program made the store.
type VersionError struct {
	Have, Max int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("schema version %d; this program knows up to %d", e.Have, e.Max)
}

// Open opens the store in dir and makes both if need be. A store of an older version is migrated; a newer one is refused with a
// *VersionError. ctx bounds the opening only.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, &Error{Op: "open", File: dir, Err: err}
	}
	s := &Store{name: filepath.Join(dir, FileName)}
	db, err := sql.Open("sqlite", dsn(s.name))
	if err != nil {
		return nil, s.failed("open", err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer; readers here are few and short
	s.db = db
	s.tags = numbers{s: s, table: "tag", catalog: tag.NewCatalog()}
	s.devices = numbers{s: s, table: "device", catalog: tag.NewCatalog()}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// dsn names the file with its settings: a commit is synced before it returns, also in the write-ahead log.
func dsn(name string) string {
	q := url.Values{"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)"}, "_txlock": {"immediate"}}
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(name), RawQuery: q.Encode()}
	return u.String()
}

func (s *Store) begin(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return s.failed("migrate", err)
	}
	for _, n := range []*numbers{&s.tags, &s.devices} {
		if err := n.load(ctx); err != nil {
			return s.failed("load", err)
		}
	}
	return nil
}

// Close lets the file go.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return s.failed("close", err)
	}
	return nil
}

func (s *Store) failed(op string, err error) error { return &Error{Op: op, File: s.name, Err: err} }

// change runs f in a transaction and commits it.
func (s *Store) change(ctx context.Context, op string, f func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.failed(op, err)
	}
	if err := f(tx); err != nil {
		return s.failed(op, errors.Join(err, tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return s.failed(op, err)
	}
	return nil
}
