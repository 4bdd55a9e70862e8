package ctxtest_test //ctxguard:allow // these tests leak for ctxtest to find

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"millrace/ctxguard"
	"millrace/ctxguard/ctxtest"
)

// worker is a thing with a life of its own, which is where most functions that do not cancel get their context from.
type worker struct {
	life context.Context //nolint:containedctx // the mistake in question
	in   chan int
}

func (w *worker) loop(context.Context) error {
	for {
		select {
		case <-w.life.Done():
			return w.life.Err()
		case <-w.in:
		}
	}
}

// TestFailures are functions that do not keep the promise. TestTranscript runs it in a process of its own.
func TestFailures(t *testing.T) {
	if !inChild() {
		t.Skip("its parts are meant to fail; TestTranscript runs it")
	}
	for _, c := range []struct {
		name string
		f    func(context.Context) error
		opts []ctxtest.Option
	}{
		{"another context", func(ctx context.Context) error {
			return (&worker{life: context.Background(), in: make(chan int)}).loop(ctx)
		}, nil},
		{"a detached context", func(ctx context.Context) error {
			free := context.WithoutCancel(ctx)
			mine, cancel := context.WithCancel(free)
			defer cancel()
			<-mine.Done()
			return mine.Err()
		}, nil},
		{"a channel alone", func(context.Context) error {
			in := make(chan int)
			for range in {
			}
			return nil
		}, nil},
		{"asks and does not listen", func(ctx context.Context) error {
			t := time.NewTicker(time.Second)
			defer t.Stop()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			for {
				<-t.C
			}
		}, nil},
		{"waits for a goroutine", func(ctx context.Context) error {
			var wg sync.WaitGroup
			child, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			ch := make(chan int)
			wg.Go(func() { ch <- 1 })
			<-child.Done()
			wg.Wait()
			return child.Err()
		}, nil},
		{"a read without a deadline", ctxtest.Conn(func(ctx context.Context, c net.Conn) error {
			defer c.Close()
			_, err := io.ReadFull(c, make([]byte, 4))
			return err
		}), nil},
		{"a reader", ctxtest.Reader(func(ctx context.Context, r io.ReadCloser) error {
			_, err := io.ReadAll(r)
			return err
		}), nil},
		{"Background to a query", ctxtest.SQL(ctxtest.Silent, func(ctx context.Context, db *sql.DB) error {
			rows, err := db.QueryContext(context.Background(), "select 1")
			if err != nil {
				return err
			}
			defer rows.Close()
			return rows.Err()
		}), nil},
		{"a request without its context", ctxtest.HTTP(ctxtest.Silent, func(ctx context.Context, c *http.Client) error {
			resp, err := c.Get("http://device/status") //nolint:noctx // the mistake in question
			if err != nil {
				return err
			}
			return resp.Body.Close()
		}), nil},
		{"ends by itself", func(context.Context) error { return nil }, nil},
		{"says nil", func(ctx context.Context) error { <-ctx.Done(); return nil }, nil},
		{"says something else", func(ctx context.Context) error { <-ctx.Done(); return errors.New("it is over") }, nil},
		{"panics", func(ctx context.Context) error { <-ctx.Done(); panic("no") }, nil},
		{"leaves a goroutine", func(ctx context.Context) error {
			go func() {
				w := &worker{life: context.Background(), in: make(chan int)}
				w.in <- 1
			}()
			<-ctx.Done()
			return ctx.Err()
		}, nil},
		{"winds down too long", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Minute)
			return ctx.Err()
		}, []ctxtest.Option{ctxtest.Within(10 * time.Second)}},
		{"leaves a body open", ctxtest.HTTP(ctxtest.Streaming, func(ctx context.Context, c *http.Client) error {
			r, err := http.NewRequestWithContext(ctx, "GET", "http://device/stream", nil)
			if err != nil {
				return err
			}
			resp, err := c.Do(r)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		}), nil},
		{"leaves a transaction open", ctxtest.SQL(ctxtest.Streaming, func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(context.WithoutCancel(ctx), nil)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "update"); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}), nil},
		{"a mutex in a bubble", func(ctx context.Context) error {
			var mu sync.Mutex
			mu.Lock()
			mu.Lock()
			return ctx.Err()
		}, []ctxtest.Option{ctxtest.Impatient()}},
		{"a mutex outside", func(ctx context.Context) error {
			var mu sync.Mutex
			mu.Lock()
			mu.Lock()
			return ctx.Err()
		}, []ctxtest.Option{ctxtest.Outside(), ctxtest.Within(10 * time.Millisecond)}},
		{"a goroutine outside", func(ctx context.Context) error {
			go func() { select {} }()
			<-ctx.Done()
			return ctx.Err()
		}, []ctxtest.Option{ctxtest.Outside(), ctxtest.Within(10 * time.Millisecond)}},
	} {
		t.Run(c.name, func(t *testing.T) { ctxtest.AssertCancels(t, c.f, c.opts...) })
	}
}

// TestLeaks are tests that leave something behind.
func TestLeaks(t *testing.T) {
	if !inChild() {
		t.Skip("its parts are meant to fail; TestTranscript runs it")
	}
	t.Run("a goroutine", func(t *testing.T) {
		ctxtest.AssertNoLeaks(t)
		go func() { select {} }()
	})
	t.Run("a context without a goroutine", func(t *testing.T) {
		g, root := ctxtest.Guard(t)
		kept = open(g, root)
	})
	t.Run("a dropped context", func(t *testing.T) {
		g, root := ctxtest.Guard(t)
		open(g, root)
	})
	t.Run("a context that no guard knows", func(t *testing.T) {
		_, root := ctxtest.Guard(t)
		_, kept = context.WithTimeout(root, time.Hour)
	})
}

// kept is the global variable in which somebody keeps a cancel function.
var kept context.CancelFunc

//go:noinline
func open(g *ctxguard.Guard, root context.Context) context.CancelFunc {
	_, cancel := g.WithCancel(root)
	return cancel
}

// What is said of each failure is what people read.
func TestTranscript(t *testing.T) {
	transcript(t, "TestFailures", "testdata/failures.txt")
	transcript(t, "TestLeaks", "testdata/leaks.txt")
}
