package store

import (
	"context"
	"database/sql"
	"errors"
)

// maxHealRuns is how many runs of healing rules are kept: the newest ones, and those that are not over.
const maxHealRuns = 2000

// HealRun is a run of a healing rule. Record is JSON of the caller's shape.
type HealRun struct {
	ID      uint64
	Rule    string
	Outcome string
	Open    bool // it is not over
	Record  []byte
}

// PutHealRuns keeps runs in their order, each in place of one of the same ID: all of them, or with an error none.
func (s *Store) PutHealRuns(ctx context.Context, runs []HealRun) error {
	return s.change(ctx, "keep healing runs in", func(tx *sql.Tx) error {
		for _, r := range runs {
			_, err := tx.ExecContext(ctx, "INSERT INTO heal_run (id, rule, outcome, open, record) VALUES (?,?,?,?,?) "+
				"ON CONFLICT DO UPDATE SET rule = excluded.rule, outcome = excluded.outcome, open = excluded.open, record = excluded.record",
				int64(r.ID), r.Rule, r.Outcome, r.Open, string(r.Record))
			if err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM heal_run WHERE id <= (SELECT max(id) FROM heal_run) - ? AND NOT open", maxHealRuns)
		return err
	})
}

// HealRuns returns runs of the rule called rule, or of all when it is "", the newest first: limit of them at most, and with open only those that are not over.
func (s *Store) HealRuns(ctx context.Context, rule string, open bool, limit int) ([]HealRun, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, rule, outcome, open, record FROM heal_run WHERE (? = '' OR rule = ?) AND (open OR NOT ?) ORDER BY id DESC LIMIT ?",
		rule, rule, open, limit)
	if err != nil {
		return nil, s.failed("read healing runs of", err)
	}
	defer func() { _ = rows.Close() }()
	var out []HealRun
	for rows.Next() {
		var r HealRun
		var id int64
		var record string
		if err := rows.Scan(&id, &r.Rule, &r.Outcome, &r.Open, &record); err != nil {
			return nil, s.failed("read healing runs of", err)
		}
		r.ID, r.Record = uint64(id), []byte(record)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("read healing runs of", err)
	}
	return out, nil
}

// LastHealRun returns the highest ID of a run, 0 without one.
func (s *Store) LastHealRun(ctx context.Context) (uint64, error) {
	var id int64
	if err := s.db.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM heal_run").Scan(&id); err != nil {
		return 0, s.failed("read healing runs of", err)
	}
	return uint64(id), nil
}

// HealCount is how many kept runs of a rule ended so.
type HealCount struct {
	Rule    string
	Outcome string
	Runs    uint64
}

// HealCounts counts the runs that are kept, by rule and outcome.
func (s *Store) HealCounts(ctx context.Context) ([]HealCount, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT rule, outcome, count(*) FROM heal_run GROUP BY rule, outcome ORDER BY rule, outcome")
	if err != nil {
		return nil, s.failed("count healing runs of", err)
	}
	defer func() { _ = rows.Close() }()
	var out []HealCount
	for rows.Next() {
		var c HealCount
		if err := rows.Scan(&c.Rule, &c.Outcome, &c.Runs); err != nil {
			return nil, s.failed("count healing runs of", err)
		}
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("count healing runs of", err)
	}
	return out, nil
}

// PutHealPause keeps why healing is paused, as JSON of the caller's shape. nil ends it.
func (s *Store) PutHealPause(ctx context.Context, pause []byte) error {
	return s.change(ctx, "pause healing in", func(tx *sql.Tx) error {
		if pause == nil {
			_, err := tx.ExecContext(ctx, "DELETE FROM heal_pause")
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO heal_pause (id, pause) VALUES (1,?) ON CONFLICT DO UPDATE SET pause = excluded.pause", string(pause))
		return err
	})
}

// HealPause returns what PutHealPause kept, nil when healing is not paused.
func (s *Store) HealPause(ctx context.Context) ([]byte, error) {
	var text string
	err := s.db.QueryRowContext(ctx, "SELECT pause FROM heal_pause").Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, s.failed("read the healing pause of", err)
	}
	return []byte(text), nil
}
