package opcua

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"millrace/internal/listen"
	"millrace/opcua/uasc"
)

// Server is an OPC UA server over UA-TCP: it serves a Space to any number of clients, each connection in a goroutine of its own.
type Server struct {
	cfg      ServerConfig
	space    *Space
	channels *uasc.Server
	listen   *listen.Server
	started  time.Time // the clock of sessions and buckets is the distance from here

	sessions  *sessions
	subs      *subscriptions
	keys      *gate // operations with the private key
	passwords *gate
	openings  *openings
	tokens    []tokenPolicy

	reversed    reversed
	outgoings   sync.Pool     // *outgoing
	held        atomic.Int64  // bytes of requests that are half here, of all connections
	nextChannel atomic.Uint32 // random at first, so that a client of an earlier run is not taken for one of this
	counts      serverCounts

	mu        sync.Mutex // guards what follows
	serving   int        // Serve calls that run
	stopParts func()     // ends the keeper and the subscriptions, and waits for them
	halting   time.Time  // when the server will be gone; zero while it is to stay
}

// NewServer checks cfg and returns a Server that serves nothing yet.
func NewServer(cfg ServerConfig) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, space: cfg.Space, started: time.Now().Add(-1)}
	s.sessions = newSessions(int(cfg.Quotas.Sessions))
	s.keys = newGate(cfg.Admission.RSAAtOnce, cfg.Admission, s.now)
	s.passwords = newGate(cfg.Admission.PasswordsAtOnce, cfg.Admission, s.now)
	s.openings = newOpenings(cfg.Admission)
	s.tokens = tokenPolicies(&cfg)
	s.outgoings.New = func() any { return new(outgoing) }
	s.nextChannel.Store(randomStart())
	s.subs = newSubscriptions(s)
	if err := s.newParts(); err != nil {
		return nil, fmt.Errorf("opcua: server: %w", err)
	}
	return s, s.serveValues()
}

// newParts makes what is below the server.
func (s *Server) newParts() (err error) {
	cfg := &s.cfg
	s.channels, err = uasc.NewServer(uasc.ServerConfig{
		Identity: cfg.Identity, ECCIdentity: cfg.ECCIdentity, Security: cfg.Security, Discovery: true, Trust: cfg.Trust, Name: cfg.ApplicationName, Transport: cfg.Transport,
		MinLifetime: cfg.TokenLifetime.Min, MaxLifetime: cfg.TokenLifetime.Max,
	})
	if err != nil {
		return err
	}
	s.listen, err = listen.New(listen.Config{
		MaxConns: cfg.MaxConns, MaxPerAddr: cfg.MaxPerAddr, Budget: cfg.Budget, Floor: cfg.Floor,
		HandshakeTimeout: cfg.HandshakeTimeout, FrameTimeout: cfg.FrameTimeout, IdleTimeout: cfg.IdleTimeout, WriteTimeout: cfg.WriteTimeout,
		DrainTimeout: cfg.DrainTimeout, OnEnd: s.reversed.ended, ReadBuffer: serverBuffer, MaxFrame: max(serverBuffer, int(cmp.Or(cfg.Transport.ReceiveBufferSize, defaultChunk))),
	})
	return err
}

const (
	// serverBuffer is room for a Read of 150 nodes or a few small requests at once; held only while a message is in flight. A longer chunk makes it grow.
	serverBuffer = 8192
	defaultChunk = 1 << 16
)

// randomStart returns where channel ids begin: anywhere but close to the end.
func randomStart() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint32(b[:]) & 0x7FFFFFFF
}

// channelID returns a new channel id, never 0.
func (s *Server) channelID() uint32 {
	for {
		if id := s.nextChannel.Add(1); id != 0 {
			return id
		}
	}
}

// now is the time as a distance from the server's start, never 0.
func (s *Server) now() time.Duration { return time.Since(s.started) }

// Serve answers on ln until ctx ends, and then drains: requests that are being served get their responses, and what is left after DrainTimeout is dropped. It closes
// ln and returns when every connection has ended: nil after a drain, otherwise why ln stopped accepting. It may run for several listeners at once.
// With AnnounceShutdown clients are told for that long that the server will go, before it drains.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	end := s.begin(ctx)
	defer end()
	serve, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	undo := context.AfterFunc(ctx, func() { s.halt(stop) })
	defer undo()
	return s.listen.Serve(serve, ln, s.serveConn)
}

// halt says that the server is going, and stops after AnnounceShutdown.
func (s *Server) halt(stop func()) {
	wait := max(s.cfg.AnnounceShutdown, 0)
	s.mu.Lock()
	s.halting = time.Now().Add(wait)
	s.mu.Unlock()
	if wait == 0 {
		stop()
		return
	}
	time.AfterFunc(wait, stop)
}

// ListenAndServe is Serve on a new TCP listener on addr, host:port.
func (s *Server) ListenAndServe(ctx context.Context, addr string) error {
	ln, err := listen.Listen(ctx, addr, listen.Socket{})
	if err != nil {
		return fmt.Errorf("opcua: %w", err)
	}
	return s.Serve(ctx, ln)
}

// begin starts what serves all connections when the first Serve begins. What it returns ends that, with all sessions, when the last Serve ends.
func (s *Server) begin(ctx context.Context) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving++; s.serving == 1 {
		s.halting = time.Time{}
		s.stopParts = s.startParts(context.WithoutCancel(ctx))
	}
	return s.end
}

func (s *Server) startParts(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	parts.Go(func() { s.keep(ctx) })
	parts.Go(func() { s.subs.run(ctx) })
	return func() {
		cancel()
		parts.Wait()
	}
}

func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving--; s.serving > 0 {
		return
	}
	for _, x := range s.sessions.all() {
		s.endIdle(x, true)
	}
	s.stopParts()
}

// sweepEvery is how late a session may time out.
const sweepEvery = time.Second

// keep ends sessions that have timed out.
func (s *Server) keep(ctx context.Context) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.sweep()
		}
	}
}

// shutdown returns when the server will be gone, and whether it will.
func (s *Server) shutdown() (at time.Time, halting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.halting, !s.halting.IsZero()
}

// Sessions returns how many sessions there are.
func (s *Server) Sessions() int { return len(s.sessions.all()) }

// EndSessions ends all sessions, as a server does that has lost its memory: what clients ask next is answered with BadSessionIdInvalid. It is for simulations.
func (s *Server) EndSessions() {
	for _, x := range s.sessions.all() {
		x.turn.Lock()
		s.endSession(x, true)
		x.turn.Unlock()
	}
}

// grant returns what a client that asks for d is given.
func (r TimeoutRange) grant(d time.Duration) time.Duration {
	if d <= 0 {
		d = r.Default
	}
	return min(max(d, r.Min), r.Max)
}

// milliseconds turns a Duration of the wire into ours: nonsense is 0, and what is too long for us the longest.
func milliseconds(ms float64) time.Duration {
	switch {
	case !(ms > 0): // NaN too
		return 0
	case ms >= float64(maxMilliseconds):
		return maxMilliseconds * time.Millisecond
	}
	return time.Duration(ms * float64(time.Millisecond))
}

const maxMilliseconds = 1 << 40
