package s7

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"millrace/internal/listen"
)

// ServerConfig is what a Server serves, to whom, and how long it waits. The zero value but for Handler is a good default. A negative duration
// switches that limit off.
type ServerConfig struct {
	// Handler is the PLC of all connections for which Open names no other. Several goroutines call it.
	Handler Handler

	// Open, when set, is called when a connection's CR has come, so that Calling and Called are known, and says who serves it. An error refuses the
	// connection with a DR; a *HangUpError says how, and under which reason that is counted. What it leaves zero is taken from here.
	Open func(c *ServerConn) (Service, error)
	// Intercept, when set, sees every request and every answer and decides what becomes of them.
	Intercept Interceptor

	PDU    int    // longest PDU that is granted, bytes; default 960, 112..65000
	Window int    // jobs in flight that are granted; default 8, at most 65535
	Resync Resync // default ResyncOff

	MaxConns   int        // connections; default 1000
	MaxPerAddr int        // connections from one remote address; default MaxConns
	Budget     ConnBudget // connections shared with other servers; default none
	Floor      int        // connections of Budget kept free for this server; default 0

	HandshakeTimeout time.Duration // from accept to the answer to Setup; default 10 s
	FrameTimeout     time.Duration // from the first byte of a request to its last, fragments included; default 5 s
	IdleAfter        time.Duration // without a job until a session is SessionIdle; default 10 s
	IdleTimeout      time.Duration // without a job until the connection is closed; default 5 min. Both are late by a quarter of the shorter at most
	WriteTimeout     time.Duration // for answers to be taken by the client; default 10 s
	DrainTimeout     time.Duration // for connections to end once Serve's context has; default 10 s

	// OnEvents, when set, hears what becomes of connections, in batches from one goroutine, while Serve runs. Those of one connection come in order. The batch is
	// valid during the call only. While it blocks, events pile up.
	OnEvents   func(batch []SessionEvent)
	EventRoom  int        // events that wait for OnEvents, for each processor; default 1024, rounded up to a power of two
	FullEvents FullEvents // what then; default EventsDrop
}

// maxServerPDU is the longest PDU that a server grants: with its frame it stays within a TPKT.
const maxServerPDU = 65_000

const serverWindow = 8

func (c ServerConfig) withDefaults() (ServerConfig, error) {
	if c.Handler == nil && c.Open == nil {
		return c, errors.New("s7: a server needs a Handler, or Open to name one")
	}
	c.PDU = cmp.Or(c.PDU, DefaultPDU)
	c.Window = cmp.Or(c.Window, serverWindow)
	c.EventRoom = cmp.Or(c.EventRoom, defaultEventRoom)
	c.IdleAfter = cmp.Or(c.IdleAfter, 10*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 5*time.Minute)
	switch {
	case c.PDU < MinPDU || c.PDU > maxServerPDU:
		return c, fmt.Errorf("s7: server: PDU %d is not within %d and %d", c.PDU, MinPDU, maxServerPDU)
	case c.Window < 1 || c.Window > maxWindow:
		return c, fmt.Errorf("s7: server: Window %d is not within 1 and %d", c.Window, maxWindow)
	case c.EventRoom < 1 || c.EventRoom > maxEventRoom:
		return c, fmt.Errorf("s7: server: EventRoom %d is not within 1 and %d", c.EventRoom, maxEventRoom)
	case c.FullEvents > EventsRefuse:
		return c, fmt.Errorf("s7: server: no such FullEvents: %d", c.FullEvents)
	case c.Resync > ResyncAlways:
		return c, fmt.Errorf("s7: server: no such Resync: %d", c.Resync)
	}
	return c, nil
}

const (
	maxWindow        = 0xFFFF
	defaultEventRoom = 1 << 10
	maxEventRoom     = 1 << 20
)

// Service is who serves one connection.
type Service struct {
	Handler   Handler
	Intercept Interceptor
	Closed    func() // called once when the connection is over
	PDU       int    // as ServerConfig.PDU; 0 is the server's
	Window    int    // as ServerConfig.Window; 0 is the server's
	Level     uint8  // protection level at the beginning, 1..3; 0 is 1
}

// ConnBudget is a number of connections that several servers share.
type ConnBudget interface {
	Reserve(n int) error // keeps n connections for the caller; an error says why they cannot be kept
	Unreserve(n int)     // undoes Reserve
	Take() bool          // takes one beyond what was reserved
	Give()               // undoes Take
}

// HangUpError is how Open and an Interceptor end a connection.
type HangUpError struct {
	Reason     string           // under which it is counted; a constant: each new one is a new counter
	Reset      bool             // with a TCP reset; default in order, behind the answers that were sent
	Disconnect DisconnectReason // not 0: a DR with it goes out first
}

func (e *HangUpError) Error() string { return "s7: hung up: " + e.Reason }

// Server is a PLC, or what stands for one: it answers on any number of connections, each in its own goroutine, in the order in which the requests
// came. Requests that arrive together are answered in one write.
type Server struct {
	cfg      ServerConfig
	listen   *listen.Server
	faces    *handlers // of cfg.Handler
	counts   serverCounts
	sessions *sessions
	pools    pools

	transfers transferBudget
	pushes    pushCounts
}

// NewServer checks cfg and returns a Server that serves nothing yet.
func NewServer(cfg ServerConfig) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, sessions: newSessions(&cfg)}
	s.pools.init()
	if cfg.Handler != nil {
		s.faces = facesOf(cfg.Handler)
	}
	s.listen, err = listen.New(listen.Config{
		MaxConns: cfg.MaxConns, MaxPerAddr: cfg.MaxPerAddr, Budget: cfg.Budget, Floor: cfg.Floor,
		HandshakeTimeout: cfg.HandshakeTimeout, FrameTimeout: cfg.FrameTimeout, WriteTimeout: cfg.WriteTimeout,
		DrainTimeout: cfg.DrainTimeout, IdleTimeout: -1, // the sweep knows better: an empty TPDU is no job, and a job that takes long is no silence
		ReadBuffer: serverBuffer, MaxFrame: max(serverBuffer, maxServerPDU+FrameBytes),
	})
	if err != nil {
		return nil, fmt.Errorf("s7: server: %w", err)
	}
	return s, nil
}

// Serve answers on ln until ctx ends, and then drains: idle connections get a DR and end, requests that are being served get their answers,
// and what is left after DrainTimeout is dropped. It closes ln and returns when every connection has ended: nil after a drain, otherwise why
// ln stopped accepting. It may run for several listeners at once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	end := s.sessions.begin()
	defer end()
	return s.listen.Serve(ctx, ln, s.serveConn)
}

// ListenAndServe is Serve on a new TCP listener on addr, host:port.
func (s *Server) ListenAndServe(ctx context.Context, addr string) error {
	ln, err := listen.Listen(ctx, addr, listen.Socket{})
	if err != nil {
		return fmt.Errorf("s7: %w", err)
	}
	return s.Serve(ctx, ln)
}

func (s *Server) serveConn(ctx context.Context, nc *listen.Conn) error {
	c := s.newConn(nc)
	if !c.worker.open(c) {
		return &listen.Error{Reason: "session events full", Refused: true}
	}
	err := nc.Loop(ctx, protocol{c})
	c.over(err)
	return err
}

func (s *Server) newConn(nc *listen.Conn) *ServerConn {
	c := &ServerConn{srv: s, conn: nc}
	s.sessions.assign(c)
	// Before Setup there is nothing longer than a CR, which the Stream takes whatever its limit.
	c.stream = *NewStream(StreamConfig{PDU: MinPDU, Resync: s.cfg.Resync})
	return c
}
