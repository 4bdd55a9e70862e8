package modbus

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"millrace/internal/listen"
)

const (
	// serverBuffer is room for 15 of the longest requests or more than 300 of the usual 12 bytes; held only while a frame is in flight.
	serverBuffer = 4096
	// gatherBytes ends the gathering of answers: what is there is sent before the next request is served. 16 answers of the longest fit.
	gatherBytes = 16 * MaxADU
)

// ServerConn is one client's connection. Its methods belong to the connection's goroutine, that is to the Handler and the Interceptor while
// they are called, but for Write and the addresses, which any goroutine may call.
type ServerConn struct {
	srv       *Server
	conn      *listen.Conn
	tls       *tls.ConnectionState
	role      string
	faces     handlers
	intercept Interceptor
	req       Request // handed to the handler again and again
	read      Request // the read part of 17
	out       []byte  // answers gathered; valid within Serve
	answer    []byte  // copy for the Interceptor
	burst     int     // see Burst
}

// LocalAddr returns the address that the client connected to.
func (c *ServerConn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr returns the client's address.
func (c *ServerConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// TLS returns the state after the handshake, nil without TLS.
func (c *ServerConn) TLS() *tls.ConnectionState { return c.tls }

// Role returns the role in the client's certificate, empty if there is none.
func (c *ServerConn) Role() string { return c.role }

// Send appends b to what goes to the client next.
func (c *ServerConn) Send(b []byte) { c.out = append(c.out, b...) }

// Flush sends what was given to Send so far, answers to earlier requests included.
func (c *ServerConn) Flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// Pause is Flush and then waits for d, or until the connection is dropped.
func (c *ServerConn) Pause(ctx context.Context, d time.Duration) error {
	if err := c.Flush(); err != nil {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Write sends b at once, past what Send has gathered. Any goroutine may call it, so that an answer can come late; it fails when the
// connection is over.
func (c *ServerConn) Write(b []byte) (int, error) { return c.conn.Write(b) }

func (c *ServerConn) use(sv Service) {
	c.faces, c.intercept = facesOf(sv.Handler), sv.Intercept
	c.req.Conn = c
}

// protocol is the face of a ServerConn to listen.Conn.Loop.
type protocol struct{ *ServerConn }

// Serve answers the whole frames in in.
func (c protocol) Serve(ctx context.Context, in, out []byte) (used int, answers []byte, err error) {
	c.out = out
	used, err = c.gather(ctx, in)
	answers, c.out = c.out, nil // the buffer is lent
	return used, answers, err
}

// Burst returns how many of the requests that came together were served before the one at hand: 0 for a client that waits for each answer.
func (c *ServerConn) Burst() int { return c.burst }

// gather serves whole frames until there are no more, or answers enough.
func (c *ServerConn) gather(ctx context.Context, in []byte) (used int, err error) {
	for c.burst = 0; len(c.out) < gatherBytes; c.burst++ {
		fr, n, err := c.srv.cfg.Framing.NextRequest(in[used:])
		if err != nil {
			return used, unframed(err)
		}
		if n == 0 {
			break
		}
		if err = c.one(ctx, fr, in[used:used+n]); err != nil {
			return used, hungUp(err)
		}
		used += n
	}
	return used, nil
}

// unframed ends a connection on which nobody knows where the next frame begins.
func unframed(err error) error {
	var e *FrameError
	if errors.As(err, &e) {
		return &listen.Error{Reason: listen.Reason(e.Reason.String()), Err: err}
	}
	return err
}

func hungUp(err error) error {
	var e *HangUpError
	if errors.As(err, &e) {
		return &listen.Error{Reason: listen.Reason(e.Reason), Reset: e.Reset, Err: err}
	}
	return err
}

// one serves one request and gathers its answer.
func (c *ServerConn) one(ctx context.Context, fr Frame, raw []byte) error {
	c.srv.counts.requests[fr.PDU[0]].Add(1)
	var code ExceptionCode
	if c.intercept != nil {
		var err error
		if code, err = c.intercept.Request(ctx, c, raw); err != nil {
			return err
		}
	}
	start := len(c.out)
	if !c.respond(ctx, fr, code) || c.intercept == nil {
		return nil
	}
	c.answer = append(c.answer[:0], c.out[start:]...)
	c.out = c.out[:start]
	return c.intercept.Answer(ctx, c, raw, c.answer)
}

// respond appends the framed answer to c.out; false means that there is none. code is an exception that was decided on already.
func (c *ServerConn) respond(ctx context.Context, fr Frame, code ExceptionCode) bool {
	f := c.srv.cfg.Framing
	start := len(c.out)
	b := f.Begin(c.out, fr.Transaction, fr.Unit)
	pdu := len(b)
	if code == 0 {
		b, code = c.serve(ctx, fr, b)
	}
	switch {
	case code == NoAnswer, f == FramingRTU && fr.Unit == broadcast:
		return false
	case code != 0:
		c.srv.counts.exceptions[code].Add(1)
		b = (&ExceptionResponse{Function: fr.Function(), Code: code}).AppendTo(b[:pdu])
	}
	c.out = f.End(b, start)
	return true
}

// broadcast is the unit to which every device on a serial line listens and none answers [MBSL 2.1]. On TCP there is one device at the other
// end, which answers.
const broadcast = 0
