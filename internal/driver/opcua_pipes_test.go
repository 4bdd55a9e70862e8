package driver

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing/synctest"
)

// pipes is a listener whose connections are pipes, so that server and client live in a bubble of synctest.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	gone  chan struct{}
	deaf  atomic.Bool // dials fail

	mu   sync.Mutex
	open []net.Conn
}

// cut ends all connections.
func (p *pipes) cut() {
	p.mu.Lock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
	p.mu.Unlock()
	synctest.Wait()
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), gone: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.gone:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.gone) }); return nil }
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "127.0.0.1:4840" }

// pipeConn has an address that servers can count by.
type pipeConn struct{ net.Conn }

func (pipeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000} }
func (pipeConn) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4840} }

func (p *pipes) dial(ctx context.Context, _ string) (net.Conn, error) {
	if p.deaf.Load() {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: io.EOF}
	}
	here, there := net.Pipe()
	p.mu.Lock()
	p.open = append(p.open, there)
	p.mu.Unlock()
	select {
	case p.conns <- pipeConn{there}:
		return pipeConn{here}, nil
	case <-p.gone:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
