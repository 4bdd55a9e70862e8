package store

import (
	"context"
	"database/sql"
	"time"
)

// Mark says that a device, or one tag of it, is out of service.
type Mark struct {
	Device string
	Tag    string // "" is the device itself
	Reason string
	By     string // who set it
	Since  time.Time
}

// SetMark takes a device or a tag out of service. A mark that is there already is replaced.
func (s *Store) SetMark(ctx context.Context, m Mark) error {
	return s.change(ctx, "mark", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO mark (device, tag, reason, who, since) VALUES (?,?,?,?,?) "+
			"ON CONFLICT DO UPDATE SET reason = excluded.reason, who = excluded.who, since = excluded.since",
			m.Device, m.Tag, m.Reason, m.By, m.Since.UnixNano())
		return err
	})
}

// ClearMark puts a device, or a tag of it, back into service, and says whether it was out of it.
func (s *Store) ClearMark(ctx context.Context, device, tagName string) (bool, error) {
	var n int64
	err := s.change(ctx, "unmark", func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM mark WHERE device = ? AND tag = ?", device, tagName)
		if err != nil {
			return err
		}
		n, err = r.RowsAffected()
		return err
	})
	return n > 0, err
}

// Marks returns what is out of service, by device and tag.
func (s *Store) Marks(ctx context.Context) ([]Mark, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT device, tag, reason, who, since FROM mark ORDER BY device, tag")
	if err != nil {
		return nil, s.failed("read marks of", err)
	}
	defer func() { _ = rows.Close() }()
	var ms []Mark
	for rows.Next() {
		var m Mark
		var since int64
		if err := rows.Scan(&m.Device, &m.Tag, &m.Reason, &m.By, &since); err != nil {
			return nil, s.failed("read marks of", err)
		}
		m.Since = time.Unix(0, since)
		ms = append(ms, m)
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("read marks of", err)
	}
	return ms, nil
}

// PutLimits keeps what was learned of devices, by name, as JSON of the caller's shape, all of it with one sync. nil forgets it.
func (s *Store) PutLimits(ctx context.Context, limits map[string][]byte) error {
	return s.change(ctx, "learn", func(tx *sql.Tx) error {
		for device, text := range limits {
			if err := putLimits(ctx, tx, device, text); err != nil {
				return err
			}
		}
		return nil
	})
}

func putLimits(ctx context.Context, tx *sql.Tx, device string, limits []byte) error {
	if limits == nil {
		_, err := tx.ExecContext(ctx, "DELETE FROM learned WHERE device = ?", device)
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO learned (device, limits) VALUES (?,?) ON CONFLICT DO UPDATE SET limits = excluded.limits", device, string(limits))
	return err
}

// Limits returns what PutLimits kept, by device.
func (s *Store) Limits(ctx context.Context) (map[string][]byte, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT device, limits FROM learned")
	if err != nil {
		return nil, s.failed("read limits of", err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string][]byte{}
	for rows.Next() {
		var device, text string
		if err := rows.Scan(&device, &text); err != nil {
			return nil, s.failed("read limits of", err)
		}
		all[device] = []byte(text)
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("read limits of", err)
	}
	return all, nil
}
