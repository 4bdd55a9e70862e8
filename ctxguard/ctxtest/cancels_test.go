package ctxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"millrace/ctxguard/ctxtest"
)

func TestCancels(t *testing.T) {
	for name, f := range map[string]func(context.Context) error{
		"at once": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"wrapped, by a child of a child": func(ctx context.Context) error {
			child, cancel := context.WithTimeout(context.WithValue(ctx, key{}, 1), time.Hour)
			defer cancel()
			done := make(chan error)
			go func() { <-child.Done(); done <- child.Err() }()
			return fmt.Errorf("worker: %w", <-done)
		},
		"a ticker": func(ctx context.Context) error {
			t := time.NewTicker(time.Second)
			defer t.Stop()
			for {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-t.C:
				}
			}
		},
		"a connection": ctxtest.Conn(func(ctx context.Context, c net.Conn) error {
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
			defer stop()
			if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
				return errors.Join(err, ctx.Err())
			}
			return nil
		}),
		"a reader": ctxtest.Reader(func(ctx context.Context, r io.ReadCloser) error {
			stop := context.AfterFunc(ctx, func() { r.Close() })
			defer stop()
			_, err := io.ReadAll(r)
			return errors.Join(err, ctx.Err())
		}),
		"an HTTP client, silent":    ctxtest.HTTP(ctxtest.Silent, get),
		"an HTTP client, streaming": ctxtest.HTTP(ctxtest.Streaming, get),
		"a query, silent":           ctxtest.SQL(ctxtest.Silent, query),
		"a query, streaming":        ctxtest.SQL(ctxtest.Streaming, query),
		"a transaction": ctxtest.SQL(ctxtest.Silent, func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			s, err := tx.PrepareContext(ctx, "update")
			if err != nil {
				return err
			}
			defer s.Close()
			_, err = s.ExecContext(ctx)
			return err
		}),
		"a statement": ctxtest.SQL(ctxtest.Streaming, func(ctx context.Context, db *sql.DB) error {
			s, err := db.PrepareContext(ctx, "select")
			if err != nil {
				return err
			}
			defer s.Close()
			var n int
			if err := s.QueryRowContext(ctx).Scan(&n); err != nil || n != 1 {
				return fmt.Errorf("%d, %w", n, err)
			}
			<-ctx.Done()
			return ctx.Err()
		}),
	} {
		t.Run(name, func(t *testing.T) { ctxtest.AssertCancels(t, f) })
	}
}

type key struct{}

func get(ctx context.Context, c *http.Client) error {
	r, err := http.NewRequestWithContext(ctx, "GET", "http://device/status", nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	return err
}

func query(ctx context.Context, db *sql.DB) error {
	if err := db.PingContext(ctx); err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, "select 1")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

func TestOptions(t *testing.T) {
	t.Run("returns nil", func(t *testing.T) {
		ctxtest.AssertCancels(t, func(ctx context.Context) error { <-ctx.Done(); return nil }, ctxtest.ReturnsNil())
	})
	t.Run("an error of its own", func(t *testing.T) {
		own := errors.New("code = Canceled")
		ctxtest.AssertCancels(t, func(ctx context.Context) error { <-ctx.Done(); return own }, ctxtest.Canceled(func(err error) bool { return errors.Is(err, own) }))
	})
	t.Run("winds down", func(t *testing.T) {
		ctxtest.AssertCancels(t, func(ctx context.Context) error {
			go func() { time.Sleep(9 * time.Second) }()
			<-ctx.Done()
			time.Sleep(9 * time.Second)
			return ctx.Err()
		}, ctxtest.Within(10*time.Second))
	})
	t.Run("opens", func(t *testing.T) {
		p := &ctxtest.Probe{}
		ctxtest.AssertCancels(t, func(ctx context.Context) error {
			closed := p.Open("a thing")
			defer closed()
			<-ctx.Done()
			return ctx.Err()
		}, ctxtest.Opens(p))
	})
}

// Real sockets, with the standard library's client and with pgx, whose types meet the adapters' interfaces.
func TestOutside(t *testing.T) {
	t.Run("net/http", func(t *testing.T) {
		srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		defer srv.Close()
		ctxtest.AssertCancels(t, func(ctx context.Context) error {
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			r, err := http.NewRequestWithContext(ctx, "GET", srv.URL, nil)
			if err != nil {
				return err
			}
			resp, err := (&http.Client{Transport: tr}).Do(r)
			if err != nil {
				return err
			}
			return resp.Body.Close()
		}, ctxtest.Outside())
	})
	t.Run("pgx that connects", func(t *testing.T) {
		url := "postgres://u:p@" + ctxtest.SilentServer(t) + "/db?sslmode=disable"
		ctxtest.AssertCancels(t, func(ctx context.Context) error {
			c, err := pgx.Connect(ctx, url)
			if err != nil {
				return err
			}
			return c.Close(ctx)
		}, ctxtest.Outside())
	})
	for name, of := range map[string]func(*pgx.Conn) func(context.Context) error{
		"queries":  func(c *pgx.Conn) func(context.Context) error { return ctxtest.Query(c, "select 1") },
		"executes": func(c *pgx.Conn) func(context.Context) error { return ctxtest.Exec(c, "update") },
	} {
		t.Run("pgx that "+name, func(t *testing.T) {
			url := "postgres://u:p@" + greetingServer(t) + "/db?sslmode=disable"
			c, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(t.Context())
			ctxtest.AssertCancels(t, of(c), ctxtest.Outside())
		})
	}
}

// greetingServer is PostgreSQL until a client is ready for a query, and silent from then on. A request to cancel closes what is open.
func greetingServer(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		var before net.Conn
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b := pgproto3.NewBackend(c, c)
			hello, err := b.ReceiveStartupMessage()
			if _, start := hello.(*pgproto3.StartupMessage); err == nil && start {
				b.Send(&pgproto3.AuthenticationOk{})
				b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
				b.Flush()
				before = c
				wg.Go(func() { io.Copy(io.Discard, c); c.Close() })
				continue
			}
			before.Close()
			c.Close()
		}
	})
	return ln.Addr().String()
}

// fakeRedis and fakeGRPC have the shapes of go-redis and of generated gRPC clients.
type (
	fakeRedis struct{}
	fakeCmd   struct{ err error }
	fakeOpt   interface{ opt() }
	fakeMsg   struct{}
	fakeGRPC  struct{}
	fakeRecv  struct{ done <-chan struct{} }
)

func (fakeRedis) Do(ctx context.Context, args ...any) *fakeCmd {
	<-ctx.Done()
	return &fakeCmd{ctx.Err()}
}
func (c *fakeCmd) Err() error { return c.err }

func (fakeGRPC) Get(ctx context.Context, _ *fakeMsg, _ ...fakeOpt) (*fakeMsg, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (fakeGRPC) List(ctx context.Context, _ *fakeMsg, _ ...fakeOpt) (*fakeRecv, error) {
	return &fakeRecv{ctx.Done()}, nil
}

func (r *fakeRecv) Recv() (*fakeMsg, error) { <-r.done; return nil, context.Canceled }

// fakePool has the shape of pgxpool.Pool.
type (
	fakePool   struct{}
	fakePooled struct{}
)

func (fakePooled) Release() {}

func (fakePool) Acquire(ctx context.Context) (*fakePooled, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestShapes(t *testing.T) {
	ctxtest.AssertCancels(t, ctxtest.Command(fakeRedis{}, "get", "key"))
	ctxtest.AssertCancels(t, ctxtest.Unary(fakeGRPC{}.Get, &fakeMsg{}))
	ctxtest.AssertCancels(t, ctxtest.ServerStream(fakeGRPC{}.List, &fakeMsg{}))
	ctxtest.AssertCancels(t, ctxtest.Acquire(fakePool{}))
}

// A dump of Go's own form is what all messages are made from: a change of it must show here.
func TestDump(t *testing.T) {
	g := ctxtest.ParseDump(strings.Join([]string{
		"goroutine 24 [chan receive (nil chan) (durable), 3 minutes, synctest bubble 7]:",
		"main.(*T).loop(0x1, {0x2, 0x3})", "\t/src/main.go:7 +0x17", "created by main.start in goroutine 23", "\t/src/main.go:9 +0x1e", "",
		"goroutine 1 [running, locked to thread]:", "main.main()", "\t/src/main.go:48 +0x9b",
	}, "\n"))
	if len(g) != 2 || fmt.Sprintf("%+v", g[0]) != "{id:24 state:chan receive (nil chan) durable:true bubble:7 "+
		"calls:[{name:main.(*T).loop file:/src/main.go line:7}] creator:{name:main.start file:/src/main.go line:9} parent:23}" {
		t.Errorf("%+v", g)
	}
}

// A dump is text of the runtime's, but what it says of a program's own names is not ours to trust.
func FuzzDump(f *testing.F) {
	f.Add("goroutine 24 [select, synctest bubble 7]:\nmain.f(0x1)\n\t/src/main.go:7 +0x17\ncreated by main.g in goroutine 23\n\t/src/main.go:9 +0x1e\n\ngoroutine 1 [running]:\n")
	f.Add("goroutine 1 ]x[:\nmain.f\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, g := range ctxtest.ParseDump(text) {
			if head := fmt.Sprintf("%+v", g); strings.HasPrefix(head, "{id:0 ") || !strings.Contains(text, "goroutine ") {
				t.Errorf("no goroutine has the number 0, and none comes from nothing: %s", head)
			}
		}
	})
}
