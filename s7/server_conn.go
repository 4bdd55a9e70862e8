package s7

import (
	"context"
	"errors"
	"net"
	"time"

	"millrace/internal/listen"
)

const (
	// serverBuffer is room for four of the longest requests that real PLCs take or 130 reads of one item; held only while a frame is in flight.
	serverBuffer = 4096
	// gatherBytes ends the gathering of answers: what is there is sent before the next request is served. A window of 8 answers of the
	// longest that real PLCs give fits.
	gatherBytes = 8 * (DefaultPDU + FrameBytes)
)

// ServerConn is one client's connection. Its methods belong to the connection's goroutine, that is to the Handler and the Interceptor while
// they are called, but for Write, Level and the addresses, which any goroutine may call.
type ServerConn struct {
	srv       *Server
	conn      *listen.Conn
	faces     *handlers
	intercept Interceptor
	services  *connServices // nil until a service needs it
	closed    func()        // nil before the CR

	number  uint64 // counts the server's connections
	worker  *sessionWorker
	index   int // among the worker's; the worker's own
	session session
	busy    bool // between session.enter and leave

	pdu, window   int // limits until Setup, granted from then on
	tpdu          int // bytes of a TPDU, its header of 3 included
	peerRef, ref  uint16
	calling, call tsap

	stream Stream
	told   StreamStats   // what the server's counts have of the stream's
	frames uint64        // TPDUs served
	msg    Message       // at hand; valid within Serve
	req    Request       // handed to the handler again and again
	read   *ReadRequest  // of the pool, from the first read on; valid within Serve, as all below
	write  *WriteRequest // the same
	copied *frameCopy    // for the Interceptor: the request, if it came in fragments, then the answer
	out    []byte        // answers gathered
	burst  int           // see Burst
}

// tsap is a TSAP of at most 16 bytes.
type tsap struct {
	n uint8
	b [maxTSAP]byte
}

func tsapOf(b []byte) (t tsap) {
	t.n = uint8(copy(t.b[:], b))
	return t
}

func (t *tsap) bytes() []byte { return t.b[:t.n] }

// LocalAddr returns the address that the client connected to.
func (c *ServerConn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr returns the client's address.
func (c *ServerConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// Calling returns the client's TSAP, as its CR had it: at most 16 bytes, usually 2, none if it gave none. It must not be changed.
func (c *ServerConn) Calling() []byte { return c.calling.bytes() }

// Called returns the TSAP that the client wants to reach: connection type, and rack and slot. It must not be changed.
func (c *ServerConn) Called() []byte { return c.call.bytes() }

// PDU returns the granted PDU length; before Setup the longest that would be granted, in Open 0.
func (c *ServerConn) PDU() int { return c.pdu }

// Window returns how many jobs the client may have in flight; before Setup the most that would be granted, in Open 0.
func (c *ServerConn) Window() int { return c.window }

// Level returns the protection level in force for the connection: 1 everything is allowed, 2 nothing may be changed, 3 nothing may be read either.
// Any goroutine may call it.
func (c *ServerConn) Level() uint8 { return uint8(c.session.level.Load()) }

// setLevel is for the service that checks passwords. Any goroutine may call it.
func (c *ServerConn) setLevel(l uint8) {
	if c.session.level.Swap(uint32(l)) != uint32(l) {
		s := c.session.state()
		c.worker.moved(c, s, s)
	}
}

// enter says that a job came, and returns the state before.
func (c *ServerConn) enter() SessionState {
	if c.busy {
		return SessionActive
	}
	from := c.session.enter()
	if from == SessionIdle {
		c.worker.moved(c, SessionIdle, SessionActive)
	}
	c.busy = from == SessionActive || from == SessionIdle
	return from
}

// leave ends what enter began.
func (c *ServerConn) leave() {
	if c.busy {
		c.session.leave()
		c.busy = false
	}
}

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

// Burst returns how many of the requests that came together were served before the one at hand: 0 for a client that waits for each answer.
func (c *ServerConn) Burst() int { return c.burst }

// protocol is the face of a ServerConn to listen.Conn.Loop.
type protocol struct{ *ServerConn }

// Serve answers the whole frames in in.
func (c protocol) Serve(ctx context.Context, in, out []byte) (used int, answers []byte, err error) {
	c.out = out
	used, err = c.gather(ctx, in)
	if err != nil {
		err = c.ending(err)
	}
	answers, c.out, c.msg = c.out, nil, Message{} // the buffers are lent
	if c.stream.stats != c.told {
		c.srv.counts.stream(&c.told, c.stream.stats)
	}
	c.giveBack()
	c.leave()
	return used, answers, err
}

// giveBack puts the messages that were used into their pools: an idle connection has none.
func (c *ServerConn) giveBack() {
	p := &c.srv.pools
	if c.read != nil {
		p.read.put(c.read)
		c.read = nil
	}
	if c.write != nil {
		p.write.put(c.write)
		c.write = nil
	}
	if c.copied != nil {
		p.copy.put(c.copied)
		c.copied = nil
	}
}

// gather serves whole frames until there are no more, or answers enough.
func (c *ServerConn) gather(ctx context.Context, in []byte) (used int, err error) {
	for c.burst = 0; len(c.out) < gatherBytes; {
		var n int
		if c.msg, n, err = c.stream.Next(in[used:]); err != nil {
			return used, err
		}
		if n == 0 {
			break
		}
		used += n
		if c.msg.Code == 0 {
			continue
		}
		if err = c.one(ctx, in[used-n:used]); err != nil {
			return used, err
		}
		c.frames++
		c.burst++
	}
	return used, nil
}

// ending says under which reason err ends the connection, and appends the DR that goes with it.
func (c *ServerConn) ending(err error) error {
	state := c.session.state()
	e := &listen.Error{Reason: "error", Refused: state == SessionInit || state == SessionAuthed, Err: err}
	var frame *FrameError
	var hangUp *HangUpError
	var own *protocolEnd
	switch {
	case errors.As(err, &frame):
		e.Reason = listen.Reason(frame.Reason.String())
	case errors.As(err, &own):
		e.Reason, e.Err = own.reason, nil
	case errors.As(err, &hangUp):
		e.Reason, e.Reset = listen.Reason(hangUp.Reason), hangUp.Reset
		c.disconnect(hangUp.Disconnect)
	case state == SessionInit: // what Open said
		e.Reason = "refused"
		c.disconnect(DisconnectRefused)
	default:
		return err
	}
	return e
}

// disconnect appends a DR, if there is a reason to.
func (c *ServerConn) disconnect(reason DisconnectReason) {
	if reason != 0 {
		c.out = (&Disconnect{DstRef: c.peerRef, SrcRef: c.ref, Reason: reason}).AppendTo(c.out)
	}
}

// over is the end of the connection. A drain that found it idle says so in a DR.
func (c *ServerConn) over(err error) {
	end := c.conn.Explain(err)
	if end.Reason == listen.ReasonDrained && c.ref != 0 {
		c.disconnect(DisconnectNormal)
		_ = c.Flush() // the end is on its way whether it arrives or not
	}
	c.worker.close(c, string(end.Reason))
	c.endServices()
	if c.closed != nil {
		c.closed()
	}
}

// Pending returns which PDU is being put together from fragments, or searched for, if any.
func (c protocol) Pending() uint64 {
	if c.stream.Assembling() || c.stream.Searching() {
		return c.frames + 1
	}
	return 0
}
