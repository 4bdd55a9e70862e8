package ctxtest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Conn makes an f for AssertCancels of a function that speaks over a connection. The peer takes everything and never answers; a deadline or Close ends
// a Read. When do returns, the connection must be closed.
//
//go:noinline
func Conn(do func(ctx context.Context, c net.Conn) error) func(context.Context) error {
	return func(ctx context.Context) error {
		p := &Probe{}
		near, far := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(io.Discard, far) }) // ends with the pipe
		err := do(ctx, p.Conn(near, "the connection"))
		near.Close()
		wg.Wait()
		return p.also(err)
	}
}

// SilentServer listens on loopback until the test ends, takes every connection and never answers: a peer for drivers that only dial themselves, with
// Outside.
func SilentServer(t testing.TB) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silentServer{}
	var wg sync.WaitGroup
	wg.Go(func() { s.accept(ln) })
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
		s.close()
	})
	return ln.Addr().String()
}

// silentServer holds what it has accepted.
type silentServer struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (s *silentServer) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, c)
		s.mu.Unlock()
	}
}

func (s *silentServer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}
