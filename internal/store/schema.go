package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// steps make the schema: step i turns version i into i+1. A step that was released is never changed.
//
// Names have no index: the catalog in memory is the only one who looks them up, and it holds them all. An id that is taken by
// another process in between fails on the primary key.
var steps = []string{
	`CREATE TABLE tag    (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
	 CREATE TABLE device (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
	 CREATE TABLE mark (
		device TEXT NOT NULL,
		tag    TEXT NOT NULL, -- '' is the device itself
		reason TEXT NOT NULL,
		who    TEXT NOT NULL,
		since  INTEGER NOT NULL, -- ns since 1970
		PRIMARY KEY (device, tag)
	 ) STRICT, WITHOUT ROWID;
	 CREATE TABLE learned (device TEXT PRIMARY KEY, limits TEXT NOT NULL) STRICT, WITHOUT ROWID;`,
	`CREATE TABLE heal_run (
		id      INTEGER PRIMARY KEY,
		rule    TEXT NOT NULL,
		outcome TEXT NOT NULL,
		open    INTEGER NOT NULL, -- 1: it is not over
		record  TEXT NOT NULL     -- JSON
	 ) STRICT;
	 CREATE TABLE heal_pause (id INTEGER PRIMARY KEY, pause TEXT NOT NULL) STRICT;`,
}

// applicationID marks the file as ours: "MILL".
const applicationID = 0x4D494C4C

var errForeign = errors.New("it is the database of another program")

// migrate brings the schema to the present version, each step in a transaction of its own.
func (s *Store) migrate(ctx context.Context) error {
	version, err := s.version(ctx)
	if err != nil {
		return err
	}
	if version > len(steps) {
		return &VersionError{Have: version, Max: len(steps)}
	}
	for ; version < len(steps); version++ {
		err := s.change(ctx, "migrate", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, fmt.Sprintf("%s PRAGMA application_id = %d; PRAGMA user_version = %d;", steps[version], applicationID, version+1))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// version reads which version the file has. A new file has 0.
func (s *Store) version(ctx context.Context) (int, error) {
	var id, version, tables int
	row := s.db.QueryRowContext(ctx, "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id, pragma_user_version")
	if err := row.Scan(&id, &version, &tables); err != nil {
		return 0, err
	}
	if id != applicationID && (id != 0 || version != 0 || tables != 0) {
		return 0, errForeign
	}
	return version, nil
}
