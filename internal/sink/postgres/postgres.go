package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/internal/sink"
)

// Sink writes to one table over one connection, which it opens when it needs it and again when it broke. It is a sink.Sink and a
// sink.Seeker; Stats may be called by any goroutine.
//
// One transaction a range: move the cursor by compare-and-set, copy the rows, commit. The cursor comes first because its row lock
// then makes a second attempt wait for the end of a first one whose connection broke, and see what became of it.
//
// Only the simple protocol and unnamed statements are used, and settings hold for a transaction: a connection pooler that gives each
// transaction another server connection (pgbouncer) does no harm.
type Sink struct {
	cfg    Config
	pg     *pgconn.Config
	enc    encoder
	writer int64 // a random number that says who moves the cursor
	sql    statements

	conn    *pgconn.PgConn  // nil when there is none
	closing []chan struct{} // of connections that broke and are still being closed
	ready   bool            // the tables were looked at, over whatever connection
	seen    cursorRow       // what Cursor or Seek saw last

	mu    sync.Mutex
	stats Stats
}

// Stats is what a Sink did since it was made.
type Stats struct {
	Connects     uint64
	Transactions uint64 // committed
	Inserted     uint64 // rows
	NotInserted  uint64 // rows that were there already, or that a trigger of the table left out
	Found        uint64 // ranges that were committed by an attempt whose answer was lost
}

type statements struct {
	begin, copy, copyStage, makeStage, merge              string
	moveCursor, readCursor, takeCursor, addCursor, forget string
}

type cursorRow struct {
	sink.Cursor
	writer int64
	found  bool
}

// New returns a sink that has not connected yet.
func New(cfg Config) (*Sink, error) {
	cfg, pg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("postgres: random number: %w", err)
	}
	s := &Sink{cfg: cfg, pg: pg, writer: int64(binary.LittleEndian.Uint64(id[:]))}
	s.sql = s.statements()
	return s, nil
}

func (s *Sink) statements() statements {
	values, cursors, stage := quote(s.cfg.Schema, s.cfg.Table), quote(s.cfg.Schema, s.cfg.CursorTable), quote("pg_temp", "millrace_stage")
	cols := columnList(valueColumns, false)
	ms := strconv.FormatInt(s.cfg.WriteTimeout.Milliseconds(), 10)
	at := ` where name = $1 and writer = $2 and epoch = $3 and "offset" = $4`
	return statements{
		// A transaction whose gateway is gone must not hold the cursor until the kernel gives the connection up.
		begin:      "begin isolation level read committed read write; set local statement_timeout = " + ms + "; set local idle_in_transaction_session_timeout = " + ms,
		copy:       "copy " + values + " (" + cols + ") from stdin with (format binary)",
		makeStage:  "create temporary table millrace_stage on commit drop as select " + cols + " from " + values + " with no data",
		copyStage:  "copy " + stage + " (" + cols + ") from stdin with (format binary)",
		merge:      "insert into " + values + " (" + cols + ") select " + cols + " from " + stage + " on conflict (" + valueKey + ") do nothing",
		moveCursor: "update " + cursors + ` set epoch = $3, "offset" = $5, updated = now()` + at,
		takeCursor: "update " + cursors + ` set epoch = $5, "offset" = $6, writer = $7, updated = now()` + at,
		addCursor:  "insert into " + cursors + ` (name, writer, epoch, "offset", updated) values ($1, $2, $3, $4, now()) on conflict do nothing`,
		forget:     "delete from " + cursors + " where name = $1",
		readCursor: `select epoch, "offset", writer from ` + cursors + ` where name = $1`,
	}
}

// Stats returns the counts so far.
func (s *Sink) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Sink) count(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

// Cursor makes the tables when they are missing and returns the stored cursor.
func (s *Sink) Cursor(ctx context.Context) (sink.Cursor, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	if err := s.connect(ctx); err != nil {
		return sink.Cursor{}, false, err
	}
	row, err := s.read(ctx)
	if err != nil {
		return sink.Cursor{}, false, s.broken(ctx, s.failed("read cursor", sink.Range{}, err))
	}
	s.seen = row
	return row.Cursor, row.found, nil
}

// Seek sets the cursor to c and makes this process the one that moves it; another that writes with it is fenced off.
func (s *Sink) Seek(ctx context.Context, c sink.Cursor) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	if err := s.connect(ctx); err != nil {
		return err
	}
	sql, args := s.sql.addCursor, []string{s.cfg.Cursor, itoa(s.writer), itoa(int64(c.Epoch)), itoa(int64(c.Offset))}
	if s.seen.found {
		sql = s.sql.takeCursor
		args = []string{s.cfg.Cursor, itoa(s.seen.writer), itoa(int64(s.seen.Epoch)), itoa(int64(s.seen.Offset)), itoa(int64(c.Epoch)), itoa(int64(c.Offset)), itoa(s.writer)}
	}
	n, err := s.update(ctx, sql, args...)
	if err != nil {
		return s.broken(ctx, s.failed("take cursor", sink.Range{}, err))
	}
	want := s.seen
	s.seen = cursorRow{Cursor: c, writer: s.writer, found: true}
	if n == 1 {
		return nil
	}
	row, err := s.read(ctx)
	if err != nil {
		return s.broken(ctx, s.failed("take cursor", sink.Range{}, err))
	}
	if row == s.seen { // an attempt whose answer was lost
		return nil
	}
	s.seen = want
	return &sink.CursorError{Name: s.cfg.Cursor, Want: want.Cursor, Have: row.Cursor, Found: row.found}
}

// Write copies rows and moves the cursor over r in one transaction. Seek comes first.
func (s *Sink) Write(ctx context.Context, r sink.Range, rows []sink.Rows) error {
	if r.From == r.To {
		return nil
	}
	n, err := s.enc.encode(r, rows, s.cfg.Names)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	if err := s.connect(ctx); err != nil {
		return err
	}
	err = s.transact(ctx, r, n, false)
	var pe *pgconn.PgError
	if errors.As(err, &pe) && pe.Code == codeUniqueViolation && s.conn != nil {
		err = s.transact(ctx, r, n, true)
	}
	return err
}

// transact does one attempt. staged goes over a temporary table, from which only rows that are not there yet are inserted: COPY
// itself knows no ON CONFLICT, and such rows exist only when the cursor was set back.
func (s *Sink) transact(ctx context.Context, r sink.Range, n int, staged bool) error {
	if err := s.exec(ctx, s.sql.begin); err != nil {
		return s.broken(ctx, s.failed("begin", r, err))
	}
	moved, err := s.update(ctx, s.sql.moveCursor, s.cfg.Cursor, itoa(s.writer), itoa(int64(r.Epoch)), itoa(int64(r.From)), itoa(int64(r.To)))
	if err != nil {
		return s.broken(ctx, s.failed("move cursor", r, err))
	}
	if moved != 1 {
		return s.notMoved(ctx, r)
	}
	inserted, err := s.insert(ctx, n, staged)
	if err != nil {
		return s.broken(ctx, s.failed("copy", r, err))
	}
	tag, err := s.conn.Exec(ctx, "commit").ReadAll()
	if err != nil {
		return s.broken(ctx, s.failed("commit", r, err))
	}
	if len(tag) != 1 || tag[0].CommandTag.String() != "COMMIT" {
		return s.broken(ctx, s.failed("commit", r, errors.New("the server rolled back")))
	}
	s.count(func(st *Stats) {
		st.Transactions++
		st.Inserted += uint64(inserted)
		st.NotInserted += uint64(int64(n) - inserted)
	})
	return nil
}

func (s *Sink) insert(ctx context.Context, n int, staged bool) (int64, error) {
	if n == 0 {
		return 0, nil
	}
	if !staged {
		return s.copy(ctx, s.sql.copy)
	}
	if err := s.exec(ctx, s.sql.makeStage); err != nil {
		return 0, err
	}
	if _, err := s.copy(ctx, s.sql.copyStage); err != nil {
		return 0, err
	}
	return s.update(ctx, s.sql.merge)
}

func (s *Sink) copy(ctx context.Context, sql string) (int64, error) {
	tag, err := s.conn.CopyFrom(ctx, bytes.NewReader(s.enc.buf), sql)
	if err != nil && s.conn.IsClosed() {
		s.enc.buf = nil // when the connection breaks, CopyFrom may return before the goroutine that reads the buffer for it has ended
	}
	return tag.RowsAffected(), err
}

// notMoved finds out why the cursor was not at the start of r. When it is at the end, an attempt whose answer was lost has done it:
// nobody else moves the cursor with this writer's number.
func (s *Sink) notMoved(ctx context.Context, r sink.Range) error {
	row, err := s.read(ctx)
	if err == nil {
		err = s.exec(ctx, "rollback")
	}
	if err != nil {
		return s.broken(ctx, s.failed("read cursor", r, err))
	}
	if row.found && row.writer == s.writer && row.Cursor == (sink.Cursor{Epoch: r.Epoch, Offset: r.To}) {
		s.count(func(st *Stats) { st.Found++ })
		return nil
	}
	s.seen = row
	return &sink.CursorError{Name: s.cfg.Cursor, Want: sink.Cursor{Epoch: r.Epoch, Offset: r.From}, Have: row.Cursor,
		Found: row.found, Fenced: row.found && row.writer != s.writer}
}

// connect opens a connection when there is none, and prepares the tables once.
func (s *Sink) connect(ctx context.Context) error {
	if s.conn == nil || s.conn.IsClosed() {
		s.drop(ctx)
		conn, err := pgconn.ConnectConfig(ctx, s.pg)
		if err != nil {
			return s.failed("connect", sink.Range{}, err)
		}
		s.conn = conn
		s.count(func(st *Stats) { st.Connects++ })
	}
	if s.ready {
		return nil
	}
	if err := s.ensureSchema(ctx); err != nil {
		return s.broken(ctx, err)
	}
	s.ready = true
	return nil
}

// broken cleans up after err and returns it: the transaction is rolled back, or the connection dropped when that is not possible.
// The tables are looked at again before the next write, since they may be the reason.
func (s *Sink) broken(ctx context.Context, err error) error {
	s.ready = false
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || s.conn.IsClosed() || s.conn.TxStatus() != 'I' && s.exec(ctx, "rollback") != nil {
		s.drop(ctx)
	}
	return err
}

// drop closes the connection and forgets it.
func (s *Sink) drop(ctx context.Context) {
	if s.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // it is given up in any case
	open := s.closing[:0]
	for _, c := range append(s.closing, s.conn.CleanupDone()) {
		select {
		case <-c:
		default:
			open = append(open, c)
		}
	}
	s.closing, s.conn = open, nil
}

// Close closes the connection.
func (s *Sink) Close(ctx context.Context) error {
	s.drop(ctx)
	for _, c := range s.closing {
		select {
		case <-c:
		case <-ctx.Done():
			return fmt.Errorf("postgres: close: %w", ctx.Err())
		}
	}
	s.closing = nil
	return nil
}

func (s *Sink) read(ctx context.Context) (cursorRow, error) {
	rows, err := s.query(ctx, s.sql.readCursor, s.cfg.Cursor)
	if err != nil || len(rows) == 0 {
		return cursorRow{}, err
	}
	var n [3]int64
	for i := range n {
		if n[i], err = strconv.ParseInt(string(rows[0][i]), 10, 64); err != nil {
			return cursorRow{}, err
		}
	}
	return cursorRow{Cursor: sink.Cursor{Epoch: uint64(n[0]), Offset: uint64(n[1])}, writer: n[2], found: true}, nil
}

// query runs sql by the unnamed statement with text parameters and text results.
func (s *Sink) query(ctx context.Context, sql string, args ...string) ([][][]byte, error) {
	r := s.run(ctx, sql, args)
	return r.Rows, r.Err
}

// update runs sql and returns how many rows it touched.
func (s *Sink) update(ctx context.Context, sql string, args ...string) (int64, error) {
	r := s.run(ctx, sql, args)
	return r.CommandTag.RowsAffected(), r.Err
}

func (s *Sink) run(ctx context.Context, sql string, args []string) *pgconn.Result {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	return s.conn.ExecParams(ctx, sql, params, nil, nil, nil).Read()
}

// exec runs statements without parameters by the simple protocol.
func (s *Sink) exec(ctx context.Context, sql string) error {
	return s.conn.Exec(ctx, sql).Close()
}

func itoa(v int64) string { return strconv.FormatInt(v, 10) }

// Forget removes the stored cursor.
func (s *Sink) Forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	if err := s.connect(ctx); err != nil {
		return err
	}
	if _, err := s.update(ctx, s.sql.forget, s.cfg.Cursor); err != nil {
		return s.broken(ctx, s.failed("forget cursor", sink.Range{}, err))
	}
	return nil
}
