// Package fixes has what -fix mends.
package fixes

import (
	"context"
	"database/sql"
	"os"
	"time"
)

func dropped(ctx context.Context) error {
	child, _ := context.WithTimeout(ctx, time.Second) // want "can never be called"
	return child.Err()
}

func inLoop(ctx context.Context) {
	for range 3 {
		child, _ := context.WithTimeout(ctx, time.Second) // want "can never be called"
		_ = child
	}
}

func named(ctx context.Context, cancel func()) error {
	child, _ := context.WithTimeout(ctx, time.Second) // want "can never be called"
	defer cancel()
	return child.Err()
}

func stat(name string) (os.FileInfo, error) {
	f, err := os.Open(name) // want "a file is not closed"
	if err != nil {
		return nil, err
	}
	return f.Stat()
}

func closedSometimes(name string) error {
	f, err := os.Open(name) // want "a file is not closed"
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

func deleted(db *sql.DB) error {
	tx, err := db.Begin() // want "a transaction is neither"
	if err != nil {
		return err
	}
	_, err = tx.Exec("DELETE FROM t")
	return err
}

func late(d time.Duration) int {
	ch := make(chan int)
	go func() { ch <- 1 }() // want "this send waits for ever"
	select {
	case v := <-ch:
		return v
	case <-time.After(d):
		return 0
	}
}
