// Package pgxpool has the shapes of the real one that the analyzers know.
package pgxpool

import (
	"context"

	"github.com/jackc/pgx/v5"
)

type Pool struct{}

func (p *Pool) Acquire(ctx context.Context) (*Conn, error)                           { return nil, nil }
func (p *Pool) Begin(ctx context.Context) (pgx.Tx, error)                            { return nil, nil }
func (p *Pool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) { return nil, nil }

type Conn struct{}

func (c *Conn) Release()                                                {}
func (c *Conn) Exec(ctx context.Context, sql string, args ...any) error { return nil }
