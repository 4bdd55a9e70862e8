package quiet

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func isFalse(t *testing.T, v bool) {}

func False(t *testing.T, v bool) { isFalse(t, v) }

// What a test throws away because it must not have come, rows whose end is asserted, and what goes with a connection that is closed, is not lost.
func TestAssertions(t *testing.T) {
	db := &sql.DB{}
	if _, err := db.Query("no"); err == nil {
		t.Error("it was answered")
	}
	_, err := db.Begin()
	if !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	rows, err := db.Query("yes")
	if err != nil {
		t.Fatal(err)
	}
	False(t, rows.Next())
	if rows.Err() != nil {
		t.Error(rows.Err())
	}
}

func TestConnection(t *testing.T) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "select")
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() || rows.Err() != nil {
		t.Error("no row")
	}
}

func TestWaitsForAll(t *testing.T) {
	ch := make(chan struct{})
	for range 10 {
		go func() { ch <- struct{}{} }()
	}
	for range 10 {
		select {
		case <-ch:
		case <-time.After(time.Second):
			t.Fatal("timeout")
		}
	}
}

func TestRowsOfATransaction(t *testing.T) {
	db := &sql.DB{}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	rows, err := tx.Query("yes")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		if err := rows.Scan(); err != nil {
			return
		}
	}
	if rows.Err() != nil {
		t.Error(rows.Err())
	}
}
