package listen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// lastCall is how long a draining connection listens for a request that was on its way when the drain began.
const lastCall = 20 * time.Millisecond

// past is a deadline that is over.
var past = time.Unix(1, 0)

// Conn is one connection. Its methods belong to the connection's goroutine, but for Write, which any goroutine may call.
//
// It begins in the handshake phase, which Established ends; from then on Loop keeps the idle and the frame deadline. Deadlines lie on the
// socket lazily: one that is set earlier than needed is left there and looked at again when it fires, so a request costs none.
type Conn struct {
	s   *Server
	raw net.Conn // as accepted
	nc  net.Conn // what the protocol speaks on: raw, or TLS over it
	tls *tls.Conn

	born        time.Duration // since s.started, as all instants here
	established bool
	waiting     bool          // until stands, nothing came since
	until       time.Duration // when the present wait is over; forever if there is no limit
	frameSince  time.Duration // when the first byte of the frame in the buffer came; 0 between frames
	armed       time.Duration // the read deadline on the socket; forever if none
	calledLast  bool          // the drain was seen, the last call runs

	mu       sync.Mutex // guards what follows and the setting of deadlines
	draining bool
	dropped  bool
	over     error // why another goroutine ended the connection

	// out is held across a write so that frames of several goroutines do not mix on the wire; the write deadline bounds the wait.
	out   sync.Mutex
	unfit error   // guarded by out: a write failed, and what comes behind it would be taken for the rest
	tries *trying // guarded by out; nil until somebody else than Loop sends
}

const forever = time.Duration(1<<63 - 1)

func newConn(s *Server, nc net.Conn) *Conn {
	c := &Conn{s: s, raw: nc, nc: nc, armed: forever}
	c.born = c.now()
	if s.cfg.TLS != nil {
		c.tls = tls.Server(nc, s.cfg.TLS)
		c.nc = c.tls
	}
	return c
}

// LocalAddr returns the address that the client connected to.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr returns the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// TLS returns the state after the TLS handshake, nil on a plain connection.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.tls == nil {
		return nil
	}
	st := c.tls.ConnectionState()
	return &st
}

// Established ends the handshake phase. A protocol without a handshake of its own calls it at once.
func (c *Conn) Established() { c.established = true }

// Write sends b whole, within the write deadline, behind what other goroutines are sending. Any goroutine may call it. An error ends the
// connection: nobody knows how much of b the peer has, so that nothing can come behind it.
func (c *Conn) Write(b []byte) (int, error) {
	c.out.Lock()
	defer c.out.Unlock()
	if c.unfit != nil {
		return 0, c.unfit
	}
	n := c.try(b)
	if n == len(b) {
		return n, nil
	}
	more, err := c.write(b[n:])
	if err != nil {
		c.unfit = err
		c.end(err)
	}
	return n + more, err
}

// TryWrite sends what of b the socket takes at once, and returns how much that was. Less than all also says that somebody else is sending, that the connection cannot be asked,
// or what is wrong: the caller then sends the rest with Write, and sees to it that nobody else sends in between. It never blocks. Any goroutine may call it.
func (c *Conn) TryWrite(b []byte) (n int) {
	if !c.out.TryLock() {
		return 0
	}
	defer c.out.Unlock()
	if c.unfit != nil {
		return 0
	}
	return c.try(b)
}

// write is Write for one who holds c.out.
func (c *Conn) write(b []byte) (int, error) {
	c.mu.Lock()
	switch {
	case c.dropped:
		c.raw.SetWriteDeadline(past)
	case c.s.cfg.WriteTimeout > 0:
		c.raw.SetWriteDeadline(time.Now().Add(c.s.cfg.WriteTimeout))
	}
	c.mu.Unlock()
	n, err := c.nc.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &Error{Reason: ReasonWriteTimeout, Reset: true, Err: err}
	}
	return n, err
}

// now is the time as a distance from the server's start: cheaper than time.Now, and never goes back.
func (c *Conn) now() time.Duration { return time.Since(c.s.started) }

// handshake does the TLS handshake, if any, within the handshake deadline.
func (c *Conn) handshake(ctx context.Context) error {
	if c.tls == nil {
		return nil
	}
	if t := c.s.cfg.HandshakeTimeout; t > 0 {
		c.setDeadline(c.born+t, c.raw.SetDeadline)
	}
	err := c.tls.HandshakeContext(ctx)
	if err == nil {
		c.setDeadline(forever, c.raw.SetDeadline)
		return nil
	}
	reason := ReasonTLS
	var notTLS tls.RecordHeaderError
	var cert *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case errors.As(err, &notTLS):
		reason = ReasonNotTLS
	case errors.As(err, &cert), errors.As(err, &invalid):
		reason = ReasonCertificate
	}
	return &Error{Reason: reason, Refused: true, Err: err}
}

// setDeadline sets a deadline on the socket unless a drain has put its own there.
func (c *Conn) setDeadline(at time.Duration, set func(time.Time) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = at
	if !c.draining && c.over == nil {
		_ = set(c.clock(at)) // fails only on a socket that is gone, which the next read says too
	}
}

func (c *Conn) clock(at time.Duration) time.Time {
	if at == forever {
		return time.Time{}
	}
	return c.s.started.Add(at)
}

// await prepares for waiting, once for each arrival: it works out when the wait is over, and arms the socket if the deadline there is
// too late for that. partial says that the buffer holds the beginning of a frame.
func (c *Conn) await(partial bool) error {
	if c.waiting {
		return nil
	}
	if c.calledLast && !partial {
		return &Error{Reason: ReasonDrained}
	}
	c.waiting = true
	cfg := &c.s.cfg
	switch {
	case !c.established:
		c.until = after(c.born, cfg.HandshakeTimeout)
	case !partial:
		c.frameSince = 0
		c.until = after(c.now(), cfg.IdleTimeout)
	default:
		if c.frameSince == 0 {
			c.frameSince = c.now()
		}
		c.until = after(c.frameSince, cfg.FrameTimeout)
	}
	if c.until < c.armed {
		c.setDeadline(c.until, c.raw.SetReadDeadline)
	}
	return nil
}

func after(t, d time.Duration) time.Duration {
	if d < 0 {
		return forever
	}
	return t + d
}

// expired says what a read deadline that fired means: nil to go on waiting, or why the connection ends.
func (c *Conn) expired(partial bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	switch {
	case c.dropped:
		return &Error{Reason: ReasonDropped, Reset: true}
	case c.over != nil:
		return c.over
	case c.draining && !c.calledLast:
		c.calledLast = true
		if !partial || !c.established {
			c.until = min(c.until, now+lastCall)
		}
	case now >= c.until:
		return c.overdue(partial)
	}
	c.armed = c.until
	c.raw.SetReadDeadline(c.clock(c.until))
	return nil
}

func (c *Conn) overdue(partial bool) error {
	switch {
	case c.calledLast && (!partial || !c.established):
		return &Error{Reason: ReasonDrained}
	case !c.established:
		return &Error{Reason: ReasonHandshakeTimeout, Refused: true}
	case partial:
		return &Error{Reason: ReasonPartialFrame}
	default:
		return &Error{Reason: ReasonIdle}
	}
}

// drain wakes the connection so that it ends once it is idle. Any goroutine may call it.
func (c *Conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.raw.SetReadDeadline(past)
}

// EndIdle ends the connection as idle: for a protocol that knows better than IdleTimeout when that is. Its goroutine closes it. Any goroutine may
// call it.
func (c *Conn) EndIdle() { c.end(&Error{Reason: ReasonIdle}) }

// End ends the connection for a reason of the protocol's own. Its goroutine closes it. Any goroutine may call it; the first reason counts.
func (c *Conn) End(e *Error) { c.end(e) }

// end has the connection's goroutine end it for a reason. Any goroutine may call it; the first reason counts.
func (c *Conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over == nil {
		c.over = err
	}
	c.raw.SetReadDeadline(past)
}

// drop ends all I/O of the connection; its goroutine closes it. Any goroutine may call it.
func (c *Conn) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining, c.dropped = true, true
	c.raw.SetDeadline(past)
}

func (c *Conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// Explain turns what a Handler is about to return into the end that will be counted.
func (c *Conn) Explain(err error) End {
	e := End{Local: c.raw.LocalAddr(), Remote: c.raw.RemoteAddr(), Err: err}
	c.mu.Lock()
	draining, dropped := c.draining, c.dropped
	c.mu.Unlock()
	var own *Error
	timeout := errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case dropped:
		e.Reason = ReasonDropped
	case errors.As(err, &own):
		e.Reason, e.Refused = own.Reason, own.Refused
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
		e.Reason, e.Err = ReasonPeer, nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason = ReasonCut
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Reason = ReasonReset
	case timeout && draining:
		e.Reason = ReasonDrained
	case timeout && !c.established:
		e.Reason, e.Refused = ReasonHandshakeTimeout, true
	default:
		e.Reason = ReasonOther
	}
	return e
}

func (c *Conn) close(e End) {
	var own *Error
	if e.Reason == ReasonDropped || errors.As(e.Err, &own) && own.Reset {
		reset(c.raw)
		return
	}
	c.nc.Close()
}
