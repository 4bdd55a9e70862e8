package ctxtest

import (
	"context"
	"errors"
	"io"
)

// Rows is what queries of pgx, and others, return.
type Rows interface {
	Next() bool
	Err() error
	Close()
}

// Query makes an f for AssertCancels of a query: q is a *pgx.Conn, a *pgxpool.Pool, a pgx.Tx, or anything with such a method.
func Query[R Rows](q interface {
	Query(ctx context.Context, sql string, args ...any) (R, error)
}, sql string, args ...any) func(context.Context) error {
	return func(ctx context.Context) error {
		rows, err := q.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return rows.Err()
	}
}

// Exec makes an f of a statement that returns no rows.
func Exec[T any](q interface {
	Exec(ctx context.Context, sql string, args ...any) (T, error)
}, sql string, args ...any) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := q.Exec(ctx, sql, args...)
		return err
	}
}

// Acquire makes an f of taking a connection out of a pool, as pgxpool has it.
func Acquire[C interface{ Release() }](pool interface {
	Acquire(ctx context.Context) (C, error)
}) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		c.Release()
		return nil
	}
}

// Command makes an f of a command whose result knows its error, as those of go-redis do: ctxtest.Command(client, "get", "key"). go-redis itself obeys while it waits
// for a connection; once a command is on its way it waits for its ReadTimeout.
func Command[C interface{ Err() error }](c interface {
	Do(ctx context.Context, args ...any) C
}, args ...any) func(context.Context) error {
	return func(ctx context.Context) error { return c.Do(ctx, args...).Err() }
}

// Unary makes an f of one call of a gRPC client: ctxtest.Unary(client.GetThing, &pb.GetThingRequest{}). O is grpc.CallOption. Its error is a status: AssertCancels needs
// Canceled beside it.
func Unary[Req, Resp, O any](call func(ctx context.Context, in *Req, opts ...O) (*Resp, error), in *Req) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := call(ctx, in)
		return err
	}
}

// ServerStream makes an f of a gRPC stream from the server: it is opened and received from until it ends.
func ServerStream[Req, Resp, O any, S interface{ Recv() (*Resp, error) }](open func(ctx context.Context, in *Req, opts ...O) (S, error), in *Req) func(context.Context) error {
	return func(ctx context.Context) error {
		s, err := open(ctx, in)
		for err == nil {
			_, err = s.Recv()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
}
