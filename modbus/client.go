package modbus

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"syscall"
	"time"

	"millrace/internal/inflight"
)

// Default ports.
const (
	Port    = "502" // Modbus TCP
	PortTLS = "802" // Modbus/TCP Security
)

// MaxWindow is the most requests that a client keeps in flight on one connection.
const MaxWindow = inflight.MaxWindow

// Config is how a Client works. The zero value is Modbus TCP, one request at a time, one second for a reply, nothing repeated.
type Config struct {
	Framing Framing
	// Window is how many requests are in flight at once; default 1, at most MaxWindow. Always 1 without transaction ids (RTU, NoEcho).
	Window int
	// Timeout is how long to wait for a reply; default 1 s. Hooks.Timeout, when set, is asked instead.
	Timeout time.Duration
	// Retries is how often a read without a reply is sent again, with a new id; default 0, at most 10. Writes are never repeated.
	Retries int
	// NoEcho is for devices that do not repeat the transaction id: one request at a time, and a time-out closes the connection, because a late reply
	// could not be told from the next one.
	NoEcho bool
	// DialTimeout limits Dial with its handshake; default 5 s. The context may be shorter.
	DialTimeout time.Duration
	// ConnectTimeout limits the TCP connection alone, without the handshake; default DialTimeout.
	ConnectTimeout time.Duration
	// HandshakeTimeout limits the handshake alone, once the connection is there; default DialTimeout.
	HandshakeTimeout time.Duration
	// TLS makes Dial speak Modbus/TCP Security. The specification wants a client certificate, with its role in extension
	// 1.3.6.1.4.1.50316.802.1, and TLS 1.2 at least, which is enforced. ServerName is filled in from the address.
	TLS *tls.Config
	// UserTimeout ends a connection on which sent bytes stay without acknowledgement; default 10 s; negative leaves the system's. Linux only.
	UserTimeout time.Duration
	// Turns is memory for requests that several clients share; nil when this one has its own.
	Turns *Turns
	Hooks Hooks
}

// Turns is what clients run requests with, about 1 kB each. Clients that share it have as many as there are calls at a moment, and idle ones have none. The zero value is ready, and safe for
// concurrent use.
type Turns struct{ flight inflight.Turns }

// lent returns what inflight shares, nil for a nil t.
func (t *Turns) lent() *inflight.Turns {
	if t == nil {
		return nil
	}
	return &t.flight
}

// Hooks are called as requests go by; nil ones are not. They must not block. Timeout, Replied, Served and TimedOut are called from the goroutine
// that called the client, before its call returns; Late and Foreign from whichever goroutine reads the connection.
type Hooks struct {
	Timeout func() time.Duration    // how long to wait for the replies to what is sent next; 0 or less is Config.Timeout
	Replied func(rtt time.Duration) // a reply that matched, exceptions included
	// Served: so many requests were answered without an exception, in frames of so many bytes both ways, and took the device so long together: what each took after it
	// was sent and the one before it was answered. It is what a request and a byte cost can be learned from.
	Served   func(requests, bytes int, took time.Duration)
	TimedOut func(after time.Duration) // no reply in time
	Late     func(by time.Duration)    // the reply to a request that had timed out; 0 for a duplicate
	Foreign  func()                    // a reply to nothing that was asked
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Framing > FramingRTU:
		return c, fmt.Errorf("modbus: no such framing: %v", c.Framing)
	case c.Window < 0 || c.Window > MaxWindow:
		return c, fmt.Errorf("modbus: window %d outside 1..%d", c.Window, MaxWindow)
	case c.Timeout < 0 || c.DialTimeout < 0 || c.ConnectTimeout < 0 || c.HandshakeTimeout < 0:
		return c, fmt.Errorf("modbus: negative timeout")
	case c.Retries < 0 || c.Retries > 10:
		return c, fmt.Errorf("modbus: retries %d outside 0..10", c.Retries)
	}
	if c.Window == 0 || !c.hasIDs() {
		c.Window = 1
	}
	c.Timeout = cmp.Or(c.Timeout, time.Second)
	c.DialTimeout = cmp.Or(c.DialTimeout, 5*time.Second)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, c.DialTimeout)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, c.DialTimeout)
	c.UserTimeout = cmp.Or(c.UserTimeout, 10*time.Second)
	return c, nil
}

func (c Config) hasIDs() bool { return c.Framing == FramingTCP && !c.NoEcho }

// Client is one connection to a device or gateway. Any number of goroutines may use it; their requests share the window in turn. A connection
// that ended stays so: dial a new one.
type Client struct {
	cfg      Config
	flight   *inflight.Conn
	dialogue *dialogue
}

// Stats counts what went over a connection.
type Stats struct {
	Sent      uint64 // requests, repeated ones included
	Repeated  uint64 // reads sent again
	Replied   uint64 // replies that matched, exceptions included
	Exception uint64
	TimedOut  uint64
	Late      uint64 // replies to what had timed out
	Duplicate uint64
	Abandoned uint64 // replies to what was cancelled, within its time
	Foreign   uint64
	Overtook  uint64 // replies that came before the one to an older request
	BytesOut  uint64
	BytesIn   uint64

	Window     int // now
	InFlight   int // now
	Unanswered int // ids that nobody waits for, now
}

// Dial connects to addr, host:port or host, within ctx and cfg.DialTimeout, and shakes hands if cfg.TLS is set. Close the client in the end.
func Dial(ctx context.Context, addr string, cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	addr, host := withPort(addr, cfg.TLS != nil)
	d := inflight.Dialer(cfg.UserTimeout)
	d.Timeout = cfg.ConnectTimeout
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("modbus: dial %s: %w", addr, err)
	}
	if cfg.TLS != nil {
		if conn, err = handshake(ctx, conn, host, &cfg); err != nil {
			return nil, fmt.Errorf("modbus: handshake with %s: %w", addr, err)
		}
	}
	return NewClient(conn, cfg)
}

func withPort(addr string, secure bool) (full, host string) {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return addr, h
	}
	if secure {
		return net.JoinHostPort(addr, PortTLS), addr
	}
	return net.JoinHostPort(addr, Port), addr
}

func handshake(ctx context.Context, conn net.Conn, host string, c *Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.HandshakeTimeout)
	defer cancel()
	cfg := c.TLS.Clone()
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12) // [MBSEC 7.1, R-01]
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, closing(conn, err)
	}
	return secure, nil
}

// closing closes c after err, which is what the caller needs to hear of.
func closing(c net.Conn, err error) error {
	_ = c.Close()
	return err
}

// NewClient makes a client of a connection that stands (a proxy's, a test's), handshake included; what cfg says of dialling is not used. The client
// owns the connection from then on, also when it answers an error.
func NewClient(conn net.Conn, cfg Config) (*Client, error) {
	_, tcp := conn.(*net.TCPConn) // others may have no buffer: the peer of a pipe waits for a reader while this side writes
	return newClient(conn, cfg, tcp)
}

// The read buffer starts with room for most answers, and grows while reads fill it: there may be ten thousand.
const (
	readBufferMin = 128
	readBufferMax = 16 * MaxADU
)

// newClient makes a client whose callers read their own answers where inline says so.
func newClient(conn net.Conn, cfg Config, inline bool) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, closing(conn, err)
	}
	d := &dialogue{framing: cfg.Framing, noIDs: !cfg.hasIDs()}
	h := cfg.Hooks
	return &Client{cfg: cfg, dialogue: d, flight: inflight.New(conn, d, inflight.Config{
		Window: cfg.Window, Timeout: cfg.Timeout, Retries: cfg.Retries, NoIDs: d.noIDs, Inline: inline, ReadMin: readBufferMin, ReadMax: readBufferMax,
		NewWork: func() inflight.Work { return &run{} }, Turns: cfg.Turns.lent(),
		Hooks: inflight.Hooks{Timeout: h.Timeout, Replied: h.Replied, Served: h.Served, TimedOut: h.TimedOut, Late: h.Late, Foreign: h.Foreign},
	})}, nil
}

// Close ends the connection in order, fails what is in flight, and waits for the reader. It may be called more than once. It waits for the device to close
// its side too, as long as for an answer, a second at most; Unconfirmed says whether that was in vain. It returns nil.
func (c *Client) Close() error {
	c.flight.Close()
	return nil
}

// Unconfirmed returns, after Close, an *UnconfirmedError when the device did not close its side too, and nil else.
func (c *Client) Unconfirmed() error { return c.flight.Unconfirmed() }

// Err returns nil while the connection is open, then the *ClosedError with which it ended.
func (c *Client) Err() error { return c.flight.Err() }

// Done returns a channel that is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.flight.Done() }

// SyscallConn returns the socket of the connection, the one below TLS, to be looked at: TCP_INFO tells round trips and retransmissions. Nothing may be read from it, written or
// closed. It implements syscall.Conn; a connection without a socket answers an error.
func (c *Client) SyscallConn() (syscall.RawConn, error) { return c.flight.SyscallConn() }

// SetWindow sets how many requests are in flight at once, from 1 to MaxWindow; what is outside is taken as the nearest of them. It takes effect
// with the next request. Without transaction ids the window stays 1.
func (c *Client) SetWindow(n int) { c.flight.SetWindow(n) }

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	s := c.flight.Stats()
	return Stats{Sent: s.Sent, Repeated: s.Repeated, Replied: s.Replied, Exception: s.Refused, TimedOut: s.TimedOut, Late: s.Late, Duplicate: s.Duplicate,
		Abandoned: s.Abandoned, Foreign: s.Foreign, Overtook: s.Overtook, BytesOut: s.BytesOut, BytesIn: s.BytesIn,
		Window: s.Window, InFlight: s.InFlight, Unanswered: s.Unanswered}
}
