package ctxtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// SQL makes an f for AssertCancels of a function that uses database/sql. The database is in memory and obeys contexts. Silent: no statement is ever
// answered. Streaming: statements without rows are done at once, the commit of a transaction too, and a query has one row and then no more. When do returns,
// all rows, statements and transactions must be closed, and all connections be back in the pool.
//
//go:noinline
func SQL(at Stage, do func(ctx context.Context, db *sql.DB) error) func(context.Context) error {
	return func(ctx context.Context) error {
		p := &Probe{}
		db := sql.OpenDB(&silentDB{at: at, probe: p})
		defer db.Close() // the connections that are in use stay
		return &checkedLater{do(ctx, db), func() error {
			if err := p.err(); err != nil {
				return err
			}
			if n := db.Stats().InUse; n > 0 {
				return &openError{[]string{fmt.Sprintf("%d connections, not given back to the pool", n)}}
			}
			return nil
		}}
	}
}

// silentDB is a driver.Connector and a driver.Driver.
type silentDB struct {
	at    Stage
	probe *Probe
}

// Connect implements driver.Connector.
func (d *silentDB) Connect(context.Context) (driver.Conn, error) { return &silentConn{db: d}, nil }

// Driver implements driver.Connector.
func (d *silentDB) Driver() driver.Driver { return d }

// Open implements driver.Driver.
func (d *silentDB) Open(string) (driver.Conn, error) {
	return nil, errors.New("ctxtest: a connector connects")
}

// answer waits, where the database is silent, until nobody wants an answer any more.
func (d *silentDB) answer(ctx context.Context) error {
	if d.at == Streaming {
		return ctx.Err()
	}
	<-ctx.Done()
	return ctx.Err()
}

type silentConn struct{ db *silentDB }

// Close implements driver.Conn.
func (c *silentConn) Close() error { return nil }

// Prepare implements driver.Conn.
func (c *silentConn) Prepare(string) (driver.Stmt, error) {
	return &silentStmt{db: c.db, closed: c.db.probe.Open("a statement")}, nil
}

// Begin implements driver.Conn.
func (c *silentConn) Begin() (driver.Tx, error) {
	return &silentTx{closed: c.db.probe.Open("a transaction")}, nil
}

// Ping implements driver.Pinger.
func (c *silentConn) Ping(ctx context.Context) error { return c.db.answer(ctx) }

// QueryContext implements driver.QueryerContext.
func (c *silentConn) QueryContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Rows, error) {
	return c.db.query(ctx)
}

// ExecContext implements driver.ExecerContext.
func (c *silentConn) ExecContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), c.db.answer(ctx)
}

func (d *silentDB) query(ctx context.Context) (driver.Rows, error) {
	if err := d.answer(ctx); err != nil {
		return nil, err
	}
	return &silentRows{done: ctx.Done(), why: ctx.Err, shut: make(chan struct{}), closed: d.probe.Open("rows")}, nil
}

type silentStmt struct {
	db     *silentDB
	closed func()
}

// Close implements driver.Stmt.
func (s *silentStmt) Close() error {
	s.closed()
	return nil
}

// NumInput implements driver.Stmt.
func (s *silentStmt) NumInput() int { return -1 }

// Exec implements driver.Stmt.
func (s *silentStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

// Query implements driver.Stmt.
func (s *silentStmt) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

// ExecContext implements driver.StmtExecContext.
func (s *silentStmt) ExecContext(ctx context.Context, _ []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), s.db.answer(ctx)
}

// QueryContext implements driver.StmtQueryContext.
func (s *silentStmt) QueryContext(ctx context.Context, _ []driver.NamedValue) (driver.Rows, error) {
	return s.db.query(ctx)
}

type silentTx struct{ closed func() }

// Commit implements driver.Tx.
func (t *silentTx) Commit() error {
	t.closed()
	return nil
}

// Rollback implements driver.Tx.
func (t *silentTx) Rollback() error {
	t.closed()
	return nil
}

// silentRows is one row, and then nothing.
type silentRows struct {
	given  bool
	done   <-chan struct{}
	why    func() error
	shut   chan struct{}
	closed func()
}

// Columns implements driver.Rows.
func (r *silentRows) Columns() []string { return []string{"n"} }

// Next implements driver.Rows.
func (r *silentRows) Next(dest []driver.Value) error {
	if !r.given {
		r.given, dest[0] = true, int64(1)
		return nil
	}
	select {
	case <-r.done:
		return r.why()
	case <-r.shut:
		return io.EOF
	}
}

// Close implements driver.Rows. database/sql calls it once.
func (r *silentRows) Close() error {
	r.closed()
	close(r.shut)
	return nil
}
