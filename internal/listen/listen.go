// Package listen is what every server of the gateway shares: it accepts connections, admits them within limits, keeps their deadlines,
// wraps them in TLS, ends them in order, and counts by reason every one that it turned away or ended. It knows no protocol.
package listen

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"millrace/ctxguard"
)

// Handler serves one connection in the connection's own goroutine and returns when it is over. The server closes the connection
// afterwards and counts why it ended: nil and io.EOF count as ReasonPeer, an *Error counts as it says. ctx ends when the connection is
// to be dropped at once; a drain that still has time is seen by Loop, not by ctx.
type Handler func(ctx context.Context, c *Conn) error

// Config says what a server admits and how long it waits. The zero value is a good default. A negative duration switches that limit off.
type Config struct {
	MaxConns   int  // connections of this server; default 1000
	MaxPerAddr int  // connections from one remote IP address; default MaxConns
	Budget     Pool // connections shared with other servers; default none
	Floor      int  // connections of the Budget kept free for this server; default 0

	TLS *tls.Config // default plain

	HandshakeTimeout time.Duration // from accept to Established, TLS and the protocol's handshake together; default 10 s
	FrameTimeout     time.Duration // from the first byte of a frame to its last; default 5 s
	IdleTimeout      time.Duration // between frames; default 5 min
	WriteTimeout     time.Duration // for one write to be taken by the peer; default 10 s
	DrainTimeout     time.Duration // for connections to end after Serve's context did; default 10 s

	ReadBuffer int // bytes held for a connection while a frame is in flight; default 4096
	MaxFrame   int // bytes that it has instead while a larger frame is in flight; default ReadBuffer

	// OnEnd hears of every connection that was turned away or ended, once its place is free. It is called from many goroutines and must not
	// block.
	OnEnd func(End)
}

// End describes the end of a connection, or that it was never let in.
type End struct {
	Local, Remote net.Addr
	Reason        Reason
	Refused       bool  // turned away before the protocol served it
	Err           error // what was behind the reason, may be nil
}

const (
	defaultMaxConns   = 1000
	defaultReadBuffer = 4096
)

func (c Config) withDefaults() (Config, error) {
	if c.MaxConns < 0 || c.MaxPerAddr < 0 || c.ReadBuffer < 0 || c.MaxFrame < 0 {
		return c, fmt.Errorf("listen: a negative limit: MaxConns %d, MaxPerAddr %d, ReadBuffer %d, MaxFrame %d",
			c.MaxConns, c.MaxPerAddr, c.ReadBuffer, c.MaxFrame)
	}
	setDefault(&c.MaxConns, defaultMaxConns)
	setDefault(&c.MaxPerAddr, c.MaxConns)
	setDefault(&c.ReadBuffer, defaultReadBuffer)
	setDefault(&c.MaxFrame, c.ReadBuffer)
	setDefault(&c.HandshakeTimeout, 10*time.Second)
	setDefault(&c.FrameTimeout, 5*time.Second)
	setDefault(&c.IdleTimeout, 5*time.Minute)
	setDefault(&c.WriteTimeout, 10*time.Second)
	setDefault(&c.DrainTimeout, 10*time.Second)
	switch {
	case c.Floor < 0 || c.Floor > c.MaxConns:
		return c, fmt.Errorf("listen: Floor %d is not within 0 and MaxConns %d", c.Floor, c.MaxConns)
	case c.Floor > 0 && c.Budget == nil:
		return c, fmt.Errorf("listen: Floor %d without a Budget", c.Floor)
	case c.MaxFrame < c.ReadBuffer:
		return c, fmt.Errorf("listen: MaxFrame %d is less than ReadBuffer %d", c.MaxFrame, c.ReadBuffer)
	}
	return c, nil
}

func setDefault[T int | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Server admits connections and runs a Handler for each. It may serve several listeners at the same time; they share its limits.
type Server struct {
	cfg     Config
	started time.Time // connections keep their instants as the distance from here, which is never 0
	buffers sync.Pool // *buffer of ReadBuffer
	grown   sync.Pool // *buffer of MaxFrame
	stats   counters

	mu      sync.Mutex // guards what follows; taken before Budget.mu
	serving int        // Serve calls that run
	open    int
	perAddr map[addrKey]int
}

// New checks cfg and returns a Server that serves nothing yet.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, started: time.Now().Add(-1), perAddr: make(map[addrKey]int)}
	s.buffers.New = func() any { return &buffer{in: make([]byte, cfg.ReadBuffer), out: make([]byte, 0, cfg.ReadBuffer)} }
	s.grown.New = func() any { return &buffer{in: make([]byte, cfg.MaxFrame), out: make([]byte, 0, cfg.ReadBuffer)} }
	return s, nil
}

// Serve accepts connections from ln until ctx ends, then closes ln and drains: idle connections end at once, a request that is being
// served gets its answer, and what is left after DrainTimeout is dropped. It returns when every connection's goroutine has ended: nil
// after a drain, otherwise why ln stopped accepting.
func (s *Server) Serve(ctx context.Context, ln net.Listener, h Handler) error {
	defer ln.Close()
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()

	g := &group{conns: make(map[*Conn]struct{})}
	dropCtx, drop := context.WithCancel(context.WithoutCancel(ctx))
	defer drop()
	// The default Guard, because the packages in between are public and their configuration cannot name one (docs/adr/061).
	sessions := ctxguard.Default().In(ctxguard.Scope{Name: "server connection", Lease: -1})
	defer sessions.Watch(dropCtx, "server connections of "+ln.Addr().String(), g.size)()
	err := s.accept(ctx, ln, func(c *Conn) {
		g.add(c)
		go func() {
			defer g.done(c)
			ctx, end := dropCtx, context.CancelFunc(func() {})
			if sessions != nil {
				ctx, end = sessions.WithCancel(dropCtx)
			}
			defer end()
			s.run(ctx, c, h)
		}()
	})
	g.drain(s.cfg.DrainTimeout, drop)
	return err
}

// run is the life of one admitted connection.
func (s *Server) run(ctx context.Context, c *Conn, h Handler) {
	err := c.handshake(ctx)
	if err == nil {
		err = h(ctx, c)
	}
	end := c.Explain(err)
	c.close(end)
	s.release(end.Remote)
	s.count(end)
}

func (s *Server) count(e End) {
	s.stats.add(e.Reason, e.Refused)
	if s.cfg.OnEnd != nil {
		s.cfg.OnEnd(e)
	}
}

// group is the connections of one Serve.
type group struct {
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns map[*Conn]struct{}
}

func (g *group) add(c *Conn) {
	g.wg.Add(1)
	g.mu.Lock()
	g.conns[c] = struct{}{}
	g.mu.Unlock()
}

func (g *group) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns)
}

func (g *group) done(c *Conn) {
	g.mu.Lock()
	delete(g.conns, c)
	g.mu.Unlock()
	g.wg.Done()
}

// drain ends all connections and waits for them. No connection is added any more.
func (g *group) drain(timeout time.Duration, drop func()) {
	g.each((*Conn).drain)
	dropAll := func() {
		drop()
		g.each((*Conn).drop)
	}
	if timeout >= 0 {
		t := time.AfterFunc(timeout, dropAll)
		defer t.Stop()
	}
	g.wg.Wait()
}

func (g *group) each(f func(*Conn)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		f(c)
	}
}
