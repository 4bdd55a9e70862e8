package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"

	"millrace/internal/tag"
)

// numbers gives names numbers that are never given again, in one table.
type numbers struct {
	s       *Store
	table   string
	mu      sync.Mutex // one Ensure at a time
	catalog *tag.Catalog
}

// Catalog returns the tags. It grows with Ensure.
func (s *Store) Catalog() *tag.Catalog { return s.tags.catalog }

// Devices returns the devices' numbers, in a catalog of their own. It grows with EnsureDevices.
func (s *Store) Devices() *tag.Catalog { return s.devices.catalog }

// Ensure returns the ID of each of names, giving new ones to those that have none. They are on the disk when it returns: a record
// that uses one can be read back whatever happens.
func (s *Store) Ensure(ctx context.Context, names []string) ([]tag.ID, error) {
	return s.tags.ensure(ctx, names)
}

// EnsureDevices is Ensure for the numbers of devices that batches carry.
func (s *Store) EnsureDevices(ctx context.Context, names []string) ([]uint32, error) {
	ids, err := s.devices.ensure(ctx, names)
	if err != nil {
		return nil, err
	}
	out := make([]uint32, len(ids))
	for i, id := range ids {
		out[i] = uint32(id)
	}
	return out, nil
}

func (n *numbers) load(ctx context.Context) error {
	var count int
	if err := n.s.db.QueryRowContext(ctx, "SELECT count(*) FROM "+n.table).Scan(&count); err != nil {
		return err
	}
	n.catalog.Grow(count)
	rows, err := n.s.db.QueryContext(ctx, "SELECT id, name FROM "+n.table+" ORDER BY id")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var id uint32
	var name string
	for rows.Next() {
		if err := rows.Scan(&id, &name); err != nil {
			return err
		}
		if err := n.catalog.Set(tag.ID(id), name); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (n *numbers) ensure(ctx context.Context, names []string) ([]tag.ID, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range names {
		if name == "" {
			return nil, n.s.failed("ensure", fmt.Errorf("a %s without a name", n.table))
		}
	}
	miss, ids := n.catalog.Missing(names)
	if len(miss) > 0 {
		if err := n.s.change(ctx, "ensure", func(tx *sql.Tx) error { return n.insert(ctx, tx, miss, ids) }); err != nil {
			return nil, err
		}
		n.catalog.Grow(len(miss))
	}
	for i, name := range miss {
		if err := n.catalog.Set(ids[i], name); err != nil {
			return nil, n.s.failed("ensure", err)
		}
	}
	out := make([]tag.ID, len(names))
	for i, name := range names {
		out[i], _ = n.catalog.Lookup(name)
	}
	return out, nil
}

// insertRows is how many rows one INSERT has.
const insertRows = 100

func (n *numbers) insert(ctx context.Context, tx *sql.Tx, names []string, ids []tag.ID) error {
	full, err := tx.PrepareContext(ctx, n.insertSQL(insertRows))
	if err != nil {
		return err
	}
	defer func() { _ = full.Close() }()
	args := make([]any, 0, 2*insertRows)
	for len(names) > 0 {
		k := min(len(names), insertRows)
		args = args[:0]
		for i := range k {
			args = append(args, int64(ids[i]), names[i])
		}
		if k == insertRows {
			_, err = full.ExecContext(ctx, args...)
		} else {
			_, err = tx.ExecContext(ctx, n.insertSQL(k), args...)
		}
		if err != nil {
			return err
		}
		names, ids = names[k:], ids[k:]
	}
	return nil
}

func (n *numbers) insertSQL(rows int) string {
	return "INSERT INTO " + n.table + " (id, name) VALUES " + strings.Repeat("(?,?),", rows-1) + "(?,?)"
}
