package modbus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"millrace/internal/listen"
)

// ServerConfig is what a Server serves, to whom, and how long it waits. The zero value but for Handler is a good default. A negative duration
// switches that limit off.
type ServerConfig struct {
	// Handler answers the requests of all connections for which Open names no other. Several goroutines call it, one a connection.
	Handler Handler
	Framing Framing

	// TLS makes the server speak Modbus/TCP Security [MBSEC]. TLS 1.2 at least is enforced, and so is a verified client certificate unless
	// ClientAuth says otherwise.
	TLS *tls.Config
	// RequireRole refuses connections whose client certificate carries no role, several, or one in another encoding than the specification's.
	// Default: they are served, with an empty role.
	RequireRole bool
	// Authorize, when set, is asked before the handler is called; false is exception 1 [MBSEC 8.4]. What goes to a PDUHandler is asked for
	// once more and first, without Table, Address and Quantity.
	Authorize func(r *Request) bool

	// Open, when set, is called with each new connection, after the TLS handshake, and says who serves it. An error refuses the connection;
	// a *HangUpError says under which reason that is counted. What it leaves nil is taken from Handler and Intercept.
	Open func(c *ServerConn) (Service, error)
	// Intercept, when set, sees every request and every answer and decides what becomes of them.
	Intercept Interceptor

	MaxConns   int        // connections; default 1000
	MaxPerAddr int        // connections from one remote address; default MaxConns
	Budget     ConnBudget // connections shared with other servers; default none
	Floor      int        // connections of Budget kept free for this server; default 0

	HandshakeTimeout time.Duration // for the TLS handshake; default 10 s
	FrameTimeout     time.Duration // from the first byte of a request to its last; default 5 s
	IdleTimeout      time.Duration // between requests; default 5 min
	WriteTimeout     time.Duration // for answers to be taken by the client; default 10 s
	DrainTimeout     time.Duration // for connections to end once Serve's context has; default 10 s
}

// Service is who serves one connection.
type Service struct {
	Handler   Handler
	Intercept Interceptor
	Closed    func() // called once when the connection is over
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
	Reason string // under which it is counted; a constant: each new one is a new counter
	Reset  bool   // with a TCP reset; default in order, behind the answers that were sent
}

func (e *HangUpError) Error() string { return "modbus: hung up: " + e.Reason }

// Server answers requests on any number of connections, each in its own goroutine, in the order in which they came. Requests that arrive
// together are answered in one write.
type Server struct {
	cfg    ServerConfig
	listen *listen.Server
	counts serverCounts
}

// NewServer checks cfg and returns a Server that serves nothing yet.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Framing > FramingRTU {
		return nil, fmt.Errorf("modbus: no such framing: %v", cfg.Framing)
	}
	if cfg.Handler == nil && cfg.Open == nil {
		return nil, errors.New("modbus: a server needs a Handler, or Open to name one")
	}
	secure, err := serverTLS(cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg}
	s.listen, err = listen.New(listen.Config{
		MaxConns: cfg.MaxConns, MaxPerAddr: cfg.MaxPerAddr, Budget: cfg.Budget, Floor: cfg.Floor, TLS: secure,
		HandshakeTimeout: cfg.HandshakeTimeout, FrameTimeout: cfg.FrameTimeout, IdleTimeout: cfg.IdleTimeout,
		WriteTimeout: cfg.WriteTimeout, DrainTimeout: cfg.DrainTimeout, ReadBuffer: serverBuffer,
	})
	if err != nil {
		return nil, fmt.Errorf("modbus: server: %w", err)
	}
	return s, nil
}

// Serve answers on ln until ctx ends, and then drains: idle connections end at once, requests that are being served get their answers, and
// what is left after DrainTimeout is dropped. It closes ln and returns when every connection has ended: nil after a drain, otherwise why ln
// stopped accepting. It may run for several listeners at once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	return s.listen.Serve(ctx, ln, s.serveConn)
}

// ListenAndServe is Serve on a new TCP listener on addr, host:port.
func (s *Server) ListenAndServe(ctx context.Context, addr string) error {
	ln, err := listen.Listen(ctx, addr, listen.Socket{})
	if err != nil {
		return fmt.Errorf("modbus: %w", err)
	}
	return s.Serve(ctx, ln)
}

func (s *Server) serveConn(ctx context.Context, nc *listen.Conn) error {
	c, closed, err := s.open(nc)
	if err != nil {
		return refusal(err)
	}
	defer closed()
	nc.Established()
	return nc.Loop(ctx, protocol{c})
}

// open finds out who is there and who serves them.
func (s *Server) open(nc *listen.Conn) (*ServerConn, func(), error) {
	c := &ServerConn{srv: s, conn: nc, tls: nc.TLS()}
	role, err := roleOf(c.tls)
	if err != nil && s.cfg.RequireRole {
		return nil, nil, err
	}
	c.role = role
	var sv Service
	if s.cfg.Open != nil {
		if sv, err = s.cfg.Open(c); err != nil {
			return nil, nil, err
		}
	}
	if sv.Handler == nil {
		sv.Handler = s.cfg.Handler
	}
	if sv.Intercept == nil {
		sv.Intercept = s.cfg.Intercept
	}
	if sv.Closed == nil {
		sv.Closed = func() {}
	}
	if sv.Handler == nil {
		sv.Closed()
		return nil, nil, errors.New("modbus: Open named no handler, and there is no other")
	}
	c.use(sv)
	return c, sv.Closed, nil
}

// refusal counts an error of open as a connection turned away.
func refusal(err error) error {
	e := &listen.Error{Reason: "refused", Refused: true, Err: err}
	var hangUp *HangUpError
	var role *RoleError
	switch {
	case errors.As(err, &hangUp):
		e.Reason, e.Reset = listen.Reason(hangUp.Reason), hangUp.Reset
	case errors.As(err, &role):
		e.Reason = listen.Reason(role.Reason.String())
	}
	return e
}
