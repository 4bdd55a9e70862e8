// Package pgx has the shapes of the real one that the analyzers know.
package pgx

import "context"

type Rows interface {
	Close()
	Err() error
	Next() bool
	Scan(dest ...any) error
}

type Row interface{ Scan(dest ...any) error }

type Tx interface {
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
	Exec(ctx context.Context, sql string, args ...any) error
	Query(ctx context.Context, sql string, args ...any) (Rows, error)
}

type Conn struct{}

func Connect(ctx context.Context, url string) (*Conn, error) { return nil, nil }

func (*Conn) Close(ctx context.Context) error { return nil }

func (*Conn) Query(ctx context.Context, sql string, args ...any) (Rows, error) { return nil, nil }
