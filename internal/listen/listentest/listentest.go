// Package listentest has servers serve for the length of a test, on loopback or in memory.
package listentest

import (
	"context"
	"net"
	"sync"
	"testing"

	"millrace/internal/listen"
)

// Server serves the connections of a listener until its context ends.
type Server interface {
	Serve(ctx context.Context, ln net.Listener) error
}

// Simulator is a server that listens by itself.
type Simulator interface {
	Listen(ctx context.Context) error
	Run(ctx context.Context) error
}

// Serving is a server at work.
type Serving struct {
	Addr string // where, host:port
	t    testing.TB
	ln   net.Listener
	stop func()
	done chan error
}

// Serve has s serve on loopback until the test ends.
func Serve(t testing.TB, s Server) *Serving {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return On(t, s, ln)
}

// On has s serve ln until the test ends. That Serve returns an error is a failure of the test.
func On(t testing.TB, s Server, ln net.Listener) *Serving {
	r := &Serving{Addr: ln.Addr().String(), t: t, ln: ln}
	r.run(func(ctx context.Context) error { return s.Serve(ctx, ln) })
	return r
}

// Run has s listen and run until the test ends.
func Run(t testing.TB, s Simulator) {
	t.Helper()
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	(&Serving{t: t}).run(s.Run)
}

func (r *Serving) run(f func(context.Context) error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(r.t.Context())) // the test's own ends before what is to be closed first
	r.stop, r.done = stop, make(chan error, 1)
	go func() { r.done <- f(ctx); close(r.done) }()
	r.t.Cleanup(r.End)
}

// Stop tells the server to end, and does not wait for it.
func (r *Serving) Stop() { r.stop() }

// End stops the server and waits until it has ended.
func (r *Serving) End() {
	r.t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("Serve: %v", err)
	}
}

// Dial connects to the server until the test ends.
func (r *Serving) Dial() net.Conn {
	r.t.Helper()
	c, err := r.connect()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

func (r *Serving) connect() (net.Conn, error) {
	if pipes, ok := r.ln.(*Pipes); ok {
		return pipes.Dial(), nil
	}
	return net.Dial("tcp", r.Addr)
}

// Pipes is a listener of connections in memory.
type Pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// NewPipes returns one that nobody has connected to.
func NewPipes() *Pipes { return &Pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

// Accept is of net.Listener.
func (l *Pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close is of net.Listener.
func (l *Pipes) Close() error { l.once.Do(func() { close(l.done) }); return nil }

// Addr is of net.Listener.
func (l *Pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// Dial connects, once the connection is accepted.
func (l *Pipes) Dial() net.Conn {
	near, far := net.Pipe()
	l.conns <- far
	return near
}

// Conn returns a connection of package listen whose requests nobody reads, and the client's end of it, for tests that call what serves it.
func Conn(t testing.TB) (c *listen.Conn, far net.Conn) {
	t.Helper()
	l, err := listen.New(listen.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ln, conns, release, ended := NewPipes(), make(chan *listen.Conn, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- l.Serve(ctx, ln, func(_ context.Context, c *listen.Conn) error {
			conns <- c
			<-release
			return nil
		})
	}()
	far = ln.Dial()
	t.Cleanup(func() {
		close(release)
		far.Close()
		stop()
		<-ended // with the error of a connection that was never served
	})
	return <-conns, far
}
