// Package drivers holds the adapters of ctxtest to the libraries that they are for: pgx against PostgreSQL, go-redis against a Redis in this process, gRPC over
// loopback. It is a module of its own, so that none of them is in the go.mod of a program that tests itself with ctxtest.
package drivers

import (
	"context"
	"database/sql"
	"net"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"millrace/ctxguard/ctxtest"
	"millrace/internal/sink/postgres/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// holds runs f on trial with real sockets. pgx looks after a connection whose query was cancelled for up to fifteen seconds: a cancel that reaches PostgreSQL before the
// query does is lost.
func holds(t *testing.T, name string, f func(context.Context) error, opts ...ctxtest.Option) {
	t.Run(name, func(t *testing.T) {
		ctxtest.AssertCancels(t, f, append(opts, ctxtest.Outside(), ctxtest.Within(30*time.Second))...)
	})
}

// PostgreSQL answers nothing for a minute: statements, rows, transactions and a pool that is empty end when they are told to.
func TestPgx(t *testing.T) {
	db := pgtest.Start(t)
	conn, err := pgx.Connect(t.Context(), db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	holds(t, "Conn.Query", ctxtest.Query(conn, "select pg_sleep(60)"))
	conn, err = pgx.Connect(t.Context(), db.URL()) // a query that was cancelled has closed the other one
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	holds(t, "Conn.Exec", ctxtest.Exec(conn, "select pg_sleep(60)"))

	pool := poolOf(t, db.URL())
	holds(t, "Pool.Query", ctxtest.Query(pool, "select pg_sleep(60)"))
	holds(t, "Pool.Exec", ctxtest.Exec(pool, "select pg_sleep(60)"))
	holds(t, "rows that come slowly", ctxtest.Query(pool, "select n, pg_sleep(n) from generate_series(0, 60) n"))
	holds(t, "a transaction", func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return ctxtest.Exec(tx, "select pg_sleep(60)")(ctx) })
	})
	held, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	holds(t, "Pool.Acquire", ctxtest.Acquire(pool))
	held.Release()
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections did not come back", n)
	}
}

// poolOf is a pool of one connection.
func poolOf(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// database/sql over pgx.
func TestSQL(t *testing.T) {
	db, err := sql.Open("pgx", pgtest.Start(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	holds(t, "Query", func(ctx context.Context) error {
		rows, err := db.QueryContext(ctx, "select pg_sleep(60)")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return rows.Err()
	})
	if n := db.Stats().InUse; n != 0 {
		t.Errorf("%d connections did not come back", n)
	}
}

// A pool of Redis connections that is empty.
func TestGoRedis(t *testing.T) {
	m := miniredis.RunT(t)
	c := redis.NewClient(&redis.Options{Addr: m.Addr(), PoolSize: 1, PoolTimeout: time.Minute})
	defer c.Close()
	held := c.Conn()
	defer held.Close()
	if err := held.Ping(t.Context()).Err(); err != nil { // takes the only connection
		t.Fatal(err)
	}
	holds(t, "Do", ctxtest.Command(c, "get", "key"))
}

// health is a service that says nothing, or one word and then nothing.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (health) Watch(_ *grpc_health_v1.HealthCheckRequest, s grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	if err := s.Send(&grpc_health_v1.HealthCheckResponse{}); err != nil {
		return err
	}
	<-s.Context().Done()
	return s.Context().Err()
}

func TestGRPC(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(srv, health{})
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	cc, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	client := grpc_health_v1.NewHealthClient(cc)
	warm, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := client.Watch(warm, &grpc_health_v1.HealthCheckRequest{}) // the connection is there before a trial
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	canceled := ctxtest.Canceled(func(err error) bool { return status.Code(err) == codes.Canceled })
	holds(t, "a call", ctxtest.Unary(client.Check, &grpc_health_v1.HealthCheckRequest{}), canceled)
	holds(t, "a stream", ctxtest.ServerStream(client.Watch, &grpc_health_v1.HealthCheckRequest{}), canceled)
}
