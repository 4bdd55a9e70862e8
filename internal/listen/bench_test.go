package listen

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
)

func benchServer(tb testing.TB, cfg Config) net.Listener {
	tb.Helper()
	ln := loopback(tb)
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, ln, serveEcho) }()
	tb.Cleanup(func() { cancel(); <-done })
	return ln
}

func BenchmarkExchange(b *testing.B) {
	ln := benchServer(b, Config{})
	c := dial(b, ln)
	f, answer := frame("a short request"), make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(f)
		if _, err := io.ReadFull(c, answer); err != nil {
			b.Fatal(err)
		}
	}
}

func TestExchangeDoesNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("the race detector makes sync.Pool drop buffers at random")
	}
	ln := benchServer(t, Config{})
	c := dial(t, ln)
	f, answer := frame("a short request"), make([]byte, 16)
	if n := testing.AllocsPerRun(200, func() {
		c.Write(f)
		io.ReadFull(c, answer)
	}); n >= 1 {
		t.Errorf("%v allocations an exchange", n)
	}
}

// BenchmarkIdleConnection reports the memory that the server's side of an idle connection takes: the clients dial first and wait in the
// backlog, so that the difference is the server's alone.
func BenchmarkIdleConnection(b *testing.B) {
	for b.Loop() {
		const conns = 2000
		ln := loopback(b)
		dialled := make([]*net.TCPConn, conns)
		for i := range dialled {
			dialled[i] = dial(b, ln)
		}
		before := memory()
		s, err := New(Config{MaxConns: conns})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error)
		go func() { done <- s.Serve(ctx, ln, serveEcho) }()
		for _, c := range dialled {
			ask(b, c, "x")
		}
		b.ReportMetric(float64(memory()-before)/conns, "B/conn")
		cancel()
		<-done
		for _, c := range dialled {
			c.Close()
		}
	}
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
