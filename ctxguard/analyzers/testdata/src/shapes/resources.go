package shapes

import (
	"context"
	"database/sql"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// 68: rows that are left within the loop.

func leak68(ctx context.Context, db *sql.DB) (int, error) {
	rows, err := db.QueryContext(ctx, "SELECT n FROM t") // want "ctxguard/release"
	if err != nil {
		return 0, err
	}
	n := 0
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
	}
	return n, rows.Err()
}

func mend68(ctx context.Context, db *sql.DB) (int, error) {
	rows, err := db.QueryContext(ctx, "SELECT n FROM t")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
	}
	return n, rows.Err()
}

// 69: rows that are not asked for their error.

func leak69(ctx context.Context, db *sql.DB) (n int, err error) {
	rows, err := db.QueryContext(ctx, "SELECT n FROM t")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() { // want "ctxguard/rowserr"
		n++
	}
	return n, nil
}

func mend69(ctx context.Context, db *sql.DB) (n int, err error) {
	rows, err := db.QueryContext(ctx, "SELECT n FROM t")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}

// 70: a statement that is not closed.

func leak70(ctx context.Context, db *sql.DB) error {
	stmt, err := db.PrepareContext(ctx, "INSERT INTO t VALUES (?)") // want "ctxguard/release"
	if err != nil {
		return err
	}
	_, err = stmt.ExecContext(ctx, 1)
	return err
}

func mend70(ctx context.Context, db *sql.DB) error {
	stmt, err := db.PrepareContext(ctx, "INSERT INTO t VALUES (?)")
	if err != nil {
		return err
	}
	defer stmt.Close()
	_, err = stmt.ExecContext(ctx, 1)
	return err
}

// 71: a transaction without Rollback on an error path.

func leak71(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil) // want "ctxguard/release"
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM t"); err != nil {
		return err
	}
	return tx.Commit()
}

func mend71(ctx context.Context, db *sql.DB) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tx.Rollback()
		}
	}()
	if _, err = tx.ExecContext(ctx, "DELETE FROM t"); err != nil {
		return err
	}
	return tx.Commit()
}

// 72: a transaction that nobody ends.

func leak72(db *sql.DB) error {
	tx, err := db.Begin() // want "ctxguard/release"
	if err != nil {
		return err
	}
	_, err = tx.Exec("DELETE FROM t")
	return err
}

func mend72(db *sql.DB) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err = tx.Exec("DELETE FROM t"); err != nil {
		return err
	}
	return tx.Commit()
}

// 73: a connection that does not go back to the pool.

func leak73(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx) // want "ctxguard/release"
	if err != nil {
		return err
	}
	if err := conn.PingContext(ctx); err != nil {
		return err
	}
	return conn.Close()
}

func mend73(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.PingContext(ctx)
}

// 74: a row that is not scanned.

func leak74(ctx context.Context, db *sql.DB) {
	db.QueryRowContext(ctx, "UPDATE t SET n = 1 RETURNING n") // want "ctxguard/release"
}

func mend74(ctx context.Context, db *sql.DB) (n int, err error) {
	err = db.QueryRowContext(ctx, "UPDATE t SET n = 1 RETURNING n").Scan(&n)
	return n, err
}

// 75: rows of a pool of pgx.

func leak75(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	rows, err := pool.Query(ctx, "SELECT 1") // want "ctxguard/release"
	if err != nil {
		return false, err
	}
	if !rows.Next() {
		return false, rows.Err()
	}
	return true, nil
}

func mend75(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	rows, err := pool.Query(ctx, "SELECT 1")
	if err != nil {
		return false, err
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}

// 76: a transaction of pgx.

func leak76(ctx context.Context, pool *pgxpool.Pool) error {
	tx, err := pool.Begin(ctx) // want "ctxguard/release"
	if err != nil {
		return err
	}
	if err := tx.Exec(ctx, "DELETE FROM t"); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func mend76(ctx context.Context, pool *pgxpool.Pool) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	if err := tx.Exec(ctx, "DELETE FROM t"); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// 77: a connection of a pool of pgx.

func leak77(ctx context.Context, pool *pgxpool.Pool) error {
	conn, err := pool.Acquire(ctx) // want "ctxguard/release"
	if err != nil {
		return err
	}
	if err := conn.Exec(ctx, "SELECT 1"); err != nil {
		return err
	}
	conn.Release()
	return nil
}

func mend77(ctx context.Context, pool *pgxpool.Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return conn.Exec(ctx, "SELECT 1")
}

// 78: a file on an error path.

func leak78(name string) ([]byte, error) {
	f, err := os.Open(name) // want "ctxguard/release"
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return b, f.Close()
}

func mend78(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// 79: a connection on an error path behind its Dial.

func leak79(addr string) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr) // want "ctxguard/release"
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte("HELO\r\n")); err != nil {
		return nil, err
	}
	return conn, nil
}

func mend79(addr string) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte("HELO\r\n")); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// 80: a read without a deadline.

func leak80(addr string) (byte, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	var b [1]byte
	_, err = io.ReadFull(conn, b[:]) // want "ctxguard/readdeadline"
	return b[0], err
}

func mend80(addr string) (byte, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return 0, err
	}
	var b [1]byte
	_, err = io.ReadFull(conn, b[:])
	return b[0], err
}

// 81: a listener on an error path.

func leak81(check func(string) error) (net.Listener, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // want "ctxguard/release"
	if err != nil {
		return nil, err
	}
	if err := check(ln.Addr().String()); err != nil {
		return nil, err
	}
	return ln, nil
}

func mend81(check func(string) error) (net.Listener, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := check(ln.Addr().String()); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// 82: a server that nobody shuts down.

func leak82(h http.Handler) {
	srv := &http.Server{Addr: "127.0.0.1:0", Handler: h}
	go func() {
		if err := srv.ListenAndServe(); err != nil { // want "ctxguard/httpserve"
			println(err.Error())
		}
	}()
}

func mend82(ctx context.Context, h http.Handler) {
	srv := &http.Server{Addr: "127.0.0.1:0", Handler: h}
	go func() {
		if err := srv.ListenAndServe(); err != nil {
			println(err.Error())
		}
	}()
	<-ctx.Done()
	srv.Close()
}

// 83: the second of two files cannot be opened.

func leak83(from, to string) error {
	src, err := os.Open(from) // want "ctxguard/release"
	if err != nil {
		return err
	}
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer src.Close()
	defer dst.Close()
	_, err = io.Copy(dst, src)
	return err
}

func mend83(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	_, err = io.Copy(dst, src)
	return err
}
